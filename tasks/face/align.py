"""Faces at the ArcFace points: the transform, and pixels cut straight from a photo."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError

Points = NDArray[np.floating]

ARCFACE_112: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where the landmarks lie in the 112 px that ArcFace-style models see. Source: InsightFace's `arcface_dst`."""

ARCFACE_SIDE: Final = 112
ALIGNED_SIDE: Final = 160
"""An aligned face shows 160 px of the ArcFace scale: the 112 px that models see, and 24 px around them."""


def aligned_points(side: int) -> NDArray[np.float32]:
    """Where the landmarks lie in an aligned face of `side` pixels: float32, (5, 2)."""
    margin = (ALIGNED_SIDE - ARCFACE_SIDE) / 2
    return ((ARCFACE_112 + margin + 0.5) * (side / ALIGNED_SIDE) - 0.5).astype(np.float32)


def similarity_transform(landmarks: Points, target: Points) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift, never a reflection, that bring points nearest to their targets.

    Umeyama's least squares (PAMI 1991, eq. 40 to 42), in the plane.

    Args:
        landmarks: (N, 2), N at least 2.
        target: (N, 2).
    Returns:
        float64, (2, 3), to be applied to column vectors (x, y, 1).
    Raises:
        ShapeError: the shapes differ, a number is not finite, or all landmarks lie in one place.
    """
    if landmarks.shape != target.shape or landmarks.ndim != 2 or landmarks.shape[1] != 2:
        raise ShapeError(f"points are (N, 2) and (N, 2), got {landmarks.shape} and {target.shape}")
    source, aim = np.asarray(landmarks, np.float64), np.asarray(target, np.float64)
    source_mean, aim_mean = source.mean(axis=0), aim.mean(axis=0)
    (x, y), (u, v) = (source - source_mean).T, (aim - aim_mean).T
    spread = float((x * x + y * y).sum())
    if not (np.isfinite(source).all() and np.isfinite(aim).all() and spread > 0):
        raise ShapeError("points must be finite, and must not all lie in one place")
    # In the plane the best rotation times scale has a closed form: a complex number.
    cos, sin = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, aim_mean - turn @ source_mean])


def native_side(landmarks: Points) -> float:
    """Pixels of the photo that the 112 px of the ArcFace frame span: how much the photo really shows of a face.

    Raises:
        ShapeError: the landmarks are not five finite points, or lie in one place.
    """
    matrix = similarity_transform(landmarks, ARCFACE_112)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if scale <= 0:
        raise ShapeError("the landmarks lie in no order of a face")
    return ARCFACE_SIDE / scale


def share_inside(landmarks: Points, width: int, height: int) -> float:
    """How much of the ArcFace frame of a face lies inside a photo of this size: 0 to 1, to a 32nd of its side.

    Raises:
        ShapeError: the landmarks are not five finite points, or lie in one place.
    """
    matrix = similarity_transform(ARCFACE_112, landmarks)
    steps = (np.arange(32) + 0.5) * (ARCFACE_SIDE / 32) - 0.5
    grid = np.stack([*np.meshgrid(steps, steps), np.ones((32, 32))]).reshape(3, -1)
    x, y = matrix @ grid
    return float(((x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)).mean())


def aligned_face(photo: NDArray[np.uint8], landmarks: Points, side: int) -> NDArray[np.uint8]:
    """The face as `aligned_points` say, in one warp from the photo; black beyond the photo's edge.

    Args:
        photo: RGB uint8, (H, W, 3).
        landmarks: (5, 2), pixels of the photo.
        side: pixels.
    Returns:
        RGB uint8, (side, side, 3).
    Raises:
        ShapeError: the landmarks are not five finite points, or lie in one place.
    """
    return warped(photo, similarity_transform(landmarks, aligned_points(side)), side)


def recognition_input(aligned: NDArray[np.uint8], size: int = ARCFACE_SIDE) -> NDArray[np.uint8]:
    """What an ArcFace-style model sees of an aligned face: its middle 112 / 160, at `size` pixels.

    From an aligned face of 160 px the 112 px are the very pixels, not resampled.

    Args:
        aligned: RGB uint8, (side, side, 3).
        size: side of the model's input, pixels.
    Returns:
        RGB uint8, (size, size, 3).
    Raises:
        ShapeError: the face is not square.
    """
    side = aligned.shape[0]
    if aligned.ndim != 3 or aligned.shape != (side, side, 3) or not side:
        raise ShapeError(f"an aligned face is (side, side, 3), not {aligned.shape}")
    shown, margin = side * ARCFACE_SIDE / ALIGNED_SIDE, side * (ALIGNED_SIDE - ARCFACE_SIDE) / ALIGNED_SIDE / 2
    if shown == size and margin.is_integer():
        start = int(margin)
        return aligned[start : start + size, start : start + size].copy()
    scale = size / shown
    shift = (0.5 - margin) * scale - 0.5
    return warped(aligned, np.array([[scale, 0, shift], [0, scale, shift]]), size)


def warped(picture: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """A square of `side` pixels cut out by a similarity transform (picture to square), black beyond the picture.

    Where the picture shrinks, each pixel is the mean over the area that it stands for: the warp is sampled finely
    enough first, and averaged in whole blocks. `cv2.warpAffine` alone would skip pixels.
    """
    scale = max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-3)
    # A face so large that 16 samples a pixel and direction are not enough is not in any picture that we decode.
    fine = min(max(1, math.ceil(1 / scale - 1e-6)), 16)
    finer = matrix * fine
    finer[:, 2] += (fine - 1) / 2
    pixels = cv2.warpAffine(picture, finer, (side * fine, side * fine), flags=cv2.INTER_CUBIC, borderValue=(0, 0, 0))
    if fine > 1:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(pixels, np.uint8)
