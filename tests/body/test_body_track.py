"""Who is who over time: rendered boxes and skeletons that move, cross, hide, jump and fade."""

import numpy as np
import pytest

from tasks.body.pose_model import PersonDetections
from tasks.body.track import NOBODY, Tracker, TrackRules, likeness, nearness, overlaps, smoothed_boxes
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints

SKELETON = np.random.default_rng(5).uniform(0.05, 0.95, (17, 2))
"""Places of the joints in the box."""


def a_box(x: float, y: float = 100, width: float = 60, height: float = 180) -> np.ndarray:
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)


def people(*boxes, scores=None, joints=True, skeletons=None) -> PersonDetections:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    score = np.array(scores if scores is not None else [0.9] * len(xyxy), np.float32)
    shapes = [SKELETON] * len(xyxy) if skeletons is None else skeletons
    xy = np.array([b[:2] + s * (b[2:] - b[:2]) for b, s in zip(xyxy, shapes, strict=True)]).reshape(-1, 17, 2)
    confidence = np.full(xy.shape[:2], 0.9 if joints else 0.0)
    return PersonDetections(Boxes(xyxy, score), Keypoints.from_arrays(COCO_17, xy, confidence))


@pytest.mark.parametrize("joints", [True, False])
@pytest.mark.parametrize("stride", [1, 6])
def test_a_person_keeps_the_number_and_neighbours_theirs_whatever_their_order(joints, stride):
    tracker = Tracker()
    for k, frame in enumerate(range(0, 60, stride)):
        boxes = [a_box(100 + 2 * frame), a_box(400 - frame), a_box(700, 120 + frame)]
        order = np.roll([0, 1, 2], k)
        numbers = tracker.see(frame, people(*[boxes[i] for i in order], joints=joints))
        if k == 0:
            first = dict(zip(order.tolist(), numbers.tolist(), strict=True))
        assert [first[i] for i in order] == numbers.tolist()
    assert [len(track.frames) for track in tracker.tracks] == [len(range(0, 60, stride))] * 3


def test_who_hides_behind_another_comes_back_as_before():
    """Two walk through each other; while they overlap only the one in front is seen."""
    tracker = Tracker()
    right, left = [], []
    for frame in range(0, 61, 4):
        a, b = a_box(100 + 6 * frame), a_box(460 - 6 * frame, 110)
        hidden = abs(frame - 30) < 6
        numbers = tracker.see(frame, people(a) if hidden else people(a, b))
        right.append(numbers[0])
        if not hidden:
            left.append(numbers[1])
    assert set(right) == {0}
    assert set(left) == {1}
    assert tracker.tracks[1].longest_pause == 12


def test_joints_tell_apart_whose_boxes_overlap():
    other = SKELETON[::-1].copy()
    tracker = Tracker()
    tracker.see(0, people(a_box(100), a_box(120), skeletons=[SKELETON, other]))
    assert tracker.see(4, people(a_box(112), a_box(108), skeletons=[other, SKELETON])).tolist() == [1, 0]


def test_a_leap_is_followed_and_another_place_is_another_person():
    tracker = Tracker()
    tracker.see(0, people(a_box(100)))
    assert tracker.see(6, people(a_box(175))).tolist() == [0]
    assert tracker.see(12, people(a_box(900))).tolist() == [1]


def test_nobody_appears_out_of_doubt_but_who_is_known_may_fade():
    tracker = Tracker(TrackRules(start_score=0.5))
    assert tracker.see(0, people(a_box(100), a_box(400), scores=[0.9, 0.3])).tolist() == [0, NOBODY]
    assert tracker.see(6, people(a_box(104), a_box(400), scores=[0.3, 0.6])).tolist() == [0, 1]
    assert tracker.tracks[0].score.tolist() == pytest.approx([0.9, 0.3])


def test_who_was_gone_too_long_is_somebody_else():
    tracker = Tracker(TrackRules(forget_after=10))
    tracker.see(0, people(a_box(100)))
    assert tracker.see(10, people(a_box(100))).tolist() == [0]
    assert tracker.see(30, people(a_box(100))).tolist() == [1]


def test_boxes_between_lie_on_straight_lines_with_score_0():
    tracker = Tracker()
    tracker.see(2, people(a_box(100)))
    tracker.see(8, people(a_box(112)))
    boxes = tracker.tracks[0].boxes_at(np.arange(10))
    np.testing.assert_allclose(boxes.xyxy[:, 0], [70, 70, 70, 72, 74, 76, 78, 80, 82, 82])
    np.testing.assert_allclose(boxes.score, [0, 0, 0.9, 0, 0, 0, 0, 0, 0.9, 0])


def test_frames_without_people_and_frames_out_of_order():
    tracker = Tracker()
    assert tracker.see(0, people()).shape == (0,)
    assert tracker.tracks == ()
    tracker.see(3, people(a_box(50)))
    assert tracker.see(6, people()).shape == (0,)
    with pytest.raises(ValueError, match="6 after 6"):
        tracker.see(6, people())


def test_another_layout_counts_by_its_boxes():
    seen = people(a_box(100))
    drawn = Keypoints.from_arrays(OPENPOSE_18, np.zeros((1, 18, 2)), np.ones((1, 18)))
    found = likeness(seen.boxes.xyxy, drawn, PersonDetections(seen.boxes, drawn))
    np.testing.assert_allclose(found, [[1.0]])


def test_overlap_and_nearness():
    a, b = np.array([[0, 0, 10, 10]], np.float32), np.array([[5, 0, 15, 10], [20, 0, 30, 40]], np.float32)
    np.testing.assert_allclose(overlaps(a, b), [[1 / 3, 0]])
    np.testing.assert_allclose(nearness(a, b, np.array([1.0])), [[0.5, 0]])


def test_smoothing_takes_the_jitter_and_leaves_steady_motion():
    steady = np.stack([a_box(100 + 2 * k) for k in range(48)])
    noisy = (steady + np.random.default_rng(0).normal(0, 3, steady.shape)).astype(np.float32)
    smooth = smoothed_boxes(noisy, 3.0)
    assert np.abs(smooth - steady)[8:-8].mean() < 0.5 * np.abs(noisy - steady)[8:-8].mean()
    np.testing.assert_allclose(smoothed_boxes(steady, 3.0)[9:-9], steady[9:-9], atol=1e-3)
    np.testing.assert_array_equal(smoothed_boxes(steady, 0), steady)
    assert (smooth[:, :2] <= smooth[:, 2:]).all()
