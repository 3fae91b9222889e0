"""README.md and croissant.json of a bundle: where the data comes from, what it may be used for, and what is in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from tasks.audit.rates import ErrorRate
from tasks.exports.card import build_sections, column_kind, markdown_table, plain, size_category
from tasks.exports.croissant import croissant
from tasks.exports.webbody_cut import BUNDLE_SCHEMA
from tasks.exports.webbody_facts import BundleFacts
from tasks.shards.manifest import Manifest

_PROHIBITED = (
    "**Face recognition databases.** Article 5(1)(e) of the EU Artificial Intelligence Act (Regulation (EU) 2024/1689) "
    "prohibits, since 2 February 2025, the placing on the market, the putting into service for this specific purpose, "
    "or the use of AI systems that create or expand facial recognition databases through the untargeted scraping of "
    "facial images from the internet or CCTV footage. Pictures of identifiable people are personal data, and vectors "
    "that identify them are biometric data (GDPR, Articles 4(14) and 9). Whoever uses this data answers for a lawful "
    "purpose and basis of their own."
)
"""Source: Regulation (EU) 2024/1689, Articles 5(1)(e) and 113(a)."""

_OPT_OUT = (
    "Pictures whose server asked not to be used (`X-Robots-Tag` with `noai`, `noimageai` and their kin, or a TDM "
    "reservation) were not taken, unless the parameters below say otherwise. Who asks to be taken out is found by "
    "`sample_id`, `source_uri` or `photo_sha256`; the verdict `remove` keeps a face out of every later build."
)

_PICTURES = (
    "Each body is cut from the photo as it was stored (longest side 640 px, JPEG generation 1), scaled to a longest "
    "side of {side} px and laid in the middle of a white square: JPEG generation 2, quality {quality}, none after. "
    "Faces are the aligned pictures that the face detector's stage wrote, byte for byte. Embeddings are not included."
)

_ROWS = (
    "`rows.parquet` says what is known of every picture, without the picture; `rejects.parquet` which members could "
    "not be shown, and why; `bundle.json` counts, and the BLAKE3 of every file."
)

_LABELS = (
    "`label` counts the identities of this folder from 0 without gaps; `number` is the identity's own, the same in "
    "every build and folder. `labels.csv` lists both."
)

_FORMATS = {
    "recordio": """MXNet indexed RecordIO: `train.rec`, `train.idx`, and `train.tsv` (no header: local_idx, path, \
label); `face.*` hold the faces under the same numbers. `train` is the name of the files, not of a split: they hold \
every row, and `subset_config/train.csv` lists those of the training split. `kps_xyn.csv` has the joints from 0 to 1 \
(edge to edge; -1: not seen), `shapes.csv` the size of the bodies before scaling.""",
    "webdataset": """WebDataset: `webdataset/<split>-*.tar`, each sample a `.jpg`, a `.face.jpg` and a `.json`.""",
    "parquet": """Parquet: `data/<split>-*.parquet`.

