"""Disks that fail: killed at a chosen operation, or losing what was never synced."""

import os
import signal
from pathlib import Path
from typing import IO

import numpy as np

from tasks.shards.files import LocalFiles

OPERATIONS = ("create", "sync", "sync_folder", "replace", "link_exclusive", "remove")


class CountingFiles(LocalFiles):
    """Counts the write points that a build passes."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def _before(self, operation: str) -> None:
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
        if when == self._when and len(self.log) - 1 == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def _wrap(name: str):
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

    File contents that were never synced become garbage of half the length; names made in a folder since its last sync
    are undone, newest first, as many as a seeded draw says (0 to all).
    """

    def __init__(self, at: int, seed: int) -> None:
        super().__init__()
        self._at, self._random = at, np.random.default_rng((at, seed))
        self._unsynced: dict[int, Path] = {}
        self._names: list[tuple[Path, Path | None]] = []

    def _before(self, operation: str) -> None:
        super()._before(operation)
        if len(self.log) - 1 == self._at:
            self._lose()
            raise PowerLossError

    def _lose(self) -> None:
        for path in self._unsynced.values():
            for name in {path, *(new for new, old in self._names if old == path)}:
                if name.exists():
                    name.write_bytes(b"\0" * (name.stat().st_size // 2))
        lost = int(self._random.integers(0, len(self._names) + 1))
        for new, old in reversed(self._names[len(self._names) - lost :]):
            if not new.exists():
                continue
            if old is not None and not old.exists():
                new.replace(old)
            else:
                new.unlink()

    def create(self, path: Path) -> IO[bytes]:
        stream = super().create(path)
        self._unsynced[stream.fileno()] = path
        self._names.append((path, None))
        return stream

    def sync(self, stream: IO[bytes]) -> None:
        super().sync(stream)
        self._unsynced.pop(stream.fileno(), None)

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self._names = [(new, old) for new, old in self._names if new.parent != folder]

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self._names.append((target, source))

    def link_exclusive(self, source: Path, target: Path) -> bool:
        made = super().link_exclusive(source, target)
        if made:
            self._names.append((target, source))
        return made


class UnsyncedFiles(ForgetfulFiles):
    """The same without any fsync: what a careless engine would do; shows that the simulation bites."""

    def sync(self, stream: IO[bytes]) -> None:
        self._before("sync")
        stream.flush()

    def sync_folder(self, folder: Path) -> None:
        self._before("sync_folder")
