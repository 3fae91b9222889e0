"""Write rows of `pose_templates`, chunk by chunk: what is new by COPY, what changed by a guarded update.

The ids and digests of a chunk go first. Postgres compares the digests with those of what it holds and says what each
row is; so a row that did not change travels as its digest only, and a new one straight to its place.
"""

from dataclasses import dataclass, field

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import errors, sql

from tasks.catalog.rows import DIGEST_NULL, DIGEST_SEPARATOR, OWN_COLUMNS, ROW_SCHEMA
from tasks.catalog.staging import copy_rows
from tasks.catalog.table import Tables
from tasks.schema.errors import DatabaseError

CHUNK_ROWS = 131_072
"""About 100 MB of rows: the larger the chunk, the more of it follows the order of the key's index."""
_SHOWN = 10
_NEW, _MISSING, _CHANGED, _UNCHANGED, _FOREIGN, _FORGOTTEN = (ord(letter) for letter in "nmcufx")
_TWICE = "A template comes twice: {} Nothing was written."
_MEANWHILE = "Somebody changed the same templates at the same moment; nothing was written, run again"

_OWN = sql.SQL(", ").join(map(sql.Identifier, OWN_COLUMNS))
_ASSIGN = sql.SQL(", ").join(
    sql.SQL("{} = s.{}").format(sql.Identifier(name), sql.Identifier(name)) for name in OWN_COLUMNS
)
_DIFFERS = sql.SQL("(({}) IS DISTINCT FROM ({}))").format(
    *(sql.SQL(", ").join(sql.Identifier(table, name) for name in OWN_COLUMNS) for table in ("t", "s"))
)
_DIGEST = sql.SQL("encode(sha256(convert_to(concat_ws({}, {}), 'UTF8')), 'hex')").format(
    sql.Literal(DIGEST_SEPARATOR),
    sql.SQL(", ").join(
        sql.SQL("coalesce({}, {})").format(sql.Identifier("t", name), sql.Literal(DIGEST_NULL)) for name in OWN_COLUMNS
    ),
)
"""`row_digest` of the stored row `t`, by the server."""


@dataclass(frozen=True)
class Written:
    """What was done with some rows; adds up."""

    rows: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    foreign: int = 0
    forgotten: int = 0
    foreign_ids: tuple[str, ...] = field(default=())

    def __add__(self, other: "Written") -> "Written":
        return Written(
            self.rows + other.rows,
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.foreign + other.foreign,
            self.forgotten + other.forgotten,
            (self.foreign_ids + other.foreign_ids)[:_SHOWN],
        )


def create_staging(connection: psycopg.Connection) -> None:
    """The temporary tables of a seeding: `offered` (all its ids), `chunk` (ids and digests), `staging` (whole rows)."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(
            sql.Identifier(column.name),
            sql.SQL("double precision" if pa.types.is_floating(column.type) else "text"),
        )
        for column in ROW_SCHEMA
    )
    for statement in (
        sql.SQL("CREATE TEMP TABLE offered (id text) ON COMMIT DROP"),
        sql.SQL("CREATE TEMP TABLE chunk (id text, digest text) ON COMMIT DROP"),
        sql.SQL("CREATE TEMP TABLE staging ({}) ON COMMIT DROP").format(columns),
    ):
        connection.execute(statement)
    connection.execute("SET LOCAL work_mem = '64MB'")


def close_offered(connection: psycopg.Connection) -> None:
    """After the last chunk: make `offered` fast to search.

    Raises:
        DatabaseError: an id came twice.
    """
    try:
        connection.execute("CREATE UNIQUE INDEX ON offered (id)")
    except errors.UniqueViolation as error:
        raise DatabaseError(_TWICE.format(error.diag.message_detail)) from None


def are_empty(connection: psycopg.Connection, tables: Tables) -> bool:
    """Whether neither the application's table nor ours beside it holds a row, so that all is new."""
    query = sql.SQL("SELECT FROM {t} UNION ALL SELECT FROM {o} LIMIT 1").format(t=tables.templates, o=tables.owned)
    return not connection.execute(query).rowcount


def write_first_chunk(connection: psycopg.Connection, tables: Tables, rows: pa.Table, build: str) -> Written:
    """Write a chunk to tables that were empty before its seeding; rows of `ROW_SCHEMA`, ordered by id.

    Raises:
        DatabaseError: an id comes twice.
    """
    try:
        _insert(connection, tables, rows, build)
    except errors.UniqueViolation as error:
        raise DatabaseError(_TWICE.format(error.diag.message_detail)) from None
    return Written(rows=rows.num_rows, inserted=rows.num_rows)


