"""README.md of the tables of music and poses: where they come from, and what is in them."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from tasks.audit.rates import ErrorRate
from tasks.exports.card import build_sections, column_kind, markdown_table, plain, size_category
from tasks.exports.m2p_files import FPS
from tasks.exports.m2p_metadata import M2PFacts
from tasks.shards.manifest import Manifest

_TERMS: Final = (
    "Each row carries the licence that its source states, and its address. The sound of a clip has terms of its own, "
    "which the licence of a video rarely covers. People can be recognised in the pictures: an embedding of a face is "
    "biometric data (GDPR, Articles 4(14) and 9). Whoever uses this data answers for a lawful purpose and basis."
)

_POSES: Final = (
    "`keypoints_xy` and `confidence` are (frames, 134, 2) and (frames, 134) row by row, in pixels of the clip (the "
    "middle of its first pixel is 0). A missing joint is null with confidence 0; `produced`: joints that the model can "
    "find. Their order: OpenPose's 18, feet, face, left hand, right hand, each as in COCO-WholeBody."
)

_MUSIC: Final = (
    "`music_features` are (frames, {width}) row by row, `music_layout` names the columns; row n belongs to frame n. "
    "Beats are in seconds from the first frame."
)

_FILES: Final = {
    "parquet": """Parquet: `samples` has all but the pixels, `clips` the MP4s and reference pictures of the same \
`sample_id`.

```python
from datasets import load_dataset

samples = load_dataset("path/to/this/folder", "samples", split="{split}")
clips = load_dataset("path/to/this/folder", "clips", split="{split}")
```""",
    "webdataset": """WebDataset: `webdataset/<split>-*.tar`, each sample an `.mp4`, a `.reference.jpg`, `.music.npy` \
(frames, {width}), `.poses.npy` (frames, 134, 3: x, y, confidence; NaN where missing), a `.json`, and `.face.npy` \
(512) where there is a face.""",
}


def m2p_card(
    facts: M2PFacts,
    title: str,
    formats: Sequence[str],
    schema: pa.Schema,
    manifest: Manifest | None = None,
    audited: Sequence[ErrorRate] = (),
) -> str:
    """README.md with the hub's YAML header; equal facts give equal text.

    Args:
        schema: of the samples.
    """
    width = len(facts.layout)
    split = next((name for name, count in facts.splits.items() if count), "train")
    total = len(facts.samples)
    sections = [
        f"# {plain(title)}",
        f"{total} clips of dance videos ({facts.hours:.2f} hours) at {FPS} frames a second with their music, the "
        "dancer's poses and a reference picture."
        if total
        else "**Empty**: no clip is in the dataset, so there is nothing to load.",
        "## Rows\n\n" + markdown_table(("what", "count"), list(facts.counts().items())),
        f"## Licences\n\n{_TERMS}\n\n" + markdown_table(("licence", "clips"), list(facts.count("licence").items())),
        "## Files\n\n" + "\n\n".join(_FILES[name].format(split=split, width=width) for name in formats),
        f"## Poses\n\n{_POSES}\n\n" + markdown_table(("model", "clips"), list(facts.count("pose_model").items())),
        f"## Music\n\n{_MUSIC.format(width=width)}",
        *_faces(facts),
        *build_sections(manifest, audited),
        "## Columns\n\n" + markdown_table(("column", "type"), [(each.name, column_kind(each.type)) for each in schema]),
    ]
    return _header(facts, title, formats) + "\n" + "\n\n".join(sections) + "\n"


def _faces(facts: M2PFacts) -> list[str]:
    missing = list(facts.without_face().items())
    if not missing:
        return []
    return ["## Clips without an embedding of the face\n\n" + markdown_table(("why", "clips"), missing)]


def _header(facts: M2PFacts, title: str, formats: Sequence[str]) -> str:
    """The YAML header; splits without rows are not named, because `datasets` does not load them."""
    from huggingface_hub import DatasetCardData

    splits = [name for name, count in facts.splits.items() if count]
    configs = [
        {"config_name": table, "data_files": [{"split": name, "path": f"{table}/{name}-*.parquet"} for name in splits]}
        for table in ("samples", "clips")
        if "parquet" in formats and splits
    ]
    card = DatasetCardData(
        pretty_name=plain(title),
        license="other",
        license_name="per-row",
        license_link="README.md#licences",
        task_categories=["keypoint-detection", "image-to-video"],
        tags=["dance", "music", "pose", "openpose", "personal-data"],
        size_categories=[size_category(len(facts.samples))],
        configs=configs or None,
    )
    return f"---\n{card.to_yaml(line_break=chr(10)).strip()}\n---\n"
