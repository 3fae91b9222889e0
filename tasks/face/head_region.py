"""Where in a photo a person's head is, told by the joints of the body."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.keypoints import COCO_17

Floats = NDArray[np.float32]

HEAD: Final = tuple(COCO_17.index(j) for j in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"))
_FACE: Final = HEAD[:3]
_EARS: Final = HEAD[3:]
_SHOULDERS: Final = tuple(COCO_17.index(j) for j in ("left_shoulder", "right_shoulder"))

BESIDE: Final = 0.375
ABOVE: Final = 1.5
"""Shares of the joints' width and height that are added at each side and at the top: the reference pipeline's."""

BESIDE_EARS: Final = 0.5
"""Share of the ears' distance that is added at each side where both are seen; likewise."""

AROUND_HEAD: Final = 2.0
"""Times the larger extent of the head's joints that is added all around where no shoulder is seen: from the ears of a
face seen from the front, that is far beyond hair and chin."""


@dataclass(frozen=True)
class HeadRegion:
    """Where to look for a person's face.

    Args:
        xyxy: whole pixels of the photo: left, top, right, bottom; right and bottom are exclusive; not empty.
        centre: x, y: the middle of the nose and eyes that are seen, or else of the ears.
    """

    xyxy: tuple[int, int, int, int]
    centre: tuple[float, float]


def head_region(
    xy: Floats, confidence: Floats, person_xyxy: Floats, content_xyxy: Floats, joint_floor: float
) -> HeadRegion | None:
    """The square around a person's head, clipped to the photo.

    It spans the joints from nose to shoulders, wider by `BESIDE` a side (to the ears and half their distance where both
    are seen), higher by `ABOVE`, down to the lowest shoulder. Where no shoulder is seen it spans the joints of the head
    and `AROUND_HEAD`; where one joint is all that is seen, its size is the person's width.

    A person whose head shows no joint gets no region: of the people whom YOLO-pose finds in 174 real photos, none of
    those has a face that a detector finds in the whole photo (most are clothes without a person).

    Args:
        xy: COCO-17 joints of one person in pixels of the photo, (17, 2); NaN where missing.
        confidence: (17,).
        person_xyxy: the person's box, (4,).
        content_xyxy: what of the photo may be looked at, (4,), whole pixels.
        joint_floor: joints that are less sure count as not seen.
    Returns:
        None: no joint of the head is seen, or the region lies outside the photo.
    """
    seen = (confidence >= joint_floor) & np.isfinite(xy).all(axis=1)
    face, ears, shoulders = ([j for j in joints if seen[j]] for joints in (_FACE, _EARS, _SHOULDERS))
    if not face and not ears:
        return None
    centre = xy[face or ears].mean(axis=0)
    joints = xy[[*face, *ears, *shoulders]].astype(np.float64)
    low, high = joints.min(axis=0), joints.max(axis=0)
    width, height = high - low
    if shoulders and max(width, height) > 0:
        low, high = low - [BESIDE * width, ABOVE * height], high + BESIDE * width
        high[1] = xy[shoulders, 1].max()
        if len(ears) == len(_EARS):
            left, right = np.sort(xy[ears, 0].astype(np.float64))
            reach = BESIDE_EARS * (right - left)
            low[0], high[0] = left - reach, right + reach
    else:
        size = max(width, height)
        around = AROUND_HEAD * size if size > 0 else float(person_xyxy[2] - person_xyxy[0]) / 2
        low, high = low - around, high + around
    middle, half = (low + high) / 2, (high - low).max() / 2
    left, top = np.floor(np.maximum(middle - half, content_xyxy[:2]))
    right, bottom = np.ceil(np.minimum(middle + half, content_xyxy[2:]))
    if left >= right or top >= bottom:
        return None
    return HeadRegion((int(left), int(top), int(right), int(bottom)), (float(centre[0]), float(centre[1])))