def write_chunk(connection: psycopg.Connection, tables: Tables, rows: pa.Table, build: str) -> Written:
    """Bring the table to what a chunk says; rows of `ROW_SCHEMA`, ordered by id.

    Raises:
        DatabaseError: an id comes twice, or Postgres wrote another number of rows than it said it would, so that
            somebody else writes the same rows.
    """
    ids = rows["id"].combine_chunks()
    twice = ids.slice(1).filter(pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1))))
    if len(twice):
        raise DatabaseError(_TWICE.format(f"{twice[0]}."))
    kinds = _kinds(connection, tables, rows)
    count = {kind: int((kinds == kind).sum()) for kind in (_NEW, _MISSING, _CHANGED, _UNCHANGED, _FOREIGN, _FORGOTTEN)}
    if sum(count.values()) != rows.num_rows:
        raise DatabaseError(f"{rows.num_rows} rows were sent and {len(kinds)} arrived; nothing was written.")
    try:
        if count[_NEW]:
            _insert(connection, tables, _pick(rows, kinds == _NEW), build)
        if count[_CHANGED] + count[_MISSING]:
            staged = _pick(rows, (kinds == _CHANGED) | (kinds == _MISSING))
            _update(connection, tables, staged, count[_CHANGED], count[_MISSING], build)
    except errors.UniqueViolation:
        raise DatabaseError(_MEANWHILE) from None
    foreign = rows["id"].filter(pa.array(kinds == _FOREIGN)).slice(0, _SHOWN).to_pylist()
    return Written(
        rows=rows.num_rows,
        inserted=count[_NEW] + count[_MISSING],
        updated=count[_CHANGED],
        unchanged=count[_UNCHANGED],
        foreign=count[_FOREIGN],
        forgotten=count[_FORGOTTEN],
        foreign_ids=tuple(foreign),
    )


def expect(written: int, planned: int) -> None:
    """Compare what Postgres wrote with what it was to write.

    Raises:
        DatabaseError: they differ.
    """
    if written != planned:
        raise DatabaseError(f"{_MEANWHILE} ({written} rows instead of {planned})")


def _kinds(connection: psycopg.Connection, tables: Tables, rows: pa.Table) -> NDArray[np.uint8]:
    """One letter a row, in the order of the ids."""
    connection.execute("TRUNCATE chunk")
    copy_rows(connection, sql.SQL("chunk"), {"id": None, "digest": None}, rows)
    connection.execute("INSERT INTO offered SELECT id FROM chunk")
    query = sql.SQL(
        """SELECT string_agg(kind, '' ORDER BY id COLLATE "C") FROM (
             SELECT c.id, CASE WHEN o.forgotten_at IS NOT NULL THEN 'x'
                               WHEN t.id IS NULL THEN CASE WHEN o.template_id IS NULL THEN 'n' ELSE 'm' END
                               WHEN o.template_id IS NULL THEN 'f'
                               WHEN {digest} = c.digest THEN 'u' ELSE 'c' END AS kind
             FROM chunk c LEFT JOIN {t} t ON t.id = c.id LEFT JOIN {o} o ON o.template_id = c.id
             OFFSET 0) kinds"""  # the fence lets letters be sorted, not whole rows
    ).format(digest=_DIGEST, t=tables.templates, o=tables.owned)
    row = connection.execute(query).fetchone()
    return np.frombuffer((row[0] if row and row[0] else "").encode(), np.uint8)


def _pick(rows: pa.Table, wanted: NDArray[np.bool_]) -> pa.Table:
    return rows if wanted.all() else rows.filter(pa.array(wanted))


def _insert(connection: psycopg.Connection, tables: Tables, rows: pa.Table, build: str) -> None:
    found = connection.execute("SELECT localtimestamp(3)::text").fetchone()
    now = found[0] if found else ""
    constants = {"updatedAt": now, "build": build} | {
        name: now if value == "CURRENT_TIMESTAMP" else value for name, value in tables.defaults.items()
    }
    for name, value in constants.items():
        rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
    columns: dict[str, str | None] = dict.fromkeys(("id", *OWN_COLUMNS, "updatedAt", *tables.defaults))
    expect(copy_rows(connection, tables.templates, columns | {"avgQualityScore": "quality"}, rows), rows.num_rows)
    owned: dict[str, str | None] = dict.fromkeys(("sample_id", "source", "digest", "build"))
    expect(copy_rows(connection, tables.owned, {"template_id": "id"} | owned, rows), rows.num_rows)


def _update(
    connection: psycopg.Connection, tables: Tables, rows: pa.Table, changed: int, missing: int, build: str
) -> None:
    connection.execute("TRUNCATE staging")
    copy_rows(connection, sql.SQL("staging"), dict.fromkeys(ROW_SCHEMA.names), rows)
    names = {"t": tables.templates, "o": tables.owned, "own": _OWN}
    update = sql.SQL(
        """UPDATE {t} t SET {assign}, "updatedAt" = localtimestamp(3) FROM staging s WHERE t.id = s.id AND {differs}"""
    ).format(**names, assign=_ASSIGN, differs=_DIFFERS)
    expect(connection.execute(update).rowcount, changed)
    if missing:  # ours once, then deleted by the application
        insert = sql.SQL(
            """INSERT INTO {t} (id, {own}, "avgQualityScore", "updatedAt"{names})
               SELECT id, {own}, quality, localtimestamp(3){values} FROM staging s
               WHERE NOT EXISTS (SELECT FROM {t} t WHERE t.id = s.id)"""
        ).format(
            t=tables.templates,
            own=_OWN,
            names=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in tables.defaults),
            values=sql.SQL("".join(f", {value}" for value in tables.defaults.values())),
        )
        expect(connection.execute(insert).rowcount, missing)
    connection.execute(
        sql.SQL(
            """UPDATE {o} o SET sample_id = s.sample_id, source = s.source, digest = s.digest, build = %s
               FROM staging s WHERE o.template_id = s.id"""
        ).format(**names),
        (build,),
    )
