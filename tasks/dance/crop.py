"""A square of a film's frame, anywhere and of any size, as a small frame that an encoder takes."""

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.films import Film, Transfer
from tasks.video.convert import Converter

if TYPE_CHECKING:
    from av import VideoFrame

Plane = NDArray[np.uint8]
Floats = NDArray[np.float64]

SUPPORT: Final = 2.0
"""Half the width of the cubic kernel, in samples of whichever picture is coarser."""
CUBIC: Final = -0.5
"""Catmull and Rom's cubic, the one of MATLAB and Pillow."""
TAP_GROUP: Final = 4
"""Where there is room, taps come in groups of this many: see tasks/dance/crop_kernels.py."""

_FULL_RANGE: Final = {"luma": (0.0, 16.0, 219 / 255), "chroma": (128.0, 128.0, 224 / 255)}
_LIMITED: Final = {"luma": (16.0, 16.0, 1.0), "chroma": (128.0, 128.0, 1.0)}
_CODES: Final = {
    "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9, "smpte431": 11, "smpte432": 12,
    "bt2020": 9,
}  # fmt: skip
"""Source: ITU-T H.273, tables 2 and 4."""


@dataclass(frozen=True)
class Colours:
    """Primaries, transfer and matrix of limited-range frames, as numbers of ITU-T H.273."""

    primaries: int
    transfer: int
    matrix: int


@dataclass(frozen=True)
class _Taps:
    """Where the taps of each position begin, (n,) int32, and their weights, (n, taps) float32.

    Weights add up to the share of the position that lies in the picture: to 1, but to less at its borders.
    """

    first: NDArray[np.int32]
    weight: NDArray[np.float32]


class SquareCrop:
    """Squares of the frames of one film, `size` pixels wide and high, yuv420p in limited range, upright.

    SDR films keep their matrix, and their planes are scaled as they are; HDR is tonemapped to BT.709 before. The kernel
    is a cubic that widens with the square (antialiased); squares may lie between pixels, and are black beyond the film.

    Args:
        film: what probing found out about it.
        size: of the squares, even.
    """

    def __init__(self, film: Film, size: int) -> None:
        self._film, self._size = film, size
        self._converter = Converter(film) if film.transfer is not Transfer.SDR else None
        self.colours = _colours(film)

    def prepared(self, frame: "VideoFrame") -> "VideoFrame":
        """The frame in a form that `cut` takes: call it once a frame, then cut as many squares as there are dancers."""
        if self._converter is not None or frame.format.name in ("yuv420p", "yuvj420p"):
            return frame
        if frame.format.is_rgb:
            from av.video.reformatter import ColorRange, Colorspace

            return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        return frame.reformat(format="yuvj420p" if frame.format.name.startswith("yuvj") else "yuv420p")

    def cut(self, frame: "VideoFrame", centre: tuple[float, float], side: float) -> "VideoFrame":
        """A square of a prepared frame.

        Args:
            frame: as `prepared` gave it.
            centre: x and y in pixels of the upright film; the middle of its first pixel is at 0.5.
            side: of the square, in those pixels.
        """
        left, top = centre[0] - side / 2, centre[1] - side / 2
        if self._converter is not None:
            return self._tonemapped(self._converter, frame, left, top, side)
        return self._scaled(frame, left, top, side)

    def _scaled(self, frame: "VideoFrame", left: float, top: float, side: float) -> "VideoFrame":
        film, size = self._film, self._size
        step = side / size
        full = frame.format.name.startswith("yuvj") or (film.full_range and not frame.format.is_rgb)
        levels = _FULL_RANGE if full else _LIMITED
        out = _empty(size)
        for index, plane in enumerate(frame.planes):
            halved = index > 0
            count = size // 2 if halved else size
            # chroma lies at the left of its two columns, in the middle of its two rows
            across = 2 * np.arange(count) + 0.5 if halved else np.arange(count) + 0.5
            down = 2 * np.arange(count) + 1.0 if halved else np.arange(count) + 0.5
            x, y = left + across * step, top + down * step
            coded_x, coded_y, turned = self._coded(x, y, (frame.width, frame.height))
            stretch_x, stretch_y = (abs(float(axis[1] - axis[0])) / (2 if halved else 1) for axis in (coded_x, coded_y))
            if halved:
                coded_x, coded_y = (coded_x - 0.5) / 2 + 0.5, coded_y / 2
            picture = _Codes.of(plane)
            columns = _taps(coded_x, stretch_x, picture.size[0])
            rows = _taps(coded_y, stretch_y, picture.size[1])
            piece = _resampled(picture, rows, columns, levels["chroma" if halved else "luma"])
            out[index][:] = piece.T if turned else piece
        return _frame(out)

    def _coded(self, x: Floats, y: Floats, coded: tuple[int, int]) -> tuple[Floats, Floats, bool]:
        """Positions along the columns and along the rows of the coded picture, and whether it has to be transposed."""
        width, height = coded
        upright_width, upright_height = self._film.width, self._film.height
        u, v = x / upright_width, y / upright_height
        match self._film.rotation:
            case 90:
                return v * width, (1 - u) * height, True
            case 180:
                return (1 - u) * width, (1 - v) * height, False
            case 270:
                return (1 - v) * width, u * height, True
            case _:
                return u * width, v * height, False

    def _tonemapped(
        self, converter: Converter, frame: "VideoFrame", left: float, top: float, side: float
    ) -> "VideoFrame":
        """Tonemapped at the film's own size, then scaled as RGB."""
        from av import VideoFrame
        from av.video.reformatter import ColorRange, Colorspace

        size, film = self._size, self._film
        step = side / size
        reach = ceil(SUPPORT * max(step, 1.0)) + TAP_GROUP
        box = (
            max(0, floor(left) - reach),
            max(0, floor(top) - reach),
            min(film.width, ceil(left + side) + reach),
            min(film.height, ceil(top + side) + reach),
        )
        out = np.zeros((size, size, 3), np.uint8)
        if box[0] < box[2] and box[1] < box[3]:
            picture = converter.crop(frame, (film.width, film.height), box)
            positions = np.arange(size) + 0.5
            columns = _taps(left - box[0] + positions * step, step, picture.shape[1])
            rows = _taps(top - box[1] + positions * step, step, picture.shape[0])
            for channel in range(3):
                codes = _Codes.of_channel(picture, channel)
                out[:, :, channel] = _resampled(codes, rows, columns, (0.0, 0.0, 1.0))
        rgb = VideoFrame.from_ndarray(out, format="rgb24")
        return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _colours(film: Film) -> Colours:
    if film.transfer is not Transfer.SDR:
        return Colours(1, 1, 1)
    # as ffmpeg and players take films without tags
    standard = 1 if film.coded_width >= 1280 or film.coded_height > 576 else 6
    matrix = _CODES.get(film.matrix, standard)
    return Colours(_CODES.get(film.primaries, matrix if matrix in (1, 5, 6, 7, 9) else standard), 1, matrix)


