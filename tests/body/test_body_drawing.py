import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasks.body.drawing import PALETTE, draw_openpose, draw_skeleton_on
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints


def person(**joints: tuple[float, float]) -> Keypoints:
    xy = np.full((1, 18, 2), np.nan)
    for name, place in joints.items():
        xy[0, OPENPOSE_18.index(name)] = place
    return Keypoints.from_arrays(OPENPOSE_18, xy, np.ones((1, 18)))


def test_joints_and_limbs_have_their_colours() -> None:
    drawing = draw_openpose(person(neck=(30, 50), right_shoulder=(90, 50)), 100, 120)
    assert drawing.shape == (100, 120, 3)
    assert tuple(drawing[50, 30]) == PALETTE[1]
    assert tuple(drawing[50, 90]) == PALETTE[2]
    assert tuple(drawing[50, 60]) == (153, 0, 0)
    assert set(map(tuple, drawing.reshape(-1, 3))) == {(0, 0, 0), PALETTE[1], PALETTE[2], (153, 0, 0)}


def test_limb_needs_both_joints() -> None:
    drawing = draw_openpose(person(neck=(30, 50), right_elbow=(90, 50)), 100, 120)
    assert not drawing[50, 40:80].any()


def test_joints_lie_over_all_limbs() -> None:
    first = person(neck=(20, 50), right_shoulder=(100, 50)).xy
    second = person(left_hip=(60, 20), left_knee=(60, 50), left_ankle=(60, 80)).xy
    both = Keypoints.from_arrays(OPENPOSE_18, np.concatenate([second, first]), np.ones((2, 18)))
    assert tuple(draw_openpose(both, 100, 120)[50, 60]) == PALETTE[OPENPOSE_18.index("left_knee")]


def test_nobody_is_black() -> None:
    assert not draw_openpose(Keypoints.empty(OPENPOSE_18), 8, 9).any()


def test_other_layout_is_refused() -> None:
    with pytest.raises(ShapeError, match="convert"):
        draw_openpose(Keypoints.empty(COCO_17), 8, 9)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, (2, 18, 2), elements=st.floats(-1e6, 1e6, width=32)))
def test_any_place_can_be_drawn(xy: np.ndarray) -> None:
    draw_openpose(Keypoints.from_arrays(OPENPOSE_18, xy, np.ones((2, 18))), 32, 48)


def test_overlay_keeps_photo_and_its_surroundings() -> None:
    photo = np.full((100, 120, 3), 77, np.uint8)
    overlay = draw_skeleton_on(photo, person(neck=(30, 50), right_shoulder=(90, 50)), stick_width=3)
    assert (photo == 77).all()
    assert (overlay[:40] == 77).all()
    assert tuple(overlay[50, 30]) == PALETTE[1]
    assert overlay[50, 60, 0] > 200
