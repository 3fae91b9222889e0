"""A vector of a pose for cosine search: alike poses are close, whatever their place, size or side."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.poses.normalise import joints_and_hip, lean, limb_directions
from tasks.schema.keypoints import OPENPOSE_18

_LIMBS: Final = (
    ("shoulder", 0.5),
    ("elbow", 1.0),
    ("wrist", 1.0),
    ("hip", 0.5),
    ("knee", 1.0),
    ("ankle", 1.0),
    ("eye", 0.15),
    ("ear", 0.15),
)
"""Limbs of `OPENPOSE_18` by their outer joint, with their weight: trunk and face are alike in most poses."""

_REACHES: Final = (("shoulder", "wrist", 1.0), ("hip", "ankle", 1.0), ("hip", "wrist", 0.5), ("ankle", "wrist", 0.5))
"""Further directions, from joint to joint of one side: where a hand or foot is, whatever the bend between."""

_NOSE_WEIGHT: Final = 0.4


def _pairs_of(side: str) -> NDArray[np.int64]:
    start_of = {end: start for start, end in OPENPOSE_18.limbs}
    ends = [OPENPOSE_18.index(f"{side}_{end}") for end, _ in _LIMBS]
    reaches = [(OPENPOSE_18.index(f"{side}_{a}"), OPENPOSE_18.index(f"{side}_{b}")) for a, b, _ in _REACHES]
    return np.array([*((start_of[end], end) for end in ends), *reaches])


_PAIRS: Final = {side: _pairs_of(side) for side in ("right", "left")}
_WEIGHTS: Final = np.array([weight for *_, weight in (*_LIMBS, *_REACHES)])
_NOSE: Final = np.array([[OPENPOSE_18.index("neck"), OPENPOSE_18.index("nose")]])

SIZE: Final = 4 * (len(_LIMBS) + len(_REACHES)) + 2
"""Numbers in a pose vector: 50."""

SOFT_LEAN: Final = 0.03
"""Lean under which the side that a pose leans to fades out instead of flipping."""


def pose_vector(xy: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """Directions of limbs and reaches, weighted by confidence, the same for a pose and its mirror image.

    Each pair of directions (right r, left l; l' is l with its x mirrored) gives (r + l') / sqrt 2, which a mirror
    leaves alone, and (r - l') / sqrt 2, whose sign it turns. The second half is multiplied by the side that the pose
    leans to, -1 to 1, whose sign a mirror turns, too: equal for both images, and steady where a pose is symmetric.

    Args:
        xy: pixels, (18, 2), `OPENPOSE_18`; NaN where missing.
        confidence: (18,), 0 where missing. A direction weighs as much as the less certain of its joints.
    Returns:
        float32, (50,), of length 1; zeros where no direction can be measured.
    Raises:
        ShapeError: another shape.
    """
    points, scores = joints_and_hip(xy, confidence)
    right, right_weights = _directions(points, scores, "right")
    left, left_weights = _directions(points, scores, "left")
    nose, nose_weight = limb_directions(points, scores, _NOSE)
    r = right * right_weights[:, None]
    l_mirrored = left * left_weights[:, None] * np.array([-1.0, 1.0])
    nod, turn = (nose * nose_weight[:, None] * _NOSE_WEIGHT)[0][::-1]
    same = np.append(((r + l_mirrored) / math.sqrt(2)).ravel(), nod)
    sided = np.append(((r - l_mirrored) / math.sqrt(2)).ravel(), turn)
    if not same.any() and not sided.any():
        return np.zeros(SIZE, np.float32)
    side = lean(points, scores)
    vector = np.concatenate([same, sided * side / math.hypot(side, SOFT_LEAN)])
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _directions(
    points: NDArray[np.float64], scores: NDArray[np.float64], side: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    units, certain = limb_directions(points, scores, _PAIRS[side])
    return units, certain * _WEIGHTS
