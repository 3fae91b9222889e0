"""What a dancer's joints say about a clip: how far they go from frame to frame.

Lengths are in torsos of the dancer, so that near and far dancers are judged alike.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.keypoints import OPENPOSE_18

Floats = NDArray[np.floating]

TORSO_OF_HEIGHT: Final = 0.288
"""Shoulder to hip, of the whole body's height. Source: Drillis & Contini (1966)."""
USUAL: Final = 0.9
"""Quantile of a torso's lengths that counts as its own: the others are foreshortened."""
COMMON_JOINTS: Final = 4
"""Joints seen in two frames from which these can be compared."""

_NECK, _HIPS = OPENPOSE_18.index("neck"), (OPENPOSE_18.index("left_hip"), OPENPOSE_18.index("right_hip"))


@dataclass(frozen=True, eq=False)
class Motion:
    """A dancer's 18 body joints in T frames, in torsos, (T, 18, 2); NaN where a joint is not seen for sure."""

    places: Floats

    def steps(self) -> Floats:
        """How far the middle one of the joints goes from frame to frame, (T - 1,); NaN where too few are seen."""
        return _quantile(_distances(self.places[1:], self.places[:-1]), 0.5)


def motion_of(
    xy: Floats, sure: NDArray[np.bool_], centre: Floats, side: Floats, size: int, box_height: Floats
) -> Motion:
    """The motion of a dancer in his video, whatever the crop does.

    Args:
        xy: joints in pixels of the clip, (T, 18, 2).
        sure: which of them count, (T, 18).
        centre: of the crop, in pixels of the video, (T, 2).
        side: of the crop, in pixels of the video, (T,).
        size: of the clip, pixels.
        box_height: of the dancer's box, in pixels of the video, (T,); stands in where his torso is not seen.
    """
    scale = (side / size)[:, None, None]
    places = np.where(sure[..., None], (centre - side[:, None] / 2)[:, None] + xy * scale, np.nan).astype(np.float64)
    lengths = np.hypot(*np.moveaxis(places[:, _NECK] - places[:, _HIPS].mean(axis=1), -1, 0))
    seen = lengths[np.isfinite(lengths)]
    torso = np.quantile(seen, USUAL) if len(seen) * 2 >= len(places) else 0.0
    if torso <= 0:
        torso = TORSO_OF_HEIGHT * np.quantile(box_height, USUAL)
    return Motion(places / max(float(torso), 1.0))


def _distances(first: Floats, second: Floats) -> Floats:
    """Of each joint, (N, 18)."""
    apart = first - second
    found: Floats = np.sqrt(apart[..., 0] ** 2 + apart[..., 1] ** 2)
    return found


def _quantile(distances: Floats, quantile: float) -> Floats:
    """Of the joints that are there, (N,); NaN where there are fewer than `COMMON_JOINTS`."""
    ordered = np.sort(distances, axis=1)
    there = np.isfinite(distances).sum(axis=1)
    at = np.maximum(np.ceil(quantile * there).astype(np.int64) - 1, 0)
    found: Floats = np.where(there >= COMMON_JOINTS, ordered[np.arange(len(ordered)), at], np.nan)
    return found
