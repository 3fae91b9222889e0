import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.music.features import LAYOUT, music_features
from tasks.music.layout import EXPORT_WIDTH, export_4800
from tasks.music.sound import write_sound
from tasks.schema.errors import ShapeError
from tests.music.drums import clicks, render_drums

RATE, HOP = 24000, 1000


def song(seconds: float, seed: int = 3) -> NDArray[np.float32]:
    """Drums and a moving chord, a little off A440."""
    drums = render_drums(seed, bpm=118, seconds=seconds).samples
    t = np.arange(len(drums)) / RATE
    root = 222.0 * 2 ** (np.floor(t) % 5 / 12)
    chord = sum(np.sin(2 * np.pi * np.cumsum(root * ratio) / RATE) for ratio in (1, 1.26, 1.5))
    return (0.6 * drums + 0.1 * chord).astype(np.float32)


def seed_calls(y: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    made = {
        "mfcc": librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=13, hop_length=HOP),
        "chroma": librosa.feature.chroma_stft(y=y, sr=RATE, hop_length=HOP),
        "contrast": librosa.feature.spectral_contrast(y=y, sr=RATE, hop_length=HOP),
    }
    harmonic = librosa.effects.harmonic(y, hop_length=HOP)
    made["tonnetz"] = librosa.feature.tonnetz(y=harmonic, sr=RATE, hop_length=HOP)
    return {name: values.T[:-1] for name, values in made.items()}


def test_numbers_are_librosas() -> None:
    y = song(6)
    found = music_features(y, 144)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, values in seed_calls(y).items():
            assert np.abs(found.columns(name) - values).max() <= 1e-5, name


def test_a_long_sound_in_blocks_is_the_whole(tmp_path: Path) -> None:
    y = song(9)
    whole = music_features(y, 216)
    read = write_sound((y[start : start + 7001] for start in range(0, len(y), 7001)), tmp_path / "sound.f32")
    for size in (50, 215):
        blocks = music_features(read if size == 50 else y, 216, block_rows=size)
        for name in whole.layout:
            apart = np.abs(blocks.columns(name) - whole.columns(name)).max()
            assert apart <= 1e-5 + 5e-7 * np.abs(whole.columns(name)).max(), name
        assert np.array_equal(blocks.beats_s, whole.beats_s)


def test_sound_that_waits_in_a_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    y = song(4)
    before = music_features(y, 96, block_rows=40)
    monkeypatch.setattr("tasks.music.features.IN_MEMORY_SAMPLES", 0)
    assert np.array_equal(music_features(y, 96, block_rows=40).values, before.values)


def test_rows_are_frames_of_the_video() -> None:
    y, times = clicks(120, 5, start=0.5)
    found = music_features(y, 120)
    assert found.values.shape == (120, LAYOUT.width)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    marked = np.flatnonzero(found.columns("peak")[:, 0])
    assert np.array_equal(marked, np.rint(times * 24))
    assert set(np.flatnonzero(found.columns("beat")[:, 0])) <= set(marked)
    assert np.abs(found.peaks_s - times).max() < 0.008


@pytest.mark.parametrize("frames", [1, 2, 20, 60])
def test_sound_may_be_shorter_or_longer_than_the_video(frames: int) -> None:
    y = song(1.5)
    found = music_features(y, frames)
    assert found.values.shape == (frames, LAYOUT.width)
    assert np.isfinite(found.values).all()
    assert found.sound_rows == min(frames, 36)


def test_one_block_more_than_the_rows_changes_nothing_before_it() -> None:
    y = song(3)
    longer = music_features(np.concatenate([y, np.zeros(24000, np.float32)]), 72)
    assert np.array_equal(longer.values, music_features(y, 72).values)


def test_silence_has_features_and_no_beat() -> None:
    found = music_features(np.zeros(96000, np.float32), 96)
    assert np.isfinite(found.values).all()
    assert found.tempo_bpm is None
    assert found.no_beat is not None
    assert found.no_beat.why == "silence"
    assert not found.beats_s.size
    assert not found.columns("tempo").any()


def test_bad_sound_is_refused() -> None:
    with pytest.raises(ShapeError, match="one channel"):
        music_features(np.zeros((2, 5000), np.float32), 5)
    with pytest.raises(ShapeError, match="finite"):
        music_features(np.full(5000, np.nan, np.float32), 5)
    with pytest.raises(ShapeError, match="at least one"):
        music_features(np.zeros(0, np.float32), 5)


def test_layout_names_columns() -> None:
    assert list(LAYOUT)[:5] == ["mfcc", "chroma", "contrast", "tonnetz", "tempo"]
    assert [LAYOUT[name].stop for name in list(LAYOUT)[:5]] == [13, 25, 32, 38, 39]
    assert LAYOUT["mel"].stop == LAYOUT.width
    with pytest.raises(KeyError):
        LAYOUT["downbeat"]


def test_export_pads_and_says_so() -> None:
    values = np.ones((3, LAYOUT.width), np.float32)
    export = export_4800(values, LAYOUT)
    assert export.values.shape == (3, EXPORT_WIDTH)
    assert export.real.sum() == LAYOUT.width
    assert (export.values[:, export.real] == 1).all()
    assert not export.values[:, ~export.real].any()
    with pytest.raises(ShapeError):
        export_4800(values[:, 1:], LAYOUT)
