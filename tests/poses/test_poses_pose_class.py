from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.mannequin_poses import POSES, apply, pose_body, rotation
from tasks.poses.normalise import normalise
from tasks.poses.pose_class import PoseClass, pose_class
from tasks.schema.keypoints import OPENPOSE_18
from tests.poses.figures import ALL, figure, mirrored, without

EXAMPLES: list[tuple[PoseClass, dict[str, Any]]] = [
    (PoseClass.STANDING, {}),
    (PoseClass.STANDING, {"thighs": (-15, 15), "shins": (-15, 15)}),
    (PoseClass.STANDING, {"upper_arms": (-170, 170), "forearms": (-175, 175)}),
    (PoseClass.LYING, {"torso": 88, "thighs": (85, 92), "shins": (88, 90), "turned": 0.1}),
    (PoseClass.LYING, {"torso": -80, "thighs": (-85, -75), "shins": (-95, -100), "turned": 0.1}),
    (PoseClass.INVERTED, {"torso": 178, "thighs": (-175, 170), "shins": (180, 175)}),
    (PoseClass.BENDING, {"torso": 80, "turned": 0.1}),
    (PoseClass.BENDING, {"lengths": {"torso": 0.4}}),
    (PoseClass.KNEELING, {"thighs": (0, 5), "shins": (-88, -85), "turned": 0.1}),
    (PoseClass.KNEELING, {"thighs": (0, 85), "shins": (-88, 2), "turned": 0.1}),
    (PoseClass.SITTING, {"thighs": (88, 85), "shins": (0, 5), "turned": 0.1}),
    (PoseClass.SITTING, {"lengths": {"right_thigh": 0.2, "left_thigh": 0.25}}),
    (PoseClass.SQUATTING, {"thighs": (100, 95), "shins": (-40, -40), "torso": -30, "turned": 0.1}),
    (PoseClass.SQUATTING, {"thighs": (60, 62), "shins": (-30, -30), "torso": -30, "turned": 0.1}),
    (PoseClass.JUMPING, {"thighs": (5, -5), "shins": (-60, -70), "turned": 0.2}),
    (PoseClass.JUMPING, {"thighs": (-50, 50), "shins": (-50, 50), "upper_arms": (-150, 150), "forearms": (-150, 150)}),
    (
        PoseClass.RUNNING,
        {"thighs": (50, -20), "shins": (-20, -75), "upper_arms": (-40, 40), "forearms": (60, 130), "turned": 0.2},
    ),
    (PoseClass.LUNGING, {"thighs": (70, -35), "shins": (0, -40), "turned": 0.3}),
    (PoseClass.WALKING, {"thighs": (25, -20), "shins": (10, -25), "turned": 0.2}),
]


@pytest.mark.parametrize(("expected", "directions"), EXAMPLES)
def test_each_class_by_an_example_and_its_mirror_image(expected: PoseClass, directions: dict[str, Any]) -> None:
    xy = figure(**directions)
    assert pose_class(normalise(xy, ALL)) is expected
    assert pose_class(normalise(mirrored(xy), ALL)) is expected
    assert pose_class(normalise(xy * 0.31 + 1000, ALL)) is expected


@pytest.mark.parametrize(
    "missing",
    [
        ("right_hip", "left_hip"),
        ("right_knee", "left_knee"),
        ("right_ankle", "left_ankle"),
        ("right_ankle", "left_knee"),
        ("neck", "right_shoulder", "left_shoulder"),
        OPENPOSE_18.joints,
    ],
)
def test_a_needed_joint_that_is_missing_means_unknown(missing: tuple[str, ...]) -> None:
    assert pose_class(normalise(*without(figure(), *missing))) is PoseClass.UNKNOWN


@pytest.mark.parametrize("missing", [("right_ankle",), ("left_hip",), ("right_wrist", "left_elbow", "nose")])
def test_joints_that_are_not_needed_do_not_matter(missing: tuple[str, ...]) -> None:
    assert pose_class(normalise(*without(figure(), *missing))) is PoseClass.STANDING


@given(st.lists(st.tuples(st.floats(-50, 700), st.floats(-50, 700), st.floats(0, 1)), min_size=18, max_size=18))
def test_any_joints_have_a_class(joints: list[tuple[float, float, float]]) -> None:
    values = np.array(joints)
    confidence = np.where(values[:, 2] < 0.4, 0, values[:, 2])
    xy = np.where(confidence[:, None] > 0, values[:, :2], np.nan)
    assert pose_class(normalise(xy, confidence)) in PoseClass


MANNEQUINS = {
    "standing": ({"standing"}, 0.95),
    "contrapposto": ({"standing"}, 0.95),
    "sitting": ({"sitting"}, 0.9),
    "walking": ({"walking", "standing"}, 0.95),
    "kneeling": ({"kneeling"}, 0.9),
    "jumping": ({"jumping"}, 0.75),
    "bending": ({"bending"}, 0.85),
    "lying": ({"lying"}, 0.65),
    "warrior": ({"lunging"}, 0.75),
}


@pytest.mark.parametrize("name", MANNEQUINS)
def test_posed_mannequins_are_named_right(name: str) -> None:
    """Bodies in three dimensions, posed by name, varied and turned up to 55 degrees, seen from slightly above."""
    wanted, share = MANNEQUINS[name]
    rng = np.random.default_rng(7)
    (posed,) = [p for p in POSES if p.name == name]
    counts: Counter[str] = Counter()
    for _ in range(60):
        body = pose_body(rng, posed).joints
        turn, tilt = rotation("y", 55 * (2 * rng.random() - 1)), rotation("x", 8)
        xy = np.array([apply(tilt, apply(turn, body[joint]))[:2] for joint in OPENPOSE_18.joints]) * [400, -400]
        counts[pose_class(normalise(xy, ALL)).value] += 1
    assert sum(counts[word] for word in wanted) / 60 >= share, counts
