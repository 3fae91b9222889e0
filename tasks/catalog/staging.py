"""Arrow rows to Postgres by COPY, built by whole columns."""

from collections.abc import Iterable, Iterator, Mapping

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

_PIECE_ROWS = 8192
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
"""Source: Postgres docs, COPY, "Text Format"."""
_PLAIN = frozenset(("id", "keypointsJson", "digest"))
"""Columns that by their making hold nothing to escape."""


def sorted_chunks(rows: Iterable[pa.Table | pa.RecordBatch], schema: pa.Schema, chunk_rows: int) -> Iterator[pa.Table]:
    """Rows of any batches in chunks of `chunk_rows` (the last may be shorter), each ordered by id.

    In the order of the key, Postgres fills the pages of its index one after the other.
    """
    waiting: list[pa.Table] = []
    count = 0
    for batch in rows:
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        waiting.append(table.select(schema.names).cast(schema))
        count += table.num_rows
        while count >= chunk_rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, chunk_rows).sort_by("id")
            waiting, count = [whole.slice(chunk_rows)], count - chunk_rows
    if count:
        yield pa.concat_tables(waiting).sort_by("id")


def copy_rows(
    connection: psycopg.Connection, target: sql.Composable, columns: Mapping[str, str | None], table: pa.Table
) -> int:
    """Copy columns of a table to Postgres; returns how many rows it took.

    Args:
        columns: column in Postgres -> column of `table`, or None for the column of the same name.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    picked = table.select([own or name for name, own in columns.items()])
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as copy:
            for text in copy_text(picked):
                copy.write(text)
        return cursor.rowcount


def copy_text(table: pa.Table) -> Iterator[memoryview]:
    """Postgres' text format of COPY for columns of strings and numbers, piece by piece."""
    for batch in table.to_batches(max_chunksize=_PIECE_ROWS):
        if batch.num_rows:
            columns = [_escaped(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
            end = pc.binary_join_element_wise(columns.pop(), "\n", "", null_handling="replace", null_replacement="\\N")
            lines = pc.binary_join_element_wise(*columns, end, "\t", null_handling="replace", null_replacement="\\N")
            yield memoryview(lines.buffers()[2])


def _escaped(name: str, column: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type):
        return pc.cast(column, pa.string())
    if name not in _PLAIN and pc.any(pc.match_substring_regex(column, r"[\\\t\n\r]")).as_py():
        for character, written in _ESCAPES:
            column = pc.replace_substring(column, character, written)
    return column
