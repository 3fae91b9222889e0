from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.poses.difficulty import WEIGHTS, difficulty
from tasks.poses.normalise import normalise
from tests.poses.figures import ALL, figure, mirrored, pose, without


def test_weights_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("level", "directions"),
    [
        ("easy", {}),
        ("easy", {"upper_arms": (-25, 10), "forearms": (10, 5)}),
        ("medium", {"upper_arms": (-90, 30), "forearms": (-150, 20)}),
        ("medium", {"thighs": (80, 85), "shins": (0, 5)}),
        ("hard", {"torso": 80, "thighs": (100, -30), "shins": (30, -60), "upper_arms": (-150, 100)}),
        ("hard", {"torso": 178, "thighs": (-175, 120), "shins": (180, 175), "upper_arms": (10, -10)}),
    ],
)
def test_levels_by_example(level: str, directions: dict[str, Any]) -> None:
    assert difficulty(pose(**directions)).level == level


@pytest.mark.parametrize(
    ("part", "directions"),
    [
        ("rarity", {"torso": 90}),
        ("foreshortening", {"lengths": {"right_thigh": 0.1, "left_thigh": 0.1}}),
        ("self_occlusion", {"thighs": (30, -30)}),
        ("balance", {"torso": -60, "turned": 0.1}),
        ("asymmetry", {"upper_arms": (-170, 10), "forearms": (-170, 5)}),
    ],
)
def test_each_part_answers_to_its_own_cause(part: str, directions: dict[str, Any]) -> None:
    assert difficulty(pose()).parts[part] < 0.05
    assert difficulty(pose(**directions)).parts[part] > 0.08


def test_the_mirror_image_is_as_hard() -> None:
    xy = figure(torso=20, thighs=(-60, 15), upper_arms=(-120, 30), forearms=(60, -70))
    assert difficulty(normalise(xy, ALL)) == difficulty(normalise(mirrored(xy), ALL))


def test_nothing_seen_is_easy() -> None:
    nothing = difficulty(None)
    assert (nothing.level, nothing.score) == ("easy", 0)
    assert set(nothing.parts.values()) == {0.0}


@given(st.sets(st.sampled_from(["wrist", "elbow", "ankle", "knee"])), st.sampled_from(["right", "left"]))
def test_missing_limbs_add_no_difficulty(joints: set[str], side: str) -> None:
    """In the picture's plane, where no length hides the unit."""
    xy = figure(torso=10, thighs=(-60, 15), shins=(-10, 30), upper_arms=(-120, 30), forearms=(60, -70))
    whole = difficulty(normalise(xy, ALL))
    less = difficulty(normalise(*without(xy, *(f"{side}_{joint}" for joint in joints))))
    assert all(less.parts[name] <= part + 1e-4 for name, part in whole.parts.items())


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500), st.booleans()), min_size=18, max_size=18))
def test_scores_stay_within_0_and_1(joints: list[tuple[float, float, bool]]) -> None:
    values = np.array(joints)
    there = values[:, 2] > 0
    found = difficulty(normalise(np.where(there[:, None], values[:, :2], np.nan), there.astype(float)))
    assert 0 <= found.score <= 1
    assert all(0 <= part <= 1 for part in found.parts.values())
