"""Finds the joints' circles in an OpenPose drawing, also those that others partly cover."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing_pixels import DARK, HUES, STICK, Pixels, hue_distance, hue_of
from tasks.schema.keypoints import OPENPOSE_18

_WEAK: Final = 0.2
_WEAK_ON_LIMBS: Final = 0.5
"""Score from which a circle may be a joint, if limbs lead to it; and where limbs are as bright as joints."""

_MAP_MARGIN: Final = 8
_HUE_NOISE: Final = 0.2
_MIXED: Final = 1.6
"""Palette steps: how far the mean hue of a circle strays in a clean drawing, and what may be a pixel of it at all."""
_NEIGHBOURS: Final = np.ones((7, 7), np.uint8)


MOST_DOTS: Final = 40 * len(OPENPOSE_18)
"""Of 40 whole people. Time grows with dots times pixels: 13 s for 1,024 dots on 512 x 512 (measured)."""


class TooManyDotsError(Exception):
    """What shows so many circles is no drawing of people."""


@dataclass(frozen=True, eq=False)
class Dots:
    """Candidates for joints, all kinds together.

    Args:
        joint: index in `OPENPOSE_18.joints`, int64, (N,).
        xy: pixels of `Pixels`, float32, (N, 2).
        score: share of the circle that shows its colour, less what cannot be, float32, (N,), up to 1.
        likelihood: how well its mean hue fits the joint, float32, (N,), up to 1.
        radius: of the circles, pixels of `Pixels`.
        blur: width of the circles' blurred edges, pixels of `Pixels`.
        shown: the pixels of the circles in their colours: x, y, weight (a whole circle adds up to 1), float32, (P, 3).
        shown_by: whose they are, ascending, int64, (P,).
    """

    joint: NDArray[np.int64]
    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    likelihood: NDArray[np.float32]
    radius: float
    blur: float
    shown: NDArray[np.float32]
    shown_by: NDArray[np.int64]

    def of(self, joint: int) -> NDArray[np.int64]:
        """Indices of the candidates for a joint."""
        return np.flatnonzero(self.joint == joint)

    def left_over(self, explained: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What each candidate shows beyond the explained pixels (P,), in circles, (N,)."""
        left = np.where(explained, 0, self.shown[:, 2])
        return np.bincount(self.shown_by, left, minlength=len(self.joint)).astype(np.float64)

    def explained_by(self, candidate: int) -> NDArray[np.bool_]:
        """Which pixels lie in a candidate's circle or on its blurred edge, (P,)."""
        away = self.shown[:, :2] - self.xy[candidate]
        return np.asarray((away * away).sum(axis=1) < (self.radius + self.blur) ** 2)


def find_dots(pixels: Pixels) -> Dots:
    """All places where a joint's circle may be.

    Raises:
        TooManyDotsError: there are more than `MOST_DOTS`.
    """
    bright, absent = _bright_and_absent(pixels)
    blob = np.asarray(cv2.connectedComponents((bright > 0.3).view(np.uint8), connectivity=4)[1], np.int32)
    rows, columns = np.nonzero(blob)
    radius = _radius(pixels, rows, columns)
    disc, ring = _kernels(radius)
    weak = _WEAK if pixels.darkened else _WEAK_ON_LIMBS
    hue_there = pixels.hue[rows, columns]
    joints: list[int] = []
    peaks: list[tuple[float, float, float]] = []
    hues: list[float] = []
    shown: list[NDArray[np.float32]] = [np.zeros((0, 3), np.float32)]
    for joint, y, x, weight in _clusters(pixels, bright, blob, rows, columns, least=_WEAK * np.pi * radius**2):
        top, left = int(y.min()) - _MAP_MARGIN, int(x.min()) - _MAP_MARGIN
        shape = (int(y.max()) + 1 + _MAP_MARGIN - top, int(x.max()) + 1 + _MAP_MARGIN - left)
        match = np.zeros(shape, np.float32)
        match[y - top, x - left] = weight
        score = _filtered(match - _window(absent, pixels, top, left, shape), disc) - _filtered(match, ring)
        for py, px in zip(*np.nonzero((score > weak) & (score >= cv2.dilate(score, _NEIGHBOURS))), strict=True):
            inside = (y - top - py) ** 2 + (x - left - px) ** 2 <= radius * radius
            if not inside.any():
                continue
            around = (rows - top - py) ** 2 + (columns - left - px) ** 2 <= (radius - 0.5) ** 2
            around &= hue_distance(hue_there, joint) < _MIXED
            joints.append(joint)
            if len(joints) > MOST_DOTS:
                raise TooManyDotsError
            fine_x, fine_y = _refined(score, int(py), int(px))
            peaks.append((fine_x + left, fine_y + top, float(score[py, px])))
            colour = pixels.rgb[rows[around], columns[around]].sum(axis=0, dtype=np.float32)
            hues.append(float(hue_of(colour)))
            shown.append(np.stack([x[inside], y[inside], weight[inside] * disc.max()], axis=1).astype(np.float32))
    kinds, places = np.array(joints, np.int64), np.array(peaks, np.float32).reshape(-1, 3)
    off = hue_distance(np.array(hues, np.float32), kinds)
    return Dots(
        kinds,
        places[:, :2],
        places[:, 2],
        np.exp(-0.5 * (off / (_HUE_NOISE + pixels.noise)) ** 2).astype(np.float32),
        radius,
        1 + 5 * pixels.noise,
        np.concatenate(shown),
        np.repeat(np.arange(len(joints)), [len(part) for part in shown[1:]]),
    )


