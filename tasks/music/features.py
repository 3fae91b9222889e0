"""Music as rows of numbers, one for each frame of a video at 24 fps."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.music import spectra, tonal
from tasks.music.beats import NoBeat, find_beats
from tasks.music.extractors import FeatureExtractor, extracted
from tasks.music.layout import Layout
from tasks.music.onsets import DELAY_FRAMES, ONSET_RATE, PER_ROW, onset_strength, peaks, refined
from tasks.music.sound import HOP, ROWS_PER_SECOND, SAMPLE_RATE, Samples, SoundFile
from tasks.music.tempogram import TEMPI, tempogram
from tasks.schema.errors import ShapeError

Floats = NDArray[np.float32]

LAYOUT = Layout(
    (
        ("mfcc", 13),
        ("chroma", 12),
        ("contrast", spectra.CONTRAST_BANDS),
        ("tonnetz", 6),
        ("tempo", 1),
        ("onset", 1),
        ("beat", 1),
        ("peak", 1),
        ("tempogram", len(TEMPI)),
        ("mel", spectra.MELS),
    )
)
"""The first 39 columns are the usual recipe. mfcc, contrast and mel in dB; chroma 0 to 1; tempo in BPM, 0 if there is
none; onset: rise in dB; beat and peak: 1 in the row nearest to a beat or to the start of a sound; tempogram 0 to 1."""

BLOCK_ROWS = 1024
IN_MEMORY_SAMPLES = 16 * 2**20
"""The harmonic part of a longer sound waits in a temporary file."""
TUNING_HOP = 512
LOUD = 0.98


@dataclass(frozen=True)
class MusicFeatures:
    """Features of a clip.

    Attributes:
        values: (T, width) float32; row r describes the sound around r / 24 s.
        layout: Which columns are what.
        beats_s: Seconds of the beats, float64; no downbeats are claimed.
        peaks_s: Seconds at which a sound begins, float64.
        tempo_bpm: Beats a minute in the middle of the track, None if there is no beat.
        no_beat: Why there is none.
        sound_rows: Rows that have sound; behind them the sound was over and silence stands in.
    """

    values: Floats
    layout: Layout
    beats_s: NDArray[np.float64]
    peaks_s: NDArray[np.float64]
    tempo_bpm: float | None
    no_beat: NoBeat | None
    sound_rows: int

    def columns(self, name: str) -> Floats:
        """The columns (T, n) of a feature."""
        return self.values[:, self.layout[name]]


def music_features(
    samples: Samples, frames: int, extractors: Sequence[FeatureExtractor] = (), *, block_rows: int = BLOCK_ROWS
) -> MusicFeatures:
    """Describe the sound of a video, row by row.

    Memory follows the rows (about 1 kB each), not the samples, if these lie in a `SoundFile`.

    Args:
        samples: Mono float32 at 24 kHz, starting with the video; what is behind the last frame is left out, what is
            missing counts as silence.
        frames: Rows to make: frames of the video at 24 fps.
        extractors: Features of one's own, their columns behind.
        block_rows: Rows worked on at once; the result does not depend on it beyond rounding.

    Raises:
        ShapeError: No frames, no sound, or samples that are not finite.
    """
    if frames < 1 or not len(samples):
        raise ShapeError("music features need at least one frame and one sample")
    layout = LAYOUT.with_parts((each.name, each.width) for each in extractors)
    values = np.zeros((frames, layout.width), np.float32)
    with _harmonic_store(frames) as harmonic:
        loud = _spectral(samples, frames, values, layout, harmonic, block_rows)
        _tonnetz(harmonic.samples, frames, values[:, layout["tonnetz"]], block_rows)
    onsets = onset_strength(samples, frames, loud)
    started = peaks(onsets.all)
    found = find_beats(onsets)
    beats_s = np.zeros(0) if isinstance(found, NoBeat) else found.times_s
    tempo = None if isinstance(found, NoBeat) else found.tempo_bpm
    peaks_s = np.maximum((refined(onsets.all, started) + DELAY_FRAMES) / ONSET_RATE, 0)
    values[:, layout["tempo"]] = tempo or 0
    values[:, layout["onset"]] = _pooled(onsets.all)[:, None]
    values[:, layout["beat"]] = _marks(beats_s, frames)[:, None]
    values[:, layout["peak"]] = _marks(peaks_s, frames)[:, None]
    tempogram(onsets.all, values[:, layout["tempogram"]])
    for each in extractors:
        values[:, layout[each.name]] = extracted(each, samples, SAMPLE_RATE, frames)
    return MusicFeatures(
        values=values,
        layout=layout,
        beats_s=beats_s,
        peaks_s=peaks_s,
        tempo_bpm=tempo,
        no_beat=found if isinstance(found, NoBeat) else None,
        sound_rows=min(-(-len(samples) // HOP), frames),
    )


class _Harmonic:
    """The harmonic sound while it is made, block after block, and then read."""

    def __init__(self, samples: Samples, path: Path | None) -> None:
        self.samples = samples
        self._path = path

    def write(self, start: int, block: Floats) -> None:
        if self._path is None:
            self.samples[start : start + len(block)][:] = block
        else:
            with self._path.open("ab") as file:
                block.astype("<f4", copy=False).tofile(file)


@contextmanager
def _harmonic_store(frames: int) -> Iterator[_Harmonic]:
    if frames * HOP <= IN_MEMORY_SAMPLES:
        yield _Harmonic(np.zeros(frames * HOP, np.float32), None)
        return
    with tempfile.TemporaryDirectory(prefix="mannequin-music-") as folder:
        path = Path(folder) / "harmonic.f32"
        path.touch()
        yield _Harmonic(SoundFile(path), path)


def _blocks(rows: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def _spectral(
    samples: Samples, frames: int, values: Floats, layout: Layout, harmonic: _Harmonic, block_rows: int
) -> float:
    """Fill in what one row's spectrum says, write the harmonic sound; returns the power of loud rows."""
    end, rows = frames * HOP, frames + 1  # librosa's last row, dropped at the end, counts in its maxima
    mel, loudest = values[:, layout["mel"]], 0.0
    peak, valley = (np.empty((rows, spectra.CONTRAST_BANDS)) for _ in range(2))
    loudness = np.empty(rows, np.float32)
    tuning = tonal.Tuning(per_octave=12)
    side = spectra.REACH + 1
    whole: list[Floats] = []
    for start, stop in _blocks(frames, block_rows):
        found = spectra.spectrum(samples, start - side, stop + side + 1, end)
        if not np.isfinite(found.view(np.float32)).all():
            raise ShapeError("the sound holds samples that are no finite numbers")
        magnitude = spectra.mirrored(np.abs(found), start - side, rows)
        share = spectra.harmonic_share(magnitude)
        kept = found[spectra.REACH : len(found) - spectra.REACH] * share
        harmonic.write(start * HOP, spectra.overlapped(kept, start - 1, rows))
        own = slice(start, stop + (stop == frames))
        part = magnitude[side : side + own.stop - own.start]
        power = part**2
        bands = spectra.mel_power(power)
        mel[start:stop], loudest = bands[: stop - start], max(loudest, float(bands.max()))
        peak[own], valley[own] = spectra.contrast_parts(part)
        loudness[own] = power.mean(axis=1)
        tuning.add(power)
        if frames <= block_rows:
            whole = [power]
    estimate = tuning.estimate()
    for start, stop in _blocks(frames, block_rows):
        power = whole[0][:frames] if whole else np.abs(spectra.spectrum(samples, start, stop, end)) ** 2
        values[start:stop, layout["chroma"]] = tonal.chroma(power, estimate)
    del whole
    values[:, layout["contrast"]] = (spectra.decibels(peak) - spectra.decibels(valley))[:frames]
    for start, stop in _blocks(frames, block_rows):
        mel[start:stop] = level = spectra.decibels(mel[start:stop], loudest)
        values[start:stop, layout["mfcc"]] = spectra.cepstrum(level)
    return float(np.quantile(loudness, LOUD))


def _tonnetz(harmonic: Samples, frames: int, out: Floats, block_rows: int) -> None:
    end = frames * HOP
    tuning = tonal.Tuning(per_octave=tonal.PER_OCTAVE)
    for start, stop in _blocks(1 + end // TUNING_HOP, 2 * block_rows):
        tuning.add(np.abs(spectra.spectrum(harmonic, start, stop, end, TUNING_HOP)))
    estimate = tuning.estimate()
    for start, stop in _blocks(frames, block_rows):
        out[start:stop] = tonal.tonal_centroids(harmonic, start, stop, end, estimate)


def _pooled(strength: Floats) -> Floats:
    """The strongest of the four onset frames nearest to each row."""
    half = PER_ROW // 2
    shifted = np.concatenate([np.zeros(half, np.float32), strength[: len(strength) - half]])
    pooled: Floats = shifted.reshape(-1, PER_ROW).max(axis=1)
    return pooled


def _marks(times_s: NDArray[np.float64], frames: int) -> Floats:
    marks = np.zeros(frames, np.float32)
    rows = np.rint(times_s * ROWS_PER_SECOND).astype(np.int64)
    marks[rows[rows < frames]] = 1
    return marks
