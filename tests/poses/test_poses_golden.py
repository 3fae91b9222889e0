"""What each stage makes of one fixed input. Where a digest changes, the stage's version must be raised with it."""

import json
from hashlib import sha256
from typing import Any

import pyarrow as pa

from tasks.images.decode import decode_rgb
from tasks.poses.describe import Describe, DescribeConfig
from tasks.poses.preview import Preview, PreviewConfig
from tasks.poses.select import Combine, CombineConfig, Select, SelectConfig
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.stage import Stage
from tests.poses.figures import described_row, figure, photo_bytes

GOLDEN = {
    "describe": (1, "76ecac09473bdcb9"),
    "preview": (1, "57e9375f01501a1a"),
    "select": (1, "423a0ee7cf56dd58"),
    "combine": (1, "42a8ba5c202f23b6"),
}
"""Stage -> version and digest. Floats count to two decimals and pixels to 32 steps, which codecs' builds agree on."""

INPUT: list[dict[str, Any]] = [
    {"caption": "a woman in a red dress", "gender": "WOMEN", "cloth": "Dresses", "pose": "standing", "phash": 0},
    {"caption": "a man kicking a football in a park", "category": "lifestyle", "people": 2, "phash": 2**40 - 1},
    {"caption": "a person holding a cup in a kitchen", "category": "lifestyle", "phash": 2**41 - 1},
    {"caption": None, "sha256": "0#".ljust(64, "0"), "phash": 2**63},
]
POSES: list[dict[str, Any]] = [
    {},
    {"thighs": (-80, 5), "shins": (-60, 0), "upper_arms": (-60, 90), "forearms": (-100, 60), "torso": -10},
    {"thighs": (80, 85), "shins": (0, 5), "forearms": (100, 5), "turned": 0.3},
    {"torso": 80, "turned": 0.1},
]


def rows() -> list[dict[str, Any]]:
    made = []
    for i, (words, directions) in enumerate(zip(INPUT, POSES, strict=True)):
        xy = figure(at=(200, 200), **directions)
        usual = {"image": {"bytes": photo_bytes(seed=i), "path": f"{i}.jpg"}, "pose": None}
        joints = {"keypoints_xy": xy.ravel().tolist(), "person_xyxy": [*xy.min(axis=0), *xy.max(axis=0)]}
        made.append(described_row(f"{i}") | usual | joints | words)
    return made


def output(stage: Stage, schema: pa.Schema) -> Any:
    batch = pa.RecordBatch.from_pylist(rows(), schema=schema)
    made = list(stage.process(iter([batch])))
    return [
        [coarse(row) for one in made for row in one.kept.to_pylist()],
        [[r.sample_id, r.reason, r.detail, r.score] for one in made for r in one.rejected],
    ]


def coarse(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2) + 0.0
    if isinstance(value, list):
        return [coarse(each) for each in value]
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        pixels = decode_rgb(value["bytes"])
        return [value["path"], pixels.shape, (pixels[::16, ::16] // 32).tolist()]
    if isinstance(value, dict):
        return {name: coarse(json.loads(v) if name.endswith("_parts") else v) for name, v in value.items()}
    return value


def test_outputs_change_only_with_versions() -> None:
    image = pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())]))
    with_photo = pa.schema([*TEMPLATE_SCHEMA, image])
    with_words = pa.schema([*with_photo, pa.field("pose", pa.string())])
    stages: list[tuple[Stage, pa.Schema]] = [
        (Describe(DescribeConfig()), with_words),
        (Preview(PreviewConfig()), with_photo),
        (Select(SelectConfig(quotas={"lifestyle": 1})), TEMPLATE_SCHEMA),
        (Combine(CombineConfig()), TEMPLATE_SCHEMA),
    ]
    found = {
        stage.name: (stage.version, sha256(json.dumps(output(stage, schema)).encode()).hexdigest()[:16])
        for stage, schema in stages
    }
    assert found == GOLDEN, "the output changed: raise the stage's version and note both here"
