"""Clips to poses with real decoding and ONNX Runtime, on networks whose answers are known."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tasks.body.rtmo import RtmoPose
from tasks.body.rtmw import RtmwPose, crop_matrix
from tasks.body.smooth import Smoothing, smoothed
from tasks.dance.dancer_models import BoxedDancer, SeenDancer, nearest, open_dancer_model
from tasks.dance.poses import FindPoses, PosesConfig, dancer_boxes, poses_of_row
from tasks.models.zoo import Zoo
from tasks.schema.clips import CLIP_FPS, POSE_SCHEMA
from tasks.schema.errors import ModelError
from tasks.schema.rejections import Reason
from tasks.shards.stage import stage_key
from tests.body.blocks_model import joints_of, paint, write_blocks_model
from tests.body.simcc_model import OFFSETS, write_simcc_model
from tests.dance.pose_clips import SIDE, a_clip, a_row, batch_of, spot

FRAMES = 36
"""More than the stage decodes at once."""
FEW = 4
"""Frames where more say nothing more: the network that sees blocks is slow."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def whole_body(folder) -> FindPoses:
    card = write_simcc_model(folder)
    return FindPoses(PosesConfig(pose_model="peaks"), BoxedDancer(RtmwPose(card, Zoo(folder), 2.0, "cpu")))


@pytest.fixture(scope="module")
def body(folder) -> FindPoses:
    card = write_blocks_model(folder)
    return FindPoses(PosesConfig(pose_model="blocks"), SeenDancer(RtmoPose(card, Zoo(folder), "cpu")))


def run(stage: FindPoses, *rows):
    outputs = list(stage.process(iter([batch_of(list(rows))])))
    kept = pa.concat_tables([output.kept for output in outputs])
    assert kept.schema.equals(POSE_SCHEMA, check_metadata=True)
    rejected = [r for output in outputs for r in output.rejected]
    assert kept.num_rows + len(rejected) == len(rows)
    return kept.to_pylist(), rejected


