"""The rows of one sample, of those it was made from, and of those that were made of it: one look through the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tasks.lineage.descend import descend
from tasks.lineage.scan import Found, Look, exactly
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store

_ABOVE = "\U0010ffff"
_FIRST = 8
"""Children of a shard that are named; all are counted."""


@dataclass(frozen=True)
class Place:
    """A row of a shard or of its rejects."""

    record: ShardRecord
    rejected: bool
    row: int
    sample_id: str


@dataclass(frozen=True)
class Below:
    """Children, and theirs, in a shard or its rejects: how many, and the first of them."""

    record: ShardRecord
    rejected: bool
    count: int
    first: tuple[Place, ...]


@dataclass
class Family:
    """`own`: rows of the sample; `above`: of those it was made from; `below`: of those that were made of it."""

    own: list[Place] = field(default_factory=list)
    above: list[Place] = field(default_factory=list)
    below: list[Below] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def family_of(store: Store, records: Sequence[ShardRecord], sample_id: str) -> Family:
    """Where a sample and its kin stand. Ids of children extend their parent's, or name it as `parent_id`."""
    ancestors = [sample_id[:at] for at, letter in enumerate(sample_id) if letter == "/"]
    near = pa.array([sample_id, *ancestors])
    beginning = f"{sample_id}/"

    def test(table: pa.Table) -> pa.ChunkedArray:
        ids = table["sample_id"]
        mask = pc.or_(pc.is_in(ids, value_set=near), pc.starts_with(ids, beginning))
        if "parent_id" in table.column_names:
            mask = pc.or_(mask, pc.fill_null(pc.equal(table["parent_id"], sample_id), False))
        return mask

    def within(column: str, low: str, high: str) -> bool:
        exact = (sample_id,) if column == "parent_id" else (sample_id, *ancestors)
        between = any(low <= each <= high for each in exact)
        return between or (column == "sample_id" and low <= beginning + _ABOVE and high >= beginning)

    needles = (beginning.encode(), *(exactly(each) for each in (sample_id, *ancestors)))
    look = Look(("sample_id", "parent_id"), test, within, needles)
    family = Family()
    for found in descend(store, records, look):
        if found.problem:
            kind = "rejects" if found.rejected else "rows"
            family.problems.append(f"The {kind} of {found.record.stage}/{found.record.key[:12]}: {found.problem}.")
        else:
            _sort_in(family, found, sample_id, frozenset(ancestors))
    return family


def _sort_in(family: Family, found: Found, sample_id: str, ancestors: frozenset[str]) -> None:
    children: list[Place] = []
    count = 0
    for row, each in zip(found.rows, found.column("sample_id"), strict=True):
        place = Place(found.record, found.rejected, row, each)
        if each == sample_id:
            family.own.append(place)
        elif each in ancestors:
            family.above.append(place)
        else:
            count += 1
            if len(children) < _FIRST:
                children.append(place)
    if count:
        family.below.append(Below(found.record, found.rejected, count, tuple(children)))
