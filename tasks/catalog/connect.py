"""Connections that say in one sentence what is wrong, and never say a password."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

import psycopg
from psycopg import conninfo, errors

from tasks.schema.errors import DatabaseError, DatabaseUnreachableError

_PRISMA_OPTIONS = frozenset(
    ("schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size", "sslaccept")
)
"""Query options of Prisma's connection URL that libpq does not know. Source: Prisma docs, "PostgreSQL connector".
`schema` becomes the search path here; the others mean nothing to a single connection."""

_ADVICE = {
    errors.ReadOnlySqlTransaction: "is read-only (a replica, or a read-only account): name the primary",
    errors.InsufficientPrivilege: "does not give this account the right that is needed",
    errors.LockNotAvailable: "keeps what is needed locked by another session: run again later",
    errors.QueryCanceled: "took longer than the allowed time: run again, or allow more",
    errors.DeadlockDetected: "was changed by the application at the same moment: run again",
    errors.DiskFull: "has a full disk: make room, then run again",
}
_PASSWORDS = (
    re.compile(r"(?<=://)[^/?@:]*:(.*)@"),
    re.compile(r"password\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE),
)


@dataclass(frozen=True)
class Limits:
    """How long a seeding may take and wait, in seconds."""

    connect_s: int = 10
    statement_s: float = 600
    lock_s: float = 30
    turn_s: float = 300
    """For another seeding to end."""


DEFAULT_LIMITS = Limits()


def masked(text: str, database: str) -> str:
    """`text` without the passwords that the connection string `database` holds, as written and as meant."""
    found = {match.group(1).strip("'") for pattern in _PASSWORDS for match in pattern.finditer(database)}
    for secret in sorted((found | set(map(unquote, found))) - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@contextmanager
def connected(database: str, limits: Limits) -> Iterator[psycopg.Connection]:
    """One connection whose only transaction commits when the block ends well.

    Args:
        database: a libpq URI or conninfo string; what Prisma and SQLAlchemy add to theirs is understood.
    Raises:
        DatabaseError: Postgres is out of reach, or refuses something that happens in the block.
    """
    libpq, schema = _libpq(database)
    with errors_explained(database):
        connection = psycopg.connect(
            libpq,
            connect_timeout=limits.connect_s,
            application_name="mannequin",
            prepare_threshold=None,  # poolers hand the next statement to another server process
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with connection:
            for name, value in (
                ("statement_timeout", milliseconds(limits.statement_s)),
                ("lock_timeout", milliseconds(limits.lock_s)),
                ("idle_in_transaction_session_timeout", milliseconds(limits.statement_s)),
                ("timezone", "UTC"),  # Prisma's timestamps have no zone and mean UTC
                *((("search_path", f'"{schema}"'),) if schema else ()),
            ):
                connection.execute("SELECT set_config(%s, %s, true)", (name, value))
            yield connection


def milliseconds(seconds: float) -> str:
    """A duration as Postgres' settings want it; at least 1 ms, since 0 means for ever."""
    return f"{max(1, round(seconds * 1000))}ms"


@contextmanager
def errors_explained(database: str) -> Iterator[None]:
    """Turn what psycopg raises into a DatabaseError that names the place and says what to do.

    Raises:
        DatabaseError: the block raised a psycopg error.
    """
    try:
        yield
    except psycopg.Error as error:
        place = _place(database)
        said = " ".join(masked(error.diag.message_primary or str(error), database).split()).rstrip(".")
        advice = next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), None)
        if advice is not None:
            message = f"{place} {advice} ({said})."
        elif isinstance(error, psycopg.OperationalError):
            raise DatabaseUnreachableError(
                f"No connection to {place} ({said}). The build is kept: when the database is back, run again; only the "
                "seeding is left to do."
            ) from None
        else:
            message = f"{place} refuses: {said}."
    else:
        return
    raise DatabaseError(message) from None  # the cause may quote the connection string


def libpq(database: str) -> str:
    """What libpq understands of a connection string, without what Prisma and SQLAlchemy add to theirs."""
    return _libpq(database)[0]


def _libpq(database: str) -> tuple[str, str]:
    """What libpq understands of a connection string, and the schema that Prisma's option names.

    Raises:
        DatabaseError: the password holds characters that end it too early.
    """
    if "://" not in database:
        return database, ""
    scheme, _, rest = database.partition("://")
    target, _, query = rest.partition("?")
    server, _, path = target.partition("/")
    hosts = re.sub(r"\[.*?\]", "", server.rpartition("@")[2]).split(",")
    ports = [host.partition(":")[2] for host in hosts]
    if server.count("@") > 1 or "@" in path or any(port and not port.isdigit() for port in ports):
        raise DatabaseError(
            "The database's URI does not read: in its password, write / ? # @ : % as %2F %3F %23 %40 %3A %25."
        )
    options = [option.partition("=") for option in query.split("&") if option]
    schema = next((unquote(value) for name, _, value in options if name == "schema"), "")
    kept = "&".join(name + equals + value for name, equals, value in options if name not in _PRISMA_OPTIONS)
    return f"{scheme.partition('+')[0]}://{target}{'?' if kept else ''}{kept}", schema


def _place(database: str) -> str:
    try:
        found = conninfo.conninfo_to_dict(_libpq(database)[0])
    except (psycopg.Error, ValueError):
        return f"Postgres ({masked(database, database)})"
    where = ":".join(str(found[name]) for name in ("host", "port") if found.get(name))
    return f"Postgres at {where or 'its default place'}, database {found.get('dbname', '(default)')}"
