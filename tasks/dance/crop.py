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
class _Axis:
    """Evenly spaced places along an axis: where the first one is, and how far apart they are."""

    begin: float
    step: float

    def scaled(self, scale: float) -> "_Axis":
        return _Axis(self.begin * scale, self.step * scale)

    def from_end(self, length: float) -> "_Axis":
        """The same places, counted from the other end."""
        return _Axis(length - self.begin, -self.step)


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

            matrix = Colorspace.ITU709 if self.colours.matrix == 1 else Colorspace.ITU601
            return frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG)
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
        from av.video.reformatter import ColorRange

        size = self._size
        step = side / size
        whole = self._film.full_range and frame.color_range != ColorRange.MPEG  # RGB is limited by now
        levels = _FULL_RANGE if whole or frame.format.name.startswith("yuvj") else _LIMITED
        out = _empty(size)
        for index, plane in enumerate(frame.planes):
            each = 2 if index else 1
            # chroma lies at the left of its two columns, in the middle of its two rows
            x = _Axis(left + 0.5 * step, each * step)
            y = _Axis(top + (1.0 if index else 0.5) * step, each * step)
            across, down, turned = self._coded(x, y, (frame.width, frame.height))
            if index:
                across, down = _Axis((across.begin + 0.5) / 2, across.step / 2), down.scaled(0.5)
            piece = _resampled(_Codes.of(plane), across, down, size // each, levels["chroma" if index else "luma"])
            out[index][:] = piece.T if turned else piece
        return _frame(out)

    def _coded(self, x: _Axis, y: _Axis, coded: tuple[int, int]) -> tuple[_Axis, _Axis, bool]:
        """Places along the columns and along the rows of the coded picture, and whether it has to be transposed."""
        width, height = coded
        turned = self._film.rotation in (90, 270)
        u = x.scaled((height if turned else width) / self._film.width)
        v = y.scaled((width if turned else height) / self._film.height)
        match self._film.rotation:
            case 90:
                return v, u.from_end(height), True
            case 180:
                return u.from_end(width), v.from_end(height), False
            case 270:
                return v.from_end(width), u, True
            case _:
                return u, v, False

    def _tonemapped(
        self, converter: Converter, frame: "VideoFrame", left: float, top: float, side: float
    ) -> "VideoFrame":
        """Tonemapped at the film's own size, then scaled as RGB."""
        from av import VideoFrame
        from av.video.reformatter import ColorRange, Colorspace

        size, film = self._size, self._film
        step = side / size
        reach = ceil(2 * max(step, 1.0)) + 4
        box = (
            max(0, floor(left) - reach),
            max(0, floor(top) - reach),
            min(film.width, ceil(left + side) + reach),
            min(film.height, ceil(top + side) + reach),
        )
        out = np.zeros((size, size, 3), np.uint8)
        if box[0] < box[2] and box[1] < box[3]:
            picture = converter.crop(frame, (film.width, film.height), box)
            x, y = (_Axis(first + 0.5 * step, step) for first in (left - box[0], top - box[1]))
            for channel in range(3):
                codes = _Codes.of_channel(picture, channel)
                out[:, :, channel] = _resampled(codes, x, y, size, (0.0, 0.0, 1.0))
        rgb = VideoFrame.from_ndarray(out, format="rgb24")
        return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _colours(film: Film) -> Colours:
    if film.transfer is not Transfer.SDR:
        return Colours(1, 1, 1)
    # as ffmpeg and players take films without tags
    standard = 1 if film.coded_width >= 1280 or film.coded_height > 576 else 6
    matrix = _CODES.get(film.matrix, standard)
    return Colours(_CODES.get(film.primaries, matrix if matrix in (1, 5, 6, 7, 9) else standard), 1, matrix)


def _resampled(picture: "_Codes", x: _Axis, y: _Axis, count: int, levels: tuple[float, float, float]) -> Plane:
    from tasks.dance import crop_kernels

    out = np.empty((count, count), np.uint8)
    columns = crop_kernels.taps(x.begin, x.step, count, picture.size[0], 1)
    rows = crop_kernels.taps(y.begin, y.step, count, picture.size[1], crop_kernels.ROWS_AT_ONCE)
    crop_kernels.scaled(picture.flat, picture.stride, *rows, *columns, np.array(levels, np.float32), out)
    return out


@dataclass(frozen=True, eq=False)
class _Codes:
    """A plane as it lies in memory, read-only: `flat`, `stride` values a row; `size` is width and height."""

    flat: Plane
    stride: int
    size: tuple[int, int]

    @classmethod
    def of(cls, plane: Any) -> "_Codes":
        flat = np.frombuffer(memoryview(plane), np.uint8)
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
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        target[:, : source.shape[1]] = source
    return frame
