"""Beats: the likeliest row of moments at a tempo that may drift, found by dynamic programming over beat and tempo."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.music.onsets import ONSET_RATE, Onsets, refined

Floats = NDArray[np.float32]

SLOWEST_BPM, FASTEST_BPM = 54.0, 216.0
WEIGHTS = (1.0, 1.0, 0.35)
"""How much of a beat lies in low, middle and high sounds: cymbals also play between the beats."""
WIDTH_FRAMES = 1.5
"""Standard deviation of the hand's timing, in onset frames."""
AROUND_S = 2.0
"""A beat is measured against the strongest moment of so much time."""
FAINT = 0.15
"""Moments are not measured against less than this share of the track's strongest one."""
WORTH = 0.28
"""Strength from which a beat is worth having."""
CHANGE_COST = 30.0
"""For a change of tempo to e times as much, in beats of full strength."""
CHANGE_REACH = 12
USUAL_BPM, USUAL_WEIGHT = 110.0, 0.06
"""Tempi an octave away cost this much a beat."""
LEAST_S = 2.0
LEAST_PULSE = 0.1
"""Autocorrelation of the onsets at the beat; noise stays below, measured on white, pink and brown noise."""

Why = Literal["silence", "too_short", "no_pulse"]


@dataclass(frozen=True)
class NoBeat:
    """Why there is no beat: `silence`, `too_short` or `no_pulse`; a sentence, and the pulse that was found, 0 to 1."""

    why: Why
    detail: str
    pulse: float


@dataclass(frozen=True)
class Beats:
    """Seconds of the beats, the median tempo, and how clear the pulse is, 0 to 1."""

    times_s: NDArray[np.float64]
    tempo_bpm: float
    pulse: float


def find_beats(onsets: Onsets) -> Beats | NoBeat:
    """Find the beats of a track, or say why it has none."""
    if not onsets.all.size or onsets.all.max() <= 0:
        return NoBeat("silence", "Nothing begins in this sound.", 0.0)
    if len(onsets.all) < LEAST_S * ONSET_RATE:
        return NoBeat("too_short", f"Under {LEAST_S:g} s there is no tempo to speak of.", 0.0)
    strength = beat_strength(onsets)
    frames = _best_row(strength)
    pulse = _pulse(strength, frames)
    if len(frames) < 3 or pulse < LEAST_PULSE:
        return NoBeat("no_pulse", f"No regular pulse: {pulse:.2f} of 1, a beat needs {LEAST_PULSE:g}.", pulse)
    times = refined(strength, _nearest_peaks(strength, frames))
    return Beats(times, _tempo(times), pulse)


def beat_strength(onsets: Onsets) -> Floats:
    """How much each moment is like a beat: 0 to about 1, (frames,) at 96 Hz."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    low, middle, high = WEIGHTS
    rise = low * onsets.low + middle * onsets.middle + high * onsets.high
    smooth = gaussian_filter1d(rise, WIDTH_FRAMES, mode="constant")
    strongest = maximum_filter1d(smooth, round(AROUND_S * ONSET_RATE))
    around = np.maximum(gaussian_filter1d(strongest, ONSET_RATE, mode="nearest"), FAINT * smooth.max())
    strength: Floats = smooth / np.maximum(around, np.float32(1e-9))
    return strength


def _best_row(strength: Floats) -> NDArray[np.int64]:
    from tasks.music.kernels import best_beats

    lengths = np.arange(round(60 * ONSET_RATE / FASTEST_BPM), round(60 * ONSET_RATE / SLOWEST_BPM) + 1)
    away = np.log2(60 * ONSET_RATE / lengths / USUAL_BPM)
    cost = CHANGE_COST * np.abs(np.log(lengths[:, None] / lengths))
    frames: NDArray[np.int64] = best_beats(
        strength.astype(np.float64) - WORTH, lengths, -USUAL_WEIGHT * away**2, cost, CHANGE_REACH
    )
    return frames


def _nearest_peaks(strength: Floats, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """The strongest frame within two of each beat."""
    near = np.clip(frames[:, None] + np.arange(-2, 3), 0, len(strength) - 1)
    return near[np.arange(len(near)), strength[near].argmax(axis=1)]


def _pulse(strength: Floats, frames: NDArray[np.int64]) -> float:
    """How alike the strength is to itself one beat later, 0 to 1, over the beats that were found."""
    if len(frames) < 3:
        return 0.0
    centred = strength - strength.mean()
    both = [
        (centred[a:b], centred[b : b + b - a]) for a, b in zip(frames[:-1], frames[1:], strict=True)
    ]
    pairs = [(x[: len(y)], y) for x, y in both]
    alike = sum(float(x @ y) for x, y in pairs)
    size = sum(float(x @ x) + float(y @ y) for x, y in pairs) / 2
    return max(alike / size, 0.0) if size > 0 else 0.0


def _tempo(times: NDArray[np.float64]) -> float:
    """Median over the slopes of eight beats each, which a single late beat does not move."""
    span = min(8, len(times) - 1)
    return float(60 * span / np.median(times[span:] - times[:-span]))
