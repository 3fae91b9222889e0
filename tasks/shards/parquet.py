"""Shard files: equal rows give equal bytes, and no file is ever held in memory whole."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.schema.records import DataFile
from tasks.shards.files import HashingWriter

ROW_GROUP_BYTES = 16 << 20
"""A row group closes with the row that takes it to this payload; also what a reader holds in memory."""


def row_bytes(column: pa.Array) -> NDArray[np.int64]:
    """Payload of each row of a column in bytes, (N,); independent of how the rows came in batches."""
    kind = column.type
    if pa.types.is_struct(kind):
        return sum((row_bytes(column.field(i)) for i in range(kind.num_fields)), np.zeros(len(column), np.int64))
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_binary(kind):
        return cast(NDArray[np.int64], pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)) + 4
    if pa.types.is_fixed_size_list(kind):
        return np.full(len(column), kind.list_size * _width(kind.value_type), np.int64)
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        return cast(NDArray[np.int64], lengths * _width(kind.value_type) + 4)
    return np.full(len(column), _width(kind), np.int64)


def _width(kind: pa.DataType) -> int:
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return 16


class ShardWriter:
    """Writes rows to an open stream as one Parquet file with deterministic bytes."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        self._schema = schema
        self._hashed = HashingWriter(stream)
        self._writer = pq.ParquetWriter(
            self._hashed,
            schema,
            compression="none",
            use_dictionary=False,
            write_page_checksum=True,
        )
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._rows = 0
        self._background = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows, cast to the schema (columns by name; further columns are dropped)."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
        self._rows += table.num_rows
        for batch in table.select(self._schema.names).cast(self._schema).combine_chunks().to_batches():
            sizes = sum((row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))
            start = 0
            for stop in range(1, batch.num_rows + 1):
                self._pending_bytes += int(sizes[stop - 1])
                if self._pending_bytes >= ROW_GROUP_BYTES:
                    self._pending.append(batch.slice(start, stop - start))
                    self._flush()
                    start = stop
            if start < batch.num_rows:
                self._pending.append(batch.slice(start))

    def _flush(self) -> None:
        """Hand the pending row group to the writing thread; at most one is on its way."""
        self._join()
        if self._pending:
            self._writing = self._background.submit(self._write_group, self._pending)
        self._pending, self._pending_bytes = [], 0

    def _write_group(self, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches, self._schema).combine_chunks()
        self._writer.write_table(table, row_group_size=table.num_rows)

    def _join(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(self, kind: str) -> DataFile:
        """Close the file and say what it is; `kind` is the first word of its name."""
        self._flush()
        self._join()
        self._writer.close()
        digest = self._hashed.digest
        return DataFile(name=f"{kind}-{digest[:16]}.parquet", digest=digest, size=self._hashed.size, rows=self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._background.shutdown(wait=True)
        if kind is not None:
            self._writer.close()


def read_batches(path: Path, batch_rows: int, columns: tuple[str, ...] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a shard in file order, in batches of exactly `batch_rows` (the last may be shorter)."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        pending: list[pa.RecordBatch] = []
        waiting = 0
        for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns) if columns else None):
            pending.append(batch)
            waiting += batch.num_rows
            while waiting >= batch_rows:
                table = pa.Table.from_batches(pending)
                yield _one_batch(table.slice(0, batch_rows))
                pending, waiting = table.slice(batch_rows).to_batches(), waiting - batch_rows
        if waiting:
            yield _one_batch(pa.Table.from_batches(pending))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pylist(table.to_pylist(), schema=table.schema)


class Lookup:
    """Streams side rows beside primary rows; both in the same relative order, so memory stays bounded.

    Raises:
        LookupError: a wanted id is not there, or not in order.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], batch_rows: int) -> None:
        self._columns = columns
        self._batches = read_batches(path, batch_rows, ("sample_id", *columns))
        self._window: pa.Table | None = None

    def rows(self, ids: list[str]) -> pa.Table:
        """The side columns for `ids`, one row each, in their order; repeats must be neighbours."""
        wanted = set(ids)
        found: dict[str, int] = {}
        window = self._window
        while not wanted <= found.keys():
            if window is not None:
                found = {i: n for n, i in enumerate(window["sample_id"].to_pylist()) if i in wanted}
                if wanted <= found.keys():
                    break
                window = window.take(pa.array(sorted(found.values()), pa.int64()))
            following = next(self._batches, None)
            if following is None:
                missing = sorted(wanted - found.keys())[:3]
                raise LookupError(f"side input lacks {missing} (or holds them in another order)")
            table = pa.Table.from_batches([following])
            window = table if window is None else pa.concat_tables([window, table])
        if window is None:
            raise LookupError("no ids to look up")
        taken = window.take(pa.array([found[i] for i in ids], pa.int64())).select(list(self._columns))
        self._window = window.slice(max(found.values()))
        return taken
