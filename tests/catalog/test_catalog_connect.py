from collections.abc import Callable
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tasks.catalog.connect import Limits, connected, masked
from tasks.catalog.embedded import psql_line
from tasks.catalog.seed import seed_templates
from tasks.schema.errors import DatabaseError

Make = Callable[..., pa.Table]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr%40t@host:5432/db",
        "postgres://host/db?user=me&password=s3cr%40t&sslmode=require",
        "host=host user=me password=s3cr%40t dbname=db",
        "host=host password='s3cr%40t'",
    ],
)
def test_passwords_are_masked_as_written_and_as_meant(url: str) -> None:
    shown = masked(f"{url} with s3cr@t and s3cr%40t", url)
    assert "s3cr" not in shown
    assert "host" in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/db",
        "postgresql://me:hunter2@127.0.0.1:1/db?nonsense=1",
        "postgresql://me:hunter2@127.0.0.1:port/db",
        "postgresql://me:hunter2 @127.0.0.1:1/db",
        "postgresql://me:hunter2/x@127.0.0.1:1/db",
        "postgresql://me:hunter2?x@127.0.0.1:1/db",
        "postgresql://me:x@hunter2@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 password='hunter2 x' nonsense",
    ],
)
def test_a_database_that_cannot_be_reached_gives_one_message_without_the_password(url: str, make_rows: Make) -> None:
    with pytest.raises(DatabaseError) as caught:
        seed_templates(url, [make_rows(1)], "build", limits=Limits(connect_s=2))
    error: BaseException | None = caught.value
    assert "Postgres" in str(error) or "does not read" in str(error)
    assert "hunter2" not in str(error)
    assert error is not None
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert "\n" not in str(error)


def test_a_server_that_is_down_is_told_with_what_to_do(tmp_path: Path, make_rows: Make) -> None:
    with pytest.raises(DatabaseError, match=r"No connection to Postgres at .* The build is kept"):
        seed_templates(f"postgresql://postgres@/db?host={tmp_path}", [make_rows(1)], "build")


def test_a_read_only_database_is_told(database: str, postgres_server: str, make_rows: Make) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        name = sql.Identifier(conninfo_to_dict(database)["dbname"])
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    with pytest.raises(DatabaseError, match="is read-only"):
        seed_templates(database, [make_rows(1)], "build")


def test_a_missing_right_is_told(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    connection.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    with pytest.raises(DatabaseError, match="does not give this account the right"):
        seed_templates(database.replace("postgres@", "reader@"), [make_rows(1)], "build")
    connection.execute("DROP ROLE reader")


def test_a_lock_that_somebody_holds_is_told(database: str, connection: psycopg.Connection, make_rows: Make) -> None:
    seed_templates(database, [make_rows(2)], "build-1")
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE pose_templates")
        with pytest.raises(DatabaseError, match="locked by another session"):
            seed_templates(database, [make_rows(2)], "build-1", limits=Limits(lock_s=0.2))


def test_a_statement_that_takes_too_long_is_told(database: str) -> None:
    with (
        pytest.raises(DatabaseError, match="took longer than the allowed time"),
        connected(database, Limits(statement_s=0.2)) as connection,
    ):
        connection.execute("SELECT pg_sleep(5)")


def test_an_error_rolls_back_and_success_commits(database: str, connection: psycopg.Connection) -> None:
    with connected(database, Limits()) as session:
        session.execute("CREATE TABLE kept ()")
    with pytest.raises(DatabaseError, match="division by zero"), connected(database, Limits()) as session:
        session.execute("CREATE TABLE lost AS SELECT 1 / 0")
    found = connection.execute("SELECT to_regclass('kept') IS NULL, to_regclass('lost') IS NULL").fetchone()
    assert found == (False, True)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://app:geheim@db.example.org:5432/x?schema=public",
        "postgresql+psycopg://app:geheim@db.example.org/x",
        "postgresql://db.example.org/x?user=app&password=geheim",
        "host=db.example.org user=app password=geheim dbname=x",
    ],
)
def test_the_line_for_psql_holds_no_password(uri: str) -> None:
    line = psql_line(uri)
    assert "geheim" not in line
    assert "db.example.org" in line
    assert "app" in line
