import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.poses.normalise import MID_HIP, lean, mirror, mirror_canonical, normalise
from tasks.schema.errors import ShapeError
from tests.poses.figures import ALL, figure, joint, mirrored, pose, without


def test_mid_hip_is_the_origin_and_the_torso_the_unit() -> None:
    normal = normalise(figure(scale=73, at=(900, 14)), ALL)
    assert normal is not None
    assert normal.centre == "mid_hip"
    assert normal.scale_px == pytest.approx(73)
    np.testing.assert_allclose(normal.points[MID_HIP], 0, atol=1e-12)
    np.testing.assert_allclose(normal.at("neck"), [0, -1], atol=1e-9)


@given(st.floats(0.2, 20), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_place_and_size_do_not_matter(scale: float, x: float, y: float) -> None:
    a = normalise(figure(upper_arms=(-120, 30)), ALL)
    b = normalise(figure(upper_arms=(-120, 30), scale=100 * scale, at=(x, y)), ALL)
    assert a is not None
    assert b is not None
    np.testing.assert_allclose(a.points, b.points, atol=1e-6)


def test_a_foreshortened_torso_does_not_blow_the_pose_up() -> None:
    normal = pose(lengths={"torso": 0.3})
    assert normal.scale_px == pytest.approx(100)
    assert normal.length("torso") == pytest.approx(0.3)


def test_one_misplaced_joint_does_not_set_the_unit() -> None:
    xy = figure()
    xy[joint("right_wrist")] += [0, 900]
    normal = normalise(xy, ALL)
    assert normal is not None
    assert normal.scale_px == pytest.approx(100)


def test_a_missing_neck_is_between_the_shoulders_and_a_missing_hip_leaves_the_other() -> None:
    normal = normalise(*without(figure(), "neck", "left_hip"))
    assert normal is not None
    np.testing.assert_allclose(normal.points[MID_HIP], normal.at("right_hip"))
    np.testing.assert_allclose(normal.at("neck"), (normal.at("right_shoulder") + normal.at("left_shoulder")) / 2)


def test_without_hips_the_neck_is_the_origin() -> None:
    normal = normalise(*without(figure(), "right_hip", "left_hip"))
    assert normal is not None
    assert normal.centre == "neck"
    assert not normal.has("mid_hip")


def test_shoulders_alone_give_the_unit() -> None:
    points = np.full((18, 2), np.nan)
    points[[joint("right_shoulder"), joint("left_shoulder")]] = [[0, 0], [60, 0]]
    normal = normalise(points, np.isfinite(points[:, 0]).astype(float))
    assert normal is not None
    assert normal.scale_px == pytest.approx(100)


def test_nothing_to_measure_gives_nothing() -> None:
    assert normalise(np.full((18, 2), np.nan), np.zeros(18)) is None
    one = np.full((18, 2), np.nan)
    one[3] = 5
    assert normalise(one, np.isfinite(one[:, 0]).astype(float)) is None
    assert normalise(np.zeros((18, 2)), ALL) is None, "all joints in one place have no size"


def test_weak_joints_are_missing() -> None:
    confidence = ALL.copy()
    confidence[joint("right_knee")] = 0.1
    normal = normalise(figure(), confidence)
    assert normal is not None
    assert not normal.has("right_knee")
    assert np.isnan(normal.at("right_knee")).all()


def test_a_pose_and_its_mirror_image_have_one_canonical_form() -> None:
    xy = figure(upper_arms=(-120, 30), thighs=(-40, 5))
    a, b = normalise(xy, ALL), normalise(mirrored(xy), ALL)
    assert a is not None
    assert b is not None
    np.testing.assert_allclose(mirror_canonical(a).points, mirror_canonical(b).points, atol=1e-9)
    assert mirror_canonical(a).mirrored != mirror_canonical(b).mirrored
    assert lean(a.points, a.confidence) == pytest.approx(-lean(b.points, b.confidence))
    np.testing.assert_allclose(mirror(mirror(a)).points, a.points)


@pytest.mark.parametrize("shape", [(17, 2), (18, 3), (1, 18, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="18"):
        normalise(np.zeros(shape), ALL)
