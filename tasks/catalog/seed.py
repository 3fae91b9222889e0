"""Seed `pose_templates`: insert what is new, rewrite what changed, retire what is gone; never touch the application's.

One transaction: all of it happens, or nothing. Until it ends, readers see what was; the application may go on writing.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

import psycopg
import pyarrow as pa
from psycopg import errors, sql

from tasks.catalog.connect import DEFAULT_LIMITS, Limits, connected, milliseconds
from tasks.catalog.rows import ROW_SCHEMA
from tasks.catalog.staging import sorted_chunks
from tasks.catalog.table import Tables, prepare_tables
from tasks.catalog.upsert import (
    CHUNK_ROWS,
    Written,
    are_empty,
    close_offered,
    create_staging,
    expect,
    write_chunk,
    write_first_chunk,
)
from tasks.schema.errors import DatabaseError

_log = logging.getLogger(__name__)

RETIRE_AT_MOST = 0.05
"""Share of the live rows of the listed sources; more than that gone at once looks like a broken listing."""
_TURN = 0x6D616E6E65717569
"""Key of the advisory lock: "mannequi" in ASCII."""


@dataclass(frozen=True)
class Listing:
    """What the caller knows to be complete, so that what is absent is gone.

    Args:
        complete_sources: sources whose rows, seeded now, are all they have.
        everything: the rows seeded now are all there are; sources that no longer exist are retired, too.
        force: retire more than `RETIRE_AT_MOST` at once.
    """

    complete_sources: frozenset[str] = frozenset()
    everything: bool = False
    force: bool = False


@dataclass(frozen=True)
class SeedReport:
    """What a seeding did: `rows == inserted + updated + unchanged + foreign + forgotten`.

    Args:
        rows: rows that were offered.
        foreign: rows whose id is taken by a row that is not ours; left as they are.
        forgotten: rows that `forget` took out for good.
        retired: rows that were switched off (`isActive`), because they are gone.
        reactivated: rows that we had retired and that are back; also counted as updated or unchanged.
        refused_to_retire: rows that are gone, but too many at once; still on.
        total_owned: our rows in the table now, retired ones included.
        total_active: those of them that are on.
        foreign_ids: the first few.
        notices: sentences for a person.
    """

    rows: int
    inserted: int
    updated: int
    unchanged: int
    foreign: int
    forgotten: int
    retired: int
    reactivated: int
    refused_to_retire: int
    total_owned: int
    total_active: int
    foreign_ids: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def seed_templates(
    database: str,
    rows: Iterable[pa.Table | pa.RecordBatch],
    build: str,
    listing: Listing = Listing(),
    limits: Limits = DEFAULT_LIMITS,
) -> SeedReport:
    """Bring the table to what `rows` say, all or nothing.

    Args:
        database: connection URI.
        rows: of `ROW_SCHEMA`, each id once, in any order; read once.
        build: name of the build, kept with every row that it wrote.
    Raises:
        DatabaseError: the database is out of reach, the table does not fit, an id comes twice, or somebody changed the
            same rows meanwhile; nothing was written.
    """
    with connected(database, limits) as connection:
        take_turn(connection, limits)
        tables = prepare_tables(connection)
        chunks = sorted_chunks(rows, ROW_SCHEMA, CHUNK_ROWS)
        done, reactivated, retired, refused, notice = Written(), 0, 0, 0, ""
        if are_empty(connection, tables):
            for chunk in chunks:
                done += write_first_chunk(connection, tables, chunk, build)
        else:
            live_before = _count_live(connection, tables, listing)
            create_staging(connection)
            for chunk in chunks:
                done += write_chunk(connection, tables, chunk, build)
            close_offered(connection)
            reactivated = _reactivate(connection, tables)
            retired, refused, notice = _retire(connection, tables, listing, live_before)
        owned, active = _totals(connection, tables)
    return SeedReport(
        rows=done.rows,
        inserted=done.inserted,
        updated=done.updated,
        unchanged=done.unchanged,
        foreign=done.foreign,
        forgotten=done.forgotten,
        retired=retired,
        reactivated=reactivated,
        refused_to_retire=refused,
        total_owned=owned,
        total_active=active,
        foreign_ids=done.foreign_ids,
        notices=(*tables.notices, *((notice,) if notice else ())),
    )


def take_turn(connection: psycopg.Connection, limits: Limits) -> None:
    """Wait until no other seeding of this database runs; the turn ends with the transaction.

    Raises:
        DatabaseError: another one did not end in time.
    """
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_TURN,)).fetchone()
    if row and row[0]:
        return
    _log.warning("Another seeding of this database is running: waiting for it, at most %g s.", limits.turn_s)
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (milliseconds(limits.turn_s),))
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
    except errors.LockNotAvailable:
        raise DatabaseError(
            f"Another seeding of this database has been running for over {limits.turn_s:g} s: run again after it."
        ) from None
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (milliseconds(limits.lock_s),))


def _reactivate(connection: psycopg.Connection, tables: Tables) -> int:
    """Switch on what we had switched off and is back."""
    names = {"t": tables.templates, "o": tables.owned}
    any_retired = sql.SQL("SELECT FROM {o} WHERE retired_at IS NOT NULL LIMIT 1").format(**names)
    if not connection.execute(any_retired).rowcount:
        return 0
    back = connection.execute(
        sql.SQL(
            """UPDATE {t} t SET "isActive" = true, "updatedAt" = localtimestamp(3) FROM {o} o, offered s
               WHERE o.template_id = t.id AND s.id = t.id AND o.retired_at IS NOT NULL AND NOT t."isActive" """
        ).format(**names)
    ).rowcount
    connection.execute(
        sql.SQL(
            """UPDATE {o} o SET retired_at = NULL FROM offered s
               WHERE s.id = o.template_id AND o.retired_at IS NOT NULL"""
        ).format(**names)
    )
    return back


_LIVE = """{o} o WHERE o.retired_at IS NULL AND o.forgotten_at IS NULL
             AND ({everything} OR o.source = ANY({sources}::text[]))
             AND EXISTS (SELECT FROM {t} t WHERE t.id = o.template_id AND t."isActive")"""
_GONE = _LIVE + " AND NOT EXISTS (SELECT FROM offered s WHERE s.id = o.template_id)"


def _from(which: LiteralString, tables: Tables, listing: Listing) -> sql.Composable:
    return sql.SQL(which).format(
        t=tables.templates,
        o=tables.owned,
        everything=sql.Literal(listing.everything),
        sources=sql.Literal(list(listing.complete_sources)),
    )


def _count(connection: psycopg.Connection, which: sql.Composable) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(which)).fetchone()
    return int(row[0]) if row else 0


def _count_live(connection: psycopg.Connection, tables: Tables, listing: Listing) -> int:
    """Our rows of the complete sources that are on: before new ones come, which must not widen the limit."""
    return _count(connection, _from(_LIVE, tables, listing))


def _retire(connection: psycopg.Connection, tables: Tables, listing: Listing, live: int) -> tuple[int, int, str]:
    """Switch off what is gone from complete listings: how many, how many not because they are too many, and why."""
    which = _from(_GONE, tables, listing)
    gone = _count(connection, which)
    if gone > RETIRE_AT_MOST * live and not listing.force:
        notice = (
            f"{gone} of {live} active templates are gone from the sources, more than {RETIRE_AT_MOST:.0%}: none was "
            "retired. Look at the sources; if it is right, force it."
        )
        return 0, gone, notice
    if gone:
        query = sql.SQL(
            """WITH marked AS (
                 UPDATE {o} SET retired_at = now() WHERE template_id IN (SELECT o.template_id FROM {which})
                 RETURNING template_id)
               UPDATE {t} t SET "isActive" = false, "updatedAt" = localtimestamp(3)
               FROM marked WHERE t.id = marked.template_id"""
        ).format(t=tables.templates, o=tables.owned, which=which)
        expect(connection.execute(query).rowcount, gone)
    return gone, 0, ""


def _totals(connection: psycopg.Connection, tables: Tables) -> tuple[int, int]:
    row = connection.execute(
        sql.SQL(
            """SELECT count(*), count(*) FILTER (WHERE t."isActive") FROM {t} t JOIN {o} o ON o.template_id = t.id
               WHERE o.forgotten_at IS NULL"""
        ).format(t=tables.templates, o=tables.owned)
    ).fetchone()
    return row or (0, 0)
