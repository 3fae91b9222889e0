"""README.md of the tables of the runway and the street: where they come from, and what is in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from tasks.audit.rates import ErrorRate
from tasks.exports.card import build_sections, column_kind, markdown_table, plain, size_category
from tasks.schema.fashion import CATEGORIES, GARMENTS, RUNWAY, STREET
from tasks.shards.manifest import Manifest

_TERMS: Final = (
    "Each row carries the licence that its source states, and its address; the photos themselves are not in here. "
    "People can be recognised in them. Whoever uses this data answers for a lawful purpose and basis."
)

_PREDICTED: Final = (
    "**Predicted categories and all probabilities come from a classifier**, and no person checked them. It learned "
    "from the labels of street photos, and runway photos are of another kind: take `pred_category` for a guess, with "
    "`confidence` as its calibrated probability. `abstained`: the confidence is below the classifier's threshold. "
    "`category_probabilities` and `garment_probabilities` are in the order below, null for what it did not learn."
)

_LABELS: Final = (
    "`garments` are what people annotated, null where nobody did; `category` follows from them by precedence, in the "
    "order of the table, so that a dress hides a bag. A top without bottoms is `other` where nothing else is seen. "
    "`group_id`: photos that nearly repeat one another or are of one author; a group is in one `fold`."
)

_CSV: Final = {
    "data/master_metadata_initial.csv": "every photo",
    "data/modanet_labels.csv": "annotated photos; a file name that several photos have is told with its folders",
    "data/master_metadata_with_category.csv": "photos with features and a predicted category; feature_row is the row "
    "of the features",
}

_LOAD: Final = """```python
from datasets import load_dataset

looks = load_dataset("path/to/this/folder", split="train")
```"""


@dataclass(frozen=True)
class FashionCount:
    """Photos that are alike in all that the card counts."""

    source: str
    original_dataset: str
    licence: str
    category: str | None
    pred_category: str | None
    abstained: bool | None
    classifier: str | None
    fold: str
    len: int


@dataclass(frozen=True)
class FashionFacts:
    """What the card says of the rows."""

    counts: Sequence[FashionCount]

    def count(self, *columns: str) -> Counter[tuple[str | None, ...]]:
        """Photos by the values of columns, in order."""
        counted: Counter[tuple[str | None, ...]] = Counter()
        for each in self.counts:
            counted[tuple(getattr(each, name) for name in columns)] += each.len
        return counted

    @property
    def photos(self) -> dict[str, int]:
        """Photos of each side."""
        counted = self.count("source")
        return {side: counted[side,] for side in (RUNWAY, STREET)}

    @property
    def labelled(self) -> int:
        return sum(each.len for each in self.counts if each.category is not None)

    @property
    def predicted(self) -> int:
        return sum(each.len for each in self.counts if each.pred_category is not None)

    @property
    def abstained(self) -> int:
        return sum(each.len for each in self.counts if each.abstained)


def fashion_card(
    facts: FashionFacts,
    title: str,
    schema: pa.Schema,
    manifest: Manifest | None = None,
    audited: Sequence[ErrorRate] = (),
    *,
    with_category: bool,
) -> str:
    """README.md with the hub's YAML header; equal facts give equal text.

    Args:
        schema: of the Parquet files.
        with_category: whether there is a table of predicted categories.
    """
    total = sum(facts.photos.values())
    sources = [(*key, count) for key, count in facts.count("source", "original_dataset", "licence").items()]
    files = [(name, what) for name, what in _CSV.items() if with_category or "with_category" not in name]
    sections = [
        f"# {plain(title)}",
        f"{total} photos of clothes, {facts.photos[RUNWAY]} of the runway and {facts.photos[STREET]} of the street: "
        f"{facts.labelled} labelled by people, {facts.predicted} with a category from a classifier."
        if total
        else "**Empty**: no photo is in the dataset, so there is nothing to load.",
        f"## Sources and licences\n\n{_TERMS}\n\n"
        + markdown_table(("side", "dataset", "licence", "photos"), sorted(sources)),
        f"## Labels\n\n{_LABELS}\n\n" + markdown_table(("category", "runway", "street"), _sides(facts, "category")),
        *_predictions(facts),
        *build_sections(manifest, audited),
        "## Files\n\n" + markdown_table(("file", "rows"), [*files, ("looks/*.parquet", "every photo, all columns")]),
        *([_LOAD] if total else []),
        "## Columns\n\n" + markdown_table(("column", "type"), [(each.name, column_kind(each.type)) for each in schema]),
    ]
    return _header(title, total) + "\n" + "\n\n".join(sections) + "\n"


def _sides(facts: FashionFacts, column: str) -> list[tuple[str, int, int]]:
    """Photos of each category on each side, and those without one."""
    counted = facts.count(column, "source")
    words = [(category, category) for category in CATEGORIES] + [("none", None)]
    return [(told, counted[word, RUNWAY], counted[word, STREET]) for told, word in words]


def _predictions(facts: FashionFacts) -> list[str]:
    if not facts.predicted:
        return ["## Predictions\n\nThere are none."]
    models = ", ".join(f"`{plain(str(name))}`" for (name,) in facts.count("classifier") if name)
    orders = [("category_probabilities", ", ".join(CATEGORIES)), ("garment_probabilities", ", ".join(GARMENTS))]
    return [
        f"## Predictions\n\n{_PREDICTED}\n\nOf {facts.predicted} predictions the classifier abstained from "
        f"{facts.abstained}. Classifier: {models}.\n\n"
        + markdown_table(("predicted", "runway", "street"), _sides(facts, "pred_category"))
        + "\n\n"
        + markdown_table(("column", "order"), orders)
    ]


def _header(title: str, total: int) -> str:
    """The YAML header; a split without rows is not named, because `datasets` does not load it."""
    from huggingface_hub import DatasetCardData

    every = {"config_name": "default", "data_files": [{"split": "train", "path": "looks/*.parquet"}]}
    card = DatasetCardData(
        pretty_name=plain(title),
        license="other",
        license_name="per-row",
        license_link="README.md#sources-and-licences",
        task_categories=["image-classification"],
        tags=["fashion", "runway", "street-style"],
        size_categories=[size_category(total)],
        configs=[every] if total else None,
    )
    return f"---\n{card.to_yaml(line_break=chr(10)).strip()}\n---\n"
