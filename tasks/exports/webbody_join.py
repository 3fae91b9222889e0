"""The faces of a finished dataset joined with their people and photos, in bounded memory.

Only numbers of every member are held (about 250 bytes each at the peak); rows with pixels are read when needed,
a few row groups at a time, in the order of the photos. Shards may be given in any order and cut in any way.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.schema.errors import StoreError
from tasks.schema.webbody import FACE_SCHEMA, MEMBER_SCHEMA, PERSON_SCHEMA, WEB_PHOTO_SCHEMA

_GROUPS_HELD = 3
"""Row groups of one kind in memory: neighbours in one order are close in the other, but not in step."""

_DETECTION = r"/p(?P<number>\d+)(?:/|$)"

_BETWEEN = "\x1f"

Members = slice | NDArray[np.int64]
"""Some members of a plan, by place."""

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class WebBodyShards:
    """Shards of a build: `MEMBER_SCHEMA`, `FACE_SCHEMA`, `PERSON_SCHEMA`, `WEB_PHOTO_SCHEMA`."""

    members: tuple[Path, ...]
    faces: tuple[Path, ...]
    people: tuple[Path, ...]
    photos: tuple[Path, ...]


class Rows:
    """The rows of several Parquet files, numbered through from 0.

    Raises:
        StoreError: a file has other columns.
    """

    def __init__(self, paths: Sequence[Path], schema: pa.Schema) -> None:
        self._schema = schema
        self._places: list[tuple[Path, int]] = []
        sizes = []
        for path in paths:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                if not file.schema_arrow.equals(schema):
                    raise StoreError(f"{path} has not the columns that belong there: {', '.join(schema.names)}.")
                for group in range(file.num_row_groups):
                    self._places.append((path, group))
                    sizes.append(file.metadata.row_group(group).num_rows)
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        self._held: OrderedDict[tuple[int, tuple[str, ...]], pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def groups(self, columns: tuple[str, ...]) -> Iterator[tuple[int, pa.Table]]:
        """First row number and rows of every row group."""
        for group, start in enumerate(self._starts[:-1].tolist()):
            yield start, self._read(group, columns)

    def take(self, rows: NDArray[np.int64], columns: tuple[str, ...]) -> pa.Table:
        """Rows by number, in the order asked."""
        of_group = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(of_group, kind="stable")
        found = []
        for group in np.unique(of_group).tolist():
            wanted = rows[order[of_group[order] == group]] - self._starts[group]
            found.append(self._group(group, columns).take(pa.array(wanted)))
        if not found:
            return pa.schema([self._schema.field(name) for name in columns]).empty_table()
        return pa.concat_tables(found).take(pa.array(np.argsort(order, kind="stable"))).combine_chunks()

    def _group(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        table = self._held.pop((group, columns), None)
        if table is None:
            table = self._read(group, columns)
        self._held[group, columns] = table
        if len(self._held) > _GROUPS_HELD:
            self._held.popitem(last=False)
        return table

    def _read(self, group: int, columns: tuple[str, ...]) -> pa.Table:
        path, index = self._places[group]
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            return file.read_row_group(index, list(columns)).combine_chunks()


@dataclass(frozen=True, eq=False)
class Coded:
    """A text column of few values: value `values[codes[i]]` in row i."""

    codes: NDArray[np.int32]
    values: tuple[str, ...]

    def __getitem__(self, rows: Members) -> list[str]:
        return [self.values[code] for code in self.codes[rows].tolist()]


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the rows of each member stand, in the order of the photos, then of the people.

    Args:
        face, person, photo: row numbers, int64, (M,).
        similarity: float32, (M,).
        subsets: the subsets of a member, joined; `in_subset` takes them apart.
        repeated: members whose path in the lists is that of another member too, bool, (M,).
    """

    face: NDArray[np.int64]
    person: NDArray[np.int64]
    photo: NDArray[np.int64]
    identity: Coded
    group: Coded
    split: Coded
    subsets: Coded
    similarity: NDArray[np.float32]
    repeated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.face)

    def in_subset(self, name: str) -> NDArray[np.bool_]:
        """Which members belong to a subset, (M,)."""
        has = np.array([name in value.split(_BETWEEN) for value in self.subsets.values], bool)
        return has[self.subsets.codes] if len(has) else np.zeros(0, bool)

    def subsets_of(self, rows: Members) -> list[list[str]]:
        return [[name for name in value.split(_BETWEEN) if name] for value in self.subsets[rows]]


