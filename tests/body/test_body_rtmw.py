"""RTMW's form, with networks whose peaks are known; and files that are not it."""

import io
import zipfile

import numpy as np
import pytest

from tasks.body.rtmw import RtmwPose, WholebodyPoses, confidence_of, crop_matrix, decoded, open_wholebody_model
from tasks.body.wholebody import OPENPOSE_134
from tasks.models.body_cards import DWPOSE_L_384, RTMW_L_384, SCORE_AT_HALF
from tasks.models.cards import cards_of
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError
from tests.body.simcc_model import JOINTS, OFFSETS, SCORES, card_of, simcc_onnx, write_simcc_model
from tests.models.model_contract import assert_batched_equals_single

FROM_133 = [0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, *range(17, 133)]
NOT_NECK = [k for k in range(134) if k != 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def peaks(folder) -> RtmwPose:
    return RtmwPose(write_simcc_model(folder), Zoo(folder), 2.0, "cpu")


def a_picture(x: int, y: int, width: int = 512, height: int = 512, *, channel: int = 1) -> np.ndarray:
    """Dark, with one bright spot, large enough to outlive scaling, around (x, y)."""
    picture = np.full((height, width, 3), 30, np.uint8)
    rows, columns = np.mgrid[:height, :width]
    picture[..., channel] = 30 + 225 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 6.0**2))
    return picture


def as_arrays(poses: WholebodyPoses):
    return poses.keypoints.xy, poses.keypoints.confidence, poses.raw_score


BOXES = [(150, 60, 350, 460), (0, 0, 512, 512), (200, 200, 330, 300), (-80, 100, 260, 640)]


@pytest.mark.parametrize("box", BOXES)
def test_joints_lie_where_the_crop_shows_them(peaks, box):
    x, y = 230, 240
    poses = peaks.estimate([a_picture(x, y)], np.array([box], np.float32))
    scale = crop_matrix(np.array(box, np.float32), 288, 384)[0, 0]
    expected = np.array([x, y]) + OFFSETS[FROM_133] / 2 / scale
    there = [k for k in NOT_NECK if poses.keypoints.present[0, k]]
    off = np.abs(poses.keypoints.xy[0] - expected)[there].max()
    assert off <= 0.5 / scale + 0.51, "half a pixel of the input and half a pixel of the picture"
    assert len(there) == len(NOT_NECK) - 1


def test_the_neck_lies_between_the_shoulders(peaks):
    poses = peaks.estimate([a_picture(230, 240)], np.array([BOXES[0]], np.float32))
    neck, right, left = (OPENPOSE_134.index(n) for n in ("neck", "right_shoulder", "left_shoulder"))
    xy = poses.keypoints.xy[0]
    np.testing.assert_allclose(xy[neck], (xy[right] + xy[left]) / 2, rtol=1e-6)
    assert poses.raw_score[0, neck] == poses.raw_score[0, [right, left]].min()


def test_raw_scores_are_kept_and_confidences_calibrated(peaks):
    poses = peaks.estimate([a_picture(230, 240)], np.array([BOXES[0]], np.float32))
    raw = SCORES[FROM_133]
    np.testing.assert_allclose(poses.raw_score[0, NOT_NECK], raw[NOT_NECK], atol=1e-4)
    np.testing.assert_allclose(poses.keypoints.confidence[0, NOT_NECK], confidence_of(raw, 2.0)[NOT_NECK], atol=1e-4)
    left_ear = OPENPOSE_134.index("left_ear")
    assert poses.raw_score[0, left_ear] == pytest.approx(-1)
    assert not poses.keypoints.present[0, left_ear]


def test_calibration_rises_and_never_reaches_one():
    raw = np.array([-3, 0, 1, 2, 4, 6, 50], np.float32)
    np.testing.assert_allclose(confidence_of(raw, 2.0)[:6], [0, 0, 0.2, 0.5, 0.8, 0.9], atol=1e-6)
    assert 0.99 < confidence_of(raw, 2.0)[6] < 1
    assert set(SCORE_AT_HALF) == {card.name for card in cards_of("onnx-wholebody")}


