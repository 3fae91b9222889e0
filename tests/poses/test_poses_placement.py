from typing import Any

import pytest

from tasks.poses.normalise import normalise
from tasks.poses.placement import placement
from tests.poses.figures import figure, pose, without

RIGHT_UP = {"upper_arms": (-10, 10), "forearms": (100, 5)}
LEFT_UP = {"upper_arms": (-10, 10), "forearms": (-5, -100)}
TOGETHER = {"upper_arms": (-5, 5), "forearms": (60, -60)}
APART = {"upper_arms": (-80, 80), "forearms": (-120, 120)}


@pytest.mark.parametrize(
    ("cloth", "caption", "directions", "expected"),
    [
        ("dress", None, {}, "body"),
        ("Jackets_Vests", "a woman holding a bag", RIGHT_UP, "body"),
        ("sunglasses", None, {}, "worn"),
        ("mystery", "a woman", {}, None),
        (None, "a woman holding a cup", RIGHT_UP, "hand-right"),
        (None, "a woman holding a cup", LEFT_UP, "hand-left"),
        (None, "a woman holding a cup", TOGETHER, "both-hands"),
        (None, "a woman holding a cup", APART, None),
        (None, "a woman holding a cup", {}, None),
        (None, "a man with a phone in his left hand, holding it", RIGHT_UP, "hand-left"),
        (None, "a man holding a box with both hands", {}, "both-hands"),
        (None, "a couple holding hands", RIGHT_UP, None),
        (None, "a man wearing a red shirt", RIGHT_UP, "body"),
        (None, "a man wearing a hat", {}, "worn"),
        (None, "woman in red dress", {}, "body"),
        (None, "a man in a white and blue shirt", {}, "body"),
        (None, "a man wearing a hat and a white t-shirt", {}, "body"),
        (None, "a man in a kitchen with a hat on the table", {}, None),
        (None, "a shirt in a shop", {}, None),
        (None, "a shirt on a chair", {}, None),
        (None, None, RIGHT_UP, None),
    ],
)
def test_rules(cloth: str | None, caption: str | None, directions: dict[str, Any], expected: str | None) -> None:
    assert placement(cloth, caption, pose(**directions)) == expected


@pytest.mark.parametrize("missing", ["right_wrist", "left_wrist", "left_elbow"])
def test_a_hand_that_is_not_seen_is_not_guessed(missing: str) -> None:
    partly = normalise(*without(figure(**RIGHT_UP), missing))
    assert placement(None, "a woman holding a cup", partly) is None
    assert placement(None, "a woman holding a cup", None) is None