```python
from datasets import load_dataset

bodies = load_dataset("path/to/this/folder", split="{split}")
```""",
}


@dataclass(frozen=True)
class WebBodyCard:
    """What the cards say beside what was counted.

    Args:
        title: heading.
        purpose, legal_basis, jurisdiction: why, by which right and under which law the data is processed.
        contact: where people ask to be taken out.
        thresholds: names and values that decided what is in the data.
        manifest: the build, for its parameters, models and funnel.
        audited: its error rates.
    """

    title: str
    purpose: str
    legal_basis: str
    jurisdiction: str
    contact: str = ""
    thresholds: Mapping[str, JsonValue] = field(default_factory=dict)
    manifest: Manifest | None = None
    audited: Sequence[ErrorRate] = ()


def webbody_cards(facts: BundleFacts, says: WebBodyCard) -> dict[str, bytes]:
    """Name -> bytes of the cards; equal facts give equal bytes. Croissant describes the Parquet files, if there are."""
    cards = {"README.md": _readme(facts, says).encode()}
    if "parquet" in facts.config.formats:
        cards["croissant.json"] = croissant(facts, _title(facts, says), _law(says))
    return cards


def _readme(facts: BundleFacts, says: WebBodyCard) -> str:
    cut = facts.config.cut
    counts = [("pictures", facts.rows), ("identities", facts.identities)]
    counts += [(f"{split} split", rows) for split, rows in facts.splits.items()]
    counts += [(f"also in {name}", rows) for name, rows in facts.subsets.items() if name != facts.name]
    counts += [(f"left out: {reason}", rows) for reason, rows in facts.rejected.items()]
    split = next((name for name, rows in facts.splits.items() if rows), "train")
    sections = [
        f"# {plain(_title(facts, says))}",
        f"{facts.rows} pictures of {facts.identities} people, bodies with their faces and 17 keypoints (COCO)."
        if facts.rows
        else "**Empty**: nobody meets the rules of this subset, so there is nothing to load.",
        "## Purpose and law\n\n" + markdown_table(("", ""), list(_law(says).items())) + f"\n\n{_PROHIBITED}",
        f"## Opting out\n\n{_OPT_OUT}",
        "## Rows\n\n" + markdown_table(("what", "rows"), counts),
        "## Licences\n\nEach row carries the licence that its source states and its address.\n\n"
        + markdown_table(("licence", "rows"), list(facts.licences.items())),
        "## Pictures\n\n" + _PICTURES.format(side=cut.side, quality=cut.quality),
        "## Files\n\n" + "\n\n".join([_ROWS, *(_FORMATS[n].format(split=split) for n in facts.config.formats)]),
        f"## Labels\n\n{_LABELS}",
        *_decided(says),
        *build_sections(says.manifest, says.audited),
        "## Columns\n\n"
        + markdown_table(("column", "type"), [(each.name, column_kind(each.type)) for each in BUNDLE_SCHEMA]),
    ]
    return _header(facts, says) + "\n" + "\n\n".join(sections) + "\n"


def _header(facts: BundleFacts, says: WebBodyCard) -> str:
    """The YAML header; splits without rows are not named, because `datasets` does not load them."""
    from huggingface_hub import DatasetCardData

    with_pictures = "parquet" in facts.config.formats
    splits = [{"split": name, "path": f"data/{name}-*.parquet"} for name, rows in facts.splits.items() if rows]
    every = [{"split": "train", "path": "rows.parquet"}]
    card = DatasetCardData(
        pretty_name=plain(_title(facts, says)),
        license="other",
        license_name="per-row",
        license_link="README.md#licences",
        task_categories=["image-classification", "keypoint-detection"],
        tags=["person-re-identification", "biometrics", "personal-data", "keypoints"],
        size_categories=[size_category(facts.rows)],
        configs=[{"config_name": "default", "data_files": (splits if with_pictures else None) or every}],
    )
    return f"---\n{card.to_yaml(line_break=chr(10)).strip()}\n---\n"


def _title(facts: BundleFacts, says: WebBodyCard) -> str:
    return f"{says.title}: {facts.name}"


def _law(says: WebBodyCard) -> dict[str, str]:
    said = {"Purpose": says.purpose, "Legal basis": says.legal_basis, "Jurisdiction": says.jurisdiction}
    return said | ({"Contact for removal": says.contact} if says.contact else {})


def _decided(says: WebBodyCard) -> Iterator[str]:
    if says.thresholds:
        rows = [(name, value) for name, value in _flat("", dict(says.thresholds))]
        yield "## Thresholds\n\n" + markdown_table(("name", "value"), rows)
    if says.manifest is not None and says.manifest.params:
        rows = [(name, value) for name, value in _flat("", dict(says.manifest.params))]
        yield "## Parameters\n\n" + markdown_table(("name", "value"), rows)


def _flat(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in sorted(value.items()):
            yield from _flat(f"{name}.{key}" if name else key, each)
    elif isinstance(value, list):
        yield name, ", ".join(str(each) for each in value)
    else:
        yield name, str(value)
