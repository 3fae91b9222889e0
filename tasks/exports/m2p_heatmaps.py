"""Joints as heat: a Gaussian on a coarse grid for each joint that is seen, nothing for one that is not."""

from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIGMA: Final = 2.0
"""Cells. Source: Simple Baselines and HRNet, whose heatmaps of 64 x 48 cells have it too."""

_REACH: Final = 3.0
"""Sigmas behind which a Gaussian is taken as 0; it is 0.011 there."""


def pose_heatmaps(
    xy: NDArray[np.float32], seen: NDArray[np.bool_], side: float, grid: int, sigma: float = SIGMA
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Heatmaps float16 (T, K, grid, grid), rows first, and which of them hold a joint, bool (T, K).

    The value in the middle of a cell is that of a Gaussian of height 1 whose centre is the joint, not its cell; it is 0
    in cells farther than 3 sigma in x or y. A joint that is not seen, or outside the picture, has a map of zeros.

    Args:
        xy: joints in pixels, (T, K, 2); the middle of the first pixel is 0.
        seen: which joints there are, (T, K).
        side: of the picture, pixels.
        grid: cells on a side.
        sigma: cells.
    """
    scaled = np.where(seen[..., None], xy, np.nan).astype(np.float64)
    centre = (scaled + 0.5) * (grid / side) - 0.5
    held: NDArray[np.bool_] = np.asarray(((centre >= -0.5) & (centre < grid - 0.5)).all(axis=-1))
    centre = centre[held]
    reach = ceil(_REACH * sigma)
    cells = np.rint(centre).astype(np.int64)[..., None] + np.arange(-reach, reach + 1)
    height = np.exp((cells - centre[..., None]) ** 2 / (-2 * sigma**2)).astype(np.float32)
    patch = (height[:, 1, :, None] * height[:, 0, None, :]).astype(np.float16)
    inside = (cells >= 0) & (cells < grid)
    inside_patch = inside[:, 1, :, None] & inside[:, 0, None, :]
    rows = np.flatnonzero(held)[:, None] * grid + cells[:, 1]
    places = rows[:, :, None] * grid + cells[:, 0, None, :]
    heat = np.zeros((*held.shape, grid, grid), np.float16)
    heat.reshape(-1)[places[inside_patch]] = patch[inside_patch]
    return heat, held
