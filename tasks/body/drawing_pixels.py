"""Tells the pixels of an OpenPose drawing apart: black, palette hues, joints' and limbs' brightness."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing import PALETTE

HUES: Final = len(PALETTE)
"""The palette's hues are 0 to 17 in steps of 20 degrees, so a hue is measured in palette steps."""

DARK: Final = 56
"""Brightest channel up to which a pixel counts as background; JPEG at quality 50 stays below beside a limb."""

STICK: Final = 4.0
"""The stick width that drawings are brought to before they are read; that of the annotators at 512 pixels."""

_MIN_BACKGROUND: Final = 0.55
_MIN_COLOURED: Final = 0.25
_MIN_PURE: Final = 0.33
"""Shares that a drawing exceeds: background of all pixels, saturated of the others, near a palette hue of those."""

_DARKENED_BELOW: Final = 180
"""Limbs at 0.6 measure up to 153, full ones 200 and more even in half the size at JPEG quality 50."""

_COMPRESSED: Final = 0.97
_THIN: Final = 6
"""Purity and half width (pixels) below which colours are worth sharpening."""

_SHARPENING_ROUNDS: Final = 4
_RARE: Final = 60
_LARGEST_FACTOR: Final = 3.0
_TOLERATED_FACTOR: Final = 1.3


