"""Ledgers: what must survive every rebuild, in segments that are created exclusively and only ever added to.

<root>/<kind>/<name>/000001.json ...

Of two writers of one segment the first wins; the other reads it and writes the next. What a killed run leaves is a
whole segment or none.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import ValidationError

from tasks.schema.errors import ConfigError, UnreadableError
from tasks.schema.records import Frozen
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Segment(Frozen):
    """One file of a ledger. A subclass ends with `sha256`, a digest of what it says."""

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether the digest is that of the rest."""


S = TypeVar("S", bound=Segment)
V = TypeVar("V", bound=Frozen)


def is_short_name(name: str) -> bool:
    """Whether it may name a ledger or a prefix: up to 64 of a-z, 0-9, - and _."""
    return _NAME.fullmatch(name) is not None


def ledger_folder(store: Store, kind: str, name: str) -> Path:
    """Where the segments of a ledger are.

    Raises:
        ConfigError: the name is not a short lower-case one.
    """
    if not is_short_name(name):
        raise ConfigError(f"A ledger has a short lower-case name, not {name!r}.")
    return store.root / kind / name


def read_segments(store: Store, folder: Path, segment: type[S], what: str, read: int = 0) -> Iterator[S]:
    """The segments of a ledger of `store` after the first `read`, in order.

    Raises:
        UnreadableError: one is missing or damaged; nothing is ever guessed.
    """
    store.files.fresh(folder)
    last = max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)
    for index in range(read + 1, last + 1):
        path = _segment_path(folder, index)
        try:
            found = segment.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            raise damaged(what, path) from error
        if not found.whole:
            raise damaged(what, path)
        yield found


def damaged(what: str, path: Path) -> UnreadableError:
    """The error of a ledger of `what` whose segment is not as it was written."""
    return UnreadableError(f"The ledger of {what} is damaged: restore {path} from a backup.")


def append_segment(store: Store, folder: Path, index: int, segment: Segment) -> bool:
    """Create a segment; False if somebody else was first."""
    written = temporary(store.tmp)
    try:
        with store.files.create(written) as stream:
            stream.write(segment.model_dump_json(indent=0).encode())
            store.files.sync(stream)
        return store.files.link_exclusive(written, _segment_path(folder, index))
    finally:
        store.files.remove(written)


def make_durable(store: Store, folder: Path) -> None:
    """The names of all segments that are there: nothing is told before it cannot be lost any more."""
    for place in (folder, folder.parent, store.root):
        if place.is_dir():
            store.files.sync_folder(place)


def _segment_path(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.json"


class _Said(Segment, Generic[V]):
    verdicts: tuple[V, ...]
    sha256: str

    @classmethod
    def of(cls, verdicts: tuple[V, ...]) -> Self:
        return cls(verdicts=verdicts, sha256=digest_of(verdicts))

    @property
    def whole(self) -> bool:
        return self.sha256 == digest_of(self.verdicts)


def digest_of(verdicts: Sequence[Frozen]) -> str:
    """sha256 of what is said, in hex."""
    said = json.dumps([verdict.model_dump() for verdict in verdicts], separators=(",", ":"), sort_keys=True)
    return sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class VerdictLedger(Generic[V]):
    """What people said, below `<root>/verdicts/<name>`; of two verdicts about the same the later counts.

    `about`: what a verdict is about; `word`: what it says of that, of None as if nobody had said anything.
    """

    store: Store
    name: str
    verdict: type[V]
    about: Callable[[V], Hashable]
    word: Callable[[V | None], object]

    def add(self, verdicts: Sequence[V]) -> int:
        """Put verdicts down; those that stand already are not repeated. Durable when this returns.

        Returns:
            how many were new.
        Raises:
            ConfigError: the name is not a short lower-case one.
            UnreadableError: the ledger is damaged.
            StoreError: the store cannot be written.
        """
        folder = self._folder
        latest = {self.about(verdict): verdict for verdict in verdicts}
        standing: dict[Hashable, V] = {}
        read = 0
        with disk_errors_explained(self.store.root):
            while True:
                for segment in read_segments(self.store, folder, self._segment, "verdicts", read):
                    read += 1
                    standing.update((self.about(verdict), verdict) for verdict in segment.verdicts)
                fresh = tuple(v for what, v in latest.items() if self.word(standing.get(what)) != self.word(v))
                if not fresh or append_segment(self.store, folder, read + 1, self._segment.of(fresh)):
                    make_durable(self.store, folder)
                    return len(fresh)

    def standing(self) -> list[V]:
        """The last verdict about everything that there is one about, in the order in which they were first given.

        Raises:
            ConfigError: the name is not a short lower-case one.
            UnreadableError: the ledger is damaged.
        """
        standing: dict[Hashable, V] = {}
        for segment in read_segments(self.store, self._folder, self._segment, "verdicts"):
            standing.update((self.about(verdict), verdict) for verdict in segment.verdicts)
        return list(standing.values())

    @property
    def _folder(self) -> Path:
        return ledger_folder(self.store, "verdicts", self.name)

    @property
    def _segment(self) -> type[_Said[Any]]:
        return _Said[self.verdict]  # type: ignore[name-defined]
