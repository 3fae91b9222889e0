"""How strongly each tempo is felt around each row."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.music.onsets import ONSET_RATE, PER_ROW

Floats = NDArray[np.float32]

TEMPI = tuple(float(bpm) for bpm in np.geomspace(40.0, 240.0, 64))
"""Beats a minute of the columns: 40 to 240, evenly in the logarithm."""
WINDOW = 8 * ONSET_RATE
"""Eight seconds, as librosa's tempo."""
BLOCK_ROWS = 512


def tempogram(strength: Floats, out: Floats) -> None:
    """Windowed autocorrelation of the onsets at the lags of `TEMPI`, of which no lag correlates more than 1.

    Args:
        strength: Onset strength (4 T,) at 96 Hz.
        out: (T, 64) to fill; zeros where nothing begins.
    """
    from scipy import fft

    padded = np.pad(strength, WINDOW // 2)
    frames = sliding_window_view(padded, WINDOW)[::PER_ROW]
    window, (below, weight) = _window(), _lags()
    for start in range(0, len(out), BLOCK_ROWS):
        rows = frames[start : min(start + BLOCK_ROWS, len(out))]
        centred = (rows - rows.mean(axis=1, keepdims=True)) * window
        spectrum = fft.rfft(centred, 2 * WINDOW)
        lags = fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * WINDOW)[:, :WINDOW]
        energy = lags[:, :1]
        lags = np.maximum(lags, 0) / np.where(energy > 1e-12, energy, np.inf)
        out[start : start + len(rows)] = lags[:, below] * (1 - weight) + lags[:, below + 1] * weight


@lru_cache(maxsize=1)
def _window() -> Floats:
    from scipy.signal import get_window

    window: Floats = get_window("hann", WINDOW).astype(np.float32)
    return window


@lru_cache(maxsize=1)
def _lags() -> tuple[NDArray[np.int64], Floats]:
    exact = 60.0 * ONSET_RATE / np.array(TEMPI)
    below = np.floor(exact).astype(np.int64)
    return below, (exact - below).astype(np.float32)
