"""How far picture and sound are apart: measured on flashes and clicks, and read from the clock of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import InputContainer

Floats = NDArray[np.float32]

FLASH_SHARE: Final = 0.5
"""A flash is brighter than this part of the way from the darkest to the brightest picture."""
CLICK_SHARE: Final = 0.4
"""A click is louder than this share of the loudest sample."""
CLICK_REST_S: Final = 0.1
"""Clicks are farther apart; what follows within is the same one."""
DRIFT_OVER_S: Final = 600.0
"""Drift is told for ten minutes."""


@dataclass(frozen=True, eq=False)
class FlashesAndClicks:
    """When pictures turn bright (the first bright one of a row) and when clicks are loudest, in seconds, ascending."""

    flashes_s: NDArray[np.float64]
    clicks_s: NDArray[np.float64]


@dataclass(frozen=True)
class Sync:
    """`offset_s`: the median of how late the sound is (negative: early); `largest_s`: the farthest from 0.

    `drift_s`: by how much the offset grows in ten minutes, by the straight line that fits best; 0 for one pair.
    """

    offset_s: float
    largest_s: float
    drift_s: float
    pairs: int


@dataclass(frozen=True)
class ClipTimes:
    """When picture and sound of a file begin and how long they last, by the clock that players go by.

    Seconds; the sound's end is what is played, the padding of its codec's last frame not counted where the file says
    so.
    """

    picture_start_s: float
    picture_s: float
    sound_start_s: float
    sound_s: float

    @property
    def offset_s(self) -> float:
        """How much later the sound begins than the picture."""
        return self.sound_start_s - self.picture_start_s


def sync(pictures_s: Sequence[float] | NDArray[np.float64], sounds_s: Sequence[float] | NDArray[np.float64]) -> Sync:
    """Offset and drift of pairs of times.

    Args:
        pictures_s: when things are seen, ascending.
        sounds_s: when the same things are heard, as many.

    Raises:
        ValueError: there is nothing to compare, or the numbers differ.
    """
    seen, heard = np.asarray(pictures_s, np.float64), np.asarray(sounds_s, np.float64)
    if not len(seen) or len(seen) != len(heard):
        raise ValueError(f"{len(seen)} flashes and {len(heard)} clicks are no pairs")
    late = heard - seen
    spread = seen - seen.mean()
    moment = float(np.square(spread).sum())
    drift = float((spread * (late - late.mean())).sum()) / moment * DRIFT_OVER_S if moment else 0.0
    return Sync(float(np.median(late)), float(late[np.argmax(np.abs(late))]), drift, len(seen))


def flashes_and_clicks(source: Path | bytes) -> FlashesAndClicks:
    """Decode a video of flashes and clicks, and find them.

    Times are those of its own clock, counted from its first picture. Clicks are found to a fraction of a sample.

    Raises:
        ValueError: it lacks picture or sound.
    """
    times, levels = _pictures(source)
    start_s, rate, samples = _sound(source)
    return FlashesAndClicks(bright_from(times, levels) - times[0], start_s - times[0] + clicks(samples, rate))


def bright_from(times_s: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of the pictures that are bright while the one before is not."""
    threshold = levels.min() + FLASH_SHARE * np.ptp(levels)
    bright = levels > threshold
    return times_s[bright & ~np.concatenate(([False], bright[:-1]))] if np.ptp(levels) else times_s[:0]


def clicks(samples: Floats, rate: int) -> NDArray[np.float64]:
    """Where clicks are loudest, in seconds from the first sample; the peak between samples by a parabola."""
    loud = np.abs(samples.astype(np.float64))
    if not loud.size or not loud.max():
        return np.empty(0)
    above = np.flatnonzero(loud > CLICK_SHARE * loud.max())
    first = np.concatenate(([True], np.diff(above) > CLICK_REST_S * rate))
    groups = np.split(above, np.flatnonzero(first)[1:])
    return np.array([_peak(loud, int(group[np.argmax(loud[group])])) / rate for group in groups])


def clip_times(source: Path | bytes) -> ClipTimes:
    """Read from the packets and the headers, decoding one frame of sound.

    Raises:
        ValueError: it lacks picture or sound.
    """
    with _open(source) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        shown = [packet.pts for packet in container.demux(video) if packet.size and packet.pts is not None]
        picture_base, sound_base = float(video.time_base or 0), float(audio.time_base or 0)
        step = 1 / float(video.average_rate or 1)
        sound_s = float((audio.duration or 0) * sound_base)
    with _open(source) as container:
        first = next(container.decode(audio=0))
        start_s = float((first.pts or 0) * (first.time_base or 0))
    begin, end = min(shown) * picture_base, max(shown) * picture_base + step
    return ClipTimes(begin, end - begin, start_s, sound_s)


def _pictures(source: Path | bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and mean brightness of all pictures."""
    times, levels = [], []
    with _open(source) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
                : plane.height, : plane.width
            ]
            times.append(float((frame.pts or 0) * (frame.time_base or 0)))
            levels.append(float(luma.mean()))
    return np.array(times), np.array(levels)


def _sound(source: Path | bytes) -> tuple[float, int, Floats]:
    """Time of the first sample, rate, and the first channel."""
    parts: list[Floats] = []
    start_s, rate = 0.0, 0
    with _open(source) as container:
        for frame in container.decode(audio=0):
            if not parts:
                start_s, rate = float((frame.pts or 0) * (frame.time_base or 0)), frame.rate
            sound = frame.to_ndarray()
            first = sound[0] if frame.format.is_planar else sound[0, :: frame.layout.nb_channels]
            parts.append(first.astype(np.float32))
    return start_s, rate, np.concatenate(parts)


def _open(source: Path | bytes) -> "InputContainer":
    import av

    container = av.open(BytesIO(source) if isinstance(source, bytes) else str(source), "r")
    if not container.streams.video or not container.streams.audio:
        container.close()
        raise ValueError("there is no picture, or no sound")
    return container


def _peak(loud: NDArray[np.float64], at: int) -> float:
    if not 0 < at < len(loud) - 1:
        return float(at)
    left, middle, right = loud[at - 1 : at + 2]
    curve = left - 2 * middle + right
    return at + 0.5 * (left - right) / curve if curve else float(at)