def test_the_network_is_given_rgb(peaks):
    box = np.array([BOXES[0]], np.float32)
    seen = peaks.estimate([a_picture(230, 240, channel=1)], box).keypoints.xy
    other = peaks.estimate([a_picture(230, 240, channel=0)], box).keypoints.xy
    assert np.nanmax(np.abs(seen - other)) > 20


def test_normalisation_is_of_rgb():
    from tasks.body import rtmw

    assert rtmw._MEAN[0] > rtmw._MEAN[1] > rtmw._MEAN[2]
    network = object.__new__(rtmw._Network)
    network._width, network._height = 4, 4
    picture = np.full((8, 8, 3), (123, 116, 103), np.uint8)
    crop = network._crop(picture, np.array([[1.0, 0, 0], [0, 1, 0]]))
    assert crop.shape == (3, 4, 4)
    assert np.abs(crop).max() < 0.02


@pytest.mark.parametrize("size", [(120, 300), (300, 120), (7, 9)])
def test_a_crop_holds_the_padded_box_and_its_inverse_is_exact(size):
    box = np.array([40, 30, 40 + size[0], 30 + size[1]], np.float32)
    matrix = crop_matrix(box, 288, 384)
    corners = np.array([box[:2], box[2:]]) - 0.5
    inside = corners * matrix[0, 0] + matrix[:, 2]
    share = (inside[1] - inside[0]) / [288, 384]
    assert share.max() == pytest.approx(1 / 1.25)
    np.testing.assert_allclose(inside.mean(axis=0), [144, 192])
    np.testing.assert_allclose((inside - matrix[:, 2]) / matrix[0, 0], corners, atol=1e-9)


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.3])
def test_the_parabola_finds_places_between_half_pixels(folder, shift):
    sharp = RtmwPose(write_simcc_model(folder, f"blur{shift}", blur=shift), Zoo(folder), 2.0, "cpu", sub_pixel=True)
    plain = RtmwPose(sharp.card, sharp.zoo, 2.0, "cpu")
    box = np.array([BOXES[0]], np.float32)
    scale = crop_matrix(box[0], 288, 384)[0, 0]
    fine, coarse = (m.estimate([a_picture(230, 240)], box).keypoints.xy for m in (sharp, plain))
    moved = (fine - coarse)[0, NOT_NECK]
    np.testing.assert_allclose(moved[np.isfinite(moved)], shift / 2 / scale, atol=0.03)


def test_peaks_at_the_edge_stay_there():
    simcc = np.zeros((1, 2, 576), np.float32)
    simcc[0, 0, 0] = simcc[0, 1, 575] = 3
    xy, raw = decoded(simcc, simcc, sub_pixel=True)
    np.testing.assert_array_equal(xy[0, :, 0], [0, 287.5])
    np.testing.assert_array_equal(raw, [[3, 3]])


def test_batched_equals_single(peaks):
    rng = np.random.default_rng(2)
    pictures = [a_picture(*rng.integers(50, 150, 2), width=w, height=h) for w, h in ((200, 210), (260, 160)) * 5]
    boxes = [np.array(BOXES[k % 4], np.float32) / 2 for k in range(10)]

    def run(some):
        xyxy = np.array([box for _, box in some], np.float32).reshape(-1, 4)
        poses = peaks.estimate([picture for picture, _ in some], xyxy)
        return [WholebodyPoses(poses.keypoints.person(k), poses.raw_score[k : k + 1]) for k in range(len(poses))]

    assert_batched_equals_single(run, list(zip(pictures, boxes, strict=True)), as_arrays, tolerance=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "batch"),
    [
        ("dynamic", {}, 8),
        ("fixed", {"batch": 1}, 1),
        ("broken", {"fault": "batch axis"}, 1),
        ("mixing", {"fault": "neighbours"}, 1),
    ],
)
def test_batches_are_taken_only_where_they_give_what_single_crops_give(folder, peaks, name, options, batch):
    model = RtmwPose(write_simcc_model(folder, name, **options), Zoo(folder), 2.0, "cpu")
    assert model._loaded().batch == batch
    pictures = [a_picture(200 + 10 * k, 240) for k in range(3)]
    poses = model.estimate(pictures, np.array(BOXES[:1] * 3, np.float32))
    assert len(poses) == 3
    if name != "mixing":
        expected = peaks.estimate(pictures, np.array(BOXES[:1] * 3, np.float32))
        np.testing.assert_allclose(poses.keypoints.xy, expected.keypoints.xy, atol=1e-3)


