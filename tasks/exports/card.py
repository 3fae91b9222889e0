"""The dataset card: what a person, the hub and its viewer want to know of a dataset folder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tasks.audit.rates import CONFIDENCE, ErrorRate
from tasks.shards.manifest import BuildModel, Manifest

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Source: the hub's dataset card specification, `size_categories`."""


_WHAT = (
    "photos with OpenPose-18 keypoints of the main person in pixels of the upright photo, their description, and the "
    "pictures that the source gave with them, byte for byte."
)
_NON_COMMERCIAL = (
    "Weights that may not be used commercially, or were trained on data that may not be, decided what is in here: "
    "{names}. Whoever wants to use this for profit has to build it again with other models."
)
_TERMS = "Each row carries the licence and the address of its source."
_LOAD = """## Load

```python
from datasets import load_dataset

templates = load_dataset("path/to/this/folder", split="train")
{category} = load_dataset("path/to/this/folder", "{category}", split="train")
```"""


@dataclass(frozen=True)
class CardFacts:
    """What the card says: rows per category, rows per source and licence, columns, bytes of the data files."""

    title: str
    rows: Mapping[str, int]
    sources: Mapping[tuple[str, str], int]
    schema: pa.Schema
    data_bytes: int
    manifest: Manifest | None = None
    audited: Sequence[ErrorRate] = ()


def dataset_card(facts: CardFacts) -> str:
    """README.md with the hub's YAML header; equal facts give equal text."""
    total = sum(facts.rows.values())
    rows = [(category, count) for category, count in facts.rows.items()]
    sources = [(source, licence, count) for (source, licence), count in sorted(facts.sources.items())]
    sections = [
        f"# {plain(facts.title)}",
        f"{total} pose templates: {_WHAT}",
        "## Rows\n\n" + markdown_table(("category", "rows"), rows),
        f"## Licences\n\n{_TERMS}\n\n" + markdown_table(("source", "licence", "rows"), sources),
        *build_sections(facts.manifest, facts.audited),
        "## Columns\n\n"
        + markdown_table(("column", "type"), [(field.name, column_kind(field.type)) for field in facts.schema]),
        _LOAD.format(category=next((category for category, count in rows if count), rows[0][0])),
    ]
    return _header(facts, total) + "\n" + "\n\n".join(sections) + "\n"


def _header(facts: CardFacts, total: int) -> str:
    """The YAML header. A category without rows has no configuration: `datasets` does not load a split without rows."""
    from huggingface_hub import DatasetCardData

    every = {"config_name": "default", "data_files": [{"split": "train", "path": "data/*/*.parquet"}]}
    each = [
        {"config_name": category, "data_files": [{"split": "train", "path": f"data/{category}/*.parquet"}]}
        for category, rows in facts.rows.items()
        if rows
    ]
    card = DatasetCardData(
        pretty_name=plain(facts.title),
        license="other",
        license_name="per-row",
        license_link="README.md#licences",
        task_categories=["keypoint-detection"],
        tags=["pose", "openpose", "controlnet"],
        size_categories=[size_category(total)],
        configs=[every, *each],
    )
    return f"---\n{card.to_yaml(line_break=chr(10)).strip()}\n---\n"


def size_category(rows: int) -> str:
    """The hub's word for a number of rows."""
    return next((name for limit, name in _SIZES if rows < limit), "n>1M")


def build_sections(manifest: Manifest | None, audited: Sequence[ErrorRate] = ()) -> list[str]:
    """Models, error rates, funnel and origin of a build, each a section; none without a manifest."""
    if manifest is None:
        return []
    models = [(model.name, _terms(model), model.sha256) for model in manifest.models]
    funnel = manifest.funnel.rows()
    return [
        *_non_commercial(manifest),
        *(["## Models\n\n" + markdown_table(("model", "licence", "sha256"), models)] if models else []),
        *_audited(audited),
        "## Funnel\n\nWhat each stage took in, kept, and rejected by reason.\n\n"
        + markdown_table(tuple(funnel[0]) if funnel else (), [tuple(row.values()) for row in funnel]),
        f"Flow `{manifest.flow}`, code `{manifest.code}`, manifest `{manifest.digest}`.",
    ]


AUDITED_COLUMNS = ("question", "wrong", "judged", "error rate", f"{CONFIDENCE:.0%} bounds", "nobody could tell", "left")


def audited_rows(audited: Iterable[ErrorRate]) -> list[tuple[str, int, int, str, str, int, int]]:
    """Error rates as rows of `AUDITED_COLUMNS`."""
    return [
        (
            rate.question.text,
            rate.wrong,
            rate.judged,
            f"{rate.share:.1%}",
            f"{rate.low:.1%} to {rate.high:.1%}",
            rate.unsure,
            rate.missing,
        )
        for rate in audited
    ]


AUDITED_RULE = (
    "People judged random samples; the bounds are Clopper and Pearson's. “Left” are samples of the draw that nobody "
    "judged yet: the more, the less the bounds say."
)


def _audited(audited: Sequence[ErrorRate]) -> list[str]:
    if not audited:
        return []
    return [f"## Errors\n\n{AUDITED_RULE}\n\n{markdown_table(AUDITED_COLUMNS, audited_rows(audited))}"]


def non_commercial_sentence(models: Iterable[BuildModel]) -> str:
    """What a card or a page says where weights decided rows that may not be used for profit; empty: none did."""
    names = ", ".join(sorted(model.name for model in models if model.non_commercial))
    return _NON_COMMERCIAL.format(names=names) if names else ""


def _non_commercial(manifest: Manifest) -> list[str]:
    said = non_commercial_sentence(manifest.models)
    return [f"## Non-commercial use only\n\n**{plain(said)}**"] if said else []


def _terms(model: BuildModel) -> str:
    return f"{model.licence}, non-commercial" if model.non_commercial else model.licence


def column_kind(kind: pa.DataType) -> str:
    """What a column holds, in words."""
    if pa.types.is_struct(kind):
        return "image"
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} x {kind.value_type}"
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells are texts of others."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(plain(str(cell)) for cell in line) + " |" for line in lines)


def plain(text: str) -> str:
    """Text of others as one line that cannot end a table cell or begin markup."""
    line = " ".join(text.split())
    for special in "\\|`<>[]":
        line = line.replace(special, f"\\{special}")
    return line
