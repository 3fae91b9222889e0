"""Pictures scaled and padded to what a network takes, and the way back to the picture's own pixels."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

GREY: Final = 114
"""What pads a picture: that of YOLOv5 and everything trained like it, YOLOX and RTMO among them."""


@dataclass(frozen=True)
class Fit:
    """Where a picture lies in its letterbox.

    `scale` (x, y) is the exact ratio of the sides, both of them whole pixels; `left` and `top` are the pixels before
    the picture; `width` and `height` are those of the picture itself.
    """

    scale: tuple[float, float]
    left: int
    top: int
    width: int
    height: int

    def back(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Edges (0 is the left edge of the first pixel) of the letterbox to edges of the picture, (..., 2)."""
        before, scale = np.array([self.left, self.top], np.float32), np.array(self.scale, np.float32)
        return np.asarray((xy - before) / scale, np.float32)

    def back_centres(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `back`, for points counted from the centre of the first pixel."""
        return np.asarray(self.back(xy + np.float32(0.5)) - np.float32(0.5), np.float32)


def letterboxed(picture: NDArray[np.uint8], side: int, stride: int | None = None) -> tuple[NDArray[np.uint8], Fit]:
    """The picture scaled so that its longer side is `side`, centred on grey.

    With a stride pixel for pixel what Ultralytics' `LetterBox(auto=True)` makes.

    Args:
        picture: uint8, (H, W, 3).
        side: pixels of the longer side.
        stride: pad the shorter side to a multiple of this; None: to a square.
    Returns:
        the letterbox, uint8, (H', W', 3), contiguous, and where the picture lies in it.
    """
    height, width = picture.shape[:2]
    new_width, new_height = _scaled(height, width, side)
    if (new_width, new_height) != (width, height):
        picture = np.asarray(cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    left, right = _padding(side - new_width, stride)
    top, bottom = _padding(side - new_height, stride)
    boxed = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
    return np.ascontiguousarray(boxed, np.uint8), fit_of(height, width, side, stride)


def fit_of(height: int, width: int, side: int, stride: int | None = None) -> Fit:
    """Where `letterboxed` puts a picture of this size."""
    new_width, new_height = _scaled(height, width, side)
    left, top = _padding(side - new_width, stride)[0], _padding(side - new_height, stride)[0]
    return Fit((new_width / width, new_height / height), left, top, width, height)


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """Width and height of the picture in its letterbox."""
    ratio = min(side / height, side / width)
    return max(round(width * ratio), 1), max(round(height * ratio), 1)


def _padding(missing: int, stride: int | None) -> tuple[int, int]:
    """Pixels before and after; the odd one comes after."""
    half = (missing if stride is None else missing % stride) / 2
    return round(half - 0.1), round(half + 0.1)
