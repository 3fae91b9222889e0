import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.body.main_person import boxes_of, main_person
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import OPENPOSE_18, Keypoints


def people_in(*boxes: tuple[float, float, float, float]) -> tuple[Keypoints, Boxes]:
    """One person a box, with two joints in its corners."""
    xy = np.full((len(boxes), 18, 2), np.nan)
    xy[:, 0], xy[:, 10] = [b[:2] for b in boxes], [b[2:] for b in boxes]
    return (
        Keypoints.from_arrays(OPENPOSE_18, xy, np.ones((len(boxes), 18))),
        Boxes(np.array(boxes, np.float32), np.full(len(boxes), 0.9, np.float32)),
    )


def test_larger_wins() -> None:
    assert main_person(*people_in((10, 10, 20, 40), (50, 10, 90, 95)), None, 100, 100) == 1


def test_central_wins_among_equals() -> None:
    assert main_person(*people_in((0, 30, 20, 70), (40, 30, 60, 70)), None, 100, 100) == 1


def test_surer_wins_among_equals() -> None:
    people, boxes = people_in((20, 30, 40, 70), (60, 30, 80, 70))
    assert main_person(people, boxes, np.array([0.3, 0.9], np.float32), 100, 100) == 1


def test_only_what_is_inside_the_frame_counts() -> None:
    assert main_person(*people_in((-300, -300, 20, 20), (30, 20, 80, 90)), None, 100, 100) == 1


def test_boxes_are_taken_around_joints_if_not_given() -> None:
    people, _ = people_in((10, 10, 20, 40), (50, 10, 90, 95))
    assert main_person(people, None, None, 100, 100) == 1


@given(st.permutations(range(4)))
def test_choice_does_not_depend_on_the_order(order: list[int]) -> None:
    boxes = ((20, 30, 40, 70), (60, 30, 80, 70), (20, 30, 40, 70.0), (5, 5, 10, 10))
    chosen = main_person(*people_in(*(boxes[k] for k in order)), None, 100, 100)
    assert boxes[order[chosen]] == (20, 30, 40, 70)
    assert chosen == min(order.index(0), order.index(2))


def test_nobody_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="0 people"):
        main_person(Keypoints.empty(OPENPOSE_18), None, None, 10, 10)


def test_numbers_of_people_must_agree() -> None:
    people, boxes = people_in((10, 10, 20, 40))
    with pytest.raises(ValueError, match="scores"):
        main_person(people, boxes, np.ones(2, np.float32), 10, 10)


def test_boxes_hold_the_joints() -> None:
    people, _ = people_in((10, 12, 20, 40))
    boxes = boxes_of(people)
    np.testing.assert_allclose(boxes.xyxy, [[9.5, 11.5, 20.5, 40.5]])
    np.testing.assert_allclose(boxes.score, [2 / 18])


def test_person_without_joints_has_an_empty_box() -> None:
    nobody = Keypoints.from_arrays(OPENPOSE_18, np.full((1, 18, 2), np.nan), np.zeros((1, 18)))
    boxes = boxes_of(nobody)
    assert boxes.area[0] == 0
    assert boxes.score[0] == 0
    assert len(boxes_of(Keypoints.empty(OPENPOSE_18))) == 0
