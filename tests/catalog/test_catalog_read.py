from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from tasks.catalog import read
from tasks.catalog.connect import Limits, connected
from tasks.catalog.read import (
    Sort,
    Statistic,
    TemplateFilter,
    count_templates,
    find_templates,
    load_keypoints,
)
from tasks.catalog.rows import KeypointsForm, TagsForm, template_rows
from tasks.catalog.seed import seed_templates
from tasks.schema.errors import DatabaseError
from tasks.schema.ids import template_id

Make = Callable[..., pa.Table]
COUNT = 120


@pytest.fixture
def seeded(database: str, connection: psycopg.Connection, make_rows: Make) -> str:
    """120 templates; the application counted in them, and one is off."""
    seed_templates(database, [make_rows(COUNT)], "build-1")
    connection.execute(
        """UPDATE pose_templates SET "usageCount" = number % 10, "successRate" = number / 120.0,
             "createdAt" = timestamp '2025-01-01' + number * interval '1 hour', "isActive" = number <> 5
           FROM (SELECT id AS same, split_part(description, ' ', 2)::int AS number FROM pose_templates)
           WHERE id = same"""
    )
    return database


def numbers(page: object) -> list[int]:
    return [int(template.description.split()[1]) for template in page.templates]  # type: ignore[attr-defined]


def test_filters_of_the_application(seeded: str) -> None:
    alive = [i for i in range(COUNT) if i != 5]
    cases: list[tuple[TemplateFilter, list[int]]] = [
        (TemplateFilter(), alive),
        (TemplateFilter(inactive_too=True), list(range(COUNT))),
        (TemplateFilter(category="sports"), [i for i in alive if i % 3 == 2]),
        (TemplateFilter(difficulty="easy", gender="male"), [i for i in alive if i % 3 == 0 and i % 4 == 1]),
        (TemplateFilter(tags=("half-body",)), [i for i in alive if i % 2]),
        (
            TemplateFilter(tags=("half-body", "standing"), category="fashion"),
            [i for i in alive if i % 2 and i % 3 == 0],
        ),
        (TemplateFilter(tags=("half",)), []),
        (TemplateFilter(category="it's"), []),
        (TemplateFilter(at_least_success=0.9), [i for i in alive if i / 120 >= 0.9]),
    ]
    for where, expected in cases:
        page = find_templates(seeded, where, page_size=COUNT)
        assert sorted(numbers(page)) == expected, where
        assert page.total == len(expected)


def test_orders_of_the_application(seeded: str) -> None:
    popular = find_templates(seeded, sort=Sort.POPULAR, page_size=11).templates
    assert [template.usage_count for template in popular] == [9] * 11
    quality = [template.quality for template in find_templates(seeded, sort=Sort.QUALITY, page_size=COUNT).templates]
    assert quality == sorted(quality, reverse=True)
    assert numbers(find_templates(seeded, sort=Sort.RECENT, page_size=3)) == [119, 118, 117]
    shuffled = [tuple(numbers(find_templates(seeded, sort=Sort.RANDOM, page_size=COUNT))) for _ in range(2)]
    assert shuffled[0] != shuffled[1]
    assert sorted(shuffled[0]) == sorted(shuffled[1])


def test_pages_hold_every_template_once(seeded: str) -> None:
    pages = [find_templates(seeded, sort=Sort.POPULAR, page=i, page_size=50) for i in range(4)]
    assert [len(page.templates) for page in pages] == [50, 50, 19, 0]
    assert len({template.id for page in pages for template in page.templates}) == COUNT - 1


def test_statistics_of_the_application(seeded: str) -> None:
    everything = TemplateFilter(inactive_too=True)
    assert count_templates(seeded, Statistic.CATEGORY, everything) == {"fashion": 40, "lifestyle": 40, "sports": 40}
    assert count_templates(seeded, Statistic.DIFFICULTY) == {"easy": 40, "medium": 40, "hard": 39}
    assert count_templates(seeded, Statistic.GENDER, everything) == {"female": 30, "male": 30, "unisex": 30, None: 30}


def test_keypoints_load_as_they_were_seeded(seeded: str, make_templates: Make) -> None:
    table = make_templates(COUNT)
    keypoints = load_keypoints(seeded, template_id("mannequins/000042"))
    expected = np.array(table["keypoints_xy"][42].as_py()[:34], np.float32).reshape(17, 2)
    np.testing.assert_allclose(keypoints.xy[0, :17], expected, atol=0.0051)
    assert keypoints.present.tolist() == [[True] * 17 + [False]]
    with pytest.raises(DatabaseError, match="no template pt_nobody"):
        load_keypoints(seeded, "pt_nobody")


