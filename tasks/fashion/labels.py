"""From the names that annotations give to clothes, to garments, to the one category of a photo."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Final

import polars as pl
import pyarrow as pa

from tasks.schema.fashion import CATEGORIES, GARMENTS, LABELLED_SCHEMA
from tasks.schema.records import Frozen
from tasks.shards.stage import Side, Stage, StageOutput

BOTTOMS: Final = frozenset({"pants", "shorts", "skirt"})
SHOES: Final = frozenset({"boots", "footwear"})
ACCESSORIES: Final = frozenset({"belt", "sunglasses", "headwear", "scarf/tie"})

_SPELLINGS: Final = {
    **{name: name for name in GARMENTS},
    **{f"{name}s": name for name in ("bag", "belt", "top", "skirt")},
    "boot": "boots",
    "dresses": "dress",
    "outerwear": "outer",
    "sunglass": "sunglasses",
    "short": "shorts",
    **dict.fromkeys(("scarf tie", "scarf and tie", "tie scarf", "scarf", "tie"), "scarf/tie"),
}
"""Other spellings of ModaNet's names, as exports of it have them; small letters, words apart by one space."""


@cache
def garment_of(name: str) -> str | None:
    """The garment that a category's name means, whatever its case and signs; None: none of `GARMENTS`."""
    return _SPELLINGS.get(name) or _SPELLINGS.get(" ".join(re.findall(r"[a-z]+", name.lower())))


def garments_of(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `GARMENTS` that the names mean, in that order, each once; other names are passed over."""
    meant = {garment_of(name) for name in names}
    return tuple(garment for garment in GARMENTS if garment in meant)


def unknown_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names that mean none of `GARMENTS`, ordered, each once."""
    return tuple(sorted({name for name in names if garment_of(name) is None}))


def category_of(garments: Collection[str]) -> str:
    """The one of `CATEGORIES` that a photo with these garments counts as: the first that fits.

    A top with bottoms is "top+bottom"; a top without any is none of them, so that it is "other" where nothing else is
    in the photo.
    """
    worn = frozenset(garments)
    fits = {
        "dress": "dress" in worn,
        "outerwear": "outer" in worn,
        "top+bottom": "top" in worn and not worn.isdisjoint(BOTTOMS),
        "bottoms": not worn.isdisjoint(BOTTOMS),
        "footwear": not worn.isdisjoint(SHOES),
        "bag": "bag" in worn,
        "accessory": not worn.isdisjoint(ACCESSORIES),
        "other": True,
    }
    return next(category for category in CATEGORIES if fits[category])


def category_column(garments: pl.Series) -> pl.Series:
    """`category_of` of every row of a column of lists of `GARMENTS`, each once; null where the list is null."""
    bit = pl.element().cast(pl.Enum(GARMENTS)).to_physical()
    sets = garments.list.eval(pl.lit(1, pl.UInt32) * pl.lit(2, pl.UInt32).pow(bit)).list.sum()
    return _category_by_set().gather(sets).alias("category")


@cache
def _category_by_set() -> pl.Series:
    """`category_of` of every set of garments, where bit n says that garment n is in it."""
    sets = range(1 << len(GARMENTS))
    return pl.Series([category_of([name for n, name in enumerate(GARMENTS) if each >> n & 1]) for each in sets])


class LabelsConfig(Frozen):
    """Nothing decides but the table of categories, which is the stage's version."""


@dataclass(frozen=True)
class Labels(Stage):
    """Photos that decode (primary: `INSPECTED_SCHEMA`) with what their source says of them, and their category."""

    config: LabelsConfig = field(default_factory=LabelsConfig)

    name: ClassVar[str] = "labels"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (
        Side(("source", "original_dataset", "image_path", "split", "designer", "season", "author", "garments")),
    )
    batch_rows: ClassVar[int] = 4096

    @property
    def schema(self) -> pa.Schema:
        return LABELLED_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        """Facts: photos of each category and with each garment, and `unlabelled`."""
        categories: Counter[str | None] = Counter()
        garments: Counter[str] = Counter()
        for batch in batches:
            worn = pl.Series(pl.from_arrow(batch["garments"]), dtype=pl.List(pl.String))
            category = category_column(worn)
            categories.update(category.to_list())
            garments.update(worn.explode(empty_as_null=False, keep_nulls=False).to_list())
            yield StageOutput(batch.append_column("category", category.to_arrow().cast(pa.string())))
        facts: dict[str, Any] = {
            "categories": {name: categories[name] for name in CATEGORIES},
            "garments": {name: garments[name] for name in GARMENTS},
            "unlabelled": categories[None],
        }
        yield StageOutput(LABELLED_SCHEMA.empty_table(), facts=facts)
