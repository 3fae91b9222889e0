"""What a dance video is, where its music is, and every reason why it is of no use."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.dance.videos import (
    DanceConfig,
    DanceRules,
    DanceVideo,
    SoundFile,
    UnfitError,
    dance_row,
    demand_fit,
    sound_beside,
)
from tasks.images.decode import DecodeError
from tasks.music.sound_scan import SoundScan, sound_scan
from tasks.schema.clips import DANCE_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.films import Film, Transfer
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.dance.make_dance import even_times, flash_film, write_wav

FILM = Film(
    path="film.mp4", digest="d", size_bytes=1, codec="h264", width=64, height=64, coded_width=64, coded_height=64,
    rotation=0, content=(0, 0, 64, 64), fps=Fraction(24), time_base=Fraction(1, 1000), start_pts=500, duration_s=10.0,
    bit_depth=8, transfer=Transfer.SDR, primaries="bt709", matrix="bt709", full_range=False, interlaced=False,
    vfr=False,
)  # fmt: skip
SOUND = SoundScan(
    codec="aac", rate=48_000, channels=2, start_s=0.5, duration_s=10.0, peak_db=-3.0, rms_db=-20.0, hole_s=0, damaged=0
)
FILE = SoundFile(file_name="song.mp3", digest="s", paired=True)


def config(**rules) -> DanceConfig:
    return DanceConfig(
        name="film", file_name="film.mp4", digest="d", licence="", group="films", rules=DanceRules(**rules)
    )


def film(**other) -> Film:
    return replace(FILM, **other)


def sound(**other) -> SoundScan:
    return SOUND.model_copy(update=other)


def judged(picture: Film, heard: SoundScan, **rules) -> None:
    demand_fit(picture, config(**rules))
    dance_row(picture, heard, None, config(**rules))


def test_sound_counts_from_the_first_picture():
    row = dance_row(FILM, sound(start_s=1.0), None, config())

    assert (row["sound_from"], row["sound_start_s"], row["sound_padded_s"]) == ("video", 0.5, 0.0)
    assert (row["sound_uri"], row["sound_digest"]) == ("film.mp4", "d")


def test_the_sound_of_a_file_begins_with_the_first_picture_whatever_its_clock_says():
    row = dance_row(FILM, sound(start_s=0.025, duration_s=9.7), FILE, config())

    assert (row["sound_from"], row["sound_start_s"]) == ("file", 0.0)
    assert row["sound_padded_s"] == pytest.approx(0.3)
    assert (row["sound_uri"], row["sound_digest"]) == ("song.mp3", "s")


@pytest.mark.parametrize(
    ("picture", "heard", "rules", "reason"),
    [
        (film(fps=Fraction(12)), SOUND, {}, Reason.FRAME_RATE_LOW),
        (film(duration_s=0.9), SOUND, {}, Reason.VIDEO_TOO_SHORT),
        (FILM, sound(peak_db=-80.0), {}, Reason.SOUND_SILENT),
        (FILM, sound(duration_s=0.9), {}, Reason.SOUND_TOO_SHORT),
        (FILM, sound(duration_s=9.4), {}, Reason.SOUND_TOO_SHORT),
        (FILM, sound(start_s=9.9), {"short_sound": "clips"}, Reason.SOUND_TOO_SHORT),
    ],
)
def test_what_is_of_no_use_has_a_reason(picture, heard, rules, reason):
    with pytest.raises(UnfitError) as caught:
        judged(picture, heard, **rules)
    assert caught.value.reason is reason
    assert isinstance(caught.value.score, float)


@pytest.mark.parametrize(
    ("fps", "least"), [(Fraction(24000, 1001), 24), (Fraction(30000, 1001), 30), (Fraction(8), 8), (Fraction(25), 24)]
)
def test_rates_that_are_enough(fps, least):
    demand_fit(film(fps=fps), config(min_fps=least))


def test_a_video_whose_music_ends_early_can_be_kept_for_its_clips():
    assert dance_row(FILM, sound(duration_s=5.0), FILE, config(short_sound="clips"))["sound_padded_s"] == 5.0


def test_the_sound_beside_is_found_whatever_its_letters(tmp_path):
    for name in ("Dance.MP3", "dance.txt", "other.wav", "dance.mp4"):
        (tmp_path / name).touch()
    assert sound_beside(tmp_path / "dance.mp4") == tmp_path / "Dance.MP3"
    (tmp_path / "dance.flac").touch()
    assert sound_beside(tmp_path / "dance.mp4") == tmp_path / "dance.flac"
    assert sound_beside(tmp_path / "nothing.mp4") is None


def test_sound_that_does_not_decode_is_told(tmp_path):
    (tmp_path / "noise.mp3").write_bytes(b"no sound at all" * 50)
    silent = flash_film(tmp_path / "silent.mp4", even_times(24, 1), sound=None).path

    for path, reason in ((tmp_path / "noise.mp3", Reason.SOUND_UNREADABLE), (silent, Reason.SOUND_MISSING)):
        with pytest.raises(DecodeError) as caught:
            sound_scan(b"", str(path))
        assert caught.value.reason is reason


def test_what_decoding_shows(tmp_path):
    path = write_wav(tmp_path / "song.wav", 0.5 * np.ones(30_000, np.float32), 24_000)
    found = SoundScan.model_validate(sound_scan(b"", str(path)), strict=False)

    assert (found.codec, found.rate, found.channels, found.duration_s) == ("pcm_s16le", 24_000, 1, 1.25)
    assert found.peak_db == pytest.approx(-6.02, abs=0.01)
    assert found.rms_db == pytest.approx(-6.02, abs=0.01)


@pytest.mark.slow
def test_a_video_becomes_a_row_and_takes_the_sound_beside_where_it_has_none(tmp_path):
    path = tmp_path / "dance.mkv"
    flash_film(path, even_times(24, 2), sound=None, size=(64, 64), beside=tmp_path / "dance.wav")
    store = Store(tmp_path / "store")
    stage = DanceVideo.of(path, "dance")
    record = realise(Derivation(stage), store).record
    (row,) = pq.read_table(store.data_path(record), schema=DANCE_SCHEMA).to_pylist()

    assert (row["sound_from"], row["sound_uri"], row["group"]) == ("file", "dance.wav", tmp_path.name)
    assert record.facts["sound"]["codec"] == "pcm_s16le"
    assert str(tmp_path) not in str(stage.params())
    assert not [value for value in row.values() if str(tmp_path) in str(value)]

    moved = tmp_path / "elsewhere" / path.name
    moved.parent.mkdir()
    shutil.copy(path, moved)
    again = DanceVideo.of(moved, "dance", sound=tmp_path / "dance.wav", group=tmp_path.name)
    assert again.config.sound is not None
    assert again.config.sound.paired


def test_a_file_that_changes_commits_nothing_and_one_that_is_missing_has_a_reason(tmp_path):
    path = tmp_path / "dance.mp4"
    stage = DanceVideo.of(path, "dance")
    (output,) = stage.process(iter(()))
    assert [each.reason for each in output.rejected] == [Reason.VIDEO_MISSING]

    path.write_bytes(b"something")
    with pytest.raises(SourceError, match="has changed"):
        list(stage.process(iter(())))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_videos_end_in_a_row_or_a_named_reason(real_data: Path):
    expected = {
        "aist_d2m_high2_2s": None,
        "aist_gt_music_5s": None,
        "musepose_dance_1080x1920_with_music": None,
        "openpose_street_video_50fps": None,
        "mmhuman3d_multi_person": Reason.FRAME_RATE_LOW,
        "xdyna_1_driving_8fps_noaudio": Reason.FRAME_RATE_LOW,
        "xdyna_1_openpose_8fps": Reason.FRAME_RATE_LOW,
        "video_corrupted_stream": Reason.FRAME_RATE_LOW,
        "video_long_4k_av1_21766frames": Reason.VIDEO_BOMB,
        "video_with_failing_audio": None,
    }
    paths = [*sorted((real_data / "dance").iterdir()), *sorted((real_data / "badinputs").glob("video_*.mp4"))]
    found = {}
    for path in paths:
        (output,) = DanceVideo.of(path, path.stem).process(iter(()))
        assert output.kept.num_rows + len(output.rejected) == 1
        found[path.stem] = output.rejected[0].reason if output.rejected else None
    assert found == expected

    video = real_data / "dance" / "xdyna_1_driving_8fps_noaudio.mp4"
    rules = DanceRules(min_fps=8, short_sound="clips")
    for song in sorted((real_data / "music").glob("*.*")):
        if song.suffix in (".mp3", ".ogg", ".wav", ".flac"):
            (output,) = DanceVideo.of(video, "paired", sound=song, rules=rules).process(iter(()))
            assert output.kept["sound_uri"].to_pylist() == [song.name]