def test_the_other_forms_read_as_well(database: str, make_templates: Make) -> None:
    table = make_templates(4)
    urls = dict.fromkeys(table["sample_id"].to_pylist(), "https://pictures.test/")
    rows = template_rows(table, urls, KeypointsForm.LIST, TagsForm.COMMA)
    seed_templates(database, [rows], "build-1")
    assert find_templates(database, TemplateFilter(tags=("half-body",))).total == 2
    assert find_templates(database).templates[0].tags[0] == "standing"
    assert len(load_keypoints(database, template_id("mannequins/000001"))) == 1


CATEGORY, SUCCESS, KEY = "pose_templates_category_isActive_idx", "pose_templates_successRate_idx", "pose_templates_pkey"


class Explaining(psycopg.Cursor[Any]):
    """Keeps the plan of every statement on the application's table, which then runs as ever."""

    plans: ClassVar[list[str]] = []

    def execute(self, query: Any, params: Any = None, **more: Any) -> Self:
        text = query.as_string(self.connection) if isinstance(query, sql.Composable) else query
        if '"pose_templates"' in text:
            plan = psycopg.Cursor(self.connection).execute(f"EXPLAIN {text}", params).fetchall()
            self.plans.append("\n".join(line for (line,) in plan))
        return super().execute(query, params, **more)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Plans of what the functions under test ask, in their order."""

    @contextmanager
    def explained(database: str, limits: Limits) -> Iterator[psycopg.Connection]:
        with connected(database, limits) as connection:
            connection.cursor_factory = Explaining
            yield connection

    monkeypatch.setattr(read, "connected", explained)
    monkeypatch.setattr(Explaining, "plans", [])
    return Explaining.plans


@pytest.fixture
def many(database: str, connection: psycopg.Connection, make_rows: Make) -> str:
    """4000 templates: 90 % fashion, 9 % lifestyle, 1 % sports; success from 0 to 1."""
    seed_templates(
        database, [make_rows(4000, category=["fashion"] * 3600 + ["lifestyle"] * 360 + ["sports"] * 40)], "build-1"
    )
    connection.execute("UPDATE pose_templates SET \"successRate\" = split_part(description, ' ', 2)::int / 4000.0")
    connection.execute("VACUUM ANALYZE pose_templates")
    return database


def test_what_the_indexes_of_the_application_serve(many: str, connection: psycopg.Connection, plans: list[str]) -> None:
    sports = TemplateFilter(category="sports")
    served: list[tuple[str, Callable[[], object]]] = [
        (KEY, lambda: load_keypoints(many, template_id("mannequins/000042"))),
        (SUCCESS, lambda: find_templates(many, TemplateFilter(at_least_success=0.995))),
        (CATEGORY, lambda: count_templates(many, Statistic.CATEGORY)),
        (CATEGORY, lambda: count_templates(many, Statistic.CATEGORY, sports)),
        (CATEGORY, lambda: find_templates(many, replace(sports, difficulty="easy", gender="male"))),
        (CATEGORY, lambda: find_templates(many, replace(sports, tags=("half-body",)))),
        (CATEGORY, lambda: find_templates(many, TemplateFilter(category="lifestyle"))),
        *(
            (CATEGORY, partial(find_templates, many, sports, sort, page))
            for sort in (Sort.POPULAR, Sort.QUALITY, Sort.RECENT)
            for page in (0, 1)
        ),
    ]
    for index, ask in served:
        plans.clear()
        ask()
        assert plans
        assert all(index in plan and "Seq Scan" not in plan for plan in plans), plans
    best = 'EXPLAIN SELECT * FROM pose_templates ORDER BY "successRate" DESC LIMIT 20'
    assert "pose_templates_successRate_idx" in str(connection.execute(best).fetchall())


def test_what_the_indexes_of_the_application_cannot_serve(many: str, plans: list[str]) -> None:
    """Every template is read; the application's schema decides about more indexes."""
    unserved: dict[str, Callable[[], object]] = {
        "popular, all categories": partial(find_templates, many, sort=Sort.POPULAR),
        "quality, all categories": partial(find_templates, many, sort=Sort.QUALITY),
        "recent, all categories": partial(find_templates, many, sort=Sort.RECENT),
        "random, all categories": partial(find_templates, many, sort=Sort.RANDOM),
        "tags alone": partial(find_templates, many, TemplateFilter(tags=("half-body",))),
        "difficulty alone": partial(find_templates, many, TemplateFilter(difficulty="hard")),
        "gender alone": partial(find_templates, many, TemplateFilter(gender="male")),
        "statistics by difficulty": partial(count_templates, many, Statistic.DIFFICULTY),
        "statistics by gender": partial(count_templates, many, Statistic.GENDER),
    }
    for name, ask in unserved.items():
        plans.clear()
        ask()
        assert "Seq Scan" in plans[0], name
    plans.clear()
    find_templates(many, TemplateFilter(category="sports"), Sort.RANDOM)
    assert CATEGORY in plans[0]
    assert "Sort Key: (random())" in plans[0]  # found by index, but all of the category are drawn for and sorted
