"""Where the picture lies in its frame: black bars measured on luma, whatever the bit depth."""

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom exclusive."""

Luma = NDArray[np.uint8 | np.uint16]
"""Code values (height, width)."""

ABOVE_BLACK: Final = 8 / 255
"""Share of the code range above black where picture begins: ffmpeg's cropdetect takes 24 of 255, black being 16."""

LIMITED_BLACK: Final = 16 / 255
LIT_SHARE: Final = 0.05
"""A row or column is picture when more than this share of it is lit: logos and noise in a bar are less."""
SOFT_LINES: Final = 8
"""Rows that bars and picture may blend into each other: a block of the transform."""


class Bars:
    """The union of what is lit in frames of one size: a dark frame shows less of the picture than there is, not more.

    Where bars meet the picture, encoders leave a few rows that are neither; the edge is where the brightest frames
    reach half of what is just inside.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._box: Box | None = None
        self._rows = np.zeros(height)
        self._columns = np.zeros(width)

    def at(self, luma: Luma, bit_depth: int, *, full_range: bool) -> None:
        """Take a frame into account.

        Args:
            luma: values in the lower `bit_depth` bits.
        """
        top_value = (1 << bit_depth) - 1
        black = 0.0 if full_range else LIMITED_BLACK * top_value
        box = _lit_box(luma > black + ABOVE_BLACK * top_value)
        if box is None:
            return
        _, top, _, bottom = box
        self._box = box if self._box is None else _union(self._box, box)
        rows, columns = luma.mean(axis=1), luma[top:bottom].mean(axis=0)
        self._rows = np.maximum(self._rows, (rows - black) / top_value)
        self._columns = np.maximum(self._columns, (columns - black) / top_value)

    def content(self) -> Box:
        """The picture inside its bars; all of the frame where every frame was dark."""
        width, height = self._size
        if self._box is None:
            return 0, 0, width, height
        left, top, right, bottom = self._box
        top, bottom = _sharpened(self._rows, top, bottom)
        left, right = _sharpened(self._columns, left, right)
        return left, top, right, bottom


def _lit_box(lit: NDArray[np.bool_]) -> Box | None:
    """The smallest box around all rows and columns that are lit enough; None: the frame is dark."""
    rows = np.flatnonzero(np.count_nonzero(lit, axis=1) > LIT_SHARE * lit.shape[1])
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    # bars above and below count against no column
    columns = np.flatnonzero(np.count_nonzero(lit[top:bottom], axis=0) > LIT_SHARE * (bottom - top))
    if not columns.size:
        return None
    return int(columns[0]), top, int(columns[-1]) + 1, bottom


def _union(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _sharpened(profile: NDArray[np.float64], first: int, last: int) -> tuple[int, int]:
    """Move the ends of a range inward over lines that are less than half as bright as those behind them.

    An end at the edge of the frame has no bar, and stays.
    """
    if first > 0:
        first += _soft_lines(profile[first:last])
    if last < profile.size:
        last -= _soft_lines(profile[first:last][::-1])
    return first, last


def _soft_lines(inward: NDArray[np.float64]) -> int:
    behind = inward[:SOFT_LINES]
    return int(np.argmax(behind >= behind.max() / 2))


def upright_box(box: Box, coded: tuple[int, int], rotation: int, upright: tuple[int, int]) -> Box:
    """A box of the decoded frame in the upright picture with square pixels, rounded inward to even numbers.

    Sides that touch the edge of the frame touch that of the picture.

    Args:
        coded: width and height as decoded.
        rotation: clockwise, 0, 90, 180 or 270.
        upright: width and height of the picture.
    """
    width, height = coded
    left, top, right, bottom = box
    turned = {
        0: (left, top, right, bottom),
        90: (height - bottom, left, height - top, right),
        180: (width - right, height - bottom, width - left, height - top),
        270: (top, width - right, bottom, width - left),
    }[rotation]
    turned_size = (width, height) if rotation % 180 == 0 else (height, width)
    first, last = zip(
        *(_side(turned[axis], turned[axis + 2], turned_size[axis], upright[axis]) for axis in (0, 1)),
        strict=True,
    )
    return first[0], first[1], last[0], last[1]


def _side(first: int, last: int, turned: int, upright: int) -> tuple[int, int]:
    scale = Fraction(upright, turned)
    inner_first = 0 if first == 0 else _even_up(first * scale)
    inner_last = upright if last == turned else _even_down(last * scale)
    return (inner_first, inner_last) if inner_first < inner_last else (0, upright)


def _even_up(value: Fraction) -> int:
    return -(-value // 2) * 2


def _even_down(value: Fraction) -> int:
    return value // 2 * 2
