"""Shard files: equal rows give equal bytes, and no file is ever held in memory whole."""

from collections.abc import Iterator, Sequence
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

BATCH_BYTES = 64 << 20
"""A batch that is read closes with the row that takes it to this payload, columns of side inputs included.

A row group's fourfold: 64 photos of a megabyte fit, and no batch comes near the 2 GiB of one Arrow array.
"""


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


def payload(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Payload of each row of a batch in bytes, (N,)."""
    return sum((row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))


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
            sizes = payload(batch)
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


class Lookup:
    """Rows of a side input, found one after the other; the ids come in the order of its rows, repeats as neighbours."""

    def __init__(self, path: Path, columns: tuple[str, ...], on: str = "sample_id") -> None:
        """Look up `columns` of the shard at `path`; `on` is the column of the primary rows that holds the id."""
        self.columns = columns
        self.on = on
        self._batches = _row_groups(path, ("sample_id", *columns))
        self._batch: pa.RecordBatch | None = None
        self._ids: list[str] = []
        self._sizes: list[int] = []
        self._row = 0

    def find(self, sample_id: str) -> tuple[pa.RecordBatch, int, int]:
        """A batch of the side columns, the row in it that has the id, and that row's payload in bytes.

        Raises:
            LookupError: the id is not there, or not in order.
        """
        while self._row == len(self._ids) or self._ids[self._row] != sample_id:
            self._row += 1
            if self._row >= len(self._ids):
                self._read(sample_id)
        return self._batch, self._row, self._sizes[self._row]

    def _read(self, wanted: str) -> None:
        batch = next(self._batches, None)
        if batch is None:
            raise LookupError(f"side input lacks {wanted} (or holds it in another order)")
        self._ids = batch["sample_id"].to_pylist()
        self._batch = batch.select(list(self.columns))
        self._sizes = payload(self._batch).tolist()
        self._row = 0


class _Gathered:
    """Rows of one input that wait for their batch; neighbours are one slice, so that whole batches are not copied."""

    def __init__(self) -> None:
        self._slices: list[tuple[pa.RecordBatch, int, int]] = []

    def add(self, batch: pa.RecordBatch, row: int) -> None:
        if self._slices:
            last, start, stop = self._slices[-1]
            if last is batch and stop == row:
                self._slices[-1] = (batch, start, row + 1)
                return
        self._slices.append((batch, row, row + 1))

    def take(self) -> pa.RecordBatch:
        taken = [batch.slice(start, stop - start) for batch, start, stop in self._slices]
        self._slices = []
        return taken[0] if len(taken) == 1 else pa.concat_batches(taken)


def read_batches(
    path: Path, batch_rows: int, columns: tuple[str, ...] | None = None, lookups: Sequence[Lookup] = ()
) -> Iterator[pa.RecordBatch]:
    """Rows of a shard in file order, each followed by the columns that `lookups` find for it.

    A batch closes at `batch_rows` rows or with the row that takes its payload to `BATCH_BYTES`: where batches end
    follows from the rows alone, however the files lay them out.

    Raises:
        LookupError: a lookup lacks a row, or holds it in another order.
    """
    inputs = [_Gathered() for _ in range(1 + len(lookups))]
    rows, size = 0, 0
    for batch in _row_groups(path, columns):
        wanted = [batch[lookup.on].to_pylist() for lookup in lookups]
        for row, row_size in enumerate(payload(batch).tolist()):
            inputs[0].add(batch, row)
            rows, size = rows + 1, size + row_size
            for lookup, ids, side in zip(lookups, wanted, inputs[1:], strict=True):
                found, at, side_size = lookup.find(ids[row])
                side.add(found, at)
                size += side_size
            if rows == batch_rows or size >= BATCH_BYTES:
                yield _beside([each.take() for each in inputs])
                rows, size = 0, 0
    if rows:
        yield _beside([each.take() for each in inputs])


def _row_groups(path: Path, columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            yield from file.iter_batches(max(1, rows), row_groups=[group], columns=list(columns) if columns else None)


def _beside(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    columns = [column for batch in batches for column in batch.columns]
    fields = [field for batch in batches for field in batch.schema]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=batches[0].schema.metadata))
