"""Features, beats and fingerprints of real music; what is known of it is annotated beside it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from tasks.music.features import music_features
from tasks.music.fingerprint import compare, fingerprint
from tests.music.scoring import f_measure, is_octave_error

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SUFFIXES = {".mp3", ".ogg", ".wav", ".flac"}
ANNOTATED = ("madmom_sample_2.8s", "mirdata_cuidado_FallaCancion", "mirdata_gtzan_country_00000")


@pytest.fixture(scope="module")
def music(real_data: Path) -> Path:
    return real_data / "music"


def sound(path: Path) -> NDArray[np.float32]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    resampled: NDArray[np.float32] = soxr.resample(samples.mean(axis=1), rate, 24000)
    return resampled


def found(folder: Path, stem: str) -> Path:
    return next(path for path in folder.glob(f"{stem}.*") if path.suffix in SUFFIXES)


def test_every_file_has_features(music: Path) -> None:
    for path in sorted(each for each in music.iterdir() if each.suffix in SUFFIXES):
        samples = sound(path)
        features = music_features(samples, len(samples) // 1000)
        assert np.isfinite(features.values).all(), path.name
        assert (features.tempo_bpm is None) == (features.no_beat is not None)
        print(path.name, features.values.shape, features.tempo_bpm, features.no_beat)


def test_a_kick_of_120_bpm(music: Path) -> None:
    samples = sound(music / "beatnet_808kick_120bpm.mp3")
    features = music_features(samples, len(samples) // 1000)
    grids = [np.arange(phase, len(samples) / 24000, 0.5) for phase in np.arange(0, 0.5, 0.01)]
    assert max(f_measure(grid, features.beats_s) for grid in grids) >= 0.95
    assert features.tempo_bpm == pytest.approx(120, rel=0.005)


@pytest.mark.parametrize("stem", ANNOTATED)
def test_annotated_clips_are_reported(music: Path, stem: str) -> None:
    lines = (music / f"{stem}.beats").read_text().splitlines()
    known = np.array([float(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")])
    samples = sound(found(music, stem))
    features = music_features(samples, len(samples) // 1000)
    within = features.beats_s[(features.beats_s > known[0] - 0.07) & (features.beats_s < known[-1] + 0.07)]
    score, octave = f_measure(known, within), is_octave_error(known, within)
    print(f"{stem}: F {score:.2f} over {len(known)} beats, octave error {octave}, {features.tempo_bpm} BPM")
    assert within.size


def test_excerpts_are_their_song_and_no_other(music: Path) -> None:
    songs = {path.stem: sound(path) for path in sorted(music.iterdir()) if path.suffix in SUFFIXES}
    prints = {name: fingerprint(samples) for name, samples in songs.items()}
    assert not [pair for pair in itertools.combinations(prints, 2) if compare(*(prints[n] for n in pair)).same_song]
    for name, samples in songs.items():
        if len(samples) > 8 * 24000:
            excerpt = samples[len(samples) // 3 + 137 : len(samples) // 3 + 137 + 6 * 24000] * np.float32(0.4)
            likeness = {other: compare(fingerprint(excerpt), prints[other]).same_song for other in prints}
            assert [other for other, same in likeness.items() if same] == [name]
