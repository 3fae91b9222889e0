"""Looks for samples in every shard and rejects file of a store: two columns at a time, in bounded memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from tasks.schema.records import DataFile, ShardRecord
from tasks.shards.store import DamagedInputError, Store

_THREADS = 4
"""Files read at once, at most; more do not help, the footers are parsed in Python."""

_SMALL_BYTES = 4 << 20
"""Files up to this size are read whole: then their digest is checked, and most need not be parsed."""

Test = Callable[[pa.Table], pa.ChunkedArray]
"""Which rows are meant, given the wanted columns that a file has."""


@dataclass(frozen=True)
class Look:
    """What is looked for: rows that pass `test`, which sees those of `columns` that a file has.

    `within`: whether values of a column between two bounds could pass; row groups where none can are not read. Files
    that lack the first column are passed over. `needles`: every row that passes has one of them among its bytes, for
    shards are neither compressed nor encoded; empty: nothing is known. `of_type`: all columns of
    that type are wanted too.
    """

    columns: tuple[str, ...]
    test: Test
    within: Callable[[str, str, str], bool] | None = None
    needles: tuple[bytes, ...] = ()
    of_type: pa.DataType | None = None


@dataclass(frozen=True)
class Found:
    """Rows of one file that passed: `rows` are their numbers in it, `table` their wanted columns.

    `problem`: why the file does not read; then there are no rows.
    """

    record: ShardRecord
    rejected: bool
    rows: tuple[int, ...] = ()
    table: pa.Table | None = None
    problem: str = ""

    def column(self, name: str) -> list[Any]:
        """The values of a column; nulls where the file does not have it."""
        if self.table is None or name not in self.table.column_names:
            return [None] * len(self.rows)
        values: list[Any] = self.table[name].to_pylist()
        return values


def scan(
    store: Store, records: Iterable[ShardRecord], look: Look, *, data: bool = True, rejects: bool = True
) -> Iterator[Found]:
    """The files that hold something, and those that do not read; what was erased on purpose is not looked into."""
    files = [
        (record, file)
        for record in records
        for file in (record.data if data and not record.erased else None, record.rejects if rejects else None)
        if file is not None and file.rows
    ]
    pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
    try:
        for found in pool.map(lambda each: _look_into(store, each[0], each[1], look), files):
            if found.rows or found.problem:
                yield found
    finally:
        pool.shutdown(cancel_futures=True)


def exactly(value: str) -> bytes:
    """A text as it stands in the bytes of a shard: its length in four bytes, little end first, and itself.

    Source: the encoding PLAIN of the Parquet format.
    """
    data = value.encode()
    return len(data).to_bytes(4, "little") + data


def equals(column: str, value: str, *further: str) -> Look:
    """Rows with a text in a column; `further` columns come along."""

    def within(name: str, low: str, high: str) -> bool:
        return name == column and low <= value <= high

    return Look(
        (column, *further),
        lambda table: pc.fill_null(pc.equal(table[column], value), False),
        within,
        (exactly(value),),
    )


def _look_into(store: Store, record: ShardRecord, file: DataFile, look: Look) -> Found:
    rejected = file is record.rejects
    try:
        path = store.path_of(record, file)
        if path.stat().st_size != file.size:
            return Found(record, rejected, problem="does not have its size")
        if file.size > _SMALL_BYTES:
            rows, tables = _matching(path, look, by_statistics=True)
        else:
            data = path.read_bytes()
            if blake3(data).hexdigest() != file.digest:
                return Found(record, rejected, problem="does not have its digest")
            if look.needles and not any(needle in data for needle in look.needles):
                return Found(record, rejected)
            rows, tables = _matching(pa.BufferReader(data), look, by_statistics=False)
    except FileNotFoundError:
        return Found(record, rejected, problem="is missing")
    except DamagedInputError:
        return Found(record, rejected, problem="is not in the bucket as it was written")
    except (OSError, pa.ArrowException) as error:
        return Found(record, rejected, problem=f"does not read: {str(error).partition(chr(10))[0]}")
    return Found(record, rejected, tuple(rows), pa.concat_tables(tables) if tables else None)


def _matching(source: Path | pa.BufferReader, look: Look, *, by_statistics: bool) -> tuple[list[int], list[pa.Table]]:
    rows: list[int] = []
    tables: list[pa.Table] = []
    with pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        columns = [name for name in look.columns if name in schema.names]
        if look.of_type is not None:
            columns += [field.name for field in schema if field.type == look.of_type]
        if look.columns[0] not in columns:
            return rows, tables
        first = 0
        for group in range(file.num_row_groups):
            number = file.metadata.row_group(group).num_rows
            if not by_statistics or _may_hold(file, group, columns, look):
                table = file.read_row_group(group, columns=columns)
                passed = pc.indices_nonzero(look.test(table)).to_pylist()
                if passed:
                    rows += [first + at for at in passed]
                    tables.append(table.take(passed))
            first += number
    return rows, tables


def _may_hold(file: pq.ParquetFile, group: int, columns: Sequence[str], look: Look) -> bool:
    """Whether a wanted column of a row group could have a value that passes, as far as its statistics tell."""
    meta = file.metadata.row_group(group)
    left = set(columns)
    for at in range(meta.num_columns):
        leaf = meta.column(at)
        name = leaf.path_in_schema
        if name in left:
            left.remove(name)
            statistics = leaf.statistics
            bounded = statistics is not None and statistics.has_min_max and isinstance(statistics.min, str)
            empty = statistics is not None and statistics.has_null_count and statistics.null_count == meta.num_rows
            if not empty and (not bounded or look.within is None or look.within(name, statistics.min, statistics.max)):
                return True
            if not left:
                break
    return False


def read_row(store: Store, record: ShardRecord, row: int, *, rejected: bool = False) -> pa.Table:
    """One row of a shard or of its rejects, as a table.

    Raises:
        OSError: the file is missing or damaged.
        pa.ArrowException: the same.
    """
    path = store.rejects_path(record) if rejected else store.data_path(record)
    if path is None:
        raise FileNotFoundError(f"{record.stage}/{record.key} has no rejects")
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            number = file.metadata.row_group(group).num_rows
            if row < number:
                return file.read_row_group(group).slice(row, 1)
            row -= number
    raise OSError(f"{path.name} has fewer rows than its record says")