def _taps(positions: Floats, stretch: float, length: int) -> _Taps:
    """What samples of an axis each position is made of.

    Args:
        positions: ascending or descending; the middle of the first sample is at 0.5.
        stretch: samples from one position to the next.
        length: of the axis, in samples.
    """
    wide = max(stretch, 1.0)
    count = min(TAP_GROUP * ceil((2 * SUPPORT * wide + 1) / TAP_GROUP), length)
    begin = np.floor(positions - SUPPORT * wide).astype(np.int64)
    first = np.clip(begin, 0, length - count)
    weight = _cubic((first[:, None] + np.arange(count) + 0.5 - positions[:, None]) / wide)
    # how much of each position, as wide as the next one is far, lies in the picture
    reach = max(stretch, 1e-9) / 2
    inside = np.minimum(positions + reach, length) - np.maximum(positions - reach, 0.0)
    share = np.clip(inside / (2 * reach), 0.0, 1.0)[:, None]
    weight = np.divide(weight * share, weight.sum(axis=1, keepdims=True), np.zeros_like(weight), where=share > 0)
    return _Taps(first.astype(np.int32), np.ascontiguousarray(weight, dtype=np.float32))


def _cubic(distance: Floats) -> Floats:
    away = np.abs(distance)
    near = ((CUBIC + 2) * away - (CUBIC + 3)) * away**2 + 1
    far = CUBIC * (((away - 5) * away + 8) * away - 4)
    return np.where(away < 1, near, np.where(away < SUPPORT, far, 0.0))


def _resampled(picture: "_Codes", rows: _Taps, columns: _Taps, levels: tuple[float, float, float]) -> Plane:
    from tasks.dance import crop_kernels

    out = np.empty((len(rows.first), len(columns.first)), np.uint8)
    level = np.array(levels, np.float32)
    where = (rows.first, rows.weight, columns.first, columns.weight)
    crop_kernels.scaled(picture.flat, picture.stride, *where, level, out)
    return out


@dataclass(frozen=True, eq=False)
class _Codes:
    """A plane as it lies in memory, read-only: `flat`, `stride` values a row; `size` is width and height."""

    flat: Plane
    stride: int
    size: tuple[int, int]

    @classmethod
    def of(cls, plane: Any) -> "_Codes":
        flat: Plane = np.frombuffer(plane, np.uint8)
        flat.flags.writeable = False
        return cls(flat, plane.line_size, (plane.width, plane.height))

    @classmethod
    def of_channel(cls, picture: Plane, channel: int) -> "_Codes":
        flat = picture[:, :, channel].ravel()
        flat.flags.writeable = False
        return cls(flat, picture.shape[1], (picture.shape[1], picture.shape[0]))


def _empty(size: int) -> list[Plane]:
    return [np.empty((size >> halved, size >> halved), np.uint8) for halved in (0, 1, 1)]


def _frame(planes: list[Plane]) -> "VideoFrame":
    from av import VideoFrame

    size = planes[0].shape[0]
    frame = VideoFrame(size, size, "yuv420p")
    for source, plane in zip(planes, frame.planes, strict=True):
        target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        target[:, : source.shape[1]] = source
    return frame
