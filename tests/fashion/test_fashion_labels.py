"""From annotated names to garments to one category: against a table of its own, on the real ModaNet file too."""

import json
from collections import Counter, defaultdict
from itertools import chain, combinations
from pathlib import Path

import polars as pl
import pytest

from tasks.fashion.labels import category_column, category_of, garments_of, unknown_names
from tasks.ingest.coco_file import parse_coco
from tasks.schema.fashion import GARMENTS

ORACLE = """
dress:       dress
outerwear:   outer
top+bottom:  top pants, top shorts, top skirt
bottoms:     pants, shorts, skirt
footwear:    boots, footwear
bag:         bag
accessory:   belt, sunglasses, headwear, scarf/tie
"""
"""Category: sets of garments that suffice for it; the first line that fits counts, else `other`. Source: the seed."""


def oracle(garments: frozenset[str]) -> str:
    for line in ORACLE.strip().splitlines():
        category, sets = line.split(":")
        if any(garments >= set(each.split()) for each in sets.split(",")):
            return category
    return "other"


def subsets() -> list[frozenset[str]]:
    sizes = (combinations(GARMENTS, size) for size in range(len(GARMENTS) + 1))
    return [frozenset(each) for each in chain.from_iterable(sizes)]


def test_every_set_of_garments_has_its_category() -> None:
    sets = subsets()
    assert len(sets) == 8192
    wanted = [oracle(each) for each in sets]
    assert [category_of(each) for each in sets] == wanted
    assert [category_of(sorted(each, reverse=True)) for each in sets] == wanted
    column = pl.Series([*map(sorted, sets), None], dtype=pl.List(pl.String))
    assert category_column(column).to_list() == [*wanted, None]


def test_a_column_without_rows_and_one_of_nulls() -> None:
    assert category_column(pl.Series([], dtype=pl.List(pl.String))).to_list() == []
    assert category_column(pl.Series([None, None], dtype=pl.List(pl.String))).to_list() == [None, None]


@pytest.mark.parametrize(
    ("names", "garments"),
    [
        (("scarf & tie",), ("scarf/tie",)),
        (("Scarf and Tie", "SCARF_TIE", "scarf-tie"), ("scarf/tie",)),
        (("Top", " TOP ", "tops"), ("top",)),
        (("skirt", "bag", "bag"), ("bag", "skirt")),
        (("laptop", "hat", "fashion", "", "#7", "dressing gown"), ()),
    ],
)
def test_spellings(names: tuple[str, ...], garments: tuple[str, ...]) -> None:
    assert garments_of(names) == garments
    assert unknown_names(names) == (() if garments else tuple(sorted(names)))


def test_every_garment_means_itself() -> None:
    assert garments_of(reversed(GARMENTS)) == GARMENTS


@pytest.mark.real
def test_all_combinations_of_modanet(real_data: Path) -> None:
    data = (real_data / "people" / "modanet" / "modanet_instances_val.json").read_bytes()
    said = json.loads(data)
    names = {each["id"]: each["name"] for each in said["categories"]}
    by_id = defaultdict(set)
    for each in said["annotations"]:
        by_id[each["image_id"]].add(names[each["category_id"]])
    assert (len(said["images"]), len(by_id)) == (1073, 1072)
    assert len(set(map(frozenset, by_id.values()))) == 351

    parsed = parse_coco(data, "ModaNet")
    assert not parsed.faults
    ours = {name: None if image.labels is None else garments_of(image.labels) for name, image in parsed.images.items()}
    wanted = {each["file_name"]: by_id.get(each["id"]) for each in said["images"]}
    assert {name: labels and set(labels) for name, labels in ours.items()} == wanted
    categories = {labels: category_of(labels) for labels in ours.values() if labels is not None}
    assert len(categories) == 351
    assert all(category == oracle(frozenset(labels)) for labels, category in categories.items())
    counted = Counter(categories[labels] for labels in ours.values() if labels is not None)
    assert counted == {
        "top+bottom": 405,
        "outerwear": 355,
        "dress": 305,
        "other": 3,
        "footwear": 2,
        "bottoms": 1,
        "accessory": 1,
    }
