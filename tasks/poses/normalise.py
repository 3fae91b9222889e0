"""A pose without its place, its size and its side: what all rules about poses look at."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18

CONFIDENCE_FLOOR: Final = 0.3
"""Joints below count as missing. Source: the floor under which DWPose's annotator does not draw a joint."""

SEGMENTS: Final = {
    "torso": ("neck", "mid_hip"),
    "right_upper_arm": ("right_shoulder", "right_elbow"),
    "left_upper_arm": ("left_shoulder", "left_elbow"),
    "right_forearm": ("right_elbow", "right_wrist"),
    "left_forearm": ("left_elbow", "left_wrist"),
    "right_thigh": ("right_hip", "right_knee"),
    "left_thigh": ("left_hip", "left_knee"),
    "right_shin": ("right_knee", "right_ankle"),
    "left_shin": ("left_knee", "left_ankle"),
}
"""Segments of steady length; shoulders and hips are left out, their width depends on where the person faces."""

LENGTHS: Final = {"torso": 1.0, "upper_arm": 0.6, "forearm": 0.49, "thigh": 0.98, "shin": 0.93}
"""Lengths in torsos, seen without foreshortening: between the 75th and 90th percentile over 227 upright people in
photos and dance videos, joints by a COCO-trained detector. The bones are in proportion as in Winter, Biomechanics and
Motor Control of Human Movement, figure 4.1 (thigh to shin 1.00, upper arm to forearm 1.27); COCO puts the hip joint
higher and thereby shortens the torso."""

SHOULDER_WIDTH: Final = 0.6
"""Torsos between the shoulders of someone who faces the camera: the median over the same people."""

MID_HIP: Final = len(OPENPOSE_18)
_JOINTS: Final = {name: joint for joint, name in enumerate((*OPENPOSE_18.joints, "mid_hip"))}
_HIPS: Final = [_JOINTS["right_hip"], _JOINTS["left_hip"]]
_SHOULDERS: Final = [_JOINTS["right_shoulder"], _JOINTS["left_shoulder"]]
_SEGMENT_JOINTS: Final = np.array([[_JOINTS[a], _JOINTS[b]] for a, b in SEGMENTS.values()])
_EXPECTED: Final = np.array([LENGTHS[name.removeprefix("right_").removeprefix("left_")] for name in SEGMENTS])
_LIMBS: Final = np.array(OPENPOSE_18.limbs)
_SIDES: Final = {"right": 1.0, "left": -1.0}
_LIMB_SIDES: Final = np.array([_SIDES.get(OPENPOSE_18.joints[end].split("_")[0], 0.0) for _, end in OPENPOSE_18.limbs])
"""1 for a limb of the right side, -1 for one of the left, 0 in the middle."""
_MIRROR: Final = [*OPENPOSE_18.mirror, MID_HIP]


@dataclass(frozen=True, eq=False)
class NormalPose:
    """One person's joints, with the mid-hip at the origin and the torso as the unit; x to the right, y down.

    Args:
        points: float64, (19, 2): the joints of `OPENPOSE_18`, then the mid-hip; NaN where missing.
        confidence: float64, (19,), 0 where missing.
        scale_px: pixels in one unit.
        centre: which point is the origin: the neck where there is no hip, the mean of the joints without both.
        mirrored: whether this is the picture's mirror image.
    """

    points: NDArray[np.float64]
    confidence: NDArray[np.float64]
    scale_px: float
    centre: Literal["mid_hip", "neck", "joints"]
    mirrored: bool = False

    def __post_init__(self) -> None:
        self.points.setflags(write=False)
        self.confidence.setflags(write=False)

    def has(self, *joints: str) -> bool:
        """Whether all these joints are there."""
        return all(self.confidence[_JOINTS[joint]] > 0 for joint in joints)

    def at(self, joint: str) -> NDArray[np.float64]:
        """x, y in torsos, (2,); NaN where missing."""
        return np.asarray(self.points[_JOINTS[joint]], np.float64)

    def vector(self, start: str, end: str) -> NDArray[np.float64]:
        """From one joint to another in torsos, (2,); NaN where one is missing."""
        return self.at(end) - self.at(start)

    def length(self, segment: str) -> float | None:
        """Seen length of one of `SEGMENTS` in torsos."""
        start, end = SEGMENTS[segment]
        return float(np.hypot(*self.vector(start, end))) if self.has(start, end) else None

    def inclination(self, start: str, end: str) -> float | None:
        """Degrees between the way from `start` to `end` and straight down: 0 hangs, 90 is level, 180 points up."""
        if not self.has(start, end):
            return None
        x, y = self.vector(start, end)
        return math.degrees(math.atan2(abs(x), y))

    def bend(self, start: str, joint: str, end: str) -> float | None:
        """Degrees at `joint` between the ways to `start` and `end`: 180 is straight."""
        if not self.has(start, joint, end):
            return None
        return angle_between(self.vector(joint, start), self.vector(joint, end))