def walk(frames: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A spot that walks, and the dancer's box around it."""
    places = np.stack([80 + 2.0 * np.arange(frames), 128 + 30 * np.sin(np.arange(frames) / 6)], axis=1)
    boxes = np.tile(places, 2) + np.array([-40, -60, 40, 60])
    return a_clip(spot(x, y) for x, y in places), places, boxes


@pytest.fixture(scope="module")
def dancing():
    return walk(FRAMES)


@pytest.fixture(scope="module")
def short():
    return walk(FEW)


@pytest.fixture(scope="module")
def danced(whole_body, dancing):
    """The row of the dance."""
    clip, _, boxes = dancing
    (row,), rejected = run(whole_body, a_row(clip, boxes))
    assert not rejected
    return row


def test_a_whole_body_model_fills_every_frame_in_pixels_of_the_clip(danced, dancing):
    (_, places, boxes), row = dancing, danced
    assert row["frames"] == FRAMES
    assert all(row["produced"])
    assert row["pose_model"] == "peaks"
    poses = poses_of_row(row)
    scale = crop_matrix(boxes[0].astype(np.float32), 288, 384)[0, 0]
    expected = places[:, None] + OFFSETS[17:] / 2 / scale
    off = np.linalg.norm(poses.keypoints.xy[:, 18:] - expected, axis=2)
    assert off.max() < 1.5
    assert poses.raw_score.max() == pytest.approx(8)
    assert 0.9 < poses.keypoints.confidence.max() < 1


def test_in_boxes_without_anybody_a_whole_body_model_is_not_believed(folder, short):
    card = write_simcc_model(folder, "doubtful", lower=6.5)
    stage = FindPoses(PosesConfig(pose_model="doubtful"), BoxedDancer(RtmwPose(card, Zoo(folder), 2.0, "cpu")))
    clip, _, boxes = short
    kept, (lost,) = run(stage, a_row(clip, boxes))
    assert not kept
    assert (lost.reason, lost.score) == (Reason.DANCER_LOST, 0)


def test_a_joint_that_is_missing_is_null_with_confidence_0(danced):
    row = danced
    left_ear = 17
    assert row["keypoints_xy"][2 * left_ear : 2 * left_ear + 2] == [None, None]
    assert row["confidence"][left_ear] == 0
    assert row["raw_score"][left_ear] == -1
    assert all((x is None) == (c == 0) for x, c in zip(row["keypoints_xy"][::2], row["confidence"], strict=True))


def blocks(k: int, *, second: bool = False) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A frame with one block, or another, surer one beside it, and the box of the first."""
    picture = np.full((SIDE, SIDE, 3), 60, np.uint8)
    box = (32 + 2 * k, 48, 96 + 2 * k, 208)
    paint(picture, box, 80, 0.6)
    if second:
        paint(picture, (192, 32, 240, 224), 170, 0.9)
    return picture, box


def test_a_body_model_fills_the_first_18_of_the_dancer_nobody_else(body):
    seen = [blocks(k, second=True) for k in range(FEW)]
    boxes = np.array([box for _, box in seen], float)
    (row,), _ = run(body, a_row(a_clip(picture for picture, _ in seen), boxes))
    poses = poses_of_row(row)
    assert row["produced"] == [True] * 18 + [False] * 116
    assert not poses.keypoints.present[:, 18:].any()
    assert (poses.raw_score[:, 18:] == 0).all()
    wrist = joints_of(tuple(boxes[3]))[10]
    np.testing.assert_allclose(poses.keypoints.xy[3, 4], wrist, atol=2)
    np.testing.assert_array_equal(poses.raw_score, poses.keypoints.confidence)


def test_frames_without_the_dancer_have_no_joints(body):
    seen = [blocks(k) for k in range(FEW)]
    empty = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pictures = [empty if k == 2 else picture for k, (picture, _) in enumerate(seen)]
    (row,), _ = run(body, a_row(a_clip(pictures), np.array([box for _, box in seen], float)))
    found = poses_of_row(row).keypoints.present.any(axis=1)
    assert found.tolist() == [k != 2 for k in range(FEW)]
    assert row["keypoints_xy"][2 * 268 : 3 * 268] == [None] * 268
    assert set(row["confidence"][2 * 134 : 3 * 134]) == {0}
    smooth = smoothed(poses_of_row(row).keypoints, CLIP_FPS, Smoothing(method="savgol"))
    np.testing.assert_array_equal(smooth.present.any(axis=1), found)


def test_a_clip_whose_dancer_is_lost_is_rejected_and_its_neighbours_stay(body):
    seen = [blocks(k) for k in range(FEW)]
    clip, boxes = a_clip(picture for picture, _ in seen), np.array([box for _, box in seen], float)
    elsewhere = np.tile([180.0, 10, 250, 250], (FEW, 1))
    kept, rejected = run(body, a_row(clip, elsewhere, "v/c000"), a_row(clip, boxes, "v/c001"))
    assert [row["sample_id"] for row in kept] == ["v/c001"]
    (lost,) = rejected
    assert lost.reason is Reason.DANCER_LOST
    assert lost.score < 0.5
    assert "blocks sees the dancer in" in lost.detail
    assert lost.source_uri == "v.mp4"


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"clip": {"bytes": b"no video", "path": "a"}}, Reason.FRAMES_UNREADABLE, "does not decode"),
        ({"clip": {"bytes": b"", "path": "a"}}, Reason.FRAMES_UNREADABLE, "does not decode"),
        ({"frames": FEW + 1}, Reason.LENGTHS_DIFFER, f"{FEW} places of the dancer for {FEW + 1}"),
        ({"dancer_xyxy": [0.0] * 4}, Reason.LENGTHS_DIFFER, "1 places"),
    ],
)
def test_a_bad_clip_costs_itself_alone(whole_body, short, changes, reason, says):
    clip, _, boxes = short
    kept, (bad,) = run(whole_body, {**a_row(clip, boxes, "v/c000"), **changes}, a_row(clip, boxes, "v/c001"))
    assert (bad.sample_id, bad.reason) == ("v/c000", reason)
    assert says in bad.detail
    assert [row["sample_id"] for row in kept] == ["v/c001"]


@pytest.mark.parametrize("shown", [FEW - 2, FEW + 2])
def test_a_clip_of_another_length_than_its_row_says(whole_body, shown):
    clip = a_clip(spot(100, 128) for _ in range(shown))
    _, (bad,) = run(whole_body, a_row(clip, np.tile([60.0, 60, 140, 190], (FEW, 1))))
    assert bad.reason is Reason.LENGTHS_DIFFER
    assert f"its row says {FEW}" in bad.detail


def test_a_broken_half_of_a_clip_is_no_clip(whole_body, dancing):
    clip, _, boxes = dancing
    _, (bad,) = run(whole_body, a_row(clip[: len(clip) // 2], boxes))
    assert bad.reason in (Reason.FRAMES_UNREADABLE, Reason.LENGTHS_DIFFER)


def test_a_clip_is_the_same_whatever_its_neighbours(whole_body, short):
    clip, _, boxes = short
    alone, _ = run(whole_body, a_row(clip, boxes, "v/c001"))
    other = a_row(a_clip(spot(100, 100) for _ in range(5)), np.tile([60.0, 60, 140, 190], (5, 1)), "v/c000")
    beside, _ = run(whole_body, other, a_row(clip, boxes, "v/c001"))
    assert beside[1:] == alone


def test_the_crop_leads_from_the_video_to_the_clip():
    row = a_row(b"", np.array([[10.0, 20, 30, 60], [0, 0, 256, 256]]))
    np.testing.assert_allclose(dancer_boxes(row), [[10, 20, 30, 60], [0, 0, 256, 256]], atol=1e-4)


def test_the_nearest_person_is_whose_box_overlaps_most(body):
    picture, box = blocks(0, second=True)
    (people,) = body.model.model.detect([picture])
    assert len(people) == 2
    found = nearest(people, np.array(box, np.float32), SIDE, SIDE)
    np.testing.assert_allclose(found.xy[0, 1:], joints_of(box)[1:], atol=1)
    assert nearest(people, np.array([300, 300, 400, 400], np.float32), SIDE, SIDE) is None


def test_the_key_holds_model_thresholds_and_builds(whole_body, folder):
    assert whole_body.models() == {"peaks": whole_body.model.sha256}
    assert whole_body.params()["thresholds"] == {"person": 0.3, "joint": 0.5}
    assert {"libavcodec", "runtime", "opencv", "score_at_half"} <= set(whole_body.execution())
    other = FindPoses(
        PosesConfig(pose_model="peaks"), BoxedDancer(RtmwPose(whole_body.model.model.card, Zoo(folder), 1.0, "cpu"))
    )
    assert stage_key(other, (), ()) != stage_key(whole_body, (), ())
    json.dumps(whole_body.execution())


def test_models_are_opened_by_their_names(tmp_path, body):
    zoo = Zoo(tmp_path)
    assert open_dancer_model("rtmw-l-384", zoo, "cpu").produced.all()
    assert open_dancer_model("yolov8n-pose", zoo, "cpu").produced.sum() == 18
    assert FindPoses.of(PosesConfig(pose_model="dwpose-l-384"), zoo, "cpu").model.name == "dwpose-l-384"
    with pytest.raises(ModelError, match="no model 'openpose'"):
        open_dancer_model("openpose", zoo)
    with pytest.raises(ValueError, match="the configuration says rtmw-l-384"):
        FindPoses(PosesConfig(pose_model="rtmw-l-384"), body.model)
