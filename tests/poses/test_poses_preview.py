from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from tasks.body.drawing import PALETTE
from tasks.images.decode import decode, decode_rgb, decoder_build
from tasks.poses.preview import Preview, PreviewConfig, render
from tasks.schema.ids import template_id
from tasks.schema.templates import PHOTO_SCHEMA, PREVIEW_SCHEMA, TEMPLATE_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.parquet import read_batches
from tasks.shards.store import Store
from tests.poses.figures import described_row, joint, photo_bytes
from tests.poses.sample_shards import given


def photo_row(sample_id: str, width: int = 400, height: int = 512, scale: float = 1.0) -> dict[str, Any]:
    row = described_row(sample_id)
    return row | {
        "image": {"bytes": photo_bytes(width, height), "path": "photo.jpg"},
        "keypoints_xy": [scale * v for v in row["keypoints_xy"]],
        "person_xyxy": [scale * v for v in row["person_xyxy"]],
    }


def test_the_key_knows_the_builds_that_read_and_draw_pixels() -> None:
    assert Preview(PreviewConfig()).execution() == {**decoder_build(), "opencv": cv2.__version__}


def test_three_pictures_named_after_the_template(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), [photo_row("a"), photo_row("b")]
    photos, described = Derivation(given("p", PHOTO_SCHEMA, rows)), Derivation(given("t", TEMPLATE_SCHEMA, rows))
    record = realise(Derivation(Preview(PreviewConfig()), (described,), (photos,)), store).record
    table = pa.Table.from_batches(read_batches(store.data_path(record), 64), PREVIEW_SCHEMA)
    assert table["sample_id"].to_pylist() == ["a", "b"]
    first = table.to_pylist()[0]
    assert [first[name]["path"] for name in ("overlay", "skeleton", "thumbnail")] == [
        f"{template_id('a')}_{end}" for end in ("overlay.jpg", "skeleton.png", "thumbnail.jpg")
    ]
    formats = [decode(first[name]["bytes"])[1].format for name in ("overlay", "skeleton", "thumbnail")]
    assert formats == ["JPEG", "PNG", "JPEG"]


@pytest.mark.parametrize(
    ("size", "overlay", "skeleton", "thumbnail"),
    [
        ((400, 512), (512, 400), (512, 400), (256, 200)),
        ((2000, 1000), (384, 768), (512, 1024), (128, 256)),
        ((100, 60), (60, 100), (60, 100), (60, 100)),
    ],
)
def test_sizes(
    size: tuple[int, int], overlay: tuple[int, int], skeleton: tuple[int, int], thumbnail: tuple[int, int]
) -> None:
    pictures = render(photo_row("a", *size), PreviewConfig())
    shapes = [decode_rgb(pictures[name]["bytes"]).shape[:2] for name in ("overlay", "skeleton", "thumbnail")]
    assert shapes == [overlay, skeleton, thumbnail]


def test_the_skeleton_lies_where_the_joints_are() -> None:
    row = photo_row("a", 1600, 2048, scale=4)
    skeleton = decode_rgb(render(row, PreviewConfig())["skeleton"]["bytes"])
    for name in ("right_wrist", "left_ankle", "nose"):
        x, y = np.array(row["keypoints_xy"]).reshape(18, 2)[joint(name)] / 2
        assert tuple(skeleton[round(y), round(x)]) == PALETTE[joint(name)]
    assert tuple(skeleton[0, 0]) == (0, 0, 0)


def test_the_overlay_is_the_photo_with_a_skeleton() -> None:
    row = photo_row("a")
    overlay = decode_rgb(render(row, PreviewConfig())["overlay"]["bytes"]).astype(int)
    photo = decode_rgb(row["image"]["bytes"]).astype(int)
    changed = np.abs(overlay - photo).max(axis=2) > 40
    x, y = np.array(row["keypoints_xy"]).reshape(18, 2).round().astype(int)[joint("neck")]
    assert changed[y - 3 : y + 3, x - 3 : x + 3].any()
    assert 0.005 < changed.mean() < 0.2


def test_nobody_gives_an_empty_skeleton() -> None:
    row = photo_row("a") | {"keypoints_xy": [None] * 36, "keypoints_confidence": [0.0] * 18}
    assert not decode_rgb(render(row, PreviewConfig())["skeleton"]["bytes"]).any()


def test_pictures_are_the_same_each_time() -> None:
    assert render(photo_row("a"), PreviewConfig()) == render(photo_row("a"), PreviewConfig())
