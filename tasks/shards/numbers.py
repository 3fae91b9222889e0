"""Numbers that a format wants (`fashion_0000`): assigned once per sample, never changed, never reused.

<root>/ledgers/<name>/000001.json ...     segments, created exclusively and only ever added to

A segment gives consecutive numbers to a list of samples. Of two writers of one segment the first wins; the other reads
it and writes the next one. What a killed run leaves is a whole segment or none.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.records import Frozen
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Segment(Frozen):
    """Sample i has the number `first` + i among those of `prefix`; `sha256` is over the three of them."""

    prefix: str
    first: int
    sample_ids: tuple[str, ...]
    sha256: str

    @classmethod
    def of(cls, prefix: str, first: int, sample_ids: tuple[str, ...]) -> "Segment":
        said = json.dumps([prefix, first, sample_ids], separators=(",", ":"))
        return cls(prefix=prefix, first=first, sample_ids=sample_ids, sha256=sha256(said.encode()).hexdigest())

    @property
    def whole(self) -> bool:
        return self == Segment.of(self.prefix, self.first, self.sample_ids)


def number_name(prefix: str, number: int) -> str:
    """`fashion_0000`; a fifth digit comes with 10000. Source: the seed's file names."""
    return f"{prefix}_{number:04d}"


def assign(store: Store, ledger: str, prefix: str, sample_ids: Sequence[str]) -> dict[str, int]:
    """The number of every sample, counted from 0 per prefix; samples that have none yet get the next, in order.

    Any number of processes may assign at once. The numbers are durable when this returns.

    Raises:
        ConfigError: `ledger` or `prefix` is not a short lower-case name.
        StoreError: the ledger is damaged (numbers are never guessed), or the store cannot be written.
    """
    if _NAME.fullmatch(prefix) is None:
        raise ConfigError(f"The prefix of a number is a short lower-case name, not {prefix!r}.")
    folder = _ledger_folder(store, ledger)
    taken: dict[str, int] = {}
    read, given = 0, Counter[str]()
    with disk_errors_explained(store.root):
        while True:
            for segment in _segments(folder, read, given):
                read += 1
                if segment.prefix == prefix:
                    taken.update(zip(segment.sample_ids, range(segment.first, given[prefix]), strict=True))
            fresh = tuple(i for i in dict.fromkeys(sample_ids) if i not in taken)
            if not fresh:
                _make_durable(store, folder)
                return {i: taken[i] for i in sample_ids}
            _append(store, folder, read + 1, Segment.of(prefix, given[prefix], fresh))


def read_ledger(store: Store, ledger: str) -> dict[str, dict[str, int]]:
    """All numbers given so far: prefix -> sample -> number.

    Raises:
        StoreError: the ledger is damaged.
    """
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for segment in _segments(_ledger_folder(store, ledger), 0, Counter()):
        for sample_id in segment.sample_ids:
            numbers[segment.prefix][sample_id] = len(numbers[segment.prefix])
    return dict(numbers)


def ledgers(store: Store) -> list[str]:
    """Names of the ledgers that the store holds."""
    return sorted(path.name for path in (store.root / "ledgers").glob("*") if path.is_dir())


def _ledger_folder(store: Store, ledger: str) -> Path:
    if _NAME.fullmatch(ledger) is None:
        raise ConfigError(f"A ledger has a short lower-case name, not {ledger!r}.")
    return store.root / "ledgers" / ledger


def _segments(folder: Path, read: int, given: Counter[str]) -> Iterator[Segment]:
    """Segments after the first `read`; books in `given` how many numbers each prefix has."""
    last = max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)
    for index in range(read + 1, last + 1):
        path = _segment_path(folder, index)
        try:
            segment = Segment.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            raise StoreError(f"The ledger of numbers is damaged: restore {path} from a backup.") from error
        if not segment.whole or segment.first != given[segment.prefix]:
            raise StoreError(f"The ledger of numbers is damaged: restore {path} from a backup.")
        given[segment.prefix] += len(segment.sample_ids)
        yield segment


def _segment_path(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.json"


def _append(store: Store, folder: Path, index: int, segment: Segment) -> None:
    """Create a segment, unless somebody else was first."""
    written = temporary(store.tmp)
    try:
        with store.files.create(written) as stream:
            stream.write(segment.model_dump_json(indent=0).encode())
            store.files.sync(stream)
        store.files.link_exclusive(written, _segment_path(folder, index))
    finally:
        store.files.remove(written)


def _make_durable(store: Store, folder: Path) -> None:
    """The names of all segments that we read: numbers leave this module only when they cannot be lost any more."""
    for place in (folder, folder.parent, store.root):
        if place.is_dir():
            store.files.sync_folder(place)
