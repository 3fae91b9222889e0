"""Measures which joints of an OpenPose drawing a limb connects."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing_dots import Dots
from tasks.body.drawing_pixels import STICK, Pixels, hue_distance, hue_of
from tasks.schema.keypoints import OPENPOSE_18

_SAMPLES: Final = 24
_HUE_TOLERANCE: Final = 0.9
_MIXED: Final = 1.6
_HUE_NOISE: Final = 0.3
"""Palette steps: what a pixel of a limb may be off, what may be one at all, and what the mean over a limb strays."""
_MOST_BLACK: Final = 0.15
_LEAST_SHOWN: Final = 0.4
_NOT_DRAWN: Final = 0.4
"""Shares of a limb's middle line: nothing is ever black where a limb was drawn; others may cover half of it."""

_TOUCHING: Final = 3.5
_TOUCHING_QUALITY: Final = 0.3
"""Radii between two joints below which no limb shows between their circles, and what such a link counts."""


@dataclass(frozen=True)
class Link:
    """A limb that may be between two candidates.

    Args:
        limb: index in `OPENPOSE_18.limbs`.
        start: candidate for its first joint.
        end: candidate for its second joint.
        quality: share of the limb that shows its colour, times how well hues fit, at most 1.
        shown: whether the limb itself was seen, not only that its joints touch.
    """

    limb: int
    start: int
    end: int
    quality: float
    shown: bool


@dataclass(frozen=True)
class Links:
    """What the drawing says about pairs of candidates.

    Args:
        possible: the best first.
        excluded: pairs (start, end) that cannot be of one person, since their limb is not drawn.
    """

    possible: tuple[Link, ...]
    excluded: frozenset[tuple[int, int]]


def find_links(pixels: Pixels, dots: Dots) -> Links:
    """Look along all limbs that candidates could have."""
    possible: list[Link] = []
    excluded: set[tuple[int, int]] = set()
    for limb, (start, end) in enumerate(OPENPOSE_18.limbs):
        starts, ends = dots.of(start), dots.of(end)
        if len(starts) and len(ends):
            first, second = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
            shown, black, off, length = along_limb(pixels, limb, dots.xy[first], dots.xy[second], dots.radius)
            touching = length < _TOUCHING * dots.radius
            seen = ~touching & (black <= _MOST_BLACK) & (shown >= _LEAST_SHOWN)
            quality = np.exp(-0.5 * (off / _HUE_NOISE) ** 2) * (
                0.9 * shown + 0.1 * np.minimum(length / (50 * STICK), 1)
            )
            quality = np.where(touching & (black <= _MOST_BLACK), _TOUCHING_QUALITY - 0.01 * length, quality * seen)
            quality *= 0.5 + 0.25 * (np.clip(dots.score[first], 0, 1) + np.clip(dots.score[second], 0, 1))
            quality *= np.sqrt(dots.likelihood[first] * dots.likelihood[second])
            pairs = list(zip(first.tolist(), second.tolist(), strict=True))
            possible += [
                Link(limb, *pairs[k], float(quality[k]), bool(seen[k])) for k in np.flatnonzero(quality > 0.02)
            ]
            excluded |= {pairs[k] for k in np.flatnonzero(~touching & (black > _NOT_DRAWN))}
    return Links(tuple(sorted(possible, key=lambda link: -link.quality)), frozenset(excluded))


def along_limb(
    pixels: Pixels, limb: int, start: NDArray[np.float32], end: NDArray[np.float32], radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """What lies between the circles of two joints.

    Args:
        start: pixels, (N, 2).
        end: likewise.
        radius: of the circles.
    Returns:
        Shares of the middle line in the limb's colour and in black, how far the mean hue of the former is off in
        palette steps, and the distance of the joints, each (N,).
    """
    away = end - start
    length = np.hypot(away[:, 0], away[:, 1])
    along = away / np.maximum(length, 1e-6)[:, None]
    margin = np.minimum(1.4 * radius, 0.45 * length)
    steps = np.linspace(0, 1, _SAMPLES)[None, :]
    t = margin[:, None] + steps * (length - 2 * margin)[:, None]
    middle = start[:, None] + t[..., None] * along[:, None]
    sideways = np.stack([-along[:, 1], along[:, 0]], axis=1)[:, None, None] * np.array([-1.2, 0, 1.2])[:, None]
    points = middle[:, :, None] + sideways
    height, width = pixels.value.shape
    x = np.clip(np.rint(points[..., 0]).astype(np.intp), 0, width - 1)
    y = np.clip(np.rint(points[..., 1]).astype(np.intp), 0, height - 1)
    value = pixels.value[y, x]
    drawn = value > 0.5 * pixels.limb_value
    apart = hue_distance(pixels.hue[y, x], limb)
    fits = drawn & (value < pixels.brightest_limb) & (apart < _HUE_TOLERANCE)
    mean = np.einsum("nks,nksc->nc", drawn & (apart < _MIXED), pixels.rgb[y, x], dtype=np.float32)
    off = hue_distance(hue_of(mean), limb)
    return fits.any(axis=2).mean(axis=1), 1 - drawn.any(axis=2).mean(axis=1), off, length
