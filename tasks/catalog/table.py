"""The application's table `pose_templates`: made where it is missing, checked where it exists; and ours beside it.

Ours live in a schema of their own, `mannequin`: Prisma takes a table that it does not know in its schema for drift, and
offers to reset the database.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from tasks.schema.errors import DatabaseError

TABLE = "pose_templates"


@dataclass(frozen=True)
class Column:
    """A column as Prisma makes it. `null`: we may write null; `default`: what an insert leaves to the table."""

    name: str
    type: str
    null: bool = False
    default: str | None = None


COLUMNS = (
    Column("id", "text"),
    Column("category", "text"),
    Column("subcategory", "text", null=True),
    Column("keypointsJson", "text"),
    Column("previewUrl", "text"),
    Column("difficulty", "text"),
    Column("tags", "text"),
    Column("description", "text", null=True),
    Column("usageCount", "integer", default="0"),
    Column("successRate", "double precision", default="0.95"),
    Column("avgQualityScore", "double precision", default="0.85"),
    Column("gender", "text", null=True),
    Column("productPlacement", "text", null=True),
    Column("isActive", "boolean", default="true"),
    Column("createdAt", "timestamp(3) without time zone", default="CURRENT_TIMESTAMP"),
    Column("updatedAt", "timestamp(3) without time zone"),
)
"""Source: the application's Prisma model `PoseTemplate`."""

_INDEXES = {
    f"{TABLE}_category_isActive_idx": ("category", "isActive"),
    f"{TABLE}_successRate_idx": ("successRate",),
}


@dataclass(frozen=True)
class Tables:
    """Names of the tables, quoted and with their schema where that is needed.

    Args:
        templates: the application's table.
        owned: which of its rows are ours.
        vectors: their similarity vectors; exists only where pgvector does.
        defaults: columns whose default the table lost, and what we write on insert instead.
        notices: what a person should know about the table.
    """

    templates: sql.Composable
    owned: sql.Composable
    vectors: sql.Composable
    defaults: dict[str, str]
    notices: tuple[str, ...] = ()


def find_tables(connection: psycopg.Connection) -> Tables:
    """The tables as they are.

    Raises:
        DatabaseError: `pose_templates` is missing or does not have the shape we need.
    """
    schema = _schema_of_templates(connection)
    if schema is None:
        raise DatabaseError(f'There is no table "{TABLE}" yet: seed it first.')
    return _checked(connection, schema)


def prepare_tables(connection: psycopg.Connection) -> Tables:
    """Make the tables where they are missing, check them where they exist.

    Raises:
        DatabaseError: `pose_templates` exists and does not have the shape we need.
    """
    schema = _schema_of_templates(connection)
    if schema is None:
        schema = _create_templates(connection)
    tables = _checked(connection, schema)
    _create_owned(connection, schema, tables)
    return tables


def _schema_of_templates(connection: psycopg.Connection) -> str | None:
    row = connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p')",
        (f'"{TABLE}"',),
    ).fetchone()
    return row[0] if row else None


def _create_templates(connection: psycopg.Connection) -> str:
    found = connection.execute("SELECT current_schema()").fetchone()
    if found is None or found[0] is None:
        raise DatabaseError(f'There is no schema to make the table "{TABLE}" in: create it, or name another.')
    schema = str(found[0])
    name = sql.Identifier(schema, TABLE)
    definitions = [
        sql.SQL("{} {}{}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.type),
            sql.SQL("" if column.null else " NOT NULL"),
            sql.SQL(f" DEFAULT {column.default}" if column.default else ""),
        )
        for column in COLUMNS
    ]
    key = sql.SQL('CONSTRAINT {} PRIMARY KEY ("id")').format(sql.Identifier(f"{TABLE}_pkey"))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join([*definitions, key])))
    for index, columns in _INDEXES.items():
        connection.execute(
            sql.SQL("CREATE INDEX {} ON {} ({})").format(
                sql.Identifier(index), name, sql.SQL(", ").join(map(sql.Identifier, columns))
            )
        )
    return schema


def _checked(connection: psycopg.Connection, schema: str) -> Tables:
    found = {
        name: (kind, required, filled)
        for name, kind, required, filled in connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull,"
            " atthasdef OR attidentity <> '' OR attgenerated <> ''"
            " FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (f'"{TABLE}"',),
        )
    }
    problems = []
    for column in COLUMNS:
        kind, required, _ = found.get(column.name, (None, False, False))
        if kind is None:
            problems.append(f'column "{column.name}" is missing (it must be {column.type})')
        elif kind != column.type:
            problems.append(f'column "{column.name}" is {kind}, it must be {column.type}')
        elif required and column.null:
            problems.append(f'column "{column.name}" is NOT NULL, but not every template has one')
    ours = {column.name for column in COLUMNS}
    problems += [
        f'column "{name}" is NOT NULL without a default, and we do not know what to write there'
        for name, (_, required, filled) in found.items()
        if name not in ours and required and not filled
    ]
    if "id" in found and not _id_is_unique(connection):
        problems.append('column "id" is not unique (it must be the primary key)')
    if problems:
        raise DatabaseError(
            f'The table "{schema}"."{TABLE}" does not fit the application\'s model: {"; ".join(problems)}. '
            "Run the application's migrations, or name another database. Nothing was written."
        )
    own_schema = _own_schema(schema)
    return Tables(
        templates=sql.Identifier(schema, TABLE),
        owned=sql.Identifier(own_schema, "mannequin_templates"),
        vectors=sql.Identifier(own_schema, "pose_template_vectors"),
        defaults={column.name: column.default for column in COLUMNS if column.default and not found[column.name][2]},
        notices=_missing_indexes(connection),
    )


def _own_schema(schema: str) -> str:
    return "mannequin" if schema == "public" else f"mannequin_{schema}"


def _id_is_unique(connection: psycopg.Connection) -> bool:
    return bool(
        connection.execute(
            "SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1"
            " AND i.indpred IS NULL AND a.attname = 'id'",
            (f'"{TABLE}"',),
        ).rowcount
    )


def _missing_indexes(connection: psycopg.Connection) -> tuple[str, ...]:
    indexed = {
        tuple(columns)
        for (columns,) in connection.execute(
            "SELECT array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(number, place)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)"
            " FROM pg_index i WHERE i.indrelid = to_regclass(%s)",
            (f'"{TABLE}"',),
        )
    }
    return tuple(
        f"The table has no index on ({', '.join(columns)}): the application's filters will be slow."
        for columns in _INDEXES.values()
        if not any(index[: len(columns)] == columns for index in indexed)
    )


def _create_owned(connection: psycopg.Connection, schema: str, tables: Tables) -> None:
    own_schema = _own_schema(schema)
    if not connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (own_schema,)).rowcount:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(own_schema)))
    if not exists(connection, tables.owned):
        connection.execute(
            sql.SQL(
                """CREATE TABLE {} (
                    template_id text PRIMARY KEY,
                    sample_id text,
                    source text NOT NULL,
                    digest text NOT NULL,
                    build text NOT NULL,
                    retired_at timestamptz,
                    forgotten_at timestamptz
                )"""
            ).format(tables.owned)
        )


def exists(connection: psycopg.Connection, table: sql.Composable) -> bool:
    """Whether a table is there."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table.as_string(connection),)).fetchone()
    return bool(row and row[0])
