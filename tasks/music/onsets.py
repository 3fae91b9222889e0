"""Onsets at 96 Hz: how much sound begins at each moment, and where exactly it peaks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.music.sound import HOP, SAMPLE_RATE, Samples, cut

Floats = NDArray[np.float32]

ONSET_RATE = 96
"""Onset frames a second: 24 rows a second are too coarse for beats (150 BPM reads as 75.8 there)."""
ONSET_HOP = SAMPLE_RATE // ONSET_RATE
PER_ROW = HOP // ONSET_HOP
"""Onset frames a row; row r takes frames 4r - 2 to 4r + 1, those nearest to its time."""
WINDOW = 1024
BANDS = 40
LAG = 2
"""Frames between the two spectra that are compared: half a window, after which a new sound is mostly there."""
LOW_HZ, HIGH_HZ = 160.0, 2000.0
"""Below the first: kick and bass; above the second: cymbals."""
RANGE_DB = 50.0
"""Sound this far below the track's loud moments begins nothing."""
DELAY_FRAMES = 0.5
"""How much earlier the flux peaks than the sound begins, measured on clicks."""
BLOCK_FRAMES = 4096


@dataclass(frozen=True)
class Onsets:
    """Rise of the spectrum in dB, mean over bands: all, and low, middle, high; each (frames,) float32 at 96 Hz."""

    all: Floats
    low: Floats
    middle: Floats
    high: Floats


def onset_strength(samples: Samples, rows: int, loud_power: float) -> Onsets:
    """The rise of each moment, over `rows` rows.

    Args:
        samples: Mono float32 at 24 kHz.
        rows: Rows of the track; there are four onset frames each.
        loud_power: Mean power of a spectrum bin in the track's loud moments.
    """
    frames = rows * PER_ROW
    bands = _bands()
    out = np.zeros((4, frames), np.float32)
    groups = _groups(bands.shape[1])
    floor = np.float32(max(loud_power, 1e-20))
    for start, stop in _blocks(frames):
        level = _levels(samples, start - LAG, stop, rows * HOP, bands, floor)
        before = level[:-LAG].copy()
        np.maximum(before[:, 1:], level[:-LAG, :-1], out=before[:, 1:])
        np.maximum(before[:, :-1], level[:-LAG, 1:], out=before[:, :-1])
        rise = np.maximum(level[LAG:] - before, 0)
        for row, group in enumerate(groups):
            out[row, start:stop] = rise[:, group].mean(axis=1)
    return Onsets(*out)


def peaks(strength: Floats, rate: float = ONSET_RATE) -> NDArray[np.int64]:
    """Frames where something begins: the highest of 30 ms, clearly above its second of surroundings, 50 ms apart."""
    from bottleneck import move_mean
    from scipy.ndimage import maximum_filter1d

    if len(strength) < 3 or strength.max() <= 0:
        return np.zeros(0, np.int64)
    reach = max(round(0.03 * rate), 1)
    around = round(0.5 * rate)
    padded = np.pad(strength, around)
    mean = move_mean(padded, 2 * around + 1)[2 * around :]
    highest = maximum_filter1d(strength, 2 * reach + 1, mode="constant")
    threshold = mean + 0.1 * np.quantile(strength, 0.99)
    found = np.flatnonzero((strength >= highest) & (strength > threshold))
    kept: list[int] = []
    for frame in found:
        if not kept or frame - kept[-1] >= round(0.05 * rate):
            kept.append(int(frame))
    return np.array(kept, np.int64)


def refined(strength: Floats, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where peaks lie between the frames, by the parabola through three of them, in frames."""
    inner = np.clip(frames, 1, max(len(strength) - 2, 1))
    left, mid, right = (strength[inner + step].astype(np.float64) for step in (-1, 0, 1))
    bend = left - 2 * mid + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1), 0)
    return np.asarray(inner + np.clip(shift, -0.5, 0.5), np.float64)


def _levels(samples: Samples, start: int, stop: int, end: int, bands: Floats, floor: np.float32) -> Floats:
    from scipy import fft

    first = start * ONSET_HOP - WINDOW // 2
    sound = cut(samples, first, (stop - 1) * ONSET_HOP + WINDOW // 2, end)
    if first < 0:  # a mirror before the sound: a clip cut from a song does not begin with an onset
        sound[:-first] = sound[-first : -2 * first][::-1]
    frames = sliding_window_view(sound, WINDOW)[::ONSET_HOP]
    spectrum = fft.rfft(frames * _hann())
    power = spectrum.real**2 + spectrum.imag**2
    level: Floats = np.log10(1 + (power @ bands) * np.float32(10 ** (RANGE_DB / 10)) / floor, dtype=np.float32) * 10
    return level


def _blocks(frames: int) -> Iterator[tuple[int, int]]:
    for start in range(0, frames, BLOCK_FRAMES):
        yield start, min(start + BLOCK_FRAMES, frames)


@lru_cache(maxsize=1)
def _hann() -> Floats:
    from scipy.signal import get_window

    window: Floats = get_window("hann", WINDOW).astype(np.float32)
    return window


@lru_cache(maxsize=1)
def _bands() -> Floats:
    """Triangles (bins, bands) of equal sum, evenly spaced in mel from 30 Hz to 11 kHz."""
    from librosa import filters

    shapes = filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=BANDS, fmin=30, fmax=11000, htk=True, norm=1)
    return np.ascontiguousarray(shapes.T.astype(np.float32))


@lru_cache(maxsize=1)
def _groups(count: int) -> tuple[slice, slice, slice, slice]:
    from librosa import mel_frequencies

    centres = mel_frequencies(n_mels=count + 2, fmin=30, fmax=11000, htk=True)[1:-1]
    low, high = int(np.searchsorted(centres, LOW_HZ)), int(np.searchsorted(centres, HIGH_HZ))
    return slice(0, count), slice(0, low), slice(low, high), slice(high, count)
