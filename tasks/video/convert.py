"""Decoded frames to 8-bit RGB pictures: exact crops of the tonemapped, scaled picture, and thumbnails."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.schema.films import Film, Transfer
from tasks.video.planes import Box, Codes, Planes, Size, read_planes
from tasks.video.resample import lanczos
from tasks.video.tonemap import (
    MOBIUS_KNEE,
    display_to_light,
    gamut_matrix,
    hlg_to_light,
    level_polynomial,
    light_polynomials,
    mobius_coefficients,
    pq_to_light,
    yuv_to_rgb,
)

Picture = NDArray[np.uint8]

THUMBNAIL_SIDE = 160
"""Pixels of a thumbnail's longer side."""

_THUMBNAIL_ROWS: Final = 2
"""At most so many rows of the film make one of a thumbnail; the others are skipped."""
_MATRICES: Final = {
    "bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "bt2020nc": "bt2020", "smpte240m": "smpte240m",
    "fcc": "fcc",
}  # fmt: skip
_GAMUTS: Final = {"bt2020": "bt2020", "smpte431": "p3", "smpte432": "p3"}
_TO_LIGHT: Final = {
    Transfer.PQ: (pq_to_light, 0.2), Transfer.HLG: (hlg_to_light, 0.5), Transfer.SDR: (display_to_light, 0.2),
}  # fmt: skip
"""Curves and where their polynomials meet: HLG's at its knee, the others' low down, where they bend."""
_SITINGS: Final = {
    "left": (0.25, 0.25, 0.0, 0.5), "center": (0.25, 0.25, 0.25, 0.25), "topleft": (0.0, 0.5, 0.0, 0.5),
    "top": (0.0, 0.5, 0.25, 0.25), "bottomleft": (0.5, 0.0, 0.0, 0.5), "bottom": (0.5, 0.0, 0.25, 0.25),
}  # fmt: skip
"""Bilinear weights of the farther chroma sample in even rows, odd rows, even columns, odd columns."""


