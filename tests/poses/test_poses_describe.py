import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from tasks.images.decode import decoder_build
from tasks.poses.describe import Describe, DescribeConfig, describe
from tasks.schema.templates import INSPECTED_SCHEMA, KEYPOINTS_SCHEMA, PHOTO_SCHEMA, TEMPLATE_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.parquet import read_batches
from tasks.shards.store import Store
from tests.poses.figures import described_row, figure, joint, photo_bytes, without
from tests.poses.sample_shards import given


def photo_row(sample_id: str, **columns: Any) -> dict[str, Any]:
    """All that the stages before know of a photo."""
    usual = {
        "image": {"bytes": photo_bytes(), "path": "photo.jpg"},
        "format": "JPEG",
        "exif_orientation": 1,
        "encoded_bytes": 1,
        "conditioning_ok": False,
        "pose": None,
    }
    return described_row(sample_id) | usual | columns


def describe_all(
    rows: list[dict[str, Any]], store: Store, config: DescribeConfig | None = None
) -> tuple[pa.Table, Any]:
    photos, inspected, keypoints = (
        Derivation(given(name, schema, rows))
        for name, schema in (("photos", PHOTO_SCHEMA), ("inspected", INSPECTED_SCHEMA), ("keypoints", KEYPOINTS_SCHEMA))
    )
    stage = Describe(config or DescribeConfig())
    record = realise(Derivation(stage, (keypoints,), (inspected, photos)), store).record
    return pa.Table.from_batches(read_batches(store.data_path(record), 64), TEMPLATE_SCHEMA), record


def test_a_template_tells_all(tmp_path: Path) -> None:
    row = photo_row(
        "fashion/1",
        caption="a woman in a red dress",
        gender="WOMEN",
        pose="standing",
        cloth="Dresses",
        pid="17",
        people=2,
    )
    table, record = describe_all([row], Store(tmp_path))
    (template,) = table.to_pylist()
    assert record.rows_kept == 1
    assert template["pose_class"] == "standing"
    assert template["tags"] == ["standing", "facing-front", "full-body", "group", "dress"]
    assert (template["difficulty"], template["gender"], template["product_placement"]) == ("easy", "female", "body")
    assert (template["source_gender"], template["source_pose"], template["pid"]) == ("WOMEN", "standing", "17")
    assert (template["category"], template["subcategory"]) == ("fashion", "general")
    assert (template["sha256"], template["width"], template["height"]) == (row["sha256"], 400, 512)
    np.testing.assert_allclose(template["keypoints_xy"], np.array(row["keypoints_xy"], np.float32))
    for score, parts in (("difficulty_score", "difficulty_parts"), ("quality", "quality_parts")):
        assert 0 <= template[score] <= 1
        assert all(0 <= part <= 1 for part in json.loads(template[parts]).values())


@pytest.mark.parametrize(
    ("category", "from_captions", "expected"),
    [("lifestyle", True, "sports"), ("lifestyle", False, "lifestyle"), ("fashion", True, "fashion")],
)
def test_sports_come_from_lifestyle_captions(category: str, from_captions: bool, expected: str) -> None:
    row = photo_row("a", category=category, caption="person playing basketball")
    assert describe(row, DescribeConfig(sports_from_captions=from_captions))["category"] == expected


def test_a_photo_without_words_and_with_few_joints_is_described_without_guesses(tmp_path: Path) -> None:
    names = ("neck", "right_shoulder", "left_shoulder", "nose", "right_eye", "left_eye", "right_ear", "left_ear")
    xy, confidence = without(figure(), *(n for n in OTHERS if n not in names))
    row = photo_row(
        "a",
        keypoints_xy=[None if np.isnan(v) else float(v) for v in xy.ravel()],
        keypoints_confidence=confidence.tolist(),
    )
    (template,) = describe_all([row], Store(tmp_path))[0].to_pylist()
    assert template["pose_class"] == "unknown"
    assert template["tags"] == ["facing-front", "portrait", "single"] or template["tags"] == ["portrait", "single"]
    assert template["gender"] is None
    assert template["product_placement"] is None
    assert template["difficulty"] == "easy"
    assert template["keypoints_xy"][2 * joint("left_knee")] is None


def test_nobody_at_all_does_not_crash() -> None:
    row = photo_row("a", keypoints_xy=[None] * 36, keypoints_confidence=[0.0] * 18, person_xyxy=[0.0] * 4)
    template = describe(row, DescribeConfig())
    assert (template["pose_class"], template["difficulty"], template["tags"]) == ("unknown", "easy", ["single"])


def test_one_broken_photo_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    rows = [photo_row("a"), photo_row("b", image={"bytes": photo_bytes()[:300], "path": "b.jpg"}), photo_row("c")]
    table, record = describe_all(rows, Store(tmp_path))
    assert table["sample_id"].to_pylist() == ["a", "c"]
    assert sum(record.rejected.values()) == 1


def test_the_key_knows_the_builds_that_read_pixels() -> None:
    assert Describe(DescribeConfig()).execution() == {**decoder_build(), "opencv": cv2.__version__}


def test_an_empty_shard_keeps_the_schema(tmp_path: Path) -> None:
    table, record = describe_all([], Store(tmp_path))
    assert (table.num_rows, record.rows_in) == (0, 0)
    assert table.schema.names == TEMPLATE_SCHEMA.names


OTHERS = tuple(f"{side}_{joint}" for side in ("right", "left") for joint in ("elbow", "wrist", "hip", "knee", "ankle"))
