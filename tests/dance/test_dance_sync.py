"""Sound in step with pictures, end to end: flashes and clicks of generated videos, found again in decoded clips."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.music.sound_reader import SoundReader, read_sound
from tasks.music.sound_track import sound_blocks
from tasks.music.sync import bright_from, clicks, clip_times, flashes_and_clicks, sync
from tests.dance.cut_films import cut, numbers
from tests.dance.make_dance import (
    FlashFilm,
    click_track,
    clip_row,
    even_times,
    flash_film,
    uneven_times,
    write_wav,
)

SIZE = (64, 64)
RATES = {"23.976": Fraction(24000, 1001), "24": 24, "25": 25, "30": 30}


def errors(film: FlashFilm, rows: list[dict], clips: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Of every click in a clip: when it should be heard in the whole video, and how late it is against the pictures.

    The pictures of a clip change 24 times a second, so a flash is due with the first frame after it; that it is that
    very frame is demanded here, and what remains is the sound's.
    """
    due, late = [], []
    for row, clip in zip(rows, clips, strict=True):
        mp4, seconds = clip["clip"]["bytes"], row["frames"] / 24
        shown = [film.shown(row["start_s"] + n / 24) for n in range(row["frames"])]
        assert numbers(mp4) == shown
        events = np.array([each - row["start_s"] for each in film.events_s])
        events = events[(events > 0.01) & (events < seconds - 0.1)]
        found = flashes_and_clicks(mp4)
        heard = found.clicks_s[(found.clicks_s > 0.005) & (found.clicks_s < seconds - 0.095)]
        assert len(heard) == len(events)
        due_at = np.searchsorted(shown, [film.shown(each + row["start_s"]) for each in events]) / 24
        assert np.abs(found.flashes_s[:, None] - due_at).min(axis=0).max() < 1e-6
        assert abs(clip_times(mp4).offset_s) < 1e-6
        due.append(events + row["start_s"])
        late.append(heard - events)
    return np.concatenate(due), np.concatenate(late)


def check(film: FlashFilm, folder: Path, starts: list[float], frames: int, sound: Path | None = None) -> None:
    rows = [clip_row(n, start, frames, SIZE) for n, start in enumerate(starts)]
    due, late = errors(film, rows, cut(folder, film.path, rows, sound=sound).kept)
    measured = sync(due, due + late)
    assert abs(measured.offset_s) < 0.002
    assert abs(measured.largest_s) < 0.002
    if np.ptp(due) > 60:
        assert abs(measured.drift_s) < 0.001


@pytest.mark.parametrize(
    ("rate", "suffix", "sound", "start_s"),
    [
        ("23.976", ".mkv", "pcm_s16le", 0.5),
        ("vfr", ".mp4", "aac", -0.5),
        pytest.param("24", ".mp4", "aac", -0.5, marks=pytest.mark.slow),
        pytest.param("25", ".mov", "aac", 0.5, marks=pytest.mark.slow),
        pytest.param("30", ".mkv", "libmp3lame", -0.5, marks=pytest.mark.slow),
    ],
)
def test_clicks_stay_with_flashes(rate, suffix, sound, start_s, tmp_path):
    times = uneven_times(4) if rate == "vfr" else even_times(RATES[rate], 4)
    film = flash_film(tmp_path / f"film{suffix}", times, size=SIZE, sound=sound, sound_start_s=start_s, every_s=0.7)
    check(film, tmp_path, [0.125, 1.0 + 1 / 24], 60)


