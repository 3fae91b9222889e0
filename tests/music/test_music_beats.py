import numpy as np
import pytest
from scipy import signal

from tasks.music.features import MusicFeatures, music_features
from tests.music.drums import RATE, clicks, drum_tracks, render_drums
from tests.music.scoring import f_measure, report


def features(samples: np.ndarray) -> MusicFeatures:
    return music_features(samples, len(samples) // 1000)


@pytest.mark.parametrize("bpm", [128, 150, 174])
def test_clicks_read_their_tempo(bpm: float) -> None:
    samples, times = clicks(bpm, 12)
    found = features(samples)
    assert found.tempo_bpm == pytest.approx(bpm, rel=0.01)
    assert f_measure(times, found.beats_s) == 1
    tempi = found.layout["tempogram"]
    assert tempi.stop - tempi.start == 64


def test_gain_changes_nothing() -> None:
    samples = render_drums(5, bpm=120, seconds=8).samples
    assert np.allclose(features(samples * np.float32(0.125)).beats_s, features(samples).beats_s, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
def test_noise_has_no_beat(colour: str, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=10 * RATE)
    if colour == "brown":
        noise = signal.lfilter([1], [1, -0.999], noise)
    if colour == "pink":
        noise = signal.lfilter([0.049922, -0.095993, 0.050612, -0.004408], [1, -2.494956, 2.017265, -0.522189], noise)
    found = features((0.3 * noise / np.abs(noise).max()).astype(np.float32))
    assert found.tempo_bpm is None
    assert found.no_beat is not None
    assert found.no_beat.why == "no_pulse"
    assert not found.beats_s.size


def test_a_moment_is_too_short_for_a_tempo() -> None:
    found = features(clicks(150, 1.5)[0])
    assert found.no_beat is not None
    assert found.no_beat.why == "too_short"


@pytest.mark.parametrize("change", ["ramp", "step"])
def test_a_changing_tempo_is_followed(change: str) -> None:
    track = render_drums(11, bpm=110, seconds=16, groove="rock", change=change)
    assert f_measure(track.beats_s, features(track.samples).beats_s) >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_drum_tracks() -> None:
    tracks = drum_tracks(100)
    mean, octaves = report((track.beats_s, features(track.samples).beats_s) for track in tracks)
    print(f"beat F-measure {mean:.3f}, octave errors {octaves} of {len(tracks)}")
    assert mean >= 0.95
