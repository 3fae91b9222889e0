"""OpenPose drawings: the coloured skeletons that ControlNet is conditioned on."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints

PALETTE: Final = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
"""RGB of the joints 0 to 17; limb i of `OPENPOSE_18.limbs` is drawn in colour i: 18 hues, 20 degrees apart.

Source: `annotator/openpose/util.py` of lllyasviel/ControlNet (after OpenPose's own COCO rendering), and DWPose.
"""

LIMB_DARKENING: Final = 0.6
"""Limbs are this much darker than joints. Source: the same file of ControlNet 1.1 and DWPose's `util.py`."""

_SHIFT: Final = 4
"""Coordinates reach OpenCV in 1/16 pixel."""

_FARTHEST: Final = 1e5
"""Pixels; coordinates beyond are clipped, so that OpenCV's fixed-point numbers never overflow."""

_TURN: Final = np.array([(math.cos(math.tau * k / 64), math.sin(math.tau * k / 64)) for k in range(64)])


def draw_openpose(
    keypoints: Keypoints,
    height: int,
    width: int,
    *,
    stick_width: float = 4,
    joint_radius: float | None = None,
    limb_darkening: float = LIMB_DARKENING,
) -> NDArray[np.uint8]:
    """Draw people on black: first all limbs as darkened ellipses, then all joints as circles.

    Unlike the annotators, which cut coordinates off to whole pixels, this draws to 1/16 pixel.

    Args:
        keypoints: `OPENPOSE_18`, pixels of the drawing; joints may lie outside of it.
        stick_width: half the width of a limb, pixels.
        joint_radius: pixels; as `stick_width` if not given.
    Returns:
        RGB uint8, (height, width, 3).
    Raises:
        ShapeError: another layout.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    colours = np.asarray(PALETTE, float)
    _draw_limbs(canvas, keypoints, stick_width, colours * limb_darkening)
    _draw_joints(canvas, keypoints, stick_width if joint_radius is None else joint_radius, colours)
    return canvas


def draw_skeleton_on(
    image: NDArray[np.uint8], keypoints: Keypoints, *, stick_width: float | None = None, opacity: float = 0.75
) -> NDArray[np.uint8]:
    """Lay people's skeletons over a photo.

    Args:
        image: RGB uint8, (H, W, 3); left as it is.
        keypoints: `OPENPOSE_18`, pixels of the photo.
        stick_width: half the width of a limb, pixels; about 1/128 of the photo's longer side if not given.
        opacity: of the limbs, 0 to 1; joints are opaque.
    Returns:
        RGB uint8, (H, W, 3), a new array.
    Raises:
        ShapeError: another layout.
    """
    height, width = image.shape[:2]
    half_width = max(1.5, max(height, width) / 128) if stick_width is None else stick_width
    limbs = np.ascontiguousarray(image).copy()
    _draw_limbs(limbs, keypoints, half_width, np.asarray(PALETTE, float), line_type=cv2.LINE_AA)
    drawn = np.asarray(cv2.addWeighted(limbs, opacity, np.ascontiguousarray(image), 1 - opacity, 0), np.uint8)
    _draw_joints(drawn, keypoints, half_width, np.asarray(PALETTE, float), line_type=cv2.LINE_AA)
    return drawn


def _draw_limbs(
    canvas: NDArray[np.uint8],
    keypoints: Keypoints,
    half_width: float,
    colours: NDArray[np.float64],
    line_type: int = cv2.LINE_8,
) -> None:
    _demand_openpose(keypoints)
    for limb, (start, end) in enumerate(OPENPOSE_18.limbs):
        colour = [int(c) for c in colours[limb]]
        for person in np.flatnonzero(keypoints.present[:, start] & keypoints.present[:, end]):
            a, b = np.clip(keypoints.xy[person, [start, end]].astype(float), -_FARTHEST, _FARTHEST)
            along = (b - a) / 2
            length = math.hypot(*along)
            across = half_width * (np.array([-along[1], along[0]]) / length if length else np.array([0.0, 1.0]))
            outline = (a + b) / 2 + _TURN[:, :1] * along + _TURN[:, 1:] * across
            cv2.fillConvexPoly(canvas, _fixed_point(outline), colour, line_type, _SHIFT)


def _draw_joints(
    canvas: NDArray[np.uint8],
    keypoints: Keypoints,
    radius: float,
    colours: NDArray[np.float64],
    line_type: int = cv2.LINE_8,
) -> None:
    for joint in range(len(OPENPOSE_18)):
        colour = [int(c) for c in colours[joint]]
        for person in np.flatnonzero(keypoints.present[:, joint]):
            centre = _fixed_point(np.clip(keypoints.xy[person, joint].astype(float), -_FARTHEST, _FARTHEST))
            cv2.circle(canvas, centre.tolist(), round(radius * 2**_SHIFT), colour, cv2.FILLED, line_type, _SHIFT)


def _fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def _demand_openpose(keypoints: Keypoints) -> None:
    if keypoints.layout != OPENPOSE_18:
        raise ShapeError(
            f"a drawing shows {OPENPOSE_18.name}, got {keypoints.layout.name}: convert the keypoints first"
        )
