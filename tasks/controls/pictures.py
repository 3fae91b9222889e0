"""Pictures whose every pixel is known: rendered people, colours, a drawn face, and the ways to encode them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.ingest.mannequins import Mannequin, render_mannequin

Picture = NDArray[np.uint8]

SERIES: Final = 1
"""The series of rendered people that controls are drawn from."""

_EXIF_ORIENTATION: Final = 0x0112

RED, BLUE = (230, 30, 30), (30, 30, 230)
GREYS: Final = (90, 53)
"""Of red and of blue, by ITU-R 601 as Pillow weighs them: 0.299 R + 0.587 G + 0.114 B."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An encoded picture and what it shows: RGB uint8, (H, W, 3), upright."""

    name: str
    upright: Picture
    data: bytes
    format: str
    orientation: int = 1


@lru_cache(maxsize=64)
def person(index: int, side: int) -> Mannequin:
    """A rendered person of the series of controls."""
    return render_mannequin(SERIES, index, side)


def photo(
    name: str, upright: Picture, kind: Literal["PNG", "JPEG"] = "PNG", orientation: int = 1, quality: int = 95
) -> Photo:
    """Encode a picture so that it is upright once its EXIF orientation (1, 3, 6 or 8) is applied."""
    turns = {1: 0, 3: 2, 6: 1, 8: -1}[orientation]
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, turns)))
    exif = Image.Exif()
    if orientation != 1:
        exif[_EXIF_ORIENTATION] = orientation
    stream = io.BytesIO()
    told = {"exif": exif.tobytes()} if orientation != 1 else {}
    if kind == "JPEG":
        stored.save(stream, kind, quality=quality, subsampling=0, **told)
    else:
        stored.save(stream, kind, compress_level=1, **told)
    return Photo(name, upright, stream.getvalue(), kind, orientation)


def blocks(side: int, seed: int, two: Sequence[Sequence[int]] = (RED, BLUE)) -> Picture:
    """A board of 8 x 8 fields in two colours; other seeds look nothing alike to a perceptual hash."""
    fields = np.random.default_rng(seed).random((8, 8)) < 0.5
    board = np.where(fields[..., None], np.array(two[0], np.uint8), np.array(two[1], np.uint8))
    return np.asarray(cv2.resize(board, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def grey_blocks(side: int, seed: int) -> Picture:
    """The same board in the greys that its colours are as bright as."""
    return blocks(side, seed, [(grey,) * 3 for grey in GREYS])


def stripes(height: int, width: int) -> Picture:
    """One of four columns white, the others black: grey where it is made small well, and whatever where it is not."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, ::4] = 255
    return picture


def slope(height: int, width: int) -> Picture:
    """Grey that grows lighter from left to right: shows nobody."""
    row = np.linspace(60, 190, width).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


FACE_LANDMARKS: Final = np.array([[-0.125, -0.05], [0.125, -0.05], [0, 0.07], [-0.085, 0.19], [0.085, 0.19]])
"""Of `draw_face`, from its centre, in its side: left eye, right eye, nose, left and right corner of the mouth, as the
viewer sees them."""

_SKIN, _HAIR = (224, 178, 150), (50, 36, 28)
_FINE: Final = 4


def draw_face(side: int, tint: float = 0.0) -> tuple[Picture, NDArray[np.bool_]]:
    """A face as seen from the front, drawn; detectors of faces find it.

    Args:
        side: pixels.
        tint: -1 to 1, darker to lighter skin.
    Returns:
        RGB uint8, (side, side, 3), and where it covers what lies behind, (side, side).
    """
    n = side * _FINE
    picture = np.zeros((n, n, 3), np.uint8)
    rows, columns = np.mgrid[:n, :n].astype(np.float32)
    u, v = (columns - n / 2) / (0.30 * n), (rows - n / 2) / (0.40 * n)
    away = u * u + v * v
    light = np.clip(1.05 + 0.15 * tint - 0.35 * away - 0.12 * u, 0, 1.1)
    picture[:] = np.clip(np.array(_SKIN, np.float32) * light[..., None], 0, 255).astype(np.uint8)
    hair = ((away < 1.25) & (v < -0.45 - 0.15 * np.cos(u * 2))) | ((away >= 1) & (away < 1.25) & (v < 0.1))
    picture[hair] = _HAIR
    for sign in (-1, 1):
        x = sign * 0.125
        _oval(picture, (x, -0.05), (0.062, 0.040), (205, 155, 130))
        _oval(picture, (x, -0.05), (0.052, 0.024), (240, 238, 235))
        _oval(picture, (x, -0.05), (0.023, 0.023), (70, 45, 30))
        _oval(picture, (x, -0.05), (0.010, 0.010), (10, 10, 10))
        _arc(picture, (x, -0.05), (0.054, 0.028), (0.0, 180.0), 0.010)
        _arc(picture, (x, -0.105), (0.066, 0.022), (6.0 * sign, 170.0), 0.018)
        _oval(picture, (sign * 0.025, 0.085), (0.011, 0.008), (120, 75, 60))
    _oval(picture, (0, 0.19), (0.085, 0.028), (176, 84, 84))
    _oval(picture, (0, 0.19), (0.085, 0.004), (110, 45, 45))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    covers = cv2.resize(((away < 1) | hair).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.7), np.uint8), covers


def with_face(background: Picture, centre: tuple[int, int], side: int, tint: float = 0.0) -> Picture:
    """A picture with a drawn face laid over it, its centre at (x, y)."""
    face, covers = draw_face(side, tint)
    shown = background.copy()
    left, top = centre[0] - side // 2, centre[1] - side // 2
    part = shown[top : top + side, left : left + side]
    part[covers] = face[covers]
    return shown


def _oval(picture: Picture, centre: tuple[float, float], axes: tuple[float, float], colour: Sequence[int]) -> None:
    n = len(picture)
    place = (round(n / 2 + centre[0] * n), round(n / 2 + centre[1] * n))
    size = (round(axes[0] * n), round(axes[1] * n))
    cv2.ellipse(picture, place, size, 0, 0, 360, tuple(colour), -1, cv2.LINE_AA)


def _arc(
    picture: Picture, centre: tuple[float, float], axes: tuple[float, float], angles: tuple[float, float], width: float
) -> None:
    """The upper half of an oval; `angles`: its turn, and how much of the circle it spans, degrees."""
    n = len(picture)
    place = (round(n / 2 + centre[0] * n), round(n / 2 + centre[1] * n))
    size = (round(axes[0] * n), round(axes[1] * n))
    cv2.ellipse(picture, place, size, angles[0], 180, 180 + angles[1], _HAIR, max(2, round(width * n)), cv2.LINE_AA)
