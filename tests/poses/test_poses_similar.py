from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.mannequin_poses import POSES, apply, pose_body, rotation
from tasks.poses.similar import SIZE, pose_vector
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18
from tests.poses.figures import ALL, figure, mirrored, without

ANGLES = st.tuples(st.floats(-170, 170), st.floats(-170, 170))


def vector(**directions: object) -> np.ndarray:
    return pose_vector(figure(**directions), ALL)  # type: ignore[arg-type]


def test_form() -> None:
    assert vector().shape == (SIZE,)
    assert vector().dtype == np.float32
    assert np.linalg.norm(vector()) == pytest.approx(1, abs=1e-6)


@given(ANGLES, ANGLES, ANGLES, ANGLES, st.floats(-90, 90), st.floats(0.2, 9), st.booleans())
def test_place_size_and_side_do_not_matter(
    thighs: tuple[float, float],
    shins: tuple[float, float],
    upper_arms: tuple[float, float],
    forearms: tuple[float, float],
    torso: float,
    scale: float,
    flipped: bool,
) -> None:
    xy = figure(torso, thighs, shins, upper_arms, forearms)
    other = figure(torso, thighs, shins, upper_arms, forearms, scale=100 * scale, at=(-30, 999))
    other = mirrored(other) if flipped else other
    assert pose_vector(xy, ALL) @ pose_vector(other, ALL) == pytest.approx(1, abs=1e-4)


def test_different_poses_are_further_away_than_variations_of_one() -> None:
    standing, moved = vector(), vector(thighs=(-8, 5), upper_arms=(-20, 14), torso=4)
    sitting = vector(thighs=(80, 85), shins=(0, 5))
    raised = vector(upper_arms=(-170, 170), forearms=(-175, 175))
    lying = vector(torso=88, thighs=(85, 92), shins=(88, 90))
    assert standing @ moved > 0.97
    assert all(standing @ other < 0.85 for other in (sitting, raised, lying))


def test_a_small_move_is_a_small_step_even_where_the_lean_changes_sides() -> None:
    steps = [vector(upper_arms=(-30 - d, 30 - d)) for d in np.linspace(-3, 3, 61)]
    assert min(a @ b for a, b in pairwise(steps)) > 0.99


def test_missing_joints_weigh_nothing() -> None:
    assert not pose_vector(np.full((18, 2), np.nan), np.zeros(18)).any()
    assert not pose_vector(np.zeros((18, 2)), ALL).any()
    half = pose_vector(*without(figure(), "right_ankle", "left_ankle", "right_knee", "left_knee"))
    assert np.linalg.norm(half) == pytest.approx(1, abs=1e-6)
    assert 0.6 < half @ vector() < 1


def test_unsure_joints_weigh_less() -> None:
    confidence = ALL.copy()
    raised = figure(upper_arms=(-170, 10), forearms=(-175, 5))
    sure = vector() @ pose_vector(raised, confidence)
    confidence[[3, 4]] = 0.35
    assert vector() @ pose_vector(raised, confidence) > sure


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError):
        pose_vector(np.zeros((17, 2)), np.zeros(17))


def test_the_nearest_of_posed_mannequins_strikes_the_same_pose() -> None:
    """16 poses in 20 variations each, turned up to 35 degrees, half of them mirrored by the pose's own variation."""
    rng = np.random.default_rng(3)
    vectors, names = [], []
    for posed in POSES:
        for _ in range(20):
            body = pose_body(rng, posed).joints
            turn = rotation("y", 35 * (2 * rng.random() - 1))
            xy = np.array([apply(turn, body[joint])[:2] for joint in OPENPOSE_18.joints]) * [400, -400]
            vectors.append(pose_vector(xy, ALL))
            names.append(posed.name)
    cosines = np.array(vectors) @ np.array(vectors).T
    np.fill_diagonal(cosines, -1)
    nearest = np.array(names)[cosines.argmax(axis=1)]
    assert (nearest == np.array(names)).mean() > 0.8
