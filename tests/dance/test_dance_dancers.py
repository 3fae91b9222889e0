"""Who dances."""

import numpy as np
import pytest

from tasks.dance.dancers import DancerRules, Person, body_between, dancers_of, presence, prominence

RULES = DancerRules()


def person(number: int, frames: list[int], xyxy: tuple[float, float, float, float], score: float = 0.9) -> Person:
    box = np.tile(np.array(xyxy, np.float32), (len(frames), 1))
    return Person(number, np.array(frames), box, box.copy(), np.full(len(frames), score, np.float32))


LOOKS = list(range(0, 120, 6))
NEAR = person(0, LOOKS, (100, 100, 400, 900))
PASSING = person(1, LOOKS[:4], (500, 0, 1000, 1000))
BESIDE = person(2, LOOKS, (900, 150, 1150, 850))
CHILD = person(3, LOOKS, (1300, 500, 1380, 720))
TINY = person(4, LOOKS, (1500, 500, 1540, 600))
DOUBTFUL = person(5, LOOKS, (1600, 100, 1900, 900), score=0.3)


def test_size_and_persistence_decide_and_the_order_does_not() -> None:
    people = (TINY, DOUBTFUL, CHILD, PASSING, BESIDE, NEAR)
    found = dancers_of(people, len(LOOKS), RULES)
    assert [p.number for p in found.dancers] == [0, 2, 1]
    assert [p.number for p in found.small] == [4]
    assert sorted(p.number for p in found.others) == [3, 5]
    turned = dancers_of(people[::-1], len(LOOKS), RULES)
    assert [p.number for p in turned.dancers] == [0, 2, 1]
    assert prominence(PASSING, len(LOOKS)) < prominence(BESIDE, len(LOOKS))


def test_nobody_is_no_dancer() -> None:
    found = dancers_of((), 10, RULES)
    assert (found.dancers, found.small, found.others) == ((), (), ())


def test_equal_people_go_from_left_to_right() -> None:
    left, right = person(1, LOOKS, (0, 0, 300, 800)), person(0, LOOKS, (500, 0, 800, 800))
    assert [p.number for p in dancers_of((right, left), len(LOOKS), RULES).dancers] == [1, 0]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([0, 6, 12, 18, 24], [(0, 27)]),
        ([12, 18, 24], [(12, 27)]),
        ([0, 6, 18, 24], [(0, 27)]),
        ([0, 6, 24], [(0, 7), (24, 27)]),
        ([4, 12, 13], [(0, 14)]),
    ],
)
def test_presence_has_no_long_pauses(frames: list[int], expected: list[tuple[int, int]]) -> None:
    assert presence(person(0, frames, (0, 0, 10, 10)), 0, 27, 6, RULES) == expected


def test_the_body_between_two_looks_is_what_both_need() -> None:
    boxes = np.array([[10, 10, 20, 20], [30, 0, 50, 15]], np.float32)
    moving = Person(0, np.array([6, 12]), boxes, boxes, np.ones(2, np.float32))
    body = body_between(moving, np.array([0, 6, 9, 12, 14]))
    np.testing.assert_array_equal(body, [boxes[0], boxes[0], [10, 0, 50, 20], boxes[1], boxes[1]])