def normalise(xy: NDArray[np.floating], confidence: NDArray[np.floating]) -> NormalPose | None:
    """Centre on the mid-hip and measure in torsos.

    A missing neck is the middle of both shoulders; the mid-hip is the middle of the hips that are there. The unit is
    how long the torso would look if it lay in the picture's plane: every visible segment, divided by its share of a
    torso in `LENGTHS`, is an estimate that foreshortening can only lower, so the second largest counts (the largest may
    be one misplaced joint). Where no segment is seen, the shoulders' width is.

    Args:
        xy: pixels, (18, 2), `OPENPOSE_18`; NaN where missing.
        confidence: (18,); below `CONFIDENCE_FLOOR` counts as missing.
    Returns:
        None where no segment can be measured.
    Raises:
        ShapeError: another shape.
    """
    points, scores = joints_and_hip(xy, confidence)
    unit = _torso_px(points)
    if unit is None:
        return None
    centre: Literal["mid_hip", "neck", "joints"] = "joints"
    origin = points[scores > 0].mean(axis=0)
    if scores[MID_HIP] > 0:
        centre, origin = "mid_hip", points[MID_HIP]
    elif scores[_JOINTS["neck"]] > 0:
        centre, origin = "neck", points[_JOINTS["neck"]]
    return NormalPose((points - origin) / unit, scores, unit, centre)


def mirror(pose: NormalPose) -> NormalPose:
    """The pose as a mirror shows it, with left and right swapped."""
    return NormalPose(
        pose.points[_MIRROR] * np.array([-1.0, 1.0]),
        pose.confidence[_MIRROR].copy(),
        pose.scale_px,
        pose.centre,
        not pose.mirrored,
    )


def mirror_canonical(pose: NormalPose) -> NormalPose:
    """The one of a pose and its mirror image that leans to the right (see `lean`): equal for both."""
    return pose if lean(pose.points, pose.confidence) >= 0 else mirror(pose)


def lean(points: NDArray[np.float64], confidence: NDArray[np.float64]) -> float:
    """How far a pose leans to one side; its mirror image leans exactly as far to the other.

    Mean over the limbs of their unit vectors' x (to the right is positive) and of how far the right ones point down and
    the left ones up; a right arm held out counts in both with the same sign. 0: symmetric.

    Args:
        points: (18 or more, 2), any unit; NaN where missing.
        confidence: (18 or more,); weighs each limb by its less certain joint.
    """
    units, weights = limb_directions(points, confidence)
    return float(((units[:, 0] + units[:, 1] * _LIMB_SIDES) * weights).mean())


def limb_directions(
    points: NDArray[np.float64], confidence: NDArray[np.float64], pairs: NDArray[np.int64] = _LIMBS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors from joint to joint, (N, 2), and their weights, (N,): the lower confidence of both; 0 if missing.

    `pairs`: int64, (N, 2), indices of joints; the limbs of `OPENPOSE_18` if not given.
    """
    starts, ends = pairs.T
    vectors = points[ends] - points[starts]
    lengths = np.hypot(vectors[:, 0], vectors[:, 1])
    there = np.nan_to_num(lengths) > 0
    units = np.zeros_like(vectors)
    units[there] = vectors[there] / lengths[there, None]
    return units, np.where(there, np.minimum(confidence[starts], confidence[ends]), 0.0)


def angle_between(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Degrees between two vectors, 0 to 180; 0 if one has no length."""
    return math.degrees(abs(math.atan2(a[0] * b[1] - a[1] * b[0], float(a @ b))))


def joints_and_hip(
    xy: NDArray[np.floating], confidence: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels, (19, 2), and confidence, (19,), with the mid-hip last, the neck filled in, and weak joints missing.

    Raises:
        ShapeError: not one person of `OPENPOSE_18`.
    """
    joints = len(OPENPOSE_18)
    if xy.shape != (joints, 2) or confidence.shape != (joints,):
        raise ShapeError(f"one person is ({joints}, 2) and ({joints},), got {xy.shape} and {confidence.shape}")
    points = np.full((joints + 1, 2), np.nan)
    scores = np.zeros(joints + 1)
    there = (np.nan_to_num(confidence) >= CONFIDENCE_FLOOR) & np.isfinite(xy).all(axis=1)
    points[:joints][there], scores[:joints][there] = xy[there], confidence[there]
    neck = _JOINTS["neck"]
    if scores[neck] == 0 and (scores[_SHOULDERS] > 0).all():
        points[neck], scores[neck] = points[_SHOULDERS].mean(axis=0), scores[_SHOULDERS].min()
    hips = [hip for hip in _HIPS if scores[hip] > 0]
    if hips:
        points[MID_HIP], scores[MID_HIP] = points[hips].mean(axis=0), scores[hips].min()
    return points, scores


def expected_length(segment: str) -> float:
    """Length of one of `SEGMENTS` in torsos."""
    return LENGTHS[segment.removeprefix("right_").removeprefix("left_")]


def _torso_px(points: NDArray[np.float64]) -> float | None:
    across = points[_SEGMENT_JOINTS[:, 1]] - points[_SEGMENT_JOINTS[:, 0]]
    lengths = np.hypot(across[:, 0], across[:, 1]) / _EXPECTED
    estimates = np.sort(lengths[np.nan_to_num(lengths) > 0])[::-1]
    if len(estimates):
        return float(estimates[:2][-1])
    shoulders = float(np.hypot(*(points[_SHOULDERS[0]] - points[_SHOULDERS[1]])))
    return shoulders / SHOULDER_WIDTH if shoulders > 0 else None
