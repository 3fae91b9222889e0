"""The square that follows a dancer: limbs inside, no lag, no jitter, nothing faster than a calm camera."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.schema.clips import CLIP_FPS
from tasks.schema.forms import Form

Floats = NDArray[np.float64]
CropMode = Literal["tracked", "letterbox"]

_SMOOTH_SHARE: Final = 3.0
"""A Gaussian is cut off after so many standard deviations."""


class CropRules(Form):
    """How the picture of a clip is cut out of the video."""

    mode: CropMode = Field(
        "tracked",
        title="Crop",
        description="tracked: a square that follows the dancer; letterbox: the whole picture on black.",
    )
    margin: float = Field(
        0.1,
        title="Margin",
        ge=0,
        le=1,
        description="Added around the body on each side, as a share of its longer side.",
    )
    smooth_s: float = Field(
        0.6, title="Smoothness", ge=0, le=5, description="Seconds over which the camera's way is averaged."
    )
    pan_speed: float = Field(
        0.6,
        title="Pan speed",
        gt=0,
        le=10,
        description="Most that the square moves in a second, as a share of its side.",
    )
    zoom_speed: float = Field(
        0.25,
        title="Zoom speed",
        gt=0,
        le=10,
        description="Most that its side changes in a second, as a share of itself.",
    )
    smallest_side: int = Field(
        256,
        title="Smallest side",
        ge=16,
        le=4096,
        description="Pixels of the video; a smaller square is made larger, so that it is not blown up too much.",
    )


@dataclass(frozen=True, eq=False)
class CropTrack:
    """A square for each of T frames, in pixels of the upright video: `centre_xy` (T, 2) and `side` (T,), float32."""

    kind: CropMode
    centre_xy: NDArray[np.float32]
    side: NDArray[np.float32]

    @property
    def xyxy(self) -> Floats:
        """Left, top, right, bottom of the squares, (T, 4)."""
        half = self.side.astype(float)[:, None] / 2
        return np.concatenate([self.centre_xy - half, self.centre_xy + half], axis=1)


def letterbox(frames: int, content: tuple[int, int, int, int]) -> CropTrack:
    """The smallest square around the picture without its own black bars (left, top, right, bottom), T times."""
    left, top, right, bottom = content
    centre = np.tile(np.array([(left + right) / 2, (top + bottom) / 2], np.float32), (frames, 1))
    return CropTrack("letterbox", centre, np.full(frames, max(right - left, bottom - top), np.float32))


def crop_track(body_xyxy: NDArray[np.floating], content: tuple[int, int, int, int], rules: CropRules) -> CropTrack:
    """Squares that hold the body in every frame.

    The way of the body's centre is averaged over time, the same forwards as backwards, and slowed down to the pan
    speed. The side is what the body with its margin then needs around that centre; it begins to grow before it has to.
    Where pan or zoom would have to be faster than allowed, the square is larger for a while instead. It reaches beyond
    the picture only where the picture is narrower or lower than the square.

    Args:
        body_xyxy: box around body and limbs, (T, 4), in pixels of the upright video; no frame missing.
        content: left, top, right, bottom of the picture without its own black bars.
        rules: how.
    Raises:
        ValueError: there is no frame.
    """
    if not len(body_xyxy):
        raise ValueError("there is no frame to crop")
    if rules.mode == "letterbox":
        return letterbox(len(body_xyxy), content)
    needed = needed_boxes(body_xyxy, content, rules.margin)
    low, high = needed[:, :2], needed[:, 2:]
    usual = float(np.median((high - low).max(axis=1)))
    sigma = rules.smooth_s * CLIP_FPS / 2
    centre = smoothed((low + high) / 2, sigma)
    step = rules.pan_speed * max(usual, rules.smallest_side) / CLIP_FPS
    centre = np.stack([slowed(axis, step) for axis in centre.T], axis=1)
    longest = max(content[2] - content[0], content[3] - content[1])
    wanted = 2 * np.maximum(centre - low, high - centre).max(axis=1)
    wanted = np.minimum(np.maximum(wanted, rules.smallest_side), longest)
    side = np.minimum(calm_above(wanted, rules.zoom_speed * usual / CLIP_FPS, sigma), longest)
    return CropTrack("tracked", _inside(centre, side, content).astype(np.float32), side.astype(np.float32))


def needed_boxes(body_xyxy: NDArray[np.floating], content: tuple[int, int, int, int], margin: float) -> Floats:
    """Bodies with their margin, without what lies beyond the picture: (T, 4)."""
    boxes = np.asarray(body_xyxy, float)
    more = margin * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    low, high = np.array(content[:2], float), np.array(content[2:], float)
    grown = np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)
    return np.asarray(np.clip(grown, np.tile(low, 2), np.tile(high, 2)), float)


def smoothed(values: Floats, sigma: float) -> Floats:
    """A Gaussian over time of (T, ...), symmetric; at the ends the values go on as they turn there (odd mirror)."""
    reach = min(int(np.ceil(_SMOOTH_SHARE * sigma)), len(values) - 1)
    if sigma <= 0 or reach < 1:
        return np.asarray(values, float)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    weights /= weights.sum()
    series = np.asarray(values, float).reshape(len(values), -1)
    before, after = 2 * series[0] - series[reach:0:-1], 2 * series[-1] - series[-2 : -reach - 2 : -1]
    whole = np.concatenate([before, series, after])
    smooth = np.stack([np.convolve(column, weights, "valid") for column in whole.T], axis=1)
    return np.asarray(smooth.reshape(np.shape(values)), float)


def slowed(values: Floats, step: float) -> Floats:
    """The mean of the highest slow line below and the lowest slow line above: no two neighbours differ by more."""
    return np.asarray((above(values, step) - above(-values, step)) / 2, float)


def above(values: Floats, step: float) -> Floats:
    """The lowest line that is nowhere under `values`, (T,), and changes by at most `step` a frame."""
    ramp = step * np.arange(len(values))
    rising = np.maximum.accumulate(values + ramp) - ramp
    falling = (np.maximum.accumulate((values + ramp[::-1])[::-1]) - ramp)[::-1]
    return np.asarray(np.maximum(rising, falling), float)


def calm_above(values: Floats, step: float, sigma: float) -> Floats:
    """A smooth line nowhere under `values` that changes by at most `step` a frame.

    Each value of the line under the average is the largest within the average's reach, so that no average of them is
    under any value.
    """
    line = above(values, step)
    reach = int(np.ceil(sigma))
    if reach < 1:
        return line
    padded = np.pad(line, 2 * reach, mode="edge")
    largest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    hann = np.hanning(2 * reach + 3)[1:-1]
    return np.asarray(np.convolve(largest, hann / hann.sum(), "valid"), float)


def _inside(centre: Floats, side: Floats, content: tuple[int, int, int, int]) -> Floats:
    """Centres moved so that the squares show as much of the picture as they can."""
    low, high = np.array(content[:2], float), np.array(content[2:], float)
    one, other = low + side[:, None] / 2, high - side[:, None] / 2
    return np.asarray(np.clip(centre, np.minimum(one, other), np.maximum(one, other)), float)
