"""Finds joints whose circles lie under others (hands, faces) by the limbs that end there."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing_pixels import DARK, Pixels, hue_distance
from tasks.schema.keypoints import OPENPOSE_18

_HUE_TOLERANCE: Final = 0.5
_FAN: Final = np.array([(math.cos(math.tau * k / 180), math.sin(math.tau * k / 180)) for k in range(180)])
_FACE: Final = frozenset(OPENPOSE_18.index(j) for j in ("nose", "right_eye", "left_eye", "right_ear", "left_ear"))
"""Joints that face dots cover too widely to tell where they are."""

_SHORTEST: Final = 3.0
_LEAST_SHOWN: Final = 0.8
"""In radii: how much of a limb must show; and the share of that in its colour."""

_APART: Final = 6.0
_THICKEST: Final = 3.5
"""In radii: by how much places that several limbs point to may differ, and how thick what hides the end of a single
limb may be for the end to be known."""

Ray = tuple[NDArray[np.float64], NDArray[np.float64], float]
"""Start, unit direction, and where along it the limb goes under."""


def hidden_joints(pixels: Pixels, person: NDArray[np.float32], radius: float) -> dict[int, NDArray[np.float32]]:
    """Joints of one person that are drawn but covered.

    A limb runs from a known joint into something that covers it (never into background: there its circle would show).
    Where several limbs do, the joint is where their lines meet; where one does, a radius further than it goes under.

    Args:
        person: pixels of `Pixels`, (18, 2), NaN where not found.
        radius: of the circles.
    Returns:
        Joint -> x, y.
    """
    found: dict[int, NDArray[np.float32]] = {}
    known = ~np.isnan(person[:, 0])
    for joint in set(np.flatnonzero(~known).tolist()) - _FACE:
        rays = [
            ray
            for limb, ends in enumerate(OPENPOSE_18.limbs)
            if joint in ends and known[sum(ends) - joint]
            for ray in _rays(pixels, person[sum(ends) - joint].astype(float), limb, radius)
        ]
        place = _meeting(pixels, rays, radius)
        if place is not None and _covered(pixels, place, radius):
            found[joint] = place.astype(np.float32)
    return found


def _rays(pixels: Pixels, start: NDArray[np.float64], limb: int, radius: float) -> list[Ray]:
    """The limb of that kind which leaves a joint and goes under something, if there is one."""
    close = _limb_like(pixels, limb, start, _FAN, np.arange(1.5, 3, 0.25) * radius)[1].mean(axis=1) >= _LEAST_SHOWN
    if not close.any():
        return []
    directions = _FAN[close]
    steps = np.arange(1.4 * radius, max(pixels.value.shape), 0.5)
    drawn, limb_like = _limb_like(pixels, limb, start, directions, steps)
    unbroken = np.logical_and.accumulate(drawn, axis=1)
    seen = limb_like & unbroken
    reach = np.where(seen.any(axis=1), seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1), -1)
    share = seen.sum(axis=1) / (reach + 1).clip(1)
    good = (share >= _LEAST_SHOWN) & (reach >= 2 * _SHORTEST * radius)
    if not good.any():
        return []
    longest = reach[good].max()
    middle = np.flatnonzero(good & (reach >= longest - 2 * radius))
    weight = seen[middle].sum(axis=1).astype(float)
    direction = (directions[middle] * weight[:, None]).sum(axis=0)
    direction /= np.hypot(*direction)
    under = float(steps[longest])
    if not _drawn_at(pixels, start + direction * (under + 1.5)):
        return []
    return [(start, direction, under)]


def _limb_like(
    pixels: Pixels,
    limb: int,
    start: NDArray[np.float64],
    directions: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether anything, and whether that limb shows so many pixels from a place in such directions, (D, S) each."""
    height, width = pixels.value.shape
    x, y = start[:, None, None] + directions.T[:, :, None] * steps
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    column = np.rint(x).clip(0, width - 1).astype(np.intp)
    row = np.rint(y).clip(0, height - 1).astype(np.intp)
    value = pixels.value[row, column]
    drawn = inside & (value > DARK)
    fits = (value < pixels.brightest_limb) & (hue_distance(pixels.hue[row, column], limb) < _HUE_TOLERANCE)
    return drawn, drawn & fits


def _drawn_at(pixels: Pixels, place: NDArray[np.float64]) -> bool:
    height, width = pixels.value.shape
    x, y = (round(float(value)) for value in place)
    return 0 <= x < width and 0 <= y < height and bool(pixels.value[y, x] > DARK)


def _meeting(pixels: Pixels, rays: list[Ray], radius: float) -> NDArray[np.float64] | None:
    if not rays:
        return None
    ends = np.array([start + direction * (under + radius) for start, direction, under in rays])
    if len(rays) == 1:
        start, direction, under = rays[0]
        thin = not _drawn_at(pixels, start + direction * (under + _THICKEST * radius))
        return np.asarray(ends[0]) if thin else None
    across = [np.eye(2) - np.outer(direction, direction) for _, direction, _ in rays]
    system = sum(across, 1e-3 * np.eye(2))
    place = np.linalg.solve(system, sum((m @ e for m, e in zip(across, ends, strict=True)), 1e-3 * ends.mean(axis=0)))
    off = np.hypot(*(ends - place).T)
    return place if (off < _APART * radius).all() else None


def _covered(pixels: Pixels, place: NDArray[np.float64], radius: float) -> bool:
    """Whether a circle there would be hidden: nearly all of it is drawn over."""
    height, width = pixels.value.shape
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    near = x * x + y * y <= radius * radius
    column = np.rint(x[near] + place[0]).astype(int)
    row = np.rint(y[near] + place[1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    drawn = np.zeros(len(row), bool)
    drawn[inside] = pixels.value[row[inside], column[inside]] > DARK
    return bool(drawn.mean() > 0.9)
