"""What the application asks of `pose_templates`, as SQL: filter, sort, page, count, load keypoints."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from psycopg import sql
from psycopg.rows import dict_row

from tasks.catalog.connect import DEFAULT_LIMITS, Limits, connected
from tasks.catalog.rows import parse_tags
from tasks.catalog.table import COLUMNS, find_tables
from tasks.schema.errors import DatabaseError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints

_FIELDS = {
    "keypointsJson": "keypoints_json",
    "previewUrl": "preview_url",
    "usageCount": "usage_count",
    "successRate": "success_rate",
    "avgQualityScore": "quality",
    "productPlacement": "product_placement",
    "isActive": "is_active",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


class Sort(StrEnum):
    """Orders that the application offers; equal rows follow their ids."""

    POPULAR = "popular"
    QUALITY = "quality"
    RECENT = "recent"
    RANDOM = "random"


_ORDERS = {
    Sort.POPULAR: sql.SQL('"usageCount" DESC, id'),
    Sort.QUALITY: sql.SQL('"avgQualityScore" DESC, id'),
    Sort.RECENT: sql.SQL('"createdAt" DESC, id'),
    Sort.RANDOM: sql.SQL("random()"),
}


class Statistic(StrEnum):
    """Columns that templates are counted by."""

    CATEGORY = "category"
    DIFFICULTY = "difficulty"
    GENDER = "gender"


@dataclass(frozen=True)
class TemplateFilter:
    """Which templates; None: any. `tags`: all of them. Only active templates, unless told."""

    category: str | None = None
    difficulty: str | None = None
    gender: str | None = None
    tags: tuple[str, ...] = ()
    at_least_success: float | None = None
    inactive_too: bool = False


@dataclass(frozen=True)
class StoredTemplate:
    """A row as the application sees it; times are UTC without a zone, as Prisma keeps them."""

    id: str
    category: str
    subcategory: str | None
    keypoints_json: str
    preview_url: str
    difficulty: str
    tags: tuple[str, ...]
    description: str | None
    usage_count: int
    success_rate: float
    quality: float
    gender: str | None
    product_placement: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Page:
    """One page of templates, and how many there are on all pages."""

    templates: tuple[StoredTemplate, ...]
    total: int


def find_templates(
    database: str,
    where: TemplateFilter = TemplateFilter(),
    sort: Sort = Sort.POPULAR,
    page: int = 0,
    page_size: int = 20,
    limits: Limits = DEFAULT_LIMITS,
) -> Page:
    """One page, counted from 0, of the templates that `where` lets through.

    Raises:
        DatabaseError: the database is out of reach, or was never seeded.
    """
    with connected(database, limits) as connection, connection.cursor(row_factory=dict_row) as cursor:
        table = find_tables(connection).templates
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in COLUMNS)
        cursor.execute(
            sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {} OFFSET {}").format(
                names, table, condition(where), _ORDERS[sort], sql.Literal(page_size), sql.Literal(page * page_size)
            )
        )
        templates = tuple(_stored(row) for row in cursor)
        cursor.execute(sql.SQL("SELECT count(*) AS total FROM {} WHERE {}").format(table, condition(where)))
        counted = cursor.fetchone()
    return Page(templates, counted["total"] if counted else 0)


def count_templates(
    database: str, by: Statistic, where: TemplateFilter = TemplateFilter(), limits: Limits = DEFAULT_LIMITS
) -> dict[str | None, int]:
    """How many templates have each value of a column, most first.

    Raises:
        DatabaseError: the database is out of reach, or was never seeded.
    """
    with connected(database, limits) as connection:
        query = sql.SQL("SELECT {by}, count(*) FROM {table} WHERE {where} GROUP BY 1 ORDER BY 2 DESC, 1").format(
            by=sql.Identifier(by.value), table=find_tables(connection).templates, where=condition(where)
        )
        return dict(connection.execute(query).fetchall())


def load_templates(database: str, ids: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> dict[str, StoredTemplate]:
    """The templates of some ids, active or not; ids that no template has are left out.

    Raises:
        DatabaseError: the database is out of reach, or was never seeded.
    """
    with connected(database, limits) as connection, connection.cursor(row_factory=dict_row) as cursor:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in COLUMNS)
        query = sql.SQL("SELECT {} FROM {} WHERE id = ANY(%s)").format(names, find_tables(connection).templates)
        return {row["id"]: _stored(row) for row in cursor.execute(query, (list(ids),))}


def load_keypoints(database: str, template: str, limits: Limits = DEFAULT_LIMITS) -> Keypoints:
    """The person of a template, OpenPose-18, pixels of its canvas.

    Raises:
        DatabaseError: the database is out of reach, or has no such template.
    """
    with connected(database, limits) as connection:
        query = sql.SQL('SELECT "keypointsJson" FROM {} WHERE id = %s').format(find_tables(connection).templates)
        row = connection.execute(query, (template,)).fetchone()
    if row is None:
        raise DatabaseError(f"There is no template {template}.")
    return parse_keypoints(row[0])


def parse_keypoints(text: str) -> Keypoints:
    """The people of a `keypointsJson`, in either of its forms.

    Raises:
        ShapeError: it does not hold 18 joints a person.
    """
    read = json.loads(text)
    if isinstance(read, list):
        people = [[number for joint in read for number in (joint["x"], joint["y"], joint["confidence"])]]
    else:
        people = [person["pose_keypoints_2d"] for person in read["people"]]
    values = np.asarray(people, np.float64).reshape(len(people), -1, 3)
    return Keypoints.from_arrays(OPENPOSE_18, values[:, :, :2], values[:, :, 2])


def condition(where: TemplateFilter) -> sql.Composable:
    """A filter as the condition of a query."""
    parts: list[sql.Composable] = [] if where.inactive_too else [sql.SQL('"isActive"')]
    for name, value in (("category", where.category), ("difficulty", where.difficulty), ("gender", where.gender)):
        if value is not None:
            parts.append(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)))
    if where.at_least_success is not None:
        parts.append(sql.SQL('"successRate" >= {}').format(sql.Literal(where.at_least_success)))
    for tag in where.tags:
        listed, joined = json.dumps(tag, ensure_ascii=False), f",{tag},"
        parts.append(
            sql.SQL("(strpos(tags, {}) > 0 OR strpos(',' || tags || ',', {}) > 0)").format(
                sql.Literal(listed), sql.Literal(joined)
            )
        )
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")


def _stored(row: Mapping[str, object]) -> StoredTemplate:
    values = {_FIELDS.get(name, name): value for name, value in row.items()}
    return StoredTemplate(**values | {"tags": parse_tags(str(row["tags"]))})  # type: ignore[arg-type]
