"""Joints over time without their jitter. What is missing stays missing; the joints given are not changed.

Gaps end a run: every run of consecutive frames in which a joint is there is smoothed by itself.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.schema.keypoints import Keypoints
from tasks.schema.records import Frozen

Points = NDArray[np.float64]

_SPEED_CUTOFF_HZ: Final = 1.0
"""Of the One-Euro filter's speed. Source: Casiez, Roussel, Vogel, CHI 2012."""


class Smoothing(Frozen):
    """How joints are smoothed.

    `none`: not at all. `savgol`: a polynomial of `order` fitted to the `window` frames around each; looks ahead, does
    not lag, and keeps the height of peaks. `one_euro`: looks back only, as a live filter would; `min_cutoff_hz` is for
    slow joints, `beta` raises it with speed (Hz for each pixel a second). Window, order and cutoffs are our choice for
    dance at 24 frames a second. Source: Savitzky, Golay 1964; Casiez, Roussel, Vogel, CHI 2012.
    """

    method: Literal["none", "savgol", "one_euro"] = Field("none", title="Smoothing")
    window: int = Field(7, title="Window", ge=3, description="Frames, an odd number; of savgol.")
    order: int = Field(2, title="Order", ge=1, description="Of the polynomial, less than the window; of savgol.")
    min_cutoff_hz: float = Field(2.0, title="Lowest cutoff", gt=0, description="Hz, for slow joints; of one_euro.")
    beta: float = Field(0.01, title="Speed", ge=0, description="Hz of cutoff for each pixel a second; of one_euro.")

    @model_validator(mode="after")
    def _fits(self) -> "Smoothing":
        if self.window % 2 == 0 or self.order >= self.window:
            raise ValueError(f"window {self.window} must be odd, and larger than order {self.order}")
        return self


def smoothed(keypoints: Keypoints, fps: float, rules: Smoothing) -> Keypoints:
    """One person in consecutive frames, (T, K), with smoothed places; confidences stay.

    Args:
        keypoints: one frame a row.
        fps: frames a second.
        rules: the method and its parameters.
    """
    if rules.method == "none":
        return keypoints
    xy = keypoints.xy.astype(float)
    for joint in range(xy.shape[1]):
        for start, end in runs(keypoints.present[:, joint]):
            if rules.method == "savgol":
                xy[start:end, joint] = _savgol(xy[start:end, joint], rules.window, rules.order)
            else:
                xy[start:end, joint] = _one_euro(xy[start:end, joint], fps, rules.min_cutoff_hz, rules.beta)
    return Keypoints.from_arrays(keypoints.layout, xy, keypoints.confidence)


def runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of every stretch of true values, (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _savgol(points: Points, window: int, order: int) -> Points:
    """(T, 2); a shorter run takes the largest odd window that fits in it, if that still smooths.

    The first and last half window lie on the polynomial that is fitted to the first and last window.
    """
    window = min(window, len(points) - (len(points) + 1) % 2)
    if window <= order:
        return points
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1) / half, order + 1)
    fit = powers @ np.linalg.pinv(powers)
    around = np.lib.stride_tricks.sliding_window_view(points, window, axis=0)
    return np.concatenate([fit[:half] @ points[:window], around @ fit[half], fit[half + 1 :] @ points[-window:]])


def _one_euro(points: Points, fps: float, min_cutoff_hz: float, beta: float) -> Points:
    """(T, 2); the cutoff follows the speed of the joint, not of x and y apart, so that directions do not matter."""
    out = points.copy()
    speed = np.zeros(2)
    of_speed = _weight(_SPEED_CUTOFF_HZ, fps)
    for k in range(1, len(points)):
        speed += of_speed * ((points[k] - points[k - 1]) * fps - speed)
        weight = _weight(min_cutoff_hz + beta * float(np.hypot(*speed)), fps)
        out[k] = out[k - 1] + weight * (points[k] - out[k - 1])
    return out


def _weight(cutoff_hz: float, fps: float) -> float:
    """Of the newest value in a low-pass of first order."""
    step = 2 * np.pi * cutoff_hz / fps
    return float(step / (step + 1))
