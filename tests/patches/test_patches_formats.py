"""Formats and categories: the seed's own, and what others must be like."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.patches.formats import FORMATS, SEED_CATEGORIES, PatchCategory, PatchFormat
from tasks.schema.films import CATEGORIES

LOW = {
    "small_540": (180, 180),
    "medium_169": (240, 135),
    "large_720": (240, 240),
    "xlarge_1440": (480, 270),
    "fullhd_1920": (640, 360),
}


def test_the_seeds_formats_have_its_sizes_and_folders() -> None:
    assert {name: each.low_size for name, each in FORMATS.items()} == LOW
    assert [each.folder for each in FORMATS.values()] == [
        "Patches",
        "Patches_Medium169",
        "Patches_Large",
        "Patches_XLarge169",
        "Patches_FullHD",
    ]


def test_the_seeds_categories_use_formats_that_are_there() -> None:
    assert tuple(each.name for each in SEED_CATEGORIES) == CATEGORIES
    assert {name for each in SEED_CATEGORIES for name in each.formats} <= FORMATS.keys()


@pytest.mark.parametrize(
    "other", [{"width": 541}, {"height": 10}, {"width": 9000}, {"folder": "../x"}, {"folder": "/x"}, {"name": "A b"}]
)
def test_formats_that_cannot_be_cut_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PatchFormat.model_validate({"name": "x", "width": 540, "height": 540, "folder": "Patches", **other})


def test_shares_add_up_to_one() -> None:
    with pytest.raises(ValidationError, match=r"add up to 0\.9, not to 1"):
        PatchCategory(name="x", folder="X", formats={"small_540": 0.5, "medium_169": 0.4})
