"""A bucket and a working copy that are killed at a chosen operation of either."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tasks.shards.bucket import Bucket
from tasks.shards.bucket_files import BucketFiles


@dataclass
class Points:
    """Counts what changes files or objects; SIGKILL of this process just before or after point `at`."""

    at: int = -1
    when: str = ""
    log: list[str] = field(default_factory=list)

    @contextmanager
    def passing(self, name: str) -> Iterator[None]:
        point = len(self.log)
        self.log.append(name)
        self._die(point, "before")
        yield
        self._die(point, "after")

    def _die(self, point: int, when: str) -> None:
        if (point, when) == (self.at, self.when):
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class TouchyBucket(Bucket):
    """Tells of every change of an object, and of every download."""

    points: Points = field(default_factory=Points, compare=False)

    def put(self, source: Path, name: str) -> None:
        with self.points.passing("put"):
            super().put(source, name)

    def put_new(self, data: bytes, name: str) -> bool:
        with self.points.passing("put_new"):
            return super().put_new(data, name)

    def fetch(self, name: str, target: Path) -> bool:
        with self.points.passing("fetch"):
            return super().fetch(name, target)

    def remove(self, name: str) -> None:
        with self.points.passing("delete"):
            super().remove(name)


class TouchyFiles(BucketFiles):
    """Tells of every change of a file; what it does to the bucket comes within."""

    bucket: TouchyBucket

    def create(self, path: Path) -> IO[bytes]:
        with self.bucket.points.passing("create"):
            return super().create(path)

    def sync(self, stream: IO[bytes]) -> None:
        with self.bucket.points.passing("sync"):
            super().sync(stream)

    def replace(self, source: Path, target: Path) -> None:
        with self.bucket.points.passing("replace"):
            super().replace(source, target)

    def link_exclusive(self, source: Path, target: Path) -> bool:
        with self.bucket.points.passing("link_exclusive"):
            return super().link_exclusive(source, target)

    def remove(self, path: Path) -> None:
        with self.bucket.points.passing("remove"):
            super().remove(path)
