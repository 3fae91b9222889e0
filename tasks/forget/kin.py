"""Everything that descends from some samples: one look through the store for each generation of what is found."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.forget.doomed import Doomed
from tasks.lineage.scan import Found, Look, exactly, scan
from tasks.schema.columns import IMAGE
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store
from tasks.shards.tombstones import CONTENT_COLUMNS, NEAR_BITS, TELLING_BITS

FILE_COLUMNS = ("clip_digest", "gt_digest", "lr5_digest", "lr7_digest", "sound_digest")
"""Columns with digests of files that were made of a row, or lie beside it."""

ADDRESS_COLUMNS = ("source_uri", "sound_uri")

MOST_NEEDLES = 64
"""Up to so many roots, files that hold none of their bytes are not parsed."""

_ALIKE_BY_NATURE = ("mannequin://", "video://")
"""Rendered people and neighbouring frames look alike: their hashes tell nothing."""


@dataclass
class Kin:
    """What descends from `roots`, and by what it can be recognised.

    Args:
        roots: ids of samples of which all goes.
        rows, rejects: how many rows of each output (stage, key) go.
        alike: roots that were found because they are the same picture as one that was asked for: id -> bits of 64 in
            which their hashes differ, 0: the same bytes.
        hashes: perceptual hashes of the samples that were asked for.
        problems: what does not read.
    """

    roots: set[str]
    ids: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    contents: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    hashes: set[int] = field(default_factory=set)
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    alike: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def holds(self, sample_id: str | None) -> bool:
        """Whether an id is one of theirs: a root, or below one."""
        return sample_id is not None and descends(sample_id, self.roots)

    @property
    def doomed(self) -> Doomed:
        return Doomed(
            sample_ids=frozenset(self.ids | self.roots),
            roots=frozenset(self.roots),
            source_uris=frozenset(self.addresses),
            digests=frozenset(self.contents | self.files),
        )


def descends(sample_id: str, roots: Collection[str]) -> bool:
    """Whether an id is one of `roots` or extends one by "/"."""
    return sample_id in roots or any(sample_id[:at] in roots for at, letter in enumerate(sample_id) if letter == "/")


def with_pixels(store: Store, records: Sequence[ShardRecord], sample_ids: Collection[str]) -> set[str]:
    """For each id the outermost sample that holds its pixels: of a face the photo; of a clip, whose video lies outside
    of the store, the clip itself.
    """
    above = {each[:at] for each in sample_ids for at, letter in enumerate(each) if letter == "/"}
    held: set[str] = set()
    if above:
        wanted = pa.array(sorted(above), pa.string())
        look = Look(
            ("sample_id",), lambda table: pc.is_in(table["sample_id"], value_set=wanted), needles=_needles(above)
        )
        found = scan(store, _with_pictures(store, records), look, rejects=False)
        held = {each for some in found for each in some.column("sample_id")}
    return {_outermost(each, held) for each in sample_ids}


def _needles(values: Collection[str]) -> tuple[bytes, ...]:
    """What files must hold that have one of the values; nothing is known of too many."""
    return tuple(map(exactly, values)) if len(values) <= MOST_NEEDLES else ()


def _outermost(sample_id: str, held: set[str]) -> str:
    return next(
        (sample_id[:at] for at, letter in enumerate(sample_id) if letter == "/" and sample_id[:at] in held), sample_id
    )


def _with_pictures(store: Store, records: Sequence[ShardRecord]) -> Iterator[ShardRecord]:
    """Outputs of stages that give pictures; all outputs of a stage have the same columns."""
    known: dict[str, bool] = {}
    for record in records:
        if record.erased:
            continue
        if record.stage not in known:
            with suppress(OSError, pa.ArrowException):
                schema = pq.read_schema(store.data_path(record))
                known[record.stage] = any(each.type == IMAGE for each in schema)
        if known.get(record.stage):
            yield record


def kin_of(store: Store, records: Sequence[ShardRecord], asked: Collection[str], addresses: Collection[str]) -> Kin:
    """All that descends from samples and addresses, and from the same pictures under other names.

    Args:
        asked: ids of samples.
        addresses: what `source_uri` says of rows; an address that no row has is kept out all the same.
    """
    kin = Kin(with_pixels(store, records, asked))
    if addresses:
        at = pa.array(sorted(addresses), pa.string())
        look = Look(
            ("source_uri", "sample_id"),
            lambda table: pc.is_in(table["source_uri"], value_set=at),
            needles=_needles(addresses),
        )
        found = {each for some in scan(store, records, look) for each in some.column("sample_id")}
        kin.roots |= with_pixels(store, records, found)
    kin.roots = {each for each in kin.roots if not descends(each, kin.roots - {each})}
    _collect(store, records, kin, kin.roots)
    _same_pictures(store, records, kin)
    kin.addresses.update(addresses)
    for some in scan(store, records, _shared(kin)) if kin.addresses or kin.files else ():
        for row in _rows(some, (*ADDRESS_COLUMNS, *CONTENT_COLUMNS, *FILE_COLUMNS)):
            kin.addresses -= {row[name] for name in ADDRESS_COLUMNS} - set(addresses)
            kin.files -= {row[name] for name in FILE_COLUMNS}
    return kin


def _collect(store: Store, records: Sequence[ShardRecord], kin: Kin, roots: Collection[str]) -> None:
    """Add the rows below some roots."""
    columns = ("sample_id", "parent_id", *ADDRESS_COLUMNS, *CONTENT_COLUMNS, *FILE_COLUMNS, "phash")
    needles = tuple(part for root in roots for part in (exactly(root), f"{root}/".encode()))
    test = _test(lambda each: descends(each, roots))
    for found in scan(store, records, Look(columns, test, needles=needles if len(roots) <= MOST_NEEDLES else ())):
        if found.problem:
            what = "rejects" if found.rejected else "rows"
            kin.problems.append(f"The {what} of {found.record.stage}/{found.record.key[:12]}: {found.problem}.")
        ref = (found.record.stage, found.record.key)
        (kin.rejects if found.rejected else kin.rows)[ref] += len(found.rows)
        for row in _rows(found, columns):
            kin.ids.add(row["sample_id"])
            kin.addresses.update(row[name] for name in ADDRESS_COLUMNS if row[name])
            kin.contents.update(row[name] for name in CONTENT_COLUMNS if row[name])
            kin.files.update(row[name] for name in FILE_COLUMNS if row[name])
            if _tells(row):
                kin.hashes.add(row["phash"])


def _tells(row: dict[str, Any]) -> bool:
    value = row["phash"]
    told = isinstance(value, int) and value.bit_count() in TELLING_BITS
    return told and not str(row["source_uri"]).startswith(_ALIKE_BY_NATURE)


def _same_pictures(store: Store, records: Sequence[ShardRecord], kin: Kin) -> None:
    """Add samples with the same bytes, and those that look like one that was asked for; and what was made of them."""
    hashes = np.array(sorted(kin.hashes), np.uint64)
    own = set(kin.hashes)
    while kin.contents or len(hashes):
        columns = ("sample_id", "source_uri", *CONTENT_COLUMNS, "phash")
        contents = pa.array(sorted(kin.contents), pa.string())
        look = Look(columns, _alike(contents, hashes), needles=() if len(hashes) else _needles(kin.contents))
        fresh: dict[str, int] = {}
        for found in scan(store, records, look, rejects=False):
            for row in _rows(found, columns):
                same = any(row[name] in kin.contents for name in CONTENT_COLUMNS)
                if not kin.holds(row["sample_id"]) and (same or _tells(row)):
                    bits = 0 if same else int(np.bitwise_count(hashes ^ np.uint64(row["phash"])).min())
                    fresh[row["sample_id"]] = min(bits, fresh.get(row["sample_id"], bits))
        if not fresh:
            break
        for sample_id, bits in fresh.items():
            for root in with_pixels(store, records, [sample_id]):
                kin.alike[root] = min(bits, kin.alike.get(root, bits))
        added = {each for each in kin.alike if each not in kin.roots}
        kin.roots |= added
        _collect(store, records, kin, added)
        hashes = np.zeros(0, np.uint64)
    kin.hashes = own


def _alike(
    contents: pa.Array, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]
) -> Callable[[pa.Table], pa.ChunkedArray]:
    def test(table: pa.Table) -> pa.ChunkedArray:
        mask = np.zeros(table.num_rows, np.bool_)
        for name in set(CONTENT_COLUMNS) & set(table.column_names):
            if table[name].type == pa.string():
                mask |= pc.is_in(table[name], value_set=contents).to_numpy(zero_copy_only=False)
        if len(hashes) and "phash" in table.column_names and table["phash"].type == pa.uint64():
            own = pc.fill_null(table["phash"], 0).to_numpy()
            for each in hashes:
                mask |= np.bitwise_count(own ^ each) <= NEAR_BITS
        return pa.chunked_array([pa.array(mask)])

    return test


def _shared(kin: Kin) -> Look:
    """Rows of others that have an address or a file in common with what goes."""
    values = {**dict.fromkeys(ADDRESS_COLUMNS, pa.array(sorted(kin.addresses), pa.string()))}
    values |= dict.fromkeys(FILE_COLUMNS, pa.array(sorted(kin.files), pa.string()))

    def test(table: pa.Table) -> pa.ChunkedArray:
        mask = np.zeros(table.num_rows, np.bool_)
        for name in set(values) & set(table.column_names):
            mask |= pc.is_in(table[name], value_set=values[name]).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(mask).tolist():
            mask[row] = not kin.holds(table["sample_id"][row].as_py())
        return pa.chunked_array([pa.array(mask)])

    return Look(("sample_id", *values), test, needles=_needles(kin.addresses | kin.files))


def _test(belongs: Callable[[str], bool]) -> Callable[[pa.Table], pa.ChunkedArray]:
    def test(table: pa.Table) -> pa.ChunkedArray:
        ids = table["sample_id"].to_pylist()
        parents = table["parent_id"].to_pylist() if "parent_id" in table.column_names else [None] * len(ids)
        marks = [belongs(each) or bool(parent and belongs(parent)) for each, parent in zip(ids, parents, strict=True)]
        return pa.chunked_array([pa.array(marks, pa.bool_())])

    return test


def _rows(found: Found, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    values = [found.column(name) for name in columns]
    return (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))
