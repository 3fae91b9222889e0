"""The 134 joints drawn as OpenPose and DWPose draw them: coloured body, rainbow fingers, a face of dots."""

import colorsys
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing import LIMB_DARKENING, PALETTE, draw_openpose
from tasks.body.wholebody import BODY, FACE, LEFT_HAND, OPENPOSE_134, RIGHT_HAND
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints

Picture = NDArray[np.uint8]

_SHIFT: Final = 4
"""Coordinates reach OpenCV in 1/16 pixel."""
_FARTHEST: Final = 1e5
"""Pixels; coordinates beyond are clipped, so that OpenCV's fixed-point numbers never overflow."""

_EDGES: Final = 20
"""Of a hand."""
_RAINBOW: Final = tuple(tuple(round(255 * c) for c in colorsys.hsv_to_rgb(k / _EDGES, 1, 1)) for k in range(_EDGES))
_FINGER_JOINT: Final = (0, 0, 255)
_FACE_POINT: Final = (255, 255, 255)
"""Source of all three: `util.py` of the DWPose annotator."""


def draw_skeleton(poses: Keypoints, frame: int, side: int, joint_floor: float = 0.5) -> Picture:
    """One frame's dancer on black, RGB uint8, (side, side, 3).

    Toes and heels hang on their ankle in its colour, darkened like every limb.

    Args:
        poses: one person a frame, `OPENPOSE_134`.
        frame: which.
        side: of the drawing; its pixels are those of the poses.
        joint_floor: joints that are less sure are not drawn.
    Raises:
        ShapeError: another layout.
    """
    if poses.layout != OPENPOSE_134:
        raise ShapeError(f"a skeleton shows {OPENPOSE_134.name}, got {poses.layout.name}")
    xy = poses.xy[frame]
    confidence = np.where(poses.confidence[frame] >= joint_floor, poses.confidence[frame], 0)
    body = Keypoints.from_arrays(OPENPOSE_18, xy[None, BODY], confidence[None, BODY])
    width = max(1.5, side / 128)
    canvas = draw_openpose(body, side, side, stick_width=width)
    there = confidence > 0
    places = np.rint(np.clip(np.nan_to_num(xy), -_FARTHEST, _FARTHEST) * 2**_SHIFT).astype(int)
    for number, (start, end) in enumerate(OPENPOSE_134.limbs[len(OPENPOSE_18.limbs) :]):
        if there[start] and there[end]:
            hand = start >= LEFT_HAND.start
            dark = tuple(round(c * LIMB_DARKENING) for c in PALETTE[min(start, len(PALETTE) - 1)])
            colour = _RAINBOW[(number - 6) % _EDGES] if hand else dark
            thick = max(1, round(width / 2 if hand else width))
            cv2.line(canvas, places[start].tolist(), places[end].tolist(), colour, thick, cv2.LINE_AA, _SHIFT)
    for part, colour in ((LEFT_HAND, _FINGER_JOINT), (RIGHT_HAND, _FINGER_JOINT), (FACE, _FACE_POINT)):
        for joint in np.flatnonzero(there[part]) + part.start:
            radius = round(max(1.0, width / 3) * 2**_SHIFT)
            cv2.circle(canvas, places[joint].tolist(), radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return canvas
