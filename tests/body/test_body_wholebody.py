"""The 134 joints: order, names, flips, and what becomes of other layouts."""

import numpy as np
import pytest

from tasks.body.layouts import coco17_to_openpose18
from tasks.body.wholebody import (
    BODY,
    COCO_WHOLEBODY_133,
    FACE,
    FEET,
    LEFT_HAND,
    OPENPOSE_134,
    RIGHT_HAND,
    produced_by,
    scores_to_openpose134,
    to_openpose134,
)
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints, Layout

FROM_133 = [0, (5, 6), 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, *range(17, 133)]
"""As DWPose's annotator reorders COCO-WholeBody; the pair is the neck."""


def somebody(layout: Layout, seed: int = 0, count: int = 2) -> Keypoints:
    rng = np.random.default_rng(seed)
    joints = len(layout)
    return Keypoints.from_arrays(layout, rng.uniform(0, 512, (count, joints, 2)), rng.uniform(0.1, 1, (count, joints)))


def test_order_and_names():
    assert len(OPENPOSE_134) == 134
    assert len(COCO_WHOLEBODY_133) == 133
    assert OPENPOSE_134.joints[BODY] == OPENPOSE_18.joints
    assert COCO_WHOLEBODY_133.joints[:17] == COCO_17.joints
    assert OPENPOSE_134.joints[FEET] == (
        *("left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    )
    assert all(name.startswith("face_") for name in OPENPOSE_134.joints[FACE])
    assert OPENPOSE_134.joints[24 + 30] == "face_nose_bridge_4"
    assert OPENPOSE_134.joints[24 + 36] == "face_right_eye_1"
    assert OPENPOSE_134.joints[24 + 67] == "face_inner_lips_8"
    assert all(name.startswith("left_") for name in OPENPOSE_134.joints[LEFT_HAND])
    assert all(name.startswith("right_") for name in OPENPOSE_134.joints[RIGHT_HAND])
    assert OPENPOSE_134.joints[92:97] == (
        "left_hand_root",
        "left_thumb_1",
        "left_thumb_2",
        "left_thumb_3",
        "left_thumb_4",
    )
    assert OPENPOSE_134.joints[133] == "right_pinky_finger_4"


@pytest.mark.parametrize("layout", [OPENPOSE_134, COCO_WHOLEBODY_133])
def test_names_are_unique_and_a_flip_of_a_flip_is_no_flip(layout):
    assert len(set(layout.joints)) == len(layout)
    mirror = np.array(layout.mirror)
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(layout)))
    for joint, other in enumerate(layout.mirror):
        name, mirrored = layout.joints[joint], layout.joints[other]
        swapped = name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        assert mirrored.rstrip("0123456789") == swapped.rstrip("0123456789")
    assert all(0 <= a < len(layout) and 0 <= b < len(layout) for a, b in layout.limbs)


def test_limbs_reach_every_joint_but_the_face():
    reached = {joint for limb in OPENPOSE_134.limbs for joint in limb}
    assert reached == set(range(134)) - set(range(24, 92))
    named = [(OPENPOSE_134.joints[a], OPENPOSE_134.joints[b]) for a, b in OPENPOSE_134.limbs]
    assert ("left_ankle", "left_heel") in named
    assert ("right_hand_root", "right_pinky_finger_1") in named
    assert ("left_thumb_3", "left_thumb_4") in named


def test_coco_wholebody_becomes_openpose_by_the_known_table():
    seen = somebody(COCO_WHOLEBODY_133)
    out = to_openpose134(seen)
    for joint, source in enumerate(FROM_133):
        if isinstance(source, tuple):
            np.testing.assert_allclose(out.xy[:, joint], seen.xy[:, list(source)].mean(axis=1), rtol=1e-6)
            np.testing.assert_array_equal(out.confidence[:, joint], seen.confidence[:, list(source)].min(axis=1))
        else:
            np.testing.assert_array_equal(out.xy[:, joint], seen.xy[:, source])
            np.testing.assert_array_equal(out.confidence[:, joint], seen.confidence[:, source])
    assert produced_by(COCO_WHOLEBODY_133).all()


def test_coco17_fills_the_first_18_and_no_more():
    seen = somebody(COCO_17, 3)
    out = to_openpose134(seen)
    expected = coco17_to_openpose18(seen)
    np.testing.assert_array_equal(out.xy[:, BODY], expected.xy)
    np.testing.assert_array_equal(out.confidence[:, BODY], expected.confidence)
    assert not out.present[:, 18:].any()
    assert np.isnan(out.xy[:, 18:]).all()
    assert produced_by(COCO_17).tolist() == [True] * 18 + [False] * 116


def test_openpose18_and_the_134_stay_as_they_are():
    seen = somebody(OPENPOSE_18, 4)
    np.testing.assert_array_equal(to_openpose134(seen).xy[:, BODY], seen.xy)
    whole = somebody(OPENPOSE_134, 5)
    np.testing.assert_array_equal(to_openpose134(whole).xy, whole.xy)


def test_without_a_shoulder_there_is_no_neck():
    seen = somebody(COCO_17)
    confidence = seen.confidence.copy()
    confidence[:, COCO_17.index("left_shoulder")] = 0
    out = to_openpose134(Keypoints.from_arrays(COCO_17, seen.xy, confidence))
    assert not out.present[:, 1].any()


def test_raw_scores_keep_their_range():
    raw = np.random.default_rng(1).uniform(-1, 8, (3, 133)).astype(np.float32)
    out = scores_to_openpose134(raw, COCO_WHOLEBODY_133)
    np.testing.assert_array_equal(out[:, 1], raw[:, [5, 6]].min(axis=1))
    np.testing.assert_array_equal(out[:, 18:], raw[:, 17:])


def test_another_layout_is_refused():
    other = Layout("other", ("a",), (), (0,))
    with pytest.raises(ShapeError, match="expected one of coco-17"):
        to_openpose134(Keypoints.empty(other))


def test_nobody_stays_nobody():
    assert to_openpose134(Keypoints.empty(COCO_17)).xy.shape == (0, 134, 2)