class Converter:
    """Pictures from the frames of one film, as ffmpeg makes them from the whole frame; safe to share among threads.

    The chains that crops agree with, before `scale=W:H:flags=lanczos` in RGB:

    - PQ and HLG: `zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=10,
      zscale=t=bt709:m=gbr,format=gbrp`;
    - SDR: `zscale=m=gbr,format=gbrp`, with `p=bt709:t=bt709` where the primaries are wider than BT.709's.

    Untagged matrices are BT.2020 for HDR, else BT.709 from 1280 columns or 577 rows on and BT.601 below. The primaries
    of older standards count as BT.709's, as players take them, and P3 with any white as P3 with D65.

    Args:
        film: what probing found out about it.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self._siting = _SITINGS[film.chroma_location]

    def thumbnail(self, frame: av.VideoFrame) -> Picture:
        """The upright picture without its letterbox: (height, width, 3), RGB, the longer side `THUMBNAIL_SIDE`."""
        left, top, right, bottom = self.film.content
        shrink = min(1.0, THUMBNAIL_SIDE / max(right - left, bottom - top))
        small = self._turned((max(1, round((right - left) * shrink)), max(1, round((bottom - top) * shrink))))
        upright = (self.film.width, self.film.height)
        box, whole = self._coded(self.film.content, upright), self._turned(upright)
        planes = read_planes(frame)
        shrunk = tuple(_shrunk(view, box, whole, small) for view in planes.views())
        return self._upright(
            self._picture(replace(planes, arrays=shrunk, size=small, halved=(0, 0)), small, (0, 0, *small))
        )

    def crop(self, frame: av.VideoFrame, scaled: Size, xyxy: Box) -> Picture:
        """A patch of the upright picture scaled to `scaled`: (height, width, 3), RGB.

        Args:
            frame: of the film, as decoded.
            scaled: width and height of the whole picture, letterbox included; the film's own means no scaling.
            xyxy: left, top, right, bottom in the scaled picture, right and bottom exclusive.

        Raises:
            ValueError: The patch is empty or reaches beyond the picture.
        """
        left, top, right, bottom = xyxy
        if not (0 <= left < right <= scaled[0] and 0 <= top < bottom <= scaled[1]):
            raise ValueError(f"a patch {xyxy} of a picture of {scaled[0]}x{scaled[1]}")
        box = self._coded(xyxy, scaled)
        return self._upright(self._picture(read_planes(frame), self._turned(scaled), box))

    def _picture(self, planes: Planes, size: Size, box: Box) -> Picture:
        """The part `box` of the frame scaled to `size`, as coded, not yet upright."""
        from tasks.video import kernels

        left, top, right, bottom = box
        rows = columns = None
        if size != planes.size:
            columns = lanczos(planes.size[0], size[0]).between(left, right)
            rows = lanczos(planes.size[1], size[1]).between(top, bottom)
            left, right = columns.reach
            top, bottom = rows.reach
        window = planes.window((left, top, right, bottom))
        recipe = _recipe(self.film, planes.bits, planes.unit, planes.full_range, planes.rgb)
        siting = np.array((*planes.halved, *self._siting), np.float32)
        source = (
            *(window.luma, window.u, window.v, (window.stride, window.chroma_stride, *window.chroma_size), siting),
            *(recipe.chroma, recipe.signal, recipe.light, recipe.tone, recipe.level),
        )
        left -= window.origin[0]
        top -= window.origin[1]
        begin = left & ~1
        width, height = box[2] - box[0], box[3] - box[1]
        if rows is None or columns is None:
            picture = np.empty((height, width + left - begin, 3), np.uint8)
            kernels.whole(*source, top, begin, picture.reshape(height, -1))
            return picture[:, left - begin :]
        picture = np.empty((height, width, 3), np.uint8)
        kernels.scaled(
            *(*source, window.size, rows.first - np.int32(window.origin[1]), rows.weight),
            *(begin, columns.first - np.int32(window.origin[0] + begin), columns.weight, columns.halving),
            picture.reshape(height, -1),
        )
        return picture

    def _turned(self, size: Size) -> Size:
        """Width and height as coded of an upright size."""
        return size if self.film.rotation % 180 == 0 else (size[1], size[0])

    def _coded(self, box: Box, size: Size) -> Box:
        """Where a box of the upright picture of `size` lies in the coded one."""
        left, top, right, bottom = box
        width, height = size
        return {
            0: box,
            90: (top, width - right, bottom, width - left),
            180: (width - right, height - bottom, width - left, height - top),
            270: (height - bottom, left, height - top, right),
        }[self.film.rotation]

    def _upright(self, picture: Picture) -> Picture:
        return np.ascontiguousarray(np.rot90(picture, -(self.film.rotation // 90)))


@dataclass(frozen=True)
class _Recipe:
    """Numbers for the compiled loops, float32.

    Attributes:
        chroma: scale and offset that make a chroma code -0.5 to 0.5.
        signal: scale and offset of luma codes, then the matrix's entries for chroma; to 0 to 1, or without `light` to
            0 to 255.
        light: the polynomials from signal to light; empty where levels are the signal.
        tone: the gamut matrix row by row, then knee and coefficients of the Möbius curve.
        level: the polynomial from light to levels.
    """

    chroma: NDArray[np.float32]
    signal: NDArray[np.float32]
    light: NDArray[np.float32]
    tone: NDArray[np.float32]
    level: NDArray[np.float32]


@lru_cache(maxsize=64)
def _recipe(film: Film, bits: int, unit: int, full_range: bool, rgb: bool) -> _Recipe:
    hdr = film.transfer is not Transfer.SDR
    gamut = _GAMUTS.get(film.primaries, "bt2020" if hdr else "bt709")
    curved = hdr or gamut != "bt709"
    untagged = "bt2020" if hdr else "bt709" if film.coded_width >= 1280 or film.coded_height > 576 else "bt601"
    matrix = yuv_to_rgb("bt709" if rgb else _MATRICES.get(film.matrix, untagged))
    code = unit << bits - 8
    if full_range or film.full_range:
        black, luma_span, chroma_span = 0, unit * ((1 << bits) - 1), unit * ((1 << bits) - 1)
    else:
        black, luma_span, chroma_span = 16 * code, 219 * code, 224 * code
    top = 1 if curved else 255
    knee = MOBIUS_KNEE if hdr else np.inf
    return _Recipe(
        chroma=_numbers(1 / chroma_span, -128 * code / chroma_span),
        signal=_numbers(top / luma_span, -black * top / luma_span, *(top * matrix[[0, 1, 1, 2], [2, 1, 2, 1]])),
        light=_numbers(*light_polynomials(*_TO_LIGHT[film.transfer])) if curved else _numbers(),
        tone=_numbers(*gamut_matrix(gamut, "bt709").ravel(), knee, *mobius_coefficients()),
        level=_numbers(*level_polynomial()),
    )


def _numbers(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def _shrunk(view: Codes, box: Box, whole: Size, small: Size) -> Codes:
    """The part `box`, given in a picture of the size `whole`, of a plane as means of blocks."""
    height, width = view.shape
    left, right = (round(x * width / whole[0]) for x in (box[0], box[2]))
    top, bottom = (round(y * height / whole[1]) for y in (box[1], box[3]))
    step = max(1, (bottom - top) // (small[1] * _THUMBNAIL_ROWS))
    part = view[top : max(bottom, top + 1) : step, left : max(right, left + 1)]
    return cast("Codes", cv2.resize(part, small, interpolation=cv2.INTER_AREA))