@dataclass(frozen=True, eq=False)
class Pixels:
    """A drawing cut to what is drawn and brought to the usual stick width.

    Args:
        rgb: uint8, (h, w, 3).
        value: brightest channel, float32, (h, w), 0 to 255.
        hue: in palette steps, float32, (h, w), 0 to 18; NaN where there is no clear colour.
        limb_value: usual brightness of what is drawn, that is of limbs, 0 to 255.
        hue_value: the same for each hue (compression dims blue more than yellow), float32, (18,).
        purity: share of the coloured pixels that have a clear palette colour: 1, less after compression.
        factor: pixels here a pixel of the drawing, x and y.
        origin: of the cut in the drawing, x and y.
        extent: of the drawing, width and height.
    """

    rgb: NDArray[np.uint8]
    value: NDArray[np.float32]
    hue: NDArray[np.float32]
    limb_value: float
    hue_value: NDArray[np.float32]
    purity: float
    factor: tuple[float, float]
    origin: tuple[int, int]
    extent: tuple[int, int]

    @classmethod
    def of(cls, drawing: NDArray[np.uint8]) -> Self | None:
        """None where the picture cannot be an OpenPose drawing."""
        if not drawing.size:
            return None
        drawn = _brightest(drawing) > DARK
        if not _MIN_BACKGROUND <= 1 - np.count_nonzero(drawn) / max(drawn.size, 1) < 1:
            return None
        x, y, width, height = cv2.boundingRect(drawn.view(np.uint8))
        left, top = x // 2 * 2, y // 2 * 2
        rgb = np.ascontiguousarray(drawing[top : y + height, left : x + width])
        purity = _purity(rgb)
        if purity < _MIN_PURE:
            return None
        half_width = _half_width(_brightest(rgb))
        if purity < _COMPRESSED and half_width < _THIN:
            rgb = sharpened_colours(rgb)
            purity = _purity(rgb)
        wanted = float(np.clip(STICK / half_width, 1 / 8, _LARGEST_FACTOR))
        if 1 / _TOLERATED_FACTOR < wanted < _TOLERATED_FACTOR:
            wanted = 1.0
        size = (max(round(rgb.shape[1] * wanted), 1), max(round(rgb.shape[0] * wanted), 1))
        factor = (size[0] / rgb.shape[1], size[1] / rgb.shape[0])
        if wanted != 1:
            method = cv2.INTER_AREA if wanted < 1 else cv2.INTER_LINEAR
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)
        value = _brightest(rgb)
        where = np.nonzero(value > DARK)
        colours = rgb[where].astype(np.float32)
        steps, clear = hue_of(colours), _saturated(colours)
        if not clear.any():
            return None
        hue = np.full(value.shape, np.nan, np.float32)
        hue[where] = np.where(clear, steps, np.nan)
        brightness = value[where][clear].astype(np.float32)
        usual = float(np.median(brightness))
        by_hue = _usual_by_hue(steps[clear], brightness, usual)
        extent = (drawing.shape[1], drawing.shape[0])
        return cls(rgb, value.astype(np.float32), hue, usual, by_hue, purity, factor, (left, top), extent)

    @property
    def darkened(self) -> bool:
        """Whether limbs are darker than joints, so that brightness tells them apart."""
        return self.limb_value < _DARKENED_BELOW

    @property
    def brightest_limb(self) -> float:
        """Brightness that a limb stays below."""
        return (self.limb_value + 255) / 2 if self.darkened else 256

    @property
    def noise(self) -> float:
        """0 for a clean drawing, 0.3 for the worst: how much further than usual the mean hue of a circle strays."""
        return float(np.clip(0.8 * (0.95 - self.purity), 0, 0.3)) * min(max(self.factor[0], 1), 2) / 2

    def to_drawing(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """From pixels here to pixels of the drawing, (..., 2)."""
        return ((xy + 0.5) / self.factor - 0.5 + self.origin).astype(np.float32)

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The drawing's own outline in pixels here: left, top, right, bottom."""
        (fx, fy), (x, y), (width, height) = self.factor, self.origin, self.extent
        return -x * fx - 0.5, -y * fy - 0.5, (width - x) * fx - 0.5, (height - y) * fy - 0.5


def sharpened_colours(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo most of what halving the colours' resolution (JPEG and video, 4:2:0) did to thin lines.

    Looks for colours within 0 and 255 that give the brightness and, halved and enlarged again, the colours seen
    (projections onto convex sets). The first row and column must be even ones of the picture.
    """
    height, width = rgb.shape[:2]
    luma, *seen = cv2.split(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2YCrCb))
    chroma = [channel.copy() for channel in seen]
    half = ((width + 1) // 2, (height + 1) // 2)
    for _ in range(_SHARPENING_ROUNDS):
        for k, target in enumerate(seen):
            small = cv2.resize(chroma[k], half, interpolation=cv2.INTER_AREA)
            chroma[k] = chroma[k] + target - cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        full = np.clip(cv2.cvtColor(cv2.merge([luma, *chroma]), cv2.COLOR_YCrCb2RGB), 0, 255)
        _, *chroma = cv2.split(cv2.cvtColor(full, cv2.COLOR_RGB2YCrCb))
    return np.asarray(full.astype(np.uint8))


def _brightest(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _saturated(colours: NDArray[np.float32], least: float = 0.5) -> NDArray[np.bool_]:
    red, green, blue = colours[:, 0], colours[:, 1], colours[:, 2]
    brightest = np.maximum(np.maximum(red, green), blue)
    return np.asarray(brightest - np.minimum(np.minimum(red, green), blue) > least * brightest)


def _purity(rgb: NDArray[np.uint8]) -> float:
    """Share of the coloured pixels that have a clear palette colour; 0 where too few are coloured for a drawing."""
    colours = rgb[_brightest(rgb) > DARK].astype(np.float32)
    clear = _saturated(colours)
    if not len(colours) or clear.mean() < _MIN_COLOURED:
        return 0.0
    steps = hue_of(colours[clear])
    return float(np.mean((np.abs(steps - np.rint(steps)) < 0.3) & _saturated(colours[clear], 0.8)))


def _half_width(value: NDArray[np.uint8]) -> float:
    """Half the usual width of what is drawn, pixels: the ridges of the distance to the background."""
    mask = cv2.copyMakeBorder((value > 2 * DARK).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    ridge = (distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))
    return float(np.quantile(distance[ridge], 0.8)) if ridge.any() else STICK


def _usual_by_hue(steps: NDArray[np.float32], values: NDArray[np.float32], usual: float) -> NDArray[np.float32]:
    """Median brightness of each hue, (18,), kept near that of all; that of all where a hue is rare."""
    nearest = np.rint(steps).astype(np.intp) % HUES
    medians = [np.median(values[nearest == k]) if (nearest == k).sum() > _RARE else usual for k in range(HUES)]
    return np.clip(np.array(medians, np.float32), usual, 1.2 * usual)


def hue_of(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hue of RGB colours in palette steps, 0 to 18: (..., 3) to (...)."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    brightest = np.maximum(np.maximum(red, green), blue)
    scale = np.float32(HUES / 6) / np.maximum(brightest - np.minimum(np.minimum(red, green), blue), 1)
    steps = np.where(
        brightest == red,
        (green - blue) * scale,
        np.where(brightest == green, (blue - red) * scale + HUES / 3, (red - green) * scale + 2 * HUES / 3),
    )
    return np.asarray(steps % HUES, np.float32)


def hue_distance(hue: NDArray[np.float32], wanted: int | NDArray[np.int64]) -> NDArray[np.float32]:
    """Palette steps between hues and one of the palette, round the circle; NaN stays NaN."""
    apart = np.abs(hue - np.asarray(wanted, np.float32))
    return np.asarray(np.minimum(apart, HUES - apart), np.float32)
