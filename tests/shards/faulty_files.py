"""Disks that fail: killed at a chosen operation, or losing what was never synced."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from tasks.shards.files import LocalFiles

OPERATIONS = ("create", "sync", "sync_folder", "replace", "link_exclusive", "remove")


class CountingFiles(LocalFiles):
    """Counts the write points that a build passes, in any number of threads."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._lock, self._thread = threading.Lock(), threading.local()

    def _before(self, operation: str) -> None:
        with self._lock:
            self._thread.point = len(self.log)
            self.log.append(operation)

    def _after(self, operation: str) -> None:
        pass


class KilledFiles(CountingFiles):
    """SIGKILL of this process just before or just after write point `at` (counted from 0)."""

    def __init__(self, at: int, when: str) -> None:
        super().__init__()
        self._at, self._when = at, when

    def _before(self, operation: str) -> None:
        super()._before(operation)
        self._die("before")

    def _after(self, operation: str) -> None:
        self._die("after")

    def _die(self, when: str) -> None:
        if when == self._when and self._thread.point == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def _wrap(name: str) -> Callable[..., object]:
    original = getattr(LocalFiles, name)

    def operation(self: CountingFiles, *arguments: object) -> object:
        self._before(name)
        result = original(self, *arguments)
        self._after(name)
        return result

    return operation


for _name in OPERATIONS:
    setattr(CountingFiles, _name, _wrap(_name))


class PowerLossError(BaseException):
    """The machine went off."""


class ForgetfulFiles(CountingFiles):
    """Power loss at write point `at`: what was not synced is lost, wholly or in part, as a disk may.

    Of the files that were never synced, every other one becomes garbage of half the length; names made in a folder
    since its last sync are undone, newest first, as many as a seeded draw says (0 to all). Nothing is written any more
    after that.
    """

    def __init__(self, at: int, seed: int) -> None:
        super().__init__()
        self._at, self._random = at, np.random.default_rng((at, seed))
        self._unsynced: set[Path] = set()
        self._names: list[tuple[Path, Path | None, bytes | None]] = []

    def _before(self, operation: str) -> None:
        super()._before(operation)
        if self._thread.point == self._at:
            self._lose()
        if self._thread.point >= self._at:
            raise PowerLossError

    def _lose(self) -> None:
        for path in sorted(self._unsynced):
            if self._random.random() < 0.5:
                continue
            for name in {path, *(new for new, old, _ in self._names if old == path)}:
                if name.exists():
                    name.write_bytes(b"\0" * (name.stat().st_size // 2))
        lost = int(self._random.integers(0, len(self._names) + 1))
        for new, old, before in reversed(self._names[len(self._names) - lost :]):
            if not new.exists():
                continue
            if old is not None and not old.exists():
                new.replace(old)
            else:
                new.unlink()
            if before is not None:
                new.write_bytes(before)

    def create(self, path: Path) -> IO[bytes]:
        stream = super().create(path)
        self._unsynced.add(path)
        self._names.append((path, None, None))
        return stream

    def sync(self, stream: IO[bytes]) -> None:
        super().sync(stream)
        self._unsynced.discard(Path(stream.name))

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self._names = [each for each in self._names if each[0].parent != folder]

    def replace(self, source: Path, target: Path) -> None:
        before = target.read_bytes() if target.exists() else None
        super().replace(source, target)
        self._names.append((target, source, before))

    def link_exclusive(self, source: Path, target: Path) -> bool:
        made = super().link_exclusive(source, target)
        if made:
            self._names.append((target, source, None))
        return made


class UnsyncedFiles(ForgetfulFiles):
    """The same without any fsync: what a careless engine would do; shows that the simulation bites."""

    def sync(self, stream: IO[bytes]) -> None:
        self._before("sync")
        stream.flush()

    def sync_folder(self, folder: Path) -> None:
        self._before("sync_folder")