def _bright_and_absent(pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How surely each pixel is as bright as joints are, and how surely too dark for a circle to lie there, (h, w)."""
    coloured = np.nonzero(~np.isnan(pixels.hue))
    limb = pixels.hue_value[np.rint(pixels.hue[coloured]).astype(np.intp) % HUES]
    if pixels.darkened:
        low, rise = limb + 8 + 80 * pixels.noise, 32 * np.ones_like(limb)
        there, fall = limb + 15, 0.25 * limb + 15
    else:
        low, rise = 0.45 * limb, 0.25 * limb
        there, fall = 0.6 * limb, 0.6 * limb - 60
    bright, absent = np.zeros_like(pixels.value), (pixels.value <= DARK).astype(np.float32)
    value = pixels.value[coloured]
    bright[coloured] = ((value - low) / rise).clip(0, 1)
    absent[coloured] = ((there - value) / fall).clip(0, 1)
    return bright, absent


def _clusters(
    pixels: Pixels,
    bright: NDArray[np.float32],
    blob: NDArray[np.int32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    least: float,
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Joint, rows, columns and weights (together `least` or more) of the pixels of a bright blob in a joint's hue."""
    hues, brightness, blobs = pixels.hue[rows, columns], bright[rows, columns], blob[rows, columns]
    tolerance = 0.8 + pixels.noise
    for joint in range(HUES):
        weight = np.clip((tolerance - hue_distance(hues, joint)) * 2.5, 0, 1) * brightness
        mine = np.flatnonzero(weight > 0.05)
        if len(mine) < least:
            continue
        mine = mine[np.argsort(blobs[mine], kind="stable")]
        for part in np.split(mine, np.flatnonzero(np.diff(blobs[mine])) + 1):
            if len(part) >= least and weight[part].sum() >= least:
                yield joint, rows[part], columns[part], weight[part]


def _filtered(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_CONSTANT), np.float32)


def _window(
    absent: NDArray[np.float32], pixels: Pixels, top: int, left: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A cut of `absent` that may reach beyond it: there nothing is drawn, and beyond the picture nothing is known."""
    height, width = absent.shape
    y0, y1, x0, x1 = max(top, 0), min(top + shape[0], height), max(left, 0), min(left + shape[1], width)
    cut = np.ones(shape, np.float32)
    cut[y0 - top : y1 - top, x0 - left : x1 - left] = absent[y0:y1, x0:x1]
    frame_left, frame_top, frame_right, frame_bottom = pixels.frame
    cut[: max(math.ceil(frame_top) - top, 0)] = 0
    cut[max(math.floor(frame_bottom) + 1 - top, 0) :] = 0
    cut[:, : max(math.ceil(frame_left) - left, 0)] = 0
    cut[:, max(math.floor(frame_right) + 1 - left, 0) :] = 0
    return cut


def _radius(pixels: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float:
    """The joints' usual radius; `STICK` where limbs are as bright as joints and hide it."""
    if not pixels.darkened or not len(rows):
        return STICK
    strong = np.zeros(pixels.value.shape, np.uint8)
    strong[rows, columns] = pixels.value[rows, columns] > (pixels.limb_value + 255) / 2
    _, _, stats, _ = cv2.connectedComponentsWithStats(strong, connectivity=4)
    area, width, height = (stats[1:, k] for k in (cv2.CC_STAT_AREA, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    round_ones = (area > 0.65 * width * height) & (abs(width - height) <= 2) & (area >= 9) & (area < 200)
    if np.count_nonzero(round_ones) < 3:
        return STICK
    return float(np.clip(np.sqrt(np.median(area[round_ones]) / np.pi), 2.5, 7.5))


def _kernels(radius: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A disc whose weights add up to 1, and the ring around it at half that weight."""
    reach = int(np.ceil(radius + 2.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    away = np.hypot(x, y)
    disc = np.clip(radius + 0.5 - away, 0, 1)
    ring = np.clip(radius + 2.5 - away, 0, 1) - np.clip(radius + 1.0 - away, 0, 1)
    area = disc.sum()
    return (disc / area).astype(np.float32), (0.5 * ring / area).astype(np.float32)


def _refined(score: NDArray[np.float32], y: int, x: int) -> tuple[float, float]:
    """The peak's place between pixels: centre of what stands out of its surroundings. x, y."""
    top, left = max(y - 2, 0), max(x - 2, 0)
    patch = np.clip(score[top : y + 3, left : x + 3] - (score[y, x] - 0.3), 0, None)
    total = float(patch.sum())
    across, down = patch.sum(axis=0), patch.sum(axis=1)
    return (
        left + float(across @ np.arange(len(across))) / total,
        top + float(down @ np.arange(len(down))) / total,
    )