@pytest.mark.slow
@pytest.mark.parametrize("start_s", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize(("suffix", "sound"), [(".mp4", "aac"), (".avi", "pcm_s16le"), (".webm", "libopus")])
@pytest.mark.parametrize("rate", [*RATES, "vfr"])
def test_clicks_stay_with_flashes_in_all_containers(rate, suffix, sound, start_s, tmp_path):
    if suffix == ".avi" and (rate == "vfr" or start_s):
        pytest.skip("AVI knows neither times of frames nor starts")
    video = {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}} if suffix == ".webm" else {}
    if suffix == ".avi":
        video = {"codec": "mpeg4", "options": {"qscale": "2"}, "time_base": 1 / Fraction(RATES[rate])}
    times = uneven_times(6) if rate == "vfr" else even_times(RATES[rate], 6)
    film = flash_film(tmp_path / f"film{suffix}", times, size=SIZE, sound=sound, sound_start_s=start_s, **video)
    check(film, tmp_path, [0.25, 2.0], 72)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_sound_beside_begins_with_the_first_picture(rate, tmp_path):
    song = tmp_path / "song.wav"
    film = flash_film(tmp_path / "film.mp4", even_times(25, 4), size=SIZE, sound=None, sound_rate=rate, beside=song)
    check(film, tmp_path, [0.25, 1.25], 48, song)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rate", [*RATES, "vfr"])
def test_ten_minutes_do_not_drift(rate, tmp_path):
    times = uneven_times(600) if rate == "vfr" else even_times(RATES[rate], 600)
    film = flash_film(tmp_path / "film.mp4", times, size=SIZE, sound_rate=44_100, sound_start_s=0.5)
    check(film, tmp_path, [0.25, 100.125, 200.0, 333.5, 450.25, 594.0], 72)


def test_a_part_of_a_sound_is_that_of_the_whole(tmp_path):
    film = flash_film(tmp_path / "film.mp4", even_times(24, 5), size=SIZE, sound_rate=44_100, channels=2)
    whole = np.concatenate(list(sound_blocks(film.path)))
    assert len(whole) == pytest.approx(5.0 * 24_000, abs=2000)
    for start, seconds in ((0.0, 1.0), (1.23456, 2.0), (4.5, 2.0), (-0.5, 1.0)):
        part = read_sound(film.path, start, seconds)
        first = round(start * 24_000)
        padded = np.concatenate([np.zeros(max(-first, 0), np.float32), whole[max(first, 0) :], np.zeros(48_000)])
        assert np.array_equal(part, padded[: len(part)].astype(np.float32))
        assert len(part) == round(seconds * 24_000)

    with SoundReader(film.path) as reader:
        for start in (1000, 30_000, 30_500, 90_000, 2000):
            assert np.array_equal(reader.read(start, 5000).samples, whole[start : start + 5000])


def test_resampling_moves_no_click(tmp_path):
    events = np.arange(0.5, 4.5, 0.37)
    for rate in (8000, 22_050, 44_100, 96_000):
        song = write_wav(tmp_path / f"{rate}.wav", click_track(events, 5, rate), rate)
        for target in (24_000, 48_000):
            found = clicks(np.concatenate(list(sound_blocks(song, target))), target)
            assert np.abs(found - events).max() < 2e-4


def test_two_channels_keep_their_sides(tmp_path):
    import soundfile

    rng = np.random.default_rng(0)
    sides = rng.uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", sides, 48_000, subtype="FLOAT")
    stereo = np.concatenate(list(sound_blocks(tmp_path / "song.wav", 48_000, 2)))
    mono = np.concatenate(list(sound_blocks(tmp_path / "song.wav", 48_000)))

    assert np.array_equal(stereo, sides)
    assert np.allclose(mono, sides.mean(axis=1), atol=1e-7)


def test_offset_and_drift_are_measured():
    seen = np.arange(0, 600, 10.0)
    measured = sync(seen, seen + 0.04 + seen * 0.001 / 600)

    assert measured.offset_s == pytest.approx(0.0405, abs=1e-4)
    assert measured.drift_s == pytest.approx(0.001, abs=1e-6)
    assert measured.pairs == 60
    with pytest.raises(ValueError, match="no pairs"):
        sync([1.0], [])
    levels = np.array([0.1, 0.9, 0.9, 0.1, 0.9])
    assert bright_from(np.arange(5) / 24, levels).tolist() == [1 / 24, 4 / 24]
