"""Clips to their reference picture, with real decoding and a real embedding of faces that are drawn."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.poses import poses_of_row
from tasks.dance.reference import PickReference, ReferenceConfig
from tasks.dance.reference_frames import detail, towards
from tasks.images.decode import decode_rgb
from tasks.models.zoo import Zoo
from tasks.schema.clips import EMBEDDING_WIDTH, REFERENCE_SCHEMA
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.keypoints import Keypoints
from tasks.schema.rejections import Reason
from tasks.shards.stage import stage_key
from tests.dance.face_clips import HEAD, PickDrawnReference, a_pose_row, beside, shows
from tests.dance.pose_clips import SIDE, a_clip
from tests.face.tiny_recognisers import card_of, write_onnx

FRAMES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def stage_of(folder, width: int = EMBEDDING_WIDTH, **config) -> PickReference:
    card = card_of(write_onnx(folder / f"tiny{width}.onnx", width=width), "onnx-recognition", width=width)
    return PickDrawnReference(ReferenceConfig(recogniser=card, **config), Zoo(folder), "cpu")


@pytest.fixture(scope="module")
def stage(folder):
    return stage_of(folder, candidates=4)


def run(stage, *rows):
    outputs = list(stage.process(iter([beside(rows)])))
    kept = pa.concat_tables([output.kept for output in outputs])
    assert kept.schema.equals(REFERENCE_SCHEMA, check_metadata=True)
    rejected = [r for output in outputs for r in output.rejected]
    assert kept.num_rows + len(rejected) == len(rows)
    return kept.to_pylist(), rejected


def clip_with(special: dict[int, np.ndarray], else_: np.ndarray) -> bytes:
    return a_clip(special.get(k, else_) for k in range(FRAMES))


@pytest.fixture(scope="module")
def faces() -> bytes:
    """Blurred faces, a sharp one that is turned away, and a sharp one that is not."""
    return clip_with({4: shows(24, 60), 8: shows()}, shows(blur=3))


@pytest.fixture(scope="module")
def referred(stage, faces):
    (row,), rejected = run(stage, (a_pose_row(FRAMES), faces))
    assert not rejected
    return row


def test_the_reference_is_the_sharpest_frontal_frame(referred):
    assert referred["reference_frame"] == 8
    picture = decode_rgb(referred["reference"]["bytes"])
    assert picture.shape == (SIDE, SIDE, 3)
    assert np.abs(picture.astype(int) - shows()).mean() < 6
    x, y = HEAD
    np.testing.assert_allclose(referred["face_xyxy"], [x - 30, y - 30, x + 30, y + 30], atol=3)
    assert referred["face_score"] > 0.9
    assert referred["frontality"] > 0.8


def test_the_embedding_has_unit_length(referred):
    embedding = np.array(referred["embedding"])
    assert embedding.shape == (EMBEDDING_WIDTH,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)
    assert (referred["embedding_model"], referred["embedding_missing"]) == ("tiny", None)


def test_without_a_face_the_sharpest_frame_stands_in_and_says_so(stage):
    clip = clip_with({5: shows(0)}, shows(0, blur=3))
    (row,), _ = run(stage, (a_pose_row(FRAMES), clip))
    assert row["reference_frame"] == 5
    assert row["embedding"] is row["face_xyxy"] is row["face_score"] is row["frontality"] is None
    assert row["sharpness"] > 0
    assert row["embedding_missing"].startswith(f"no face in 4 of {FRAMES} frames")
    assert row["embedding_missing"].endswith("the sharpest frame stands in")


def test_a_head_that_no_joint_tells_of_has_no_face(stage, faces):
    (row,), _ = run(stage, (a_pose_row(FRAMES, confidence=0.3), faces))
    assert row["embedding"] is None
    assert "no joint of the head reaches 0.50" in row["embedding_missing"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 16}, f"tiny gives embeddings of 16 numbers, {EMBEDDING_WIDTH} are wanted"),
        ({"face_side_px": 80.0}, "the face is not clear enough: its box is 60 px long, at least 80 px are wanted"),
        ({"sharpness": 0.99}, "the face is not clear enough: its sharpness is"),
    ],
)
def test_a_face_without_an_embedding_says_why(folder, faces, options, says):
    stage = stage_of(folder, **options)
    (row,), _ = run(stage, (a_pose_row(FRAMES), faces))
    assert row["reference_frame"] == 8
    assert row["face_score"] > 0.9
    assert row["embedding"] is None
    assert row["embedding_missing"].startswith(says)
    assert ("tiny" in stage.models()) == ("width" not in options)


def test_a_bad_clip_costs_itself_alone(stage, faces, referred):
    nobody = a_pose_row(FRAMES, "v/c003", confidence=0)
    nobody["keypoints_xy"] = [None] * len(nobody["keypoints_xy"])
    kept, rejected = run(
        stage,
        (a_pose_row(FRAMES), b"no video"),
        (a_pose_row(FRAMES, "v/c001"), None),
        (a_pose_row(FRAMES + 1, "v/c002"), faces),
        (nobody, faces),
        (a_pose_row(FRAMES - 1, "v/c004"), faces),
        (a_pose_row(FRAMES, "v/c005"), faces),
    )
    assert [r.reason for r in rejected] == [
        Reason.FRAMES_UNREADABLE,
        Reason.FRAMES_UNREADABLE,
        Reason.LENGTHS_DIFFER,
        Reason.DANCER_LOST,
        Reason.LENGTHS_DIFFER,
    ]
    assert f"{FRAMES} frames, {FRAMES + 1} have poses" in rejected[2].detail
    (row,) = kept
    reference = {"bytes": row["reference"]["bytes"], "path": "v/c000.jpg"}
    assert {**row, "sample_id": "v/c000", "reference": reference} == referred


def posed(**places: tuple[float, float]) -> Keypoints:
    row = a_pose_row(1)
    poses = poses_of_row(row).keypoints
    xy = poses.xy.copy()
    for name, away in places.items():
        xy[0, OPENPOSE_134.index(name)] = np.add(HEAD, away)
    return Keypoints.from_arrays(OPENPOSE_134, xy, poses.confidence)


def test_who_looks_at_the_viewer_comes_first_whichever_way_is_up():
    front, turned = towards(posed(), 0.5), towards(posed(nose=(11, 4)), 0.5)
    behind = posed(left_eye=(-12, -8), right_eye=(12, -8), left_shoulder=(-40, 50), right_shoulder=(40, 50))
    assert 1 >= front > turned > towards(behind, 0.5) > 0
    upside_down = Keypoints.from_arrays(OPENPOSE_134, SIDE - posed().xy, posed().confidence)
    assert towards(upside_down, 0.5) == pytest.approx(front)
    assert towards(posed(), 0.95) == 0


def test_detail_goes_with_blur_not_with_contrast():
    sharp = detail(shows())
    assert sharp > 2 * detail(shows(blur=2))
    assert detail((shows() // 2 + 60).astype(np.uint8)) == pytest.approx(sharp, rel=0.15)


def test_the_key_holds_models_floors_and_builds(folder, stage):
    assert set(stage.models()) == {"drawn-faces", "tiny"}
    assert stage.params()["floors"]["sharpness"] == 0
    assert stage.params()["score_floor"] == 0.7
    assert {"libavcodec", "detector provider", "recogniser onnxruntime"} <= set(stage.execution())
    json.dumps([stage.params(), stage.execution()])
    assert stage_key(stage_of(folder, candidates=5), (), ()) != stage_key(stage, (), ())


def test_models_are_opened_by_their_names(tmp_path):
    zoo = Zoo(tmp_path)
    stage = PickReference.of(ReferenceConfig(), zoo, "cpu", "onnxruntime")
    assert (stage.detector.name, stage.recogniser.name, stage.embeds) == ("retinaface-resnet50", "auraface-v1", True)
    with pytest.raises(ConfigError, match=r"no face under 0\.1"):
        PickReference.of(ReferenceConfig(score_floor=0.05), zoo)
    with pytest.raises(ModelError, match="no recognition model"):
        PickReference.of(ReferenceConfig(recogniser="nobody"), zoo)
