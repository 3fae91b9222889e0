"""How much an aligned face can tell: whether it is sharp, and whether it looks at the viewer."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.face.align import ARCFACE_112, ARCFACE_SIDE, Points, recognition_input

_BLURS: Final = (1.0, 2.0, 4.0)
"""Pixels (sigma) between which the fine and the coarse detail lie: an octave each. Finer still is mostly noise."""

_NOISE: Final = 0.5
"""Grey levels squared that detail must exceed before it counts."""

_EDGE_SHARE: Final = 1 / 8
"""Of the side, that is left out all around: background, and what lies beyond the photo."""

MIN_MEASURED_SIDE: Final = 32
"""Pixels; smaller faces are measured as if they had these."""

_DIRECTIONS: Final = tuple(
    np.array(kernel, np.float32) / reach
    for kernel, reach in (
        ([[0, 0, 0], [-1, 0, 1], [0, 0, 0]], 2.0),
        ([[0, -1, 0], [0, 0, 0], [0, 1, 0]], 2.0),
        ([[-1, 0, 0], [0, 0, 0], [0, 0, 1]], 2 * 2**0.5),
        ([[0, 0, -1], [0, 0, 0], [1, 0, 0]], 2 * 2**0.5),
    )
)
"""Slopes across, down, and along both diagonals, per pixel."""


_EYES_TO_MOUTH: Final = float(
    np.hypot(*(ARCFACE_112[1] - ARCFACE_112[0]))
    / np.hypot(*(ARCFACE_112[3:].mean(axis=0) - ARCFACE_112[:2].mean(axis=0)))
)
"""Distance of the eyes by the distance between eyes and mouth, seen from the front."""


def sharpness(aligned: NDArray[np.uint8], native_px: float) -> float:
    """How much fine detail a face shows beside its coarse detail, in the direction where it shows least: 0 to 1.

    Both kinds lose equally with contrast and light; only blur takes the fine one first, and a shaken camera takes it in
    one direction. The face is measured at the size that the photo gave it, so
    that small is not the same as blurred.

    Args:
        aligned: RGB uint8, (side, side, 3).
        native_px: pixels of the photo that the ArcFace frame of 112 spans (see `native_side`).
    """
    side = int(np.clip(round(native_px), MIN_MEASURED_SIDE, ARCFACE_SIDE))
    grey = cv2.cvtColor(recognition_input(aligned, side), cv2.COLOR_RGB2GRAY).astype(np.float32)
    finest, middle, coarsest = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _BLURS)
    edge = round(side * _EDGE_SHARE)
    shares = []
    for direction in _DIRECTIONS:
        fine, coarse = (
            float((cv2.filter2D(band, -1, direction)[edge:-edge, edge:-edge] ** 2).mean())
            for band in (finest - middle, middle - coarsest)
        )
        shares.append(fine / (fine + coarse + _NOISE))
    return min(shares)


def frontality(landmarks: Points) -> float:
    """How much a face looks at the viewer, told by its landmarks: 1 from the front, 0 from the side or beyond.

    The less of two: the nose midway between the eyes (along the line through them), and the eyes as far apart as in the
    ArcFace frame, measured by the distance between eyes and mouth.

    Args:
        landmarks: (5, 2), pixels of any frame.
    """
    left, right, nose, *mouth = np.asarray(landmarks, np.float64)
    eyes, apart, down = (left + right) / 2, right - left, np.mean(mouth, axis=0) - (left + right) / 2
    width, height = float(np.hypot(*apart)), float(np.hypot(*down))
    # Seen from behind (or mirrored), the mouth lies on the other side of the eyes than it should.
    if width == 0 or height == 0 or apart[0] * down[1] - apart[1] * down[0] <= 0:
        return 0.0
    turned = 2 * abs(float((nose - eyes) @ apart)) / width**2
    return float(np.clip(min(1 - turned, width / height / _EYES_TO_MOUTH), 0, 1))
