import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tasks.catalog.embedded import psql_line, start_embedded, stop_embedded
from tasks.schema.errors import DatabaseError

ROOT = Path(__file__).parents[2]
START = "import sys, pathlib, tasks.catalog.embedded as e; print(e.start_embedded(pathlib.Path(sys.argv[1])))"
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for a server that is stopped after the test; outside of pytest's own folders, which only we may enter."""
    parent = Path(tempfile.mkdtemp(prefix="mannequin-pg-"))
    parent.chmod(0o755)
    place = parent / "postgres"
    try:
        yield place
    finally:
        for data in parent.rglob("PG_VERSION"):
            if data.parent.name == "data":
                stop_embedded(data.parents[1])
        shutil.rmtree(parent)


def start_elsewhere(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", START, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def psql(uri: str, query: str) -> str:
    """What the line that people get prints for a query, in a shell."""
    line = f"{psql_line(uri)} -Atc {shlex.quote(query)}"
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602


def as_account(name: str, folder: Path) -> str:
    """What `start_embedded` complains of in a child that is that account; empty if nothing."""
    entry = pwd.getpwnam(name)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            start_embedded(folder)
        except BaseException as error:  # noqa: BLE001
            os.write(writable, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    with os.fdopen(readable) as told:
        return told.read()


def postmaster(uri: str) -> tuple[int, str]:
    with psycopg.connect(uri) as connection:
        row = connection.execute("SELECT pg_postmaster_start_time(), current_setting('data_directory')").fetchone()
    assert row is not None
    data = Path(row[1])
    return int((data / "postmaster.pid").read_text().split()[0]), str(row[0])


@pytest.mark.slow
def test_it_is_shared_outlives_its_starters_and_comes_back_after_a_kill(folder: Path) -> None:
    starters = [start_elsewhere(folder) for _ in range(3)]
    uris = {starter.communicate(timeout=100)[0].strip() for starter in starters}
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert uris == {start_embedded(folder)}
    uri = uris.pop()
    assert uri.startswith("postgresql://")
    pid, started = postmaster(uri)
    with psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.execute("CREATE EXTENSION vector")

    assert psql(uri, "SELECT answer FROM kept") == "42\n"

    os.kill(pid, signal.SIGKILL)
    assert start_embedded(folder) == uri
    assert postmaster(uri)[1] != started

    folder.parent.chmod(0o700)  # closed since the start; the server's account may not be ours
    assert stop_embedded(folder)
    assert not stop_embedded(folder)
    # the pid of a dead server now belongs to somebody else, as after a restart of a container
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'data'}\n{int(time.time())}\n5432\n\n\n")
    with psycopg.connect(start_embedded(folder)) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(DatabaseError, match="must be absolute"):
        start_embedded(Path("data"))


def test_a_folder_that_holds_something_else_is_refused(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "photo.jpg").touch()
    with pytest.raises(DatabaseError, match="is no database"):
        start_embedded(folder)
    assert (folder / "data" / "photo.jpg").exists()


def test_a_database_of_another_version_is_refused(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match="was made by Postgres 16"):
        start_embedded(folder)
    assert not stop_embedded(folder)


def test_nothing_to_stop(tmp_path: Path) -> None:
    assert not stop_embedded(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_server_that_cannot_start_shows_its_log(folder: Path) -> None:
    start_embedded(folder)
    stop_embedded(folder)
    with (folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseError, match=r"does not start: .*no_such_setting.*server\.log"):
        start_embedded(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b,c", 'it\'s "quoted"', "d" * 120])
def test_any_path_will_do(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = start_embedded(folder / name)
    assert start_embedded(folder / name) == uri
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PGPORT", "1")
    assert "pginstall18" in psql_line(uri)
    assert psql(uri, "SELECT 1") == "1\n"


@pytest.mark.slow
def test_a_beginning_that_was_killed_is_made_anew(folder: Path) -> None:
    (folder / "data.part" / "base").mkdir(parents=True)
    (folder / "data.part" / "PG_VERSION").write_text("18\n")
    with psycopg.connect(start_embedded(folder, "other name")) as connection:
        assert connection.info.dbname == "other name"
    assert not (folder / "data.part").exists()


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
def test_it_runs_for_an_ordinary_account(folder: Path) -> None:
    os.chown(folder.parent, pwd.getpwnam("nobody").pw_uid, -1)
    assert as_account("nobody", folder) == ""
    assert (folder / "data").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert start_embedded(folder)
    assert "belongs to another account" in as_account("daemon", folder)


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="only root needs another account")
def test_root_may_keep_it_in_a_closed_home(folder: Path) -> None:
    home = folder.parent / "home"
    home.mkdir(mode=0o700)
    uri = start_embedded(home / "store" / "postgres")
    assert home.stat().st_mode & 0o777 == 0o701
    pid, _ = postmaster(uri)
    assert Path(f"/proc/{pid}").stat().st_uid != 0
