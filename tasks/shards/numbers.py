"""Numbers that a format wants (`fashion_0000`): assigned once per sample, never changed, never reused.

<root>/ledgers/<name>/000001.json ...     a ledger, see `tasks.shards.ledger`

A segment gives consecutive numbers to a list of samples.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from tasks.schema.errors import ConfigError
from tasks.shards.files import disk_errors_explained
from tasks.shards.ledger import (
    Segment,
    append_segment,
    damaged,
    is_short_name,
    ledger_folder,
    make_durable,
    read_segments,
)
from tasks.shards.store import Store


class Numbers(Segment):
    """Sample i has the number `first` + i among those of `prefix`; `sha256` is over the three of them."""

    prefix: str
    first: int
    sample_ids: tuple[str, ...]
    sha256: str

    @classmethod
    def of(cls, prefix: str, first: int, sample_ids: tuple[str, ...]) -> "Numbers":
        said = json.dumps([prefix, first, sample_ids], separators=(",", ":"))
        return cls(prefix=prefix, first=first, sample_ids=sample_ids, sha256=sha256(said.encode()).hexdigest())

    @property
    def whole(self) -> bool:
        return self == Numbers.of(self.prefix, self.first, self.sample_ids)


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
    if not is_short_name(prefix):
        raise ConfigError(f"The prefix of a number is a short lower-case name, not {prefix!r}.")
    folder = ledger_folder(store, "ledgers", ledger)
    taken: dict[str, int] = {}
    read, given = 0, Counter[str]()
    with disk_errors_explained(store.root):
        while True:
            for segment in _segments(store, folder, read, given):
                read += 1
                if segment.prefix == prefix:
                    taken.update(zip(segment.sample_ids, range(segment.first, given[prefix]), strict=True))
            fresh = tuple(i for i in dict.fromkeys(sample_ids) if i not in taken)
            if not fresh:
                make_durable(store, folder)
                return {i: taken[i] for i in sample_ids}
            append_segment(store, folder, read + 1, Numbers.of(prefix, given[prefix], fresh))


def read_ledger(store: Store, ledger: str) -> dict[str, dict[str, int]]:
    """All numbers given so far: prefix -> sample -> number.

    Raises:
        StoreError: the ledger is damaged.
    """
    numbers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for segment in _segments(store, ledger_folder(store, "ledgers", ledger), 0, Counter()):
        for sample_id in segment.sample_ids:
            numbers[segment.prefix][sample_id] = len(numbers[segment.prefix])
    return dict(numbers)


def ledgers(store: Store) -> list[str]:
    """Names of the ledgers that the store holds."""
    return sorted(path.name for path in store.fresh("ledgers").glob("*") if path.is_dir())


def _segments(store: Store, folder: Path, read: int, given: Counter[str]) -> Iterator[Numbers]:
    """Segments after the first `read`; books in `given` how many numbers each prefix has."""
    for segment in read_segments(store, folder, Numbers, "numbers", read):
        if segment.first != given[segment.prefix]:
            raise damaged("numbers", folder)
        given[segment.prefix] += len(segment.sample_ids)
        yield segment
