"""Take templates out for good: only ours, and never what the application made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from tasks.catalog.connect import DEFAULT_LIMITS, Limits, connected
from tasks.catalog.seed import take_turn
from tasks.catalog.table import Tables, exists, find_tables

_REFERENCE_COLUMN = "poseTemplateId"
"""The application's name for a reference; found by name, too, since Prisma can do without foreign keys."""


@dataclass(frozen=True)
class ForgetReport:
    """What `forget` did.

    Args:
        deleted: rows that are gone.
        scrubbed: rows that the application refers to: emptied and switched off, because deleting them would delete or
            orphan what it made.
        not_ours: ids that we never seeded; left as they are.
    """

    deleted: int
    scrubbed: int
    not_ours: tuple[str, ...]


def forget(database: str, ids: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> ForgetReport:
    """Delete templates and keep them out: a later seeding leaves these ids out, whatever build it comes from.

    Args:
        database: connection URI.
        ids: of templates, `pt_...`.
    Raises:
        DatabaseError: the database is out of reach, or was never seeded; nothing was forgotten.
    """
    wanted = list(dict.fromkeys(ids))
    with connected(database, limits) as connection:
        take_turn(connection, limits)
        tables = find_tables(connection)
        if not exists(connection, tables.owned):
            return ForgetReport(0, 0, tuple(wanted))
        names = {"t": tables.templates, "o": tables.owned, "v": tables.vectors}
        ours = {
            template
            for (template,) in connection.execute(
                sql.SQL(
                    """UPDATE {o} SET sample_id = NULL, digest = '', retired_at = NULL,
                         forgotten_at = coalesce(forgotten_at, now())
                       WHERE template_id = ANY(%s) RETURNING template_id"""
                ).format(**names),
                (wanted,),
            )
        }
        if exists(connection, tables.vectors):
            connection.execute(sql.SQL("DELETE FROM {v} WHERE template_id = ANY(%s)").format(**names), (list(ours),))
        referred = sql.SQL(" OR ").join(
            sql.SQL("EXISTS (SELECT FROM {} r WHERE r.{} = t.id)").format(table, column)
            for table, column in _references(connection, tables)
        )
        used = sql.SQL("({})").format(referred) if referred.as_string(connection) else sql.SQL("false")
        scrubbed = connection.execute(
            sql.SQL(
                """UPDATE {t} t SET "keypointsJson" = '{{"version":1.3,"people":[]}}', "previewUrl" = '', tags = '[]',
                     subcategory = NULL, description = NULL, gender = NULL, "productPlacement" = NULL,
                     "isActive" = false, "updatedAt" = localtimestamp(3)
                   WHERE t.id = ANY(%s) AND {used}"""
            ).format(**names, used=used),
            (list(ours),),
        ).rowcount
        deleted = connection.execute(
            sql.SQL("DELETE FROM {t} t WHERE t.id = ANY(%s) AND NOT {used}").format(**names, used=used), (list(ours),)
        ).rowcount
    return ForgetReport(deleted, scrubbed, tuple(template for template in wanted if template not in ours))


def _references(connection: psycopg.Connection, tables: Tables) -> tuple[tuple[sql.Composable, sql.Composable], ...]:
    """Tables and columns that refer to a template."""
    found = connection.execute(
        """SELECT n.nspname, c.relname, a.attname FROM pg_attribute a
             JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
             JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_class t ON t.oid = to_regclass(%s)
           WHERE NOT a.attisdropped AND (
             (a.attname = %s AND c.relnamespace = t.relnamespace AND a.atttypid = 'text'::regtype)
             OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = t.oid
                          AND f.conrelid = c.oid AND f.conkey = ARRAY[a.attnum]))""",
        (tables.templates.as_string(connection), _REFERENCE_COLUMN),
    )
    return tuple((sql.Identifier(schema, table), sql.Identifier(column)) for schema, table, column in found)
