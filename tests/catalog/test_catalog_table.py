from collections.abc import Callable

import psycopg
import pyarrow as pa
import pytest

from tasks.catalog.connect import Limits, connected
from tasks.catalog.read import find_templates
from tasks.catalog.seed import seed_templates
from tasks.catalog.table import COLUMNS, find_tables, prepare_tables
from tasks.schema.errors import DatabaseError

Make = Callable[..., pa.Table]

PRISMA = """
CREATE TABLE "pose_templates" (
    "id" TEXT NOT NULL,
    "category" TEXT NOT NULL,
    "subcategory" TEXT,
    "keypointsJson" TEXT NOT NULL,
    "previewUrl" TEXT NOT NULL,
    "difficulty" TEXT NOT NULL,
    "tags" TEXT NOT NULL,
    "description" TEXT,
    "usageCount" INTEGER NOT NULL DEFAULT 0,
    "successRate" DOUBLE PRECISION NOT NULL DEFAULT 0.95,
    "avgQualityScore" DOUBLE PRECISION NOT NULL DEFAULT 0.85,
    "gender" TEXT,
    "productPlacement" TEXT,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "pose_templates_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "pose_templates_category_isActive_idx" ON "pose_templates"("category", "isActive");
CREATE INDEX "pose_templates_successRate_idx" ON "pose_templates"("successRate");
"""
"""What `prisma migrate` makes of the model."""

SHAPE = """
SELECT column_name, data_type, datetime_precision, is_nullable, column_default FROM information_schema.columns
WHERE table_name = 'pose_templates' AND table_schema = current_schema() ORDER BY ordinal_position
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'pose_templates' ORDER BY 1"


def shape(session: psycopg.Connection) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    return session.execute(SHAPE).fetchall(), session.execute(INDEXES).fetchall()


def test_the_table_we_make_is_the_one_that_prisma_makes(database: str, connection: psycopg.Connection) -> None:
    with connected(database, Limits()) as session:
        prepare_tables(session)
    ours = shape(connection)
    assert len(ours[0]) == len(COLUMNS) == 16
    connection.execute("DROP TABLE pose_templates")
    connection.execute(PRISMA)
    assert shape(connection) == ours


def test_our_tables_stay_out_of_the_schema_of_the_application(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute(PRISMA)
    seed_templates(database, [make_rows(3)], "first")
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == [("pose_templates",)]


def test_preparing_twice_changes_nothing(database: str, connection: psycopg.Connection) -> None:
    for _ in range(2):
        with connected(database, Limits()) as session:
            tables = prepare_tables(session)
    assert tables.notices == ()
    assert tables.defaults == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('DROP COLUMN "productPlacement"', 'column "productPlacement" is missing (it must be text)'),
        ('ALTER COLUMN "usageCount" TYPE bigint', 'column "usageCount" is bigint, it must be integer'),
        ("ALTER COLUMN tags DROP DEFAULT, ALTER COLUMN tags TYPE jsonb USING tags::jsonb", '"tags" is jsonb'),
        ('ALTER COLUMN "updatedAt" TYPE timestamptz(3)', '"updatedAt" is timestamp(3) with time zone'),
        ("ALTER COLUMN description SET NOT NULL", 'column "description" is NOT NULL'),
        ("ADD COLUMN owner text NOT NULL", 'column "owner" is NOT NULL without a default'),
        ("DROP CONSTRAINT pose_templates_pkey", 'column "id" is not unique'),
    ],
)
def test_a_table_of_another_shape_is_refused_by_name(
    database: str, connection: psycopg.Connection, make_rows: Make, change: str, told: str
) -> None:
    connection.execute(PRISMA)
    connection.execute(f"ALTER TABLE pose_templates {change}")
    with pytest.raises(DatabaseError) as caught:
        seed_templates(database, [make_rows(3)], "first")
    assert told in str(caught.value)
    assert "Nothing was written" in str(caught.value)
    assert connection.execute("SELECT count(*) FROM pose_templates").fetchone() == (0,)
    assert connection.execute("SELECT to_regnamespace('mannequin')").fetchone() == (None,)


def test_every_problem_is_told_at_once(database: str, connection: psycopg.Connection) -> None:
    connection.execute(PRISMA)
    connection.execute('ALTER TABLE pose_templates DROP COLUMN gender, DROP COLUMN "isActive"')
    with (
        pytest.raises(DatabaseError, match=r'"gender" is missing.*"isActive" is missing'),
        connected(database, Limits()) as session,
    ):
        prepare_tables(session)


def test_columns_of_the_application_that_fill_themselves_are_fine(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute(PRISMA)
    connection.execute(
        "ALTER TABLE pose_templates ADD COLUMN note text, ADD COLUMN rank int NOT NULL DEFAULT 7,"
        " ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY"
    )
    assert seed_templates(database, [make_rows(3)], "first").inserted == 3
    assert connection.execute("SELECT DISTINCT note, rank FROM pose_templates").fetchall() == [(None, 7)]


def test_defaults_that_the_table_lost_are_written_by_us(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute(PRISMA)
    connection.execute(
        'ALTER TABLE pose_templates ALTER "usageCount" DROP DEFAULT, ALTER "successRate" DROP DEFAULT,'
        ' ALTER "isActive" DROP DEFAULT, ALTER "createdAt" DROP DEFAULT'
    )
    assert seed_templates(database, [make_rows(3)], "first").inserted == 3
    query = 'SELECT DISTINCT "usageCount", "successRate", "isActive", "createdAt" = "updatedAt" FROM pose_templates'
    assert connection.execute(query).fetchall() == [(0, 0.95, True, True)]


def test_a_missing_index_is_told_and_left_to_the_application(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute(PRISMA)
    connection.execute('DROP INDEX "pose_templates_successRate_idx"')
    report = seed_templates(database, [make_rows(3)], "first")
    assert len(report.notices) == 1
    assert "(successRate)" in report.notices[0]
    assert len(connection.execute(INDEXES).fetchall()) == 2


def test_the_schema_of_a_prisma_url_is_where_the_table_is(
    database: str, connection: psycopg.Connection, make_rows: Make
) -> None:
    connection.execute('CREATE SCHEMA "My App"')
    url = f"{database}&schema=My%20App&connection_limit=5&pgbouncer=true"
    assert seed_templates(url, [make_rows(4)], "first").inserted == 4
    assert seed_templates(database, [make_rows(2)], "first").inserted == 2
    assert seed_templates(url, [make_rows(4)], "first").unchanged == 4
    assert find_templates(url).total == 4
    assert connection.execute('SELECT count(*) FROM "My App".pose_templates').fetchone() == (4,)


def test_a_url_of_sqlalchemy_is_understood(database: str, make_rows: Make) -> None:
    url = database.replace("postgresql://", "postgresql+psycopg://")
    assert seed_templates(url, [make_rows(2)], "first").inserted == 2


def test_a_database_that_was_never_seeded_is_told(database: str) -> None:
    with pytest.raises(DatabaseError, match="seed it first"), connected(database, Limits()) as session:
        find_tables(session)