def test_a_zip_as_it_is_published_is_read_as_it_is(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("20231122/rtmw/end2end.onnx", simcc_onnx())
        archive.writestr("20231122/rtmw/pipeline.json", "{}")
    (tmp_path / "rtmw.zip").write_bytes(stream.getvalue())
    model = RtmwPose(card_of(stream.getvalue(), "rtmw", "rtmw.zip"), Zoo(tmp_path), 2.0, "cpu")
    assert len(model.estimate([a_picture(230, 240)], np.array([BOXES[0]], np.float32))) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"no network", "does not load", id="garbage"),
        pytest.param(simcc_onnx(joints=26), "no RTMW or DWPose of 133 joints", id="26 joints"),
        pytest.param(simcc_onnx(batch=5), "no RTMW or DWPose of 133 joints", id="five at once"),
    ],
)
def test_other_files_are_refused(tmp_path, content, says):
    (tmp_path / "other.onnx").write_bytes(content)
    model = RtmwPose(card_of(content, "other", "other.onnx"), Zoo(tmp_path), 2.0, "cpu")
    with pytest.raises(ModelError, match=says):
        model.estimate([a_picture(9, 9, 32, 32)], np.array([[0, 0, 32, 32]], np.float32))


@pytest.mark.parametrize("boxes", [np.zeros((2, 4)), np.array([[0, 0, np.nan, 9]])])
def test_boxes_that_do_not_fit_are_refused(peaks, boxes):
    with pytest.raises(ShapeError, match="one finite box a picture"):
        peaks.estimate([a_picture(9, 9, 32, 32)], boxes.astype(np.float32))


def test_a_box_without_extent_does_no_harm(peaks):
    poses = peaks.estimate([a_picture(230, 240)], np.array([[100, 100, 100, 100]], np.float32))
    assert np.isfinite(poses.keypoints.xy[poses.keypoints.present]).all()


def test_published_files_are_pinned():
    for card in (RTMW_L_384, DWPOSE_L_384):
        assert card.downloadable
        assert card.sha256 is not None
        assert card.licence == "Apache-2.0"


def test_a_model_is_opened_by_its_name(tmp_path):
    model = open_wholebody_model("rtmw-l-384", Zoo(tmp_path), "cpu", sub_pixel=True)
    assert model.score_at_half == 2.0
    assert model.produced.all()
    assert model.execution()["place"] == "parabola"
    assert model.sha256 == RTMW_L_384.sha256
    with pytest.raises(ModelError, match=r"no model 'yolov8n-pose'.*rtmw-l-384, dwpose-l-384"):
        open_wholebody_model("yolov8n-pose", Zoo(tmp_path))


def test_nobody_asked_for_is_nobody_and_the_form_is_checked(peaks):
    assert len(peaks.estimate([], np.zeros((0, 4), np.float32))) == 0
    assert JOINTS == 133
    with pytest.raises(ShapeError, match="openpose-134"):
        WholebodyPoses(peaks.estimate([], np.zeros((0, 4), np.float32)).keypoints, np.zeros((1, 134), np.float32))
