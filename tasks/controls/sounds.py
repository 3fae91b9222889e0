"""Sounds of known truth: clicks at known times over tones of known pitch."""

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 48_000
CLICK: Final = np.hanning(17)[1:-1]
"""Its peak is in the middle: a third of a millisecond at 48 kHz."""
CLICK_LEVEL, TONE_LEVEL = 0.8, 0.03
QUIET_S: Final = 0.02
"""Clicks are farther apart than this on both sides."""

PITCH: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
"""Columns of chroma."""
_A4: Final = 440.0

Floats = NDArray[np.float32]


def clicks_over_tones(seconds: float, clicks_s: Sequence[float], tones: Sequence[tuple[float, str]]) -> Floats:
    """Mono samples at `RATE`: clicks whose peaks are at the times given, and tones in octaves.

    Args:
        tones: when each begins, ascending, and its name in `PITCH`.
    """
    times = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(times))
    ends = [*(begin for begin, _ in tones[1:]), seconds]
    for (begin, name), end in zip(tones, ends, strict=True):
        inside = (times >= begin) & (times < end)
        frequency = _A4 * 2 ** ((PITCH[name] - PITCH["A"]) / 12)
        sound[inside] = sum(np.sin(2 * np.pi * frequency * octave * times[inside]) for octave in (0.5, 1, 2))
    sound *= TONE_LEVEL
    for click in clicks_s:
        first = round(click * RATE) - len(CLICK) // 2
        part = sound[max(first, 0) : first + len(CLICK)]
        part += CLICK_LEVEL * CLICK[max(-first, 0) :][: len(part)]
    return sound.astype(np.float32)


def clicks_of(samples: Floats, start_s: float = 0.0, rate: int = RATE) -> list[float]:
    """When clicks are loudest, seconds; `start_s` is when the first sample sounds."""
    loud = np.abs(samples)
    over = np.flatnonzero(loud > max(0.4 * float(loud.max(initial=0.0)), 4 * TONE_LEVEL))
    if not len(over):
        return []
    groups = np.split(over, np.flatnonzero(np.diff(over) > QUIET_S * rate) + 1)
    return [start_s + float(group[loud[group].argmax()]) / rate for group in groups]


def sound_of(mp4: bytes) -> tuple[Floats, float, int]:
    """The first channel of a clip's sound, when its first sample sounds, and its rate."""
    import av

    parts: list[Floats] = []
    start_s, rate = 0.0, RATE
    with av.open(BytesIO(mp4), "r") as container:
        for frame in container.decode(audio=0):
            if not parts:
                start_s, rate = float((frame.pts or 0) * (frame.time_base or 0)), frame.rate
            sound = frame.to_ndarray()
            channels = 1 if frame.format.is_planar else frame.layout.nb_channels
            parts.append(sound[0, ::channels].astype(np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), start_s, rate