def members_plan(members: Rows, faces: Rows, people: Rows, photos: Rows) -> Plan:
    """Find the rows of every member; reads ids only.

    Raises:
        StoreError: a member is there twice, or has no face, person or photo in the shards.
    """
    ids, paths, similarities = [], [], []
    identity, group, split, subsets = (_Coding() for _ in range(4))
    columns = ("sample_id", "idx", "label", "identity", "group_id", "split", "subsets", "similarity")
    for _, rows in members.groups(columns):
        ids.append(_hashes(rows["sample_id"]))
        paths.append(_hashes(_listed_paths(rows)))
        identity.add(rows["identity"])
        group.add(rows["group_id"])
        split.add(rows["split"])
        subsets.add(pc.binary_join(rows["subsets"], _BETWEEN))
        similarities.append(rows["similarity"].to_numpy())
    wanted = _joined(ids, np.uint64)
    unique, face = np.unique(wanted, return_inverse=True)
    if len(unique) != len(wanted):
        raise StoreError(f"{len(wanted) - len(unique)} members are there twice: pass each shard once.")
    face_row, parents = _find(unique, faces, "face")
    person_of, person = np.unique(parents[face], return_inverse=True)
    person_row, parents = _find(person_of, people, "person")
    photo_of, photo = np.unique(parents[person], return_inverse=True)
    photo_row, _ = _find(photo_of, photos, "photo")
    rows_of = face_row[face], person_row[person], photo_row[photo]
    order = np.lexsort(rows_of)
    path_hashes = _joined(paths, np.uint64)
    _, place, count = np.unique(path_hashes, return_inverse=True, return_counts=True)
    return Plan(
        face=rows_of[0][order],
        person=rows_of[1][order],
        photo=rows_of[2][order],
        identity=identity.coded(order),
        group=group.coded(order),
        split=split.coded(order),
        subsets=subsets.coded(order),
        similarity=_joined(similarities, np.float32)[order],
        repeated=(count[place] > 1)[order],
    )


def open_shards(shards: WebBodyShards) -> tuple[Rows, Rows, Rows, Rows]:
    """Members, faces, people, photos.

    Raises:
        StoreError: a shard has other columns.
    """
    return (
        Rows(shards.members, MEMBER_SCHEMA),
        Rows(shards.faces, FACE_SCHEMA),
        Rows(shards.people, PERSON_SCHEMA),
        Rows(shards.photos, WEB_PHOTO_SCHEMA),
    )


def detections(sample_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which person of the photo each sample is: `3` of `<photo>/p3/f0`; `0` where the id does not say."""
    return pc.fill_null(pc.struct_field(pc.extract_regex(sample_ids, _DETECTION), "number"), "0")


def _listed_paths(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["label"], rows["idx"], detections(rows["sample_id"]), _BETWEEN)


def _find(wanted: NDArray[np.uint64], rows: Rows, what: str) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Row number, and hash of the parent's id, of each wanted id; `wanted` are sorted hashes of ids."""
    found = np.full(len(wanted), -1, np.int64)
    parents = np.zeros(len(wanted), np.uint64)
    for start, table in rows.groups(("sample_id", "parent_id")):
        hashes = _hashes(table["sample_id"])
        places = np.minimum(np.searchsorted(wanted, hashes), max(0, len(wanted) - 1))
        hits = np.flatnonzero(wanted[places] == hashes) if len(wanted) else np.zeros(0, np.int64)
        if (found[places[hits]] >= 0).any() or len(np.unique(places[hits])) != len(hits):
            raise StoreError(f"A {what} is there twice: pass each shard once.")
        found[places[hits]] = start + hits
        parents[places[hits]] = _hashes(table["parent_id"])[hits]
    missing = int((found < 0).sum())
    if missing:
        raise StoreError(
            f"{missing} of {len(wanted)} members have no {what} in the shards given: pass those of all parts."
        )
    return found, parents


def _hashes(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """64 bits of every text, equal within a process."""
    import polars as pl

    return pl.Series(pl.from_arrow(ids)).hash(seed=0).to_numpy()


def _joined(arrays: Sequence[NDArray[_Number]], kind: type[_Number]) -> NDArray[_Number]:
    return np.concatenate(arrays) if arrays else np.zeros(0, kind)


class _Coding:
    """Gives each different text a number."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._codes: list[NDArray[np.int32]] = []

    def add(self, texts: pa.ChunkedArray) -> None:
        encoded = texts.combine_chunks().dictionary_encode()
        numbers = [self._values.setdefault(value, len(self._values)) for value in encoded.dictionary.to_pylist()]
        self._codes.append(np.array(numbers, np.int32)[encoded.indices.to_numpy()])

    def coded(self, order: NDArray[np.int64]) -> Coded:
        return Coded(_joined(self._codes, np.int32)[order], tuple(self._values))
