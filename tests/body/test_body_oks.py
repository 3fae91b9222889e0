import numpy as np
import pytest

from tasks.body.oks import COCO_SIGMAS, matched, similarity
from tasks.schema.keypoints import COCO_17, Keypoints


def people(*shifts: float, missing: tuple[int, ...] = ()) -> Keypoints:
    grid = np.stack(np.meshgrid(np.arange(17.0) * 10, np.arange(len(shifts))), axis=-1).astype(np.float32)
    grid[..., 0] += np.array(shifts, np.float32)[:, None]
    confidence = np.ones((len(shifts), 17), np.float32)
    confidence[:, list(missing)] = 0
    return Keypoints.from_arrays(COCO_17, grid, confidence)


AREA = np.array([10_000.0])


def test_the_same_joints_are_perfectly_similar():
    assert similarity(people(0), AREA, people(0)) == pytest.approx(1)


def test_one_joint_off_costs_what_the_formula_says():
    found = people(0)
    moved = found.xy.copy()
    moved[0, 9, 1] += 20
    off = Keypoints.from_arrays(COCO_17, moved, found.confidence)
    sigma = 2 * COCO_SIGMAS[9]
    expected = (16 + np.exp(-(20**2) / (2 * 10_000 * sigma**2))) / 17
    assert similarity(people(0), AREA, off) == pytest.approx(expected)


def test_joints_without_annotation_do_not_count_and_joints_not_found_count_nothing():
    assert similarity(people(0, missing=(3, 4)), AREA, people(0)) == pytest.approx(1)
    assert similarity(people(0), AREA, people(0, missing=(3, 4))) == pytest.approx(15 / 17)


def test_larger_people_forgive_more():
    small, large = (similarity(people(0), np.array([area]), people(5))[0, 0] for area in (1e3, 1e5))
    assert small < large


def test_nobody_annotated_or_nobody_found():
    assert similarity(Keypoints.empty(COCO_17), np.zeros(0), people(0)).shape == (0, 1)
    assert similarity(people(0), AREA, Keypoints.empty(COCO_17)).shape == (1, 0)
    assert matched(np.zeros((1, 0)), np.zeros(0)).tolist() == [-1]
    assert matched(np.zeros((0, 1)), np.ones(1)).tolist() == []


def test_the_most_confident_chooses_first_and_nobody_is_chosen_twice():
    similarities = np.array([[0.9, 0.95], [0.6, 0.7]])
    assert matched(similarities, np.array([0.8, 0.5])).tolist() == [0, 1]
    assert matched(similarities, np.array([0.5, 0.8])).tolist() == [1, 0]


def test_strangers_are_not_matched():
    assert matched(np.array([[0.49]]), np.ones(1)).tolist() == [-1]
