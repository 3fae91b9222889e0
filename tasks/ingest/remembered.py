"""What was read from files, remembered for as long as those files stay as they were."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

Watch = Callable[[Path], None]
"""Told every file and folder that decides an answer, before it is read."""

SETTLED_NS = 2_000_000_000
"""Who wrote to a file this shortly before it was read may do so again under the same time: FAT counts in 2 s."""


@dataclass(frozen=True)
class Stamp:
    """What changes when a file is written to or a name comes into or leaves a folder; times in ns."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The stamp of a file or folder, through links.

        Raises:
            OSError: it is not there.
        """
        now = path.stat()
        return cls(now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@dataclass
class _Slot(Generic[Answer]):
    lock: Lock = field(default_factory=Lock)
    known: tuple[Answer, dict[Path, Stamp]] | None = None


class Remembered(Generic[Answer]):
    """The answers to the last `entries` questions of this process; for any number of threads.

    Threads that ask the same at once wait for one of them to read.
    """

    def __init__(self, entries: int = 8) -> None:
        self._entries = entries
        self._lock = Lock()
        self._slots: dict[Hashable, _Slot[Answer]] = {}

    def get(self, key: Hashable, read: Callable[[Watch], Answer], *, anew: bool = False) -> Answer:
        """What `read` answered last, or answers now if `anew` or if anything that it watched has another stamp."""
        slot = self._slot(key)
        with slot.lock:
            if not anew and slot.known is not None and _unchanged(slot.known[1]):
                return slot.known[0]
            slot.known = None
            began = time.time_ns()
            stamps: dict[Path, Stamp] = {}
            answer = read(lambda path: stamps.update({path: Stamp.of(path)}))
            if all(stamp.changed + SETTLED_NS <= began for stamp in stamps.values()):
                slot.known = answer, stamps
            return answer

    def forget(self, key: Hashable) -> None:
        """The next `get` reads."""
        with self._lock:
            self._slots.pop(key, None)

    def _slot(self, key: Hashable) -> _Slot[Answer]:
        with self._lock:
            slot = self._slots[key] = self._slots.pop(key, _Slot())
            while len(self._slots) > self._entries:
                del self._slots[next(iter(self._slots))]
            return slot


def _unchanged(stamps: dict[Path, Stamp]) -> bool:
    try:
        return all(Stamp.of(path) == stamp for path, stamp in stamps.items())
    except OSError:
        return False
