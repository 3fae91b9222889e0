"""The 133 joints of COCO-WholeBody, and the 134 of OpenPose's order: its 18, feet, face, left hand, right hand."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints, Layout

BODY: Final = slice(0, 18)
FEET: Final = slice(18, 24)
FACE: Final = slice(24, 92)
LEFT_HAND: Final = slice(92, 113)
RIGHT_HAND: Final = slice(113, 134)
"""Where the parts lie in the 134."""

_FEET: Final = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel"))
_FACE_PARTS: Final = (
    ("jaw", 17), ("right_eyebrow", 5), ("left_eyebrow", 5), ("nose_bridge", 4), ("nose_base", 5), ("right_eye", 6),
    ("left_eye", 6), ("outer_lips", 12), ("inner_lips", 8),
)  # fmt: skip
"""Parts of the 68 points of a face in their order, and how many each has. Source: iBUG 300-W."""
_FACE: Final = tuple(f"face_{part}_{k}" for part, points in _FACE_PARTS for k in range(1, points + 1))
_FINGERS: Final = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HANDS: Final = tuple(
    name
    for side in ("left", "right")
    for name in (f"{side}_hand_root", *(f"{side}_{finger}_{k}" for finger in _FINGERS for k in range(1, 5)))
)

_FACE_MIRROR: Final = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip
"""Which point of the face each becomes when the picture is flipped. Source: iBUG 300-W."""


def _rest_mirror(start: int) -> tuple[int, ...]:
    """Of feet, face and hands that begin at a joint."""
    feet = (3, 4, 5, 0, 1, 2)
    face = tuple(6 + k for k in _FACE_MIRROR)
    hands = (*range(95, 116), *range(74, 95))
    return tuple(start + k for k in (*feet, *face, *hands))


def _rest_limbs(start: int, ankles: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Ankles (left, right) to toes and heels, and the chains of the fingers; a face is dots."""
    feet = tuple((ankles[k // 3], start + k) for k in range(6))
    roots = (start + 74, start + 95)
    fingers = tuple(
        (root if k == 0 else root + 4 * finger + k, root + 4 * finger + k + 1)
        for root in roots
        for finger in range(5)
        for k in range(4)
    )
    return feet + fingers


COCO_WHOLEBODY_133: Final = Layout(
    name="coco-wholebody-133",
    joints=(*COCO_17.joints, *_FEET, *_FACE, *_HANDS),
    limbs=(*COCO_17.limbs, *_rest_limbs(17, (COCO_17.index("left_ankle"), COCO_17.index("right_ankle")))),
    mirror=(*COCO_17.mirror, *_rest_mirror(17)),
)
"""Source: COCO-WholeBody's annotation format; its order of the face is iBUG's, of the hands OpenPose's."""

OPENPOSE_134: Final = Layout(
    name="openpose-134",
    joints=(*OPENPOSE_18.joints, *_FEET, *_FACE, *_HANDS),
    limbs=(*OPENPOSE_18.limbs, *_rest_limbs(18, (OPENPOSE_18.index("left_ankle"), OPENPOSE_18.index("right_ankle")))),
    mirror=(*OPENPOSE_18.mirror, *_rest_mirror(18)),
)
"""COCO-WholeBody with OpenPose's 18 joints in place of COCO's 17: one more, the neck. Source: the DWPose annotator."""

_NECK: Final = OPENPOSE_134.index("neck")


def _sources(layout: Layout) -> NDArray[np.int64]:
    """For each of the 134 the joint of the layout that it is, by name; -1 where there is none."""
    return np.array([layout.index(name) if name in layout.joints else -1 for name in OPENPOSE_134.joints], np.int64)


_SOURCES: Final = {layout.name: _sources(layout) for layout in (COCO_17, OPENPOSE_18, COCO_WHOLEBODY_133, OPENPOSE_134)}


def to_openpose134(keypoints: Keypoints) -> Keypoints:
    """The same people with 134 joints; what their layout does not have is missing, never invented.

    A neck that the layout does not have is the mean of both shoulders with the lower of their confidences, and missing
    where a shoulder is.

    Args:
        keypoints: `COCO_17`, `OPENPOSE_18`, `COCO_WHOLEBODY_133` or `OPENPOSE_134`.
    Raises:
        ShapeError: another layout.
    """
    sources = _sources_of(keypoints.layout)
    has = sources >= 0
    xy = np.full((len(keypoints), len(OPENPOSE_134), 2), np.nan, np.float32)
    xy[:, has] = keypoints.xy[:, sources[has]]
    if not has[_NECK]:
        xy[:, _NECK] = keypoints.xy[:, _shoulders(keypoints.layout)].mean(axis=1)
    return Keypoints(OPENPOSE_134, xy, scores_to_openpose134(keypoints.confidence, keypoints.layout))


def scores_to_openpose134(scores: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """Scores of the joints of a layout, (N, K), as those of the 134, (N, 134): of the neck the lower of both shoulders.

    Joints that the layout does not have get 0. Scores may have any range.

    Raises:
        ShapeError: another layout than `to_openpose134` takes.
    """
    sources = _sources_of(layout)
    has = sources >= 0
    out = np.zeros((len(scores), len(OPENPOSE_134)), np.float32)
    out[:, has] = scores[:, sources[has]]
    if not has[_NECK]:
        out[:, _NECK] = scores[:, _shoulders(layout)].min(axis=1)
    return out


def produced_by(layout: Layout) -> NDArray[np.bool_]:
    """Which of the 134 a model of this layout can produce at all, (134,), the neck included.

    Raises:
        ShapeError: another layout than `to_openpose134` takes.
    """
    has = _sources_of(layout) >= 0
    has[_NECK] = True
    return has


def _sources_of(layout: Layout) -> NDArray[np.int64]:
    if layout.name not in _SOURCES:
        raise ShapeError(f"expected one of {', '.join(_SOURCES)}, got {layout.name}")
    return _SOURCES[layout.name]


def _shoulders(layout: Layout) -> list[int]:
    return [layout.index("left_shoulder"), layout.index("right_shoulder")]
