"""Lists in Parquet files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.ingest.table import groups_of
from tasks.ingest.url_entries import (
    Entry,
    Malformed,
    Rows,
    begins,
    entry,
    merged,
    stripped,
    surely_good,
)
from tasks.ingest.url_layouts import column_of
from tasks.schema.errors import SourceError
from tasks.schema.url_sources import UrlColumns, UrlFormat, UrlLayout

BLOCK_ROWS = 16_384
"""Rows read and looked at together."""

ROLES = ("idx", "label", "url")

_TEXT = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null),
)
_NUMBER = (pa.types.is_integer, pa.types.is_floating)


def table_layout(schema: pa.Schema, columns: UrlColumns, where: str) -> UrlLayout:
    """Which columns hold what.

    Raises:
        SourceError: a column is not there or holds neither text nor (index, label) numbers.
    """
    told = ", ".join(f"{field.name} ({field.type})" for field in schema)
    found = {role: column_of(schema.names, role, getattr(columns, role), where) for role in ROLES}
    for role, name in found.items():
        if name is None:
            continue
        if schema.names.count(name) > 1:
            raise SourceError(f"{where} has several columns {name!r}; it has: {told}.")
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_kind(kind) for is_kind in (_TEXT if role == "url" else (*_TEXT, *_NUMBER))):
            raise SourceError(f"{where}: column {name!r} holds {kind}, no text; it has: {told}. Set `columns`.")
    return UrlLayout(format=UrlFormat.PARQUET, **found)


@dataclass(frozen=True)
class TableBlock:
    """Consecutive rows of a Parquet list."""

    batch: pa.RecordBatch
    layout: UrlLayout

    @cached_property
    def _columns(self) -> dict[str, tuple[pl.Series, frozenset[int]]]:
        named = {role: getattr(self.layout, role) for role in ROLES}
        absent = pl.Series([None] * self.batch.num_rows, dtype=pl.String), frozenset[int]()
        return {role: absent if name is None else _texts(self.batch[name]) for role, name in named.items()}

    @property
    def _frame(self) -> pl.DataFrame:
        cells = {role: series for role, (series, _) in self._columns.items()}
        return pl.DataFrame({"row": np.arange(self.batch.num_rows), **cells})

    def parse(self) -> Rows:
        """The rows."""
        no_text = {role: rows for role, (_, rows) in self._columns.items()}
        raw = self._frame
        frame = stripped(raw.with_columns(pl.col("label").fill_null("")))
        good = frame.select(surely_good().fill_null(value=False)).to_series().to_numpy().copy()
        good[list(set().union(*no_text.values()))] = False
        doubtful = np.flatnonzero(~good)

        def looked_at() -> Iterator[tuple[int, Entry | Malformed]]:
            for row, idx, label, url in raw[doubtful].iter_rows():
                role = next((role for role, rows in no_text.items() if row in rows), None)
                seen = entry(idx, label, url) if role is None else Malformed(f"its {role} is no UTF-8")
                yield row, replace(seen, begins=begins(f"{idx} {label} {url}")) if isinstance(seen, Malformed) else seen

        entries, malformed = merged(frame.filter(good), looked_at())
        return Rows(self.batch.num_rows, entries, malformed)

    def bytes_between(self, first: int, stop: int) -> bytes:
        """What rows [first, stop) of the block say, as bytes that no other rows have, however blocks are cut."""
        cells = [
            pl.concat_str(
                pl.col(role).str.len_bytes().cast(pl.String).fill_null("-"), pl.lit(":"), pl.col(role).fill_null("")
            )
            for role in ROLES
        ]
        told = self._frame[first:stop].select(pl.concat_str(*cells)).to_series()
        return "".join(told.to_list()).encode()


def table_blocks(
    file: pq.ParquetFile, layout: UrlLayout, first_row: int, rows: int, where: str
) -> Iterator[TableBlock]:
    """Rows [first_row, first_row + rows) of a Parquet file, or as many of them as there are.

    Raises:
        SourceError: the file is damaged.
    """
    names = list(dict.fromkeys(str(name) for role in ROLES if (name := getattr(layout, role)) is not None))
    for group in groups_of(file.metadata, first_row, rows):
        number = 0
        try:
            batches = file.iter_batches(BLOCK_ROWS, row_groups=[group.index], columns=names, use_threads=False)
            for batch in batches:
                start, stop = max(group.start - number, 0), min(group.stop - number, batch.num_rows)
                if start < stop:
                    yield TableBlock(batch.slice(start, stop - start), layout)
                number += batch.num_rows
                if number >= group.stop:
                    break
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"{where} is damaged in row group {group.index}: {error}") from error


def _texts(column: pa.Array) -> tuple[pl.Series, frozenset[int]]:
    """Cells as text (whole floats as whole numbers), and the rows that are no UTF-8, which show escapes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        number = pl.Series(pl.from_arrow(column)).cast(pl.Float64).fill_nan(None)
        frame = number.to_frame("n").select(
            pl.when(pl.col("n").is_finite() & (pl.col("n") == pl.col("n").floor()) & (pl.col("n").abs() < 2**53))
            .then(pl.col("n").cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(pl.col("n").cast(pl.String))
        )
        return frame.to_series(), frozenset()
    if pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        return pl.Series(pl.from_arrow(column.cast(pa.string()))), frozenset()
    encoded = column.cast(pa.large_binary())
    try:
        return pl.Series(pl.from_arrow(encoded.cast(pa.large_string()))), frozenset()
    except pa.ArrowInvalid:
        cells = encoded.to_pylist()
    texts = [None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in cells]
    odd = frozenset(row for row, cell in enumerate(cells) if cell is not None and not _is_text(cell))
    return pl.Series(texts, dtype=pl.String), odd


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
