"""Beats: the likeliest row of moments at a tempo that may drift, found by dynamic programming over beat and tempo."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.music.metre import (
    FASTEST_BPM,
    PHASES,
    SLOWEST_BPM,
    USUAL_BPM,
    bands_of,
    likeliest,
    phase_evidence,
    relative,
)
from tasks.music.onsets import DELAY_FRAMES, ONSET_RATE, Onsets, refined

Floats = NDArray[np.float32]

WEIGHTS = (1.0, 1.0, 0.35)
"""How much of a beat lies in low, middle and high sounds: cymbals also play between the beats."""
WORTH = 0.4
"""Strength from which a beat is worth having."""
SAYS = 0.5
"""Weight of what lies at the phases of a beat, beside the strength of the beat itself."""
CHANGE_COST = 60.0
"""For a change of tempo to e times as much, in beats of full strength."""
CHANGE_REACH = 12
USUAL_WEIGHT = 0.2
"""What a tempo an octave away from the usual one costs a beat. Source of these four: the best of eight settings on 150
tracks of our drum machine."""
LEAST_S = 2.0
LEAST_UNEVENNESS = 0.9
"""Standard deviation over mean of the onsets: 0.48 to 0.63 in white, pink and brown noise, 1.3 to 4.7 in music."""
PULSE_BEATS = (1, 2, 4)
LEAST_PULSE = 0.1
"""How alike the onsets are to themselves a beat, two or four later: 0.19 to 0.99 in music."""

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
    uneven = float(onsets.all.std() / onsets.all.mean())
    if uneven < LEAST_UNEVENNESS:
        return NoBeat("no_pulse", f"A steady noise: its onsets vary by {uneven:.2f}, music by 1 and more.", 0.0)
    low, middle, high = WEIGHTS
    strength = relative(low * onsets.low + middle * onsets.middle + high * onsets.high)
    bands = bands_of(onsets)
    frames = _best_row(strength, bands)
    even = likeliest(bands, refined(strength, _nearest_peaks(strength, frames))) if len(frames) else frames
    pulse = max(_pulse(strength, np.rint(even).astype(np.int64), beats) for beats in PULSE_BEATS)
    if len(even) < 4 or pulse < LEAST_PULSE:
        return NoBeat("no_pulse", f"No regular pulse: {pulse:.2f} of 1, a beat needs {LEAST_PULSE:g}.", pulse)
    times = np.maximum((even + DELAY_FRAMES) / ONSET_RATE, 0)
    return Beats(times[times < len(strength) / ONSET_RATE], tempo_of(times), pulse)


def _best_row(strength: Floats, bands: Floats) -> NDArray[np.int64]:
    from tasks.music.kernels import best_beats

    lengths = np.arange(round(60 * ONSET_RATE / FASTEST_BPM), round(60 * ONSET_RATE / SLOWEST_BPM) + 1)
    away = np.log2(60 * ONSET_RATE / lengths / USUAL_BPM)
    cost = CHANGE_COST * np.abs(np.log(lengths[:, None] / lengths))
    gain = strength.astype(np.float64) - WORTH
    says = np.float32(SAYS) * phase_evidence(bands)
    offsets = np.rint(np.array(PHASES)[:, None] * lengths).astype(np.int64)
    found = best_beats(gain, says, offsets, lengths, -USUAL_WEIGHT * away**2, cost, CHANGE_REACH)
    return np.asarray(found, np.int64)


def _nearest_peaks(strength: Floats, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """The strongest frame within two of each beat."""
    near = np.clip(frames[:, None] + np.arange(-2, 3), 0, len(strength) - 1)
    return np.asarray(near[np.arange(len(near)), strength[near].argmax(axis=1)])


def _pulse(strength: Floats, frames: NDArray[np.int64], beats: int) -> float:
    """How alike the strength is to itself some beats later, 0 to 1, over the beats that were found."""
    if len(frames) < beats + 2:
        return 0.0
    centred = strength - strength.mean()
    inside = frames[(frames >= 0) & (frames < len(strength))]
    both = [
        (centred[a:b], centred[later : later + b - a])
        for (a, b), later in zip(pairwise(inside), inside[beats:], strict=False)
    ]
    pairs = [(x[: len(y)], y) for x, y in both]
    alike = sum(float(x @ y) for x, y in pairs)
    size = sum(float(x @ x) + float(y @ y) for x, y in pairs) / 2
    return max(alike / size, 0.0) if size > 0 else 0.0


def tempo_of(times: NDArray[np.float64]) -> float:
    """Beats a minute of at least two beats: median over the slopes of eight each, which no single late beat moves."""
    span = min(8, len(times) - 1)
    return float(60 * span / np.median(times[span:] - times[:-span]))
