"""Files of a shard without the rows that go, as the engine would have written them without these."""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.forget.scrub import Scrubber
from tasks.schema.records import DataFile
from tasks.schema.rejections import REJECT_SCHEMA, Reason, rejection_table
from tasks.shards.files import temporary
from tasks.shards.parquet import ShardWriter
from tasks.shards.store import Store
from tasks.shards.tombstones import forgotten_row

NEIGHBOURS = "neighbours"
"""The column of rows of the same shard, counted from 0; -1: none. Source: `tasks.identity.neighbour_stage`."""

NO_COSINE = -2.0
"""The cosine of no neighbour. Source: `tasks.identity.neighbours`."""


@dataclass(frozen=True)
class Thinner:
    """Takes rows out of files. `belongs`: whether an id goes; `staging`: where new files wait."""

    store: Store
    belongs: Callable[[str], bool]
    scrubber: Scrubber
    staging: Path

    def rows(self, path: Path) -> "Thinned":
        """A shard without its rows that go, and without mention of them elsewhere.

        Raises:
            OSError: the file is missing or damaged.
            pa.ArrowException: the same.
        """
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            thinned = self._look(file)
            if not thinned.changed:
                return thinned
            staged = temporary(self.staging)
            with self.store.files.create(staged) as stream, ShardWriter(stream, _written_schema(file)) as writer:
                for group, stays in enumerate(thinned.stays):
                    table = self._scrubbed(file.read_row_group(group).filter(pa.array(stays)))
                    writer.write(_renumbered(table, thinned.stays))
                thinned.file = writer.finish("shard")
                self.store.files.sync(stream)
            thinned.staged = staged
        return thinned

    def _look(self, file: pq.ParquetFile) -> "Thinned":
        """Which rows go; texts alone are read."""
        found = Thinned()
        texts = [each.name for each in file.schema_arrow if _is_text(each.type)]
        parents: set[str] = set()
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=texts)
            ids, above = table["sample_id"].to_pylist(), table["parent_id"].to_pylist()
            pairs = zip(ids, above, strict=True)
            goes = np.array([self.belongs(i) or bool(p and self.belongs(p)) for i, p in pairs], np.bool_)
            found.stays.append(~goes)
            found.gone.update((ids[at], above[at]) for at in np.flatnonzero(goes).tolist())
            parents.update(above[at] for at in np.flatnonzero(~goes).tolist() if above[at])
            if not found.changed and self._mentions(table.filter(pa.array(~goes))):
                found.changed = True
        found.changed |= bool(found.gone)
        found.bereft = {p for p in found.gone.values() if p and not self.belongs(p) and p not in parents}
        return found

    def _mentions(self, table: pa.Table) -> bool:
        return any(self.scrubber.column(column) is not None for column in table.columns)

    def _scrubbed(self, table: pa.Table) -> pa.Table:
        for at, name in enumerate(table.column_names):
            if _is_text(table.schema.field(at).type):
                column = self.scrubber.column(table[name])
                table = table if column is None else table.set_column(at, table.schema.field(at), column)
        return table

    @cached_property
    def _nameless(self) -> Mapping[str, str]:
        """Salted names -> ids of what goes: a stage may have left it out before, as forgotten."""
        return {self.scrubber.salt.name(each): each for each in self.scrubber.doomed.sample_ids}

    def rejects(self, path: Path | None, stage: str, forgotten: Sequence[str], *, source: bool) -> "ThinnedRejects":
        """Rejects without those that go; with `forgotten`, salted names of rows that the stage would now leave out.

        Args:
            source: what goes was offered by the stage itself, and stays as a row without a name.
        """
        rows = pq.read_table(path).to_pylist() if path is not None else []
        found = ThinnedRejects()
        kept: list[dict[str, Any]] = []
        told: list[dict[str, Any]] = []
        for row in rows:
            known = row["sample_id"] if source else self._nameless.get(row["sample_id"], row["sample_id"])
            if self.belongs(known):
                found.gone.append((known, row["reason"]))
            else:
                (told if row["reason"] == Reason.FORGOTTEN else kept).append(row)
        names = [*forgotten, *(self.scrubber.salt.name(each) for each, _ in found.gone if source)]
        told += rejection_table(stage, [forgotten_row(each) for each in names]).to_pylist()
        table = pa.Table.from_pylist([*kept, *sorted(told, key=lambda row: row["sample_id"])], REJECT_SCHEMA)
        if len(kept) + len(told) == len(rows) and not found.gone and not self._mentions(table):
            return found
        found.changed = True
        if table.num_rows:
            found.staged = temporary(self.staging)
            with self.store.files.create(found.staged) as stream, ShardWriter(stream, REJECT_SCHEMA) as writer:
                writer.write(self._scrubbed(table))
                found.file = writer.finish("rejects")
                self.store.files.sync(stream)
        return found


@dataclass
class Thinned:
    """What became of a shard's rows.

    Args:
        gone: ids of the rows that go, and their parents.
        bereft: rows of the input that live on and have no child left here.
        stays: of each row group which rows stay, (N,).
        file, staged: the new file and where it waits; None: as it was.
    """

    gone: dict[str, str | None] = field(default_factory=dict)
    bereft: set[str] = field(default_factory=set)
    stays: list[NDArray[np.bool_]] = field(default_factory=list)
    changed: bool = False
    file: DataFile | None = None
    staged: Path | None = None


@dataclass
class ThinnedRejects:
    """What became of rejects: `gone` with their reasons; `file` is None where none are left."""

    gone: list[tuple[str, str]] = field(default_factory=list)
    changed: bool = False
    file: DataFile | None = None
    staged: Path | None = None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type)))


def _written_schema(file: pq.ParquetFile) -> pa.Schema:
    """The schema that a file was written with: readers see other names of the items of lists."""
    said = file.metadata.metadata[b"ARROW:schema"]
    return pa.ipc.read_schema(pa.py_buffer(b64decode(said)))


def _renumbered(table: pa.Table, stays: list[NDArray[np.bool_]]) -> pa.Table:
    """Lists of neighbours as rows of the shard that is left; a list that lost one is shorter, the rest of it -1."""
    if NEIGHBOURS not in table.column_names or not pa.types.is_fixed_size_list(table.schema.field(NEIGHBOURS).type):
        return table
    left = np.concatenate(stays)
    number = np.where(left, np.cumsum(left) - 1, -1)
    kind = table.schema.field(NEIGHBOURS).type
    old = _flat(table[NEIGHBOURS], kind.list_size)
    new = np.where(old >= 0, number[old], -1)
    order = np.argsort(new < 0, axis=1, kind="stable")
    for name in (NEIGHBOURS, "cosines"):
        at = table.column_names.index(name)
        values = np.take_along_axis(new if name == NEIGHBOURS else _flat(table[name], kind.list_size), order, axis=1)
        if name != NEIGHBOURS:
            values[np.take_along_axis(new < 0, order, axis=1)] = NO_COSINE
        field = table.schema.field(at)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), field.type.value_type), kind.list_size)
        table = table.set_column(at, field, lists)
    return table


def _flat(column: pa.ChunkedArray, size: int) -> NDArray[Any]:
    return np.asarray(column.combine_chunks().flatten().to_numpy(zero_copy_only=False)).reshape(-1, size)
