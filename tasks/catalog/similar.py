"""Similar poses: vectors of templates in a side table of ours, searched by cosine with pgvector's HNSW index."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import errors, sql

from tasks.catalog.connect import DEFAULT_LIMITS, Limits, connected
from tasks.catalog.seed import take_turn
from tasks.catalog.table import Tables, exists, find_tables
from tasks.schema.errors import DatabaseError, ShapeError

_log = logging.getLogger(__name__)

_EXTENSION = "vector"
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
"""Source: Postgres docs, COPY, "Binary Format"."""
_BATCH_ROWS = 16384
_ITERATIVE_SINCE = (0, 8)
"""pgvector 0.8 goes on searching when a filter takes hits away. Source: its README, "Iterative Index Scans"."""
_LARGEST_EF_SEARCH = 1000


@dataclass(frozen=True)
class VectorReport:
    """What `upsert_vectors` did.

    Args:
        available: whether the database has pgvector; if not, nothing was done.
        written: vectors that are new or changed.
        unchanged: vectors that were there already.
        skipped: vectors of length 0, which have no direction, and of ids that are not our templates.
    """

    available: bool
    written: int = 0
    unchanged: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Similar:
    """A template and its cosine to what was asked for, -1 to 1."""

    id: str
    similarity: float


def upsert_vectors(
    database: str, ids: Sequence[str], vectors: NDArray[np.float32], limits: Limits = DEFAULT_LIMITS
) -> VectorReport:
    """Write the vectors of seeded templates; those that are equal are not rewritten.

    Where the database has no pgvector and this account may not add it, one warning is logged and nothing happens.

    Args:
        database: connection URI.
        ids: of templates, each once.
        vectors: float32, (N, D), in the order of `ids`; D at most 2000.
    Raises:
        ShapeError: `vectors` has another shape or dtype, or holds a number that is not finite.
        DatabaseError: the database is out of reach or was never seeded, or holds vectors of another D.
    """
    if vectors.ndim != 2 or vectors.shape[0] != len(ids) or vectors.dtype != np.float32:
        raise ShapeError(f"vectors are float32 ({len(ids)}, D), got {vectors.dtype} {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ShapeError("a similarity vector holds a number that is not finite")
    if len(set(ids)) != len(ids):
        raise DatabaseError("A template's vector comes twice.")
    with connected(database, limits) as connection:
        take_turn(connection, limits)
        tables = find_tables(connection)
        extension = _extension(connection, create=True)
        if extension is None:
            _log.warning("This database has no pgvector, so there are no similar poses; all else works.")
            return VectorReport(available=False)
        _create(connection, tables, extension, vectors.shape[1])
        directed = np.linalg.norm(vectors, axis=1) > 0
        kept = [template for template, usable in zip(ids, directed, strict=True) if usable]
        connection.execute(
            sql.SQL("CREATE TEMP TABLE vector_staging (template_id text, embedding {}) ON COMMIT DROP").format(
                extension.type
            )
        )
        _copy(connection, kept, vectors[directed])
        names = {"o": tables.owned, "v": tables.vectors}
        strangers = connection.execute(
            sql.SQL(
                """DELETE FROM vector_staging s WHERE NOT EXISTS (
                     SELECT FROM {o} o WHERE o.template_id = s.template_id AND o.forgotten_at IS NULL)"""
            ).format(**names)
        ).rowcount
        written = connection.execute(
            sql.SQL(
                """INSERT INTO {v} AS v (template_id, embedding) SELECT template_id, embedding FROM vector_staging
                   ON CONFLICT (template_id) DO UPDATE SET embedding = excluded.embedding
                   WHERE v.embedding {differs} excluded.embedding"""
            ).format(**names, differs=extension.operator("<>"))
        ).rowcount
        _create_index(connection, tables, extension)
    usable = len(kept) - strangers
    return VectorReport(True, written, usable - written, len(ids) - usable)


def similar_to_template(
    database: str, template: str, k: int = 10, limits: Limits = DEFAULT_LIMITS
) -> tuple[Similar, ...]:
    """The `k` active templates whose poses are most like that of `template`, which is not among them; best first.

    Raises:
        DatabaseError: the database is out of reach, or has no vector of `template`.
    """
    with connected(database, limits) as connection:
        tables, extension = _searchable(connection)
        row = connection.execute(
            sql.SQL("SELECT embedding::text FROM {} WHERE template_id = %s").format(tables.vectors), (template,)
        ).fetchone()
        if row is None:
            raise DatabaseError(f"{template} has no similarity vector: it was never seeded, or it was forgotten.")
        return _search(connection, tables, extension, row[0], k, without=template)


def similar_to_vector(
    database: str, vector: NDArray[np.float32], k: int = 10, limits: Limits = DEFAULT_LIMITS
) -> tuple[Similar, ...]:
    """The `k` active templates whose poses are most like a vector, float32 (D,); best first.

    Raises:
        ShapeError: the vector is not finite, or has length 0.
        DatabaseError: the database is out of reach, or has no vectors, or of another D.
    """
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise ShapeError(f"a similarity vector is (D,), finite and not zero, got {vector.shape}")
    with connected(database, limits) as connection:
        tables, extension = _searchable(connection)
        text = "[" + ",".join(repr(float(value)) for value in vector) + "]"
        return _search(connection, tables, extension, text, k, without="")


@dataclass(frozen=True)
class _Extension:
    schema: str
    version: tuple[int, ...]

    @property
    def type(self) -> sql.Composable:
        return sql.Identifier(self.schema, "vector")

    def operator(self, symbol: str) -> sql.Composable:
        """An operator by its full name: the extension's schema need not be in the search path."""
        return sql.SQL("OPERATOR({}." + symbol + ")").format(sql.Identifier(self.schema))


