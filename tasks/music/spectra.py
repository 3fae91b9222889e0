"""The short-time spectrum that all features share: one transform a row, and what needs nothing but that row.

The numbers are librosa's for the same sample rate, window (2048, Hann) and hop (1000); everything works on blocks of
rows, so that a block of a long sound gives what the whole would.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.music.sound import HOP, SAMPLE_RATE, Samples, cut

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]

WINDOW = 2048
BINS = WINDOW // 2 + 1
MELS = 128
CONTRAST_BANDS = 7
CONTRAST_LOWEST_HZ = 200.0
CONTRAST_SHARE = 0.02
"""librosa's: the mean of the strongest and of the weakest 2 % of a band's bins."""
AT_ONCE = 64
"""Frames transformed at once: what fits into a processor's cache."""
MEDIAN_ROWS = 31
"""librosa's kernel of the median filters that part harmonic from percussive sound."""
REACH = MEDIAN_ROWS // 2


def spectrum(samples: Samples, start: int, stop: int, end: int, hop: int = HOP) -> Complex:
    """Spectra (stop - start, 1025) of frames centred at `hop` times their number; silence before 0 and behind `end`."""
    from scipy import fft

    if stop <= start:
        return np.zeros((0, BINS), np.complex64)
    made = np.empty((stop - start, BINS), np.complex64)
    for first in range(start, stop, AT_ONCE):
        last = min(first + AT_ONCE, stop)
        sound = cut(samples, first * hop - WINDOW // 2, (last - 1) * hop + WINDOW // 2, end)
        made[first - start : last - start] = fft.rfft(sliding_window_view(sound, WINDOW)[::hop] * hann())
    return made


def mel_power(power: Floats) -> Floats:
    """Power (rows, 1025) summed by 128 mel triangles, (rows, 128)."""
    return power @ _mel_shapes()


def contrast_parts(magnitude: Floats) -> tuple[Floats, Floats]:
    """Mean of the strongest and of the weakest bins of seven octave bands, each (rows, 7)."""
    peak = np.empty((len(magnitude), CONTRAST_BANDS), np.float32)
    valley = np.empty_like(peak)
    for band, (low, high, count) in enumerate(_contrast_bands()):
        ordered = np.sort(magnitude[:, low:high], axis=1)
        valley[:, band] = ordered[:, :count].mean(axis=1)
        peak[:, band] = ordered[:, -count:].mean(axis=1)
    return peak, valley


def decibels(power: NDArray[Any], loudest: float | None = None, range_db: float = 80.0) -> NDArray[Any]:
    """10 log10, not below 1e-10 and not further than `range_db` below `loudest`, or the loudest of these."""
    level = 10.0 * np.log10(np.maximum(power, 1e-10))
    top = level.max(initial=-np.inf)
    if loudest is not None:
        top = 10.0 * np.log10(np.maximum(np.array([loudest], power.dtype), 1e-10))[0]
    return np.asarray(np.maximum(level, top - range_db))


def cepstrum(mel_db: NDArray[Any], count: int = 13) -> NDArray[Any]:
    """The first coefficients of the cosine transform over the bands: MFCC, (rows, count)."""
    from scipy import fft

    coefficients: NDArray[Any] = fft.dct(mel_db, axis=1, type=2, norm="ortho")[:, :count]
    return coefficients


def harmonic_share(magnitude: Floats) -> Floats:
    """Share of each bin that is harmonic, 0 to 1: medians over 31 rows against medians over 31 bins, squared.

    Args:
        magnitude: (rows + 30, 1025): the first and last 15 rows only serve as neighbours.
    """
    from bottleneck import move_median

    sustained = move_median(magnitude, MEDIAN_ROWS, axis=0)[2 * REACH :]
    across = np.pad(magnitude[REACH:-REACH], ((0, 0), (REACH, REACH)), mode="symmetric")
    struck = move_median(across, MEDIAN_ROWS, axis=1)[:, 2 * REACH :]
    return _soft_mask(sustained, struck)


def mirrored(block: NDArray[Any], first: int, rows: int) -> NDArray[Any]:
    """Rows of `block` that lie outside of 0..rows replaced by their mirror images (edge rows twice), as SciPy reflects.

    Args:
        block: Its row i is row `first` + i of the whole; holds all mirror images that are asked for.
        first: Number of the first row, may be negative.
        rows: Rows of the whole.
    """
    number = np.arange(first, first + len(block))
    period = np.mod(number, 2 * rows)
    real = np.where(period < rows, period, 2 * rows - 1 - period)
    return block if np.array_equal(real, number) else block[real - first]


def overlapped(spectra: Complex, first: int, rows: int) -> Floats:
    """Back to sound: the samples of rows `first`+1 .. from the spectra of one row before to two rows after them.

    Args:
        spectra: (n + 3, 1025): rows first .. first + n + 2 of the whole; those outside of 0..rows are silent.
        first: Number of the first one.
        rows: Spectra of the whole.
    """
    from scipy import fft

    number = np.arange(first, first + len(spectra))
    there = ((number >= 0) & (number < rows)).astype(np.float32)[:, None]
    window = hann().astype(np.float32)
    frames = fft.irfft(spectra, n=WINDOW).astype(np.float32, copy=False) * (window * there)
    weights = (window * window) * there
    half = WINDOW // 2
    tail = half - HOP
    out, total = (each[1:-2, half : half + HOP] + each[2:-1, tail:half] for each in (frames, weights))
    for sum_of, each in ((out, frames), (total, weights)):
        sum_of[:, :tail] += each[:-3, WINDOW - tail :]
        sum_of[:, HOP - tail :] += each[3:, :tail]
    sound: Floats = np.divide(out, total, out=out, where=total > np.finfo(np.float32).tiny)
    return sound.reshape(-1)


@lru_cache(maxsize=1)
def hann() -> NDArray[np.float64]:
    """The periodic window of 2048 samples; its float64 makes the transform as exact as librosa's.

    In float32 the bins of near silence are rounding noise, and the contrast there differs by several dB.
    """
    from scipy.signal import get_window

    return np.asarray(get_window("hann", WINDOW), np.float64)


def _soft_mask(kept: Floats, other: Floats) -> Floats:
    larger = np.maximum(kept, other)
    silent = larger < np.finfo(np.float32).tiny
    larger[silent] = 1
    mask = (kept / larger) ** 2
    rest = (other / larger) ** 2
    rest += mask
    rest[silent] = 1
    mask /= rest
    mask[silent] = 0.5
    return np.asarray(mask, np.float32)


@lru_cache(maxsize=1)
def _mel_shapes() -> Floats:
    from librosa import filters

    return np.ascontiguousarray(filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=MELS).T)


@lru_cache(maxsize=1)
def _contrast_bands() -> tuple[tuple[int, int, int], ...]:
    """First bin, one past the last, and how many bins count as strongest or weakest."""
    hz = np.arange(BINS) * (SAMPLE_RATE / WINDOW)
    edges = [0.0, *(CONTRAST_LOWEST_HZ * 2.0**n for n in range(CONTRAST_BANDS))]
    bands = []
    for band, (low, high) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        last = band == CONTRAST_BANDS - 1
        first, stop = int(inside[0]) - (band > 0), BINS if last else int(inside[-1]) + 1
        count = max(int(np.rint(CONTRAST_SHARE * (stop - first))), 1)
        bands.append((first, stop if last else stop - 1, count))
    return tuple(bands)
