"""Ground truth and low resolution of a window: the middle frame, and its frames shrunk by 3 and stacked.

GT (W x H): frame 3.   LR_5frames (W/3 x 5H/3): frames 1 to 5, top to bottom.   LR_7frames (W/3 x 7H/3): frames 0 to 6.

The low resolution is the antialiased bicubic of MATLAB's `imresize` (a = -0.5, kernel three times as wide): the bytes
are those of Pillow's BICUBIC, computed in less than half the time, because at a factor of exactly 3 every pixel has the
same nine weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.patches.formats import SCALE
from tasks.schema.errors import ShapeError
from tasks.schema.films import WINDOW_FRAMES

GT_FRAME: Final = WINDOW_FRAMES // 2
LR5_FRAMES: Final = range(1, 6)
"""Source: the seed."""

TAPS: Final = 12
"""Pixels under the kernel: twice its support of 2, times 3; those at -4, +2 and further ends weigh nothing."""

PRECISION: Final = 22
"""Bits behind the point of a weight: what is left of 32 after 8 bits of pixel and 2 of overshoot, as in Pillow."""

RGB = NDArray[np.uint8]
Kernel = Callable[..., None]


@dataclass(frozen=True, eq=False)
class Stacks:
    """The pictures of a window, RGB uint8: `gt` (H, W, 3), and `lr`, its frames at a third, (7, H/3, W/3, 3)."""

    gt: RGB
    lr: RGB

    @property
    def lr5(self) -> RGB:
        """Frames 1 to 5, (5H/3, W/3, 3); tile 2 is the ground truth's."""
        return _stacked(self.lr[LR5_FRAMES.start : LR5_FRAMES.stop])

    @property
    def lr7(self) -> RGB:
        """Frames 0 to 6, (7H/3, W/3, 3); tile 3 is the ground truth's."""
        return _stacked(self.lr)


def stacks(frames: Sequence[RGB]) -> Stacks:
    """The pictures of a window.

    Args:
        frames: seven of equal size, (H, W, 3) RGB uint8, in order of time; H and W divisible by 3.
    Raises:
        ShapeError: they are not.
    """
    if len(frames) != WINDOW_FRAMES or len({frame.shape for frame in frames}) != 1:
        raise ShapeError(f"a window is {WINDOW_FRAMES} frames of one size, not {[frame.shape for frame in frames]}")
    return Stacks(frames[GT_FRAME], np.stack([low_resolution(frame) for frame in frames]))


def low_resolution(picture: RGB) -> RGB:
    """A picture at a third of its width and height, (H/3, W/3, 3).

    Args:
        picture: (H, W, 3) RGB uint8; H and W divisible by 3.
    Raises:
        ShapeError: it is not.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ShapeError(f"a picture is (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    if height % SCALE or width % SCALE:
        raise ShapeError(f"{width} x {height} pixels cannot be divided by {SCALE}")
    shrink_rows, shrink_columns = _kernels()
    narrow = np.empty((height, 3, width // SCALE), np.uint8)
    shrink_rows(np.ascontiguousarray(picture).reshape(height, width * 3), *_weights(width), narrow)
    low = np.empty((height // SCALE, width // SCALE, 3), np.uint8)
    shrink_columns(narrow, *_weights(height), low)
    return low


def _stacked(tiles: RGB) -> RGB:
    return tiles.reshape(-1, *tiles.shape[2:])


def _bicubic(x: float) -> float:
    """The cubic convolution kernel with a = -0.5. Source: Keys 1981."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


@cache
def _weights(size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each output pixel of a line of `size`: its first input pixel, and the weights from there, (size / 3, 12).

    Beyond the ends of the line nothing is weighed; what is left adds up to 1.
    """
    first = np.empty(size // SCALE, np.int64)
    weights = np.zeros((size // SCALE, TAPS), np.int32)
    for at in range(size // SCALE):
        centre = (at + 0.5) * SCALE
        start, stop = max(0, int(centre - TAPS / 2 + 0.5)), min(size, int(centre + TAPS / 2 + 0.5))
        line = [_bicubic((x + 0.5 - centre) / SCALE) for x in range(start, stop)]
        first[at] = start
        total = sum(line)
        weights[at, : stop - start] = [int(np.copysign(0.5, w) + w / total * (1 << PRECISION)) for w in line]
    return first, weights


@cache
def _kernels() -> tuple[Kernel, Kernel]:
    """`_shrink_rows` and `_shrink_columns`, compiled; kept on disk where a place can be written."""
    from numba import njit

    try:
        return njit(nogil=True, cache=True)(_shrink_rows), njit(nogil=True, cache=True)(_shrink_columns)
    except RuntimeError:
        return njit(nogil=True)(_shrink_rows), njit(nogil=True)(_shrink_columns)


def _shrink_rows(picture: RGB, first: NDArray[np.int64], weights: NDArray[np.int32], low: NDArray[np.uint8]) -> None:
    """Shrink every row of (H, 3W) bytes of RGB to `low`, (H, 3, W/3), rounded to bytes.

    A row is split into nine runs, one a channel and position in its group of three pixels, so that neighbours in a run
    are neighbours in the output and are weighed at once. The two pixels at each end have weights of their own.
    """
    height, width = picture.shape[0], picture.shape[1] // 3
    narrow = width // 3
    half, shift, least, most = np.int32(1 << 21), np.int32(22), np.int32(0), np.int32(255)
    middle = weights[narrow // 2]
    w5, w4, w2, w1, w0 = middle[0], middle[1], middle[3], middle[4], middle[5]
    runs = np.empty((9, narrow), np.int32)
    for y in range(height):
        line = picture[y]
        for x in range(narrow):
            for run in range(9):
                runs[run, x] = line[9 * x + run]
        for c in range(3):
            left, centre, right, out = runs[c], runs[3 + c], runs[6 + c], low[y, c]
            for x in range(2, narrow - 2):
                total = half + w0 * centre[x] + w1 * (left[x] + right[x]) + w2 * (right[x - 1] + left[x + 1])
                total += w4 * (left[x - 1] + right[x + 1]) + w5 * (right[x - 2] + left[x + 2])
                out[x] = min(max(total >> shift, least), most)
            for end in range(min(4, narrow)):
                x = end if end < 2 else narrow - end + 1
                total = half
                for tap in range(min(TAPS, width - first[x])):
                    total += np.int32(line[3 * (first[x] + tap) + c]) * weights[x, tap]
                out[x] = min(max(total >> shift, least), most)


def _shrink_columns(rows: NDArray[np.uint8], first: NDArray[np.int64], weights: NDArray[np.int32], low: RGB) -> None:
    """Shrink every column of `rows`, (H, 3, W/3), to `low`, (H/3, W/3, 3)."""
    height, narrow = rows.shape[0], rows.shape[2]
    half, shift, least, most = np.int32(1 << 21), np.int32(22), np.int32(0), np.int32(255)
    totals = np.empty(narrow, np.int32)
    for y in range(height // 3):
        for c in range(3):
            totals[:] = half
            for tap in range(min(TAPS, height - first[y])):
                line = rows[first[y] + tap, c]
                weight = weights[y, tap]
                if weight != 0:
                    for x in range(narrow):
                        totals[x] += np.int32(line[x]) * weight
            for x in range(narrow):
                low[y, x, c] = min(max(totals[x] >> shift, least), most)