def _extension(connection: psycopg.Connection, create: bool) -> _Extension | None:
    query = (
        "SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = %s"
    )
    row = connection.execute(query, (_EXTENSION,)).fetchone()
    if row is None and create:
        if not connection.execute("SELECT FROM pg_available_extensions WHERE name = %s", (_EXTENSION,)).rowcount:
            return None
        try:
            with connection.transaction():
                connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(_EXTENSION)))
        except errors.InsufficientPrivilege:
            return None
        row = connection.execute(query, (_EXTENSION,)).fetchone()
    return _Extension(row[0], tuple(int(part) for part in row[1].split(".") if part.isdigit())) if row else None


def _create(connection: psycopg.Connection, tables: Tables, extension: _Extension, width: int) -> None:
    wanted = sql.SQL("{}({})").format(extension.type, sql.SQL(str(width)))
    if not exists(connection, tables.vectors):
        connection.execute(
            sql.SQL("CREATE TABLE {} (template_id text PRIMARY KEY, embedding {} NOT NULL)").format(
                tables.vectors, wanted
            )
        )
    elif (found := _width(connection, tables)) != width:
        raise DatabaseError(
            f"The similarity vectors in the database have {found} numbers, these have {width}: drop the table "
            f"{tables.vectors.as_string(connection)}, then run again; it is filled anew."
        )


def _width(connection: psycopg.Connection, tables: Tables) -> int:
    row = connection.execute(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
        (tables.vectors.as_string(connection),),
    ).fetchone()
    return row[0] if row else 0


def _create_index(connection: psycopg.Connection, tables: Tables, extension: _Extension) -> None:
    """After the first rows, because HNSW is built faster than it is filled."""
    indexed = connection.execute(
        "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
        " WHERE i.indrelid = to_regclass(%s) AND m.amname = 'hnsw'",
        (tables.vectors.as_string(connection),),
    ).rowcount
    if not indexed:
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        connection.execute(
            sql.SQL("CREATE INDEX ON {} USING hnsw (embedding {})").format(
                tables.vectors, sql.Identifier(extension.schema, "vector_cosine_ops")
            )
        )


def _copy(connection: psycopg.Connection, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY vector_staging FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_COPY_HEADER)
        for start in range(0, len(ids), _BATCH_ROWS):
            copy.write(_binary_rows(ids[start : start + _BATCH_ROWS], vectors[start : start + _BATCH_ROWS]))
        copy.write(_COPY_END)


def _binary_rows(ids: Sequence[str], vectors: NDArray[np.float32]) -> memoryview:
    """Rows of (text, vector); a vector is its int16 width, an int16 zero and its numbers, all big-endian.

    Source: pgvector, `vector_send`.
    """
    count, width = vectors.shape
    names = pa.array(ids, pa.string()).cast(pa.binary())
    lengths = np.asarray(pc.binary_length(names), ">i4")
    body = np.empty((count, 8 + 4 * width), np.uint8)
    body[:, :8] = np.frombuffer(
        np.array([4 + 4 * width], ">i4").tobytes() + np.array([width, 0], ">i2").tobytes(), "u1"
    )
    body[:, 8:] = vectors.astype(">f4").view(np.uint8).reshape(count, -1)
    rows = pc.binary_join_element_wise(
        pa.scalar(np.array([2], ">i2").tobytes(), pa.binary()), _fixed(lengths.view(np.uint8), 4), names,
        _fixed(body, body.shape[1]), pa.scalar(b"", pa.binary()),
    )  # fmt: skip
    return memoryview(rows.buffers()[2])


def _fixed(data: NDArray[np.uint8], width: int) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(data))
    return pa.Array.from_buffers(pa.binary(width), data.size // width, [None, buffer]).cast(pa.binary())


def _searchable(connection: psycopg.Connection) -> tuple[Tables, _Extension]:
    tables = find_tables(connection)
    extension = _extension(connection, create=False)
    if extension is None or not exists(connection, tables.vectors):
        raise DatabaseError(
            "This database holds no similarity vectors: it has no pgvector, or was not seeded with them."
        )
    return tables, extension


def _search(
    connection: psycopg.Connection, tables: Tables, extension: _Extension, vector: str, k: int, without: str
) -> tuple[Similar, ...]:
    width = vector.count(",") + 1
    if width != _width(connection, tables):
        raise DatabaseError(f"The database's vectors have {_width(connection, tables)} numbers, this one has {width}.")
    settings = {"hnsw.ef_search": str(min(_LARGEST_EF_SEARCH, max(100, 2 * k)))}
    if extension.version >= _ITERATIVE_SINCE:
        settings["hnsw.iterative_scan"] = "strict_order"
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", (name, value))
    query = sql.SQL(
        """SELECT v.template_id, 1 - (v.embedding {d} {q}::{vector}) FROM {v} v JOIN {t} t ON t.id = v.template_id
           WHERE t."isActive" AND v.template_id <> {without}
           ORDER BY v.embedding {d} {q}::{vector} LIMIT {k}"""
    ).format(
        d=extension.operator("<=>"), vector=extension.type, v=tables.vectors, t=tables.templates,
        q=sql.Literal(vector), without=sql.Literal(without), k=sql.Literal(k),
    )  # fmt: skip
    return tuple(Similar(template, float(similarity)) for template, similarity in connection.execute(query))
