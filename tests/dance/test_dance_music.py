"""The music of clips: rows, beats, tempo and fingerprint of each, of one reading of the whole sound."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.dance.music import ClipMusic, MusicConfig, clip_tempo
from tasks.music.features import LAYOUT, music_features
from tasks.music.fingerprint import Fingerprint, compare, fingerprint
from tasks.music.sound_reader import read_sound
from tasks.schema.clips import MUSIC_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Whole
from tests.dance.cut_films import dance_shard
from tests.dance.make_dance import clip_row, even_times, flash_film, write_wav
from tests.music.drums import RATE, render_drums

SIZE = (64, 64)
SONG = render_drums(3, bpm=125, seconds=9.0, groove="rock").samples
SECONDS = 8


@pytest.fixture(scope="module")
def danced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A video of eight seconds, the file with its sound (silent in the last two), and its shard."""
    folder = tmp_path_factory.mktemp("music")
    video = flash_film(folder / "film.mp4", even_times(24, SECONDS), size=SIZE, sound=None).path
    sound = SONG[: SECONDS * RATE].copy()
    sound[6 * RATE :] = 0
    song = write_wav(folder / "song.wav", sound, RATE)
    return video, song, dance_shard(folder, video, song)


def run(
    danced: tuple[Path, Path, Path], rows: list[dict[str, Any]], **config: Any
) -> tuple[list[dict[str, Any]], list[Rejection], dict[str, Any]]:
    video, song, shard = danced
    stage = ClipMusic(MusicConfig(**config), video, song)
    keep = ("sample_id", "parent_id", "source_uri", "licence", "start_s", "frames")
    batches = [pa.RecordBatch.from_pylist([{name: row[name] for name in keep}]) for row in rows]
    outputs = list(stage.process_with(iter(batches), (Whole(shard),)))
    facts = {name: value for output in outputs for name, value in output.facts.items()}
    kept = [row for output in outputs for row in output.kept.cast(MUSIC_SCHEMA).to_pylist()]
    return kept, [why for output in outputs for why in output.rejected], facts


@pytest.fixture(scope="module")
def described(danced: tuple[Path, Path, Path]) -> tuple[list[dict[str, Any]], list[Rejection], dict[str, Any]]:
    rows = [clip_row(0, 0.0, 72, SIZE), clip_row(1, 2.5, 60, SIZE), clip_row(2, 6.25, 40, SIZE)]
    return run(danced, rows)


def test_clips_have_the_rows_and_beats_of_their_own_time(danced, described):
    kept, _, facts = described
    whole = music_features(read_sound(danced[1], 0.0, SECONDS), SECONDS * 24)
    assert facts["seconds"] == SECONDS
    assert facts["tempo_bpm"] == pytest.approx(125, rel=0.02)
    tempo = LAYOUT["tempo"].start
    for clip, first in zip(kept, (0, 60), strict=True):
        values = np.array(clip["features"], np.float32).reshape(clip["frames"], -1)
        expected = whole.values[first : first + clip["frames"]].copy()
        expected[:, tempo] = clip["tempo_bpm"]
        np.testing.assert_array_equal(values, expected)
        assert clip["tempo_bpm"] == pytest.approx(125, rel=0.03)
        begin = first / 24
        beats = whole.beats_s[(whole.beats_s >= begin) & (whole.beats_s < begin + clip["frames"] / 24)] - begin
        np.testing.assert_allclose(clip["beats_s"], beats, atol=1e-3)
        assert len(clip["layout"]) == values.shape[1]
        assert clip["layout"][:14:13] == ["mfcc.0", "chroma.0"]
        assert clip["layout"][tempo] == "tempo"


def test_a_clips_fingerprint_is_that_of_its_own_sound(described):
    kept, _, _ = described
    found = Fingerprint.from_bytes(kept[1]["fingerprint"])
    assert found.length == fingerprint(SONG[60_000:120_000]).length
    assert compare(fingerprint(SONG), found).shift_s == pytest.approx(2.5, abs=0.05)
    assert found.to_bytes() == kept[1]["fingerprint"]


def test_silence_is_told_or_kept(danced, described):
    _, (why,), _ = described
    assert (why.sample_id, why.reason) == ("film/c002", Reason.SOUND_SILENT)
    (kept,), rejected, _ = run(danced, [clip_row(2, 6.25, 40, SIZE)], keep_silent=True)
    assert not rejected
    assert kept["tempo_bpm"] is None
    assert not kept["beats_s"]
    assert np.isfinite(kept["features"]).all()


def test_sound_inside_that_begins_late_stays_in_its_place(tmp_path):
    made = flash_film(tmp_path / "late.mov", even_times(24, 4), sound_start_s=0.5, size=SIZE, sound="pcm_s16le")
    danced = (made.path, None, dance_shard(tmp_path, made.path))
    (clip,), _, _ = run(danced, [clip_row(0, 1.0, 48, SIZE)])
    marked = np.array(clip["features"]).reshape(48, -1)[:, LAYOUT["peak"].start]
    expected = {round((each - 1.0) * 24) for each in made.events_s if 1.0 <= each < 3.0}
    assert set(np.flatnonzero(marked)) == expected


def test_a_clip_does_not_depend_on_its_neighbours(danced, described):
    (alone,), _, _ = run(danced, [clip_row(1, 2.5, 60, SIZE)])
    assert alone == described[0][1]


def test_files_that_are_gone_or_others_stop_the_stage(danced, tmp_path):
    video, song, shard = danced
    with pytest.raises(SourceError, match="say where that file lies"):
        run((video, None, shard), [clip_row(0, 0.0, 24, SIZE)])
    with pytest.raises(SourceError, match="disk mounted"):
        run((video, tmp_path / "gone.wav", shard), [clip_row(0, 0.0, 24, SIZE)])
    other = write_wav(tmp_path / "other.wav", SONG[:RATE], RATE)
    with pytest.raises(SourceError, match="has changed"):
        run((video, other, shard), [clip_row(0, 0.0, 24, SIZE)])
    assert run((video, song, shard), []) == ([], [], {})


def test_the_tempo_of_a_clip_is_that_of_its_beats():
    beats = np.concatenate([np.arange(0, 10, 0.5), np.arange(10, 20, 0.4)])
    assert clip_tempo(beats, 0.1, 4.0) == pytest.approx(120)
    assert clip_tempo(beats, 12.1, 4.0) == pytest.approx(150)
    assert clip_tempo(beats, 30.0, 4.0) is None
    assert clip_tempo(beats, 0.1, 0.6) is None


def test_the_key_holds_the_source_of_ones_own_features(danced):
    stage = ClipMusic(MusicConfig(extractors=["tests.music.test_music_extractors:Loudness"]), *danced[:2])
    assert stage.config.extractors == ("tests.music.test_music_extractors:Loudness",)
    assert len(stage.execution()["tests.music.test_music_extractors:Loudness"]) == 64
