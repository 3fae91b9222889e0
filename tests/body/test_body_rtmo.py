"""RTMO's form, with a network whose answers follow from the picture; and files that are not it."""

import io
import zipfile
from hashlib import sha256

import numpy as np
import pytest

from tasks.body.pose_model import PersonDetections, open_fast_pose_model, open_pose_model
from tasks.body.rtmo import RtmoPose
from tasks.models import cards
from tasks.models.body_cards import RTMO_S
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError
from tests.body.blocks_model import (
    JOINT_CONFIDENCES,
    blocks_onnx,
    card_of,
    joints_of,
    paint,
    write_blocks_model,
)
from tests.models.model_contract import assert_batched_equals_single


@pytest.fixture
def rtmo(tmp_path) -> RtmoPose:
    return RtmoPose(write_blocks_model(tmp_path), Zoo(tmp_path), "cpu")


def a_picture(width: int, height: int, *blocks) -> np.ndarray:
    picture = np.full((height, width, 3), 60, np.uint8)
    for xyxy, blue, score in blocks:
        paint(picture, xyxy, blue, score)
    return picture


def as_arrays(people: PersonDetections):
    return people.boxes.xyxy, people.boxes.score, people.keypoints.xy, people.keypoints.confidence


@pytest.mark.parametrize(
    ("width", "height", "tolerance"),
    [(640, 640, 0.1), (640, 427, 0.1), (333, 640, 0.1), (1280, 800, 0.7), (320, 213, 0.7)],
)
def test_people_lie_where_the_picture_shows_them(rtmo, width, height, tolerance):
    block = (width // 4, height // 8, width // 2, height * 3 // 4)
    (people,) = rtmo.detect([a_picture(width, height, (block, 80, 0.8))])
    assert len(people) == 1
    assert people.boxes.score[0] == pytest.approx(0.8, abs=0.01)
    np.testing.assert_allclose(people.boxes.xyxy[0], block, atol=tolerance)
    expected = joints_of(block)
    np.testing.assert_allclose(people.keypoints.xy[0, 1:], expected[1:], atol=1.5 * tolerance)
    np.testing.assert_array_equal(people.keypoints.confidence[0], JOINT_CONFIDENCES)
    assert np.isnan(people.keypoints.xy[0, 0]).all()


def test_the_best_come_first_and_rows_that_fill_up_are_nobody(rtmo):
    blocks = [
        ((20 + 100 * k, 50, 80 + 100 * k, 300), b, s) for k, (b, s) in enumerate([(20, 0.3), (50, 0.9), (230, 0.1)])
    ]
    (people,) = rtmo.detect([a_picture(640, 400, *blocks)])
    np.testing.assert_allclose(people.boxes.score, [0.9, 0.3], atol=0.01)
    np.testing.assert_allclose(people.boxes.xyxy[:, 0], [120, 20], atol=0.1)


def test_the_network_is_given_blue_first(rtmo):
    picture = a_picture(640, 640, ((100, 100, 200, 300), 80, 0.8))
    assert len(rtmo.detect([picture])[0]) == 1
    assert len(rtmo.detect([np.ascontiguousarray(picture[..., ::-1])])[0]) == 0


def test_joints_may_lie_beyond_the_picture_and_boxes_may_not(rtmo):
    block = (500, 100, 640, 400)
    (people,) = rtmo.detect([a_picture(640, 480, (block, 110, 0.7))])
    assert people.keypoints.xy[0, 16, 0] == pytest.approx(500 - 0.5 + 1.25 * 140, abs=0.1)
    assert people.boxes.xyxy[0, 2] <= 640


def test_batched_equals_single(rtmo):
    pictures = [a_picture(w, h, ((10, 10, w // 2, h // 2), 20, 0.5)) for w, h in ((640, 640), (300, 500), (640, 200))]
    assert_batched_equals_single(rtmo.detect, pictures, as_arrays, tolerance=0)


def test_a_zip_as_it_is_published_is_read_as_it_is(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rtmo/deploy.json", "{}")
        archive.writestr("rtmo/end2end.onnx", blocks_onnx())
    (tmp_path / "rtmo.zip").write_bytes(stream.getvalue())
    model = RtmoPose(card_of(stream.getvalue(), file_name="rtmo.zip"), Zoo(tmp_path), "cpu")
    assert len(model.detect([a_picture(640, 640, ((100, 100, 200, 300), 80, 0.8))])[0]) == 1


def test_the_wrapper_follows_from_the_family_of_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "CARDS", (*cards.CARDS, write_blocks_model(tmp_path)))
    for opened in (
        open_pose_model("blocks", Zoo(tmp_path), "cpu"),
        open_fast_pose_model("blocks", Zoo(tmp_path), "cpu"),
    ):
        assert isinstance(opened, RtmoPose)
        assert opened.execution()["provider"] == "cpu"
        assert opened.execution()["runtime"].startswith("onnxruntime 1.")
    assert isinstance(open_pose_model("rtmo-s", Zoo(tmp_path)), RtmoPose)


def test_a_face_model_is_no_pose_model(tmp_path):
    with pytest.raises(ModelError, match=r"no model 'yunet'.*yolov8n-pose.*rtmo-s"):
        open_pose_model("yunet", Zoo(tmp_path))


def test_the_published_file_is_pinned():
    assert RTMO_S.downloadable
    assert RTMO_S.sha256 is not None
    assert RTMO_S.licence == "Apache-2.0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"no network", "does not load", id="garbage"),
        pytest.param(blocks_onnx(joints=26), "no RTMO of the 17 COCO joints", id="26 joints"),
    ],
)
def test_other_files_are_refused(tmp_path, content, says):
    (tmp_path / "other.onnx").write_bytes(content)
    card = card_of(content, file_name="other.onnx")
    assert card.sha256 == sha256(content).hexdigest()
    with pytest.raises(ModelError, match=says):
        RtmoPose(card, Zoo(tmp_path), "cpu").detect([np.zeros((8, 8, 3), np.uint8)])


def test_a_zip_without_a_network_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme", "")
    card = card_of((tmp_path / "a.zip").read_bytes(), file_name="a.zip")
    with pytest.raises(ModelError, match=r"0 files called end2end\.onnx"):
        RtmoPose(card, Zoo(tmp_path), "cpu").detect([np.zeros((8, 8, 3), np.uint8)])


def test_a_gpu_that_this_build_cannot_use_is_said(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build can")
    with pytest.raises(ModelError, match="onnxruntime-gpu"):
        RtmoPose(write_blocks_model(tmp_path), Zoo(tmp_path), "cuda").detect([np.zeros((8, 8, 3), np.uint8)])


def test_what_is_no_picture_is_refused(rtmo):
    with pytest.raises(ShapeError, match="RGB uint8"):
        rtmo.detect([np.zeros((8, 8), np.uint8)])
