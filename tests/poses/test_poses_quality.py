import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.images.decode import decode_rgb
from tasks.poses.normalise import normalise
from tasks.poses.quality import WEIGHTS, Quality, quality, sharpness
from tests.poses.figures import ALL, Points, figure, photo_bytes, without


def score(
    xy: Points | None = None, confidence: NDArray[np.float64] = ALL, image: NDArray[np.uint8] | None = None
) -> Quality:
    joints = figure(at=(200, 230)) if xy is None else xy
    there = joints[confidence > 0]
    box = np.array([*there.min(axis=0), *there.max(axis=0)]) if len(there) else np.zeros(4)
    picture = decode_rgb(photo_bytes()) if image is None else image
    return quality(normalise(joints, confidence), joints, confidence, box, picture)


def test_weights_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


def test_a_whole_sure_person_is_good() -> None:
    found = score()
    assert {name: found.parts[name] for name in ("confidence", "completeness", "truncation")} == {
        "confidence": 1,
        "completeness": 1,
        "truncation": 1,
    }
    assert found.parts["size"] > 0.7
    assert found.score > 0.8
    assert found == score()


def test_confidence_is_the_mean_of_what_is_there() -> None:
    assert score(confidence=ALL * 0.6).parts["confidence"] == pytest.approx(0.6)
    xy, confidence = without(figure(at=(200, 230)), "right_wrist")
    assert score(xy, confidence * 0.6).parts["confidence"] == pytest.approx(0.6)


def test_a_missing_face_costs_less_than_a_missing_arm() -> None:
    face = score(*without(figure(at=(200, 230)), "nose", "right_eye", "left_eye", "right_ear", "left_ear"))
    arm = score(*without(figure(at=(200, 230)), "right_elbow", "right_wrist"))
    assert arm.parts["completeness"] < face.parts["completeness"] < 1


def test_small_people_score_low() -> None:
    assert score(figure(scale=15, at=(200, 250))).parts["size"] == 0
    assert score(figure(scale=40, at=(200, 250))).parts["size"] < score().parts["size"]


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (512, 400, 3), np.uint8)
    sharp = cv2.resize(noise, (800, 1024), interpolation=cv2.INTER_NEAREST)
    box = np.array([100, 100, 700, 900.0])
    values = [sharpness(np.asarray(cv2.GaussianBlur(sharp, (0, 0), s), np.uint8), box) for s in (1, 3, 9, 27)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.1
    assert sharpness(np.full((64, 64, 3), 9, np.uint8), np.array([0, 0, 64, 64.0])) == 0


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [900, 900, 950, 950], [-9, -9, 1, 1], [np.nan] * 4])
def test_a_box_without_pixels_has_no_sharpness(box: list[float]) -> None:
    assert sharpness(np.zeros((64, 64, 3), np.uint8), np.array(box)) == 0


def test_limbs_that_leave_the_picture_are_cut_and_hidden_ones_are_not() -> None:
    low = without(figure(at=(200, 400)), "right_ankle", "left_ankle", "right_knee", "left_knee")
    assert score(*low).parts["truncation"] == pytest.approx(1 - 2 / 5)
    hidden = without(figure(at=(200, 230)), "right_wrist")
    assert score(*hidden).parts["truncation"] == 1
    head = without(figure(at=(200, 110)), "nose", "right_eye", "left_eye", "right_ear", "left_ear")
    assert score(*head).parts["truncation"] == pytest.approx(1 - 1 / 5)


def test_nobody_is_no_quality() -> None:
    nobody = score(np.full((18, 2), np.nan), np.zeros(18))
    assert nobody.score == 0
    assert "confidence" not in nobody.parts
    assert "truncation" not in nobody.parts
