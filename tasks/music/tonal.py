"""Pitch: tuning, chroma of the spectrum, and the tonal centroids of the harmonic sound, with librosa's numbers."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.music.sound import HOP, SAMPLE_RATE, Samples, cut
from tasks.music.spectra import WINDOW

Floats = NDArray[np.float32]

A440_OCTAVE_HZ = 27.5
PITCH_LOW_HZ, PITCH_HIGH_HZ, PITCH_FLOOR = 150.0, 4000.0, 0.1
"""librosa's `piptrack`: peaks in this range, at least this share of the frame's highest bin."""
TUNING_STEPS = 100
OCTAVES = 7
PER_OCTAVE = 36
LOWEST_HZ = 32.70319566257483
"""C1."""
CONTEXT_ROWS = 40
"""Sound on each side of a block that its lowest octave (8192 samples at 3 kHz) and the resampling reach."""
SPARSITY = 0.01


@dataclass
class Tuning:
    """Gathers spectral peaks block by block; the median of their heights is only known at the end.

    Args:
        per_octave: Pitches an octave, of which the tuning is a share.
    """

    per_octave: int
    steps: list[NDArray[np.uint8]] = field(default_factory=list)
    heights: list[Floats] = field(default_factory=list)

    def add(self, strength: Floats) -> None:
        """Take in the peaks of spectra (rows, 1025), magnitude or power."""
        hz, heights = _peaks(strength)
        residual = np.mod(self.per_octave * np.log2(hz / np.float32(A440_OCTAVE_HZ)), 1.0)
        residual[residual >= 0.5] -= 1.0
        edges = np.linspace(-0.5, 0.5, TUNING_STEPS + 1)
        steps = np.clip(np.searchsorted(edges, residual, side="right") - 1, 0, TUNING_STEPS - 1)
        self.steps.append(steps.astype(np.uint8))
        self.heights.append(heights)

    def estimate(self) -> float:
        """The commonest deviation among the higher half of the peaks, -0.5 to 0.5 of a pitch; 0 without any."""
        heights = np.concatenate(self.heights) if self.heights else np.zeros(0, np.float32)
        if not heights.size:
            return 0.0
        chosen = np.concatenate(self.steps)[heights >= np.median(heights)]
        counts = np.bincount(chosen, minlength=TUNING_STEPS)
        return float(np.linspace(-0.5, 0.5, TUNING_STEPS + 1)[np.argmax(counts)])


def chroma(power: Floats, tuning: float) -> NDArray[np.float32]:
    """Energy of the twelve pitch classes from C, (rows, 12), the strongest of a row 1."""
    return _normalised(power @ _chroma_shapes(tuning), np.inf)


def tonal_centroids(harmonic: Samples, start: int, stop: int, end: int, tuning: float) -> Floats:
    """Fifths, minor and major thirds as points on three circles, (stop - start, 6).

    Args:
        harmonic: Harmonic sound at 24 kHz.
        start: First row.
        stop: One past the last row.
        end: Samples of the whole; silence behind.
        tuning: In thirds of a semitone.
    """
    strength = _constant_q(harmonic, start, stop, end, tuning)
    classes = _normalised(strength @ _class_shapes(), np.inf)
    return _normalised(classes, 1) @ _circles()


def _peaks(strength: Floats) -> tuple[Floats, Floats]:
    hz_of = np.arange(strength.shape[1]) * (SAMPLE_RATE / WINDOW)
    inside = np.flatnonzero((hz_of >= PITCH_LOW_HZ) & (hz_of < PITCH_HIGH_HZ))
    low, high = int(inside[0]), int(inside[-1]) + 1
    here, left, right = strength[:, low:high], strength[:, low - 1 : high - 1], strength[:, low + 1 : high + 1]
    floor = np.float32(PITCH_FLOOR) * strength.max(axis=1, keepdims=True)
    at = np.nonzero((here > floor) & (here > left) & (here >= right))
    mid, before, after = here[at], left[at], right[at]
    slope = (after - before) / 2
    bend = after + before - 2 * mid
    shift = np.where(np.abs(slope) < np.abs(bend), -slope / np.where(bend == 0, 1, bend), 0).astype(np.float32)
    hz = ((at[1] + low + shift) * float(SAMPLE_RATE) / WINDOW).astype(np.float32)
    return hz, (mid + np.float32(0.5) * slope * shift).astype(np.float32, copy=False)


def _constant_q(sound: Samples, start: int, stop: int, end: int, tuning: float) -> Floats:
    """Magnitudes (rows, 252) of pitches three to a semitone from C1, as librosa's recursive transform."""
    import soxr
    from scipy import fft

    rows = stop - start
    begin = (start - CONTEXT_ROWS) * HOP
    part = cut(sound, begin, (stop + CONTEXT_ROWS) * HOP, end)
    out = np.empty((rows, OCTAVES * PER_OCTAVE), np.float32)
    hop = HOP
    for octave, (kernel, first_bin, size) in enumerate(_octave_kernels(tuning)):
        centre = CONTEXT_ROWS * hop
        frames = np.lib.stride_tricks.sliding_window_view(part, size)[centre - size // 2 :: hop][:rows]
        response = fft.rfft(frames)[:, first_bin : first_bin + len(kernel)] @ kernel
        top = (OCTAVES - octave) * PER_OCTAVE
        out[:, top - PER_OCTAVE : top] = np.abs(response)
        if hop % 2 == 0:
            hop //= 2
            begin //= 2
            part = soxr.resample(part, 2, 1, quality="soxr_hq") * np.float32(np.sqrt(2))
            length = -(-end * hop // HOP)
            part[: max(-begin, 0)] = 0
            part[max(length - begin, 0) :] = 0
    return out


@lru_cache(maxsize=8)
def _octave_kernels(tuning: float) -> tuple[tuple[NDArray[np.complex64], int, int], ...]:
    """For each octave from the top: spectra of its 36 wavelets (bins, 36), the first bin, and the frame's samples."""
    from librosa import filters, util
    from scipy import fft

    pitches = LOWEST_HZ * 2.0 ** (tuning / PER_OCTAVE) * 2.0 ** (np.arange(OCTAVES * PER_OCTAVE) / PER_OCTAVE)
    spread: Any = np.full(len(pitches), (2.0 ** (2.0 / PER_OCTAVE) - 1) / (2.0 ** (2.0 / PER_OCTAVE) + 1))
    whole = filters.wavelet_lengths(freqs=pitches, sr=SAMPLE_RATE, alpha=spread)[0]
    kernels = []
    rate, hop = float(SAMPLE_RATE), HOP
    for octave in range(OCTAVES):
        top = (OCTAVES - octave) * PER_OCTAVE
        part = slice(top - PER_OCTAVE, top)
        basis, lengths = filters.wavelet(
            freqs=pitches[part], sr=rate, pad_fft=True, norm=1, gamma=0, alpha=spread[part]
        )
        size = basis.shape[1]
        spectra = fft.fft(basis * (lengths[:, None] / size), axis=1)[:, : size // 2 + 1]
        sparse = util.sparsify_rows(spectra.astype(basis.dtype), quantile=SPARSITY, dtype=np.complex64).toarray()
        sparse *= np.sqrt(SAMPLE_RATE / rate)
        used = np.flatnonzero(np.abs(sparse).any(axis=0))
        kernel = sparse[:, used[0] : used[-1] + 1].T / np.sqrt(whole[part])
        kernels.append((np.ascontiguousarray(kernel.astype(np.complex64)), int(used[0]), size))
        if hop % 2 == 0:
            rate, hop = rate / 2, hop // 2
    return tuple(kernels)


def _normalised(values: Floats, norm: float) -> Floats:
    size = np.linalg.norm(values, ord=norm, axis=1, keepdims=True)
    size[size < np.finfo(np.float32).tiny] = 1
    scaled: Floats = values / size
    return scaled


@lru_cache(maxsize=8)
def _chroma_shapes(tuning: float) -> Floats:
    from librosa import filters

    return np.ascontiguousarray(filters.chroma(sr=SAMPLE_RATE, n_fft=WINDOW, tuning=tuning).T)


@lru_cache(maxsize=1)
def _class_shapes() -> Floats:
    from librosa import filters

    return np.ascontiguousarray(filters.cq_to_chroma(OCTAVES * PER_OCTAVE, bins_per_octave=PER_OCTAVE).T)


@lru_cache(maxsize=1)
def _circles() -> Floats:
    """Harte, Sandler and Gasser's six coordinates of each pitch class, (12, 6)."""
    angles = np.multiply.outer([7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3], np.arange(12.0))
    angles[::2] -= 0.5
    radii = np.array([1, 1, 1, 1, 0.5, 0.5])
    return np.ascontiguousarray((radii[:, None] * np.cos(np.pi * angles)).T.astype(np.float32))
