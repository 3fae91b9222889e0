from typing import Any

import pyarrow as pa
import pytest

from tasks.poses.expectations import Expectation, Verdict, expectations, picture_bytes, wilson
from tasks.schema.sources import FASHION, LIFESTYLE, PhotoSource, SourceKind
from tasks.schema.templates import PHOTO_SCHEMA, TEMPLATE_SCHEMA
from tests.poses.figures import described_row

SIZES = pa.table({"width": [512] * 100, "height": [512] * 100, "exif_orientation": [1] * 100})
CLOTHES = ["Dresses"] * 25 + ["Tees_Tanks"] * 20 + ["Jackets_Coats"] * 15 + ["Denim"] * 15 + ["Skirts"] * 25


def templates(rows: list[dict[str, Any]]) -> pa.Table:
    full = [described_row(f"r{i}") | row for i, row in enumerate(rows)]
    return pa.Table.from_pylist(full, schema=TEMPLATE_SCHEMA)


def table_of(
    source: PhotoSource,
    rows: list[dict[str, Any]],
    inspected: pa.Table = SIZES,
    rejected: dict[str, int] | None = None,
    stored: int | None = None,
) -> dict[str, Expectation]:
    lines = expectations(source, templates(rows), inspected, rejected or {}, stored)
    assert len({line.check for line in lines}) == len(lines)
    return {line.check: line for line in lines}


SPOKEN_FOR = ("category", "photos turned")
"""Lines that only count."""


def fashion(women: int = 60) -> list[dict[str, Any]]:
    return [{"gender": "female" if i < women else "male", "cloth": CLOTHES[i]} for i in range(100)]


def test_a_source_as_promised_is_ok() -> None:
    source = FASHION.model_copy(update={"limit": 100})
    found = table_of(source, fashion(), stored=22_000_000)
    assert {line.verdict for name, line in found.items() if not name.startswith(SPOKEN_FOR)} == {Verdict.OK}
    assert found["storage"].expected == "18.8 MB to 25.0 MB"
    assert found["gender: female"].as_row() == {
        "check": "gender: female",
        "expected": "about 60%",
        "found": "60% (60 of 100)",
        "verdict": "ok",
    }


REJECTED = {
    "duplicate_exact": 2,
    "duplicate_near": 1,
    "image_truncated": 1,
    "image_bomb": 1,
    "metadata_missing": 3,
    "metadata_without_file": 4,
}


def test_what_differs_says_so() -> None:
    sizes = pa.table({"width": [512] * 99 + [500], "height": [512] * 100, "exif_orientation": [1] * 98 + [6] * 2})
    found = table_of(FASHION, fashion(women=87), sizes, REJECTED, stored=5_000_000)
    for check in (
        "templates",
        "photo size",
        "storage",
        "gender: female",
        "gender: male",
        "exact duplicates left out",
        "near duplicates left out",
        "photos that do not decode",
        "metadata without a file",
        "files without metadata",
    ):
        assert found[check].verdict is Verdict.DIFFERS, check
    assert found["photos that do not decode"].found == "2"
    assert found["photos turned upright by EXIF"].found == "2"
    assert found["photo size"].found == "512 x 512: 99, 500 x 512: 1"
    assert found["templates"].found == "100"


def test_scenes_of_lifestyle() -> None:
    words = ["sports"] * 40 + ["urban"] * 30 + ["outdoor"] * 20 + ["indoor"] * 10 + ["general"] * 5
    rows = [{"subcategory": w, "category": "sports" if w == "sports" else "lifestyle"} for w in words]
    found = table_of(LIFESTYLE, rows)
    assert {found[f"scene: {w}"].verdict for w in ("sports", "urban", "outdoor", "indoor")} == {Verdict.OK}
    assert found["scene: unknown"].found == "5 of 105"
    assert (found["category: sports"].found, found["category: lifestyle"].found) == ("40", "65")
    assert found["photo size"].verdict is Verdict.NOT_APPLICABLE


def test_few_rows_are_not_judged() -> None:
    found = table_of(FASHION, fashion()[:10])
    assert found["gender: female"] == Expectation("gender: female", "about 60%", "10 of 10", Verdict.NOT_APPLICABLE)
    assert found["storage"].verdict is Verdict.NOT_APPLICABLE


def test_a_source_without_rows_is_told_without_a_crash() -> None:
    found = table_of(FASHION, [], SIZES.slice(0, 0), stored=0)
    assert found["templates"].verdict is Verdict.DIFFERS
    assert found["photo size"].found == "no photos"
    assert found["gender: female"].found == "none known"


def test_a_foreign_category_differs() -> None:
    found = table_of(FASHION, [{"category": "sports"}])
    assert found["category: sports"].verdict is Verdict.DIFFERS


def test_near_duplicates_that_nobody_looked_for_are_not_judged() -> None:
    source = FASHION.model_copy(update={"near_duplicates": False})
    assert table_of(source, fashion())["near duplicates left out"].verdict is Verdict.NOT_APPLICABLE


def test_picture_bytes_counts_all_columns() -> None:
    rows = [
        {"sample_id": "a", "source_uri": "", "licence": "", "source": "s", "category": "fashion"}
        | {"image": {"bytes": b"x" * 100, "path": None}, "mask": {"bytes": b"x" * 20, "path": None}},
        {"sample_id": "b", "source_uri": "", "licence": "", "source": "s", "category": "fashion"},
    ]
    assert picture_bytes(pa.Table.from_pylist(rows, schema=PHOTO_SCHEMA)) == 120
    assert picture_bytes(PHOTO_SCHEMA.empty_table()) == 0


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 0.0370), (50, 0.4038, 0.5962), (100, 0.9630, 1)])
def test_wilson(count: int, low: float, high: float) -> None:
    """Values as statsmodels' proportion_confint(method="wilson") gives them for 100 trials."""
    assert wilson(count, 100) == pytest.approx((low, high), abs=1e-4)


def test_mannequins_are_judged_by_nothing_they_were_not_made_for() -> None:
    rendered = FASHION.model_copy(update={"kind": SourceKind.MANNEQUINS, "location": ""})
    found = table_of(rendered, fashion(), stored=1)
    assert found["near duplicates left out"].expected == "not looked for"
    assert found["storage"].verdict is Verdict.NOT_APPLICABLE
    assert not any(name.startswith(("gender", "cloth")) for name in found)


@pytest.mark.parametrize("kind", [SourceKind.VIDEO, SourceKind.MANNEQUINS])
def test_what_looks_alike_by_nature_keeps_its_near_duplicates(kind: SourceKind) -> None:
    source = LIFESTYLE.model_copy(update={"kind": kind})
    assert source.near_duplicates
    assert not source.drops_near_duplicates
    assert LIFESTYLE.drops_near_duplicates
