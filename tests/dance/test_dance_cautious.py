"""Videos and sounds that kill who decodes them: found by the next run, and their clips rejected."""

import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.dance.clips import PlanClips
from tasks.dance.cut import CutClips, CutConfig
from tasks.dance.music import ClipMusic, MusicConfig
from tasks.schema.clips import CLIP_SCHEMA, DANCE_SCHEMA
from tasks.schema.columns import shard_schema
from tasks.shards.derive import Derivation, committed, realise
from tasks.shards.store import Store
from tasks.shards.watchdog import HANG_VARIABLE
from tests.dance.blocks_film import BlockShot, SeesBlocks, blocks_film, swaying
from tests.dance.cut_films import QUICK, dance_shard
from tests.dance.make_dance import clip_row, even_times, flash_film, write_wav
from tests.dance.test_dance_clips import config, shard
from tests.music.drums import RATE, render_drums
from tests.poses.sample_shards import given
from tests.video.deadly import HANGS, MARK, PATIENCE_S, realised

SIZE = (64, 64)
SONG = render_drums(3, bpm=125, seconds=4.0, groove="rock").samples
ROWS = [clip_row(0, 0.0, 36, SIZE), clip_row(1, 1.5, 36, SIZE)]


def steps(folder: Path, video: str = "film", song: str = "song") -> dict[str, Derivation]:
    """The stages that decode a video of three seconds, and the file with its sound, in their own process."""
    shot = BlockShot(3, 1, [swaying(80, 40, 60, 160)])
    danced = blocks_film(folder / f"{video}.danced.mkv", [shot])
    film = flash_film(folder / f"{video}.mp4", even_times(24, 3), size=SIZE, sound=None).path
    sound = write_wav(folder / f"{song}.wav", SONG[: 3 * RATE], RATE)
    rows = pq.read_table(dance_shard(folder, film, sound)).to_pylist()
    dance, clips = Derivation(given("dance", DANCE_SCHEMA, rows)), Derivation(given("clips", CLIP_SCHEMA, ROWS))
    samples = Derivation(given("samples", shard_schema(), ROWS))
    return {
        "clips": Derivation(PlanClips(config(), danced, SeesBlocks()), (Derivation(shard(danced)),)),
        "cut_clips": Derivation(CutClips(CutConfig(size=64, encoding=QUICK), film, sound), (clips,), whole=(dance,)),
        "music": Derivation(ClipMusic(MusicConfig(), film, sound), (samples,), sides=(clips,), whole=(dance,)),
    }


def rejects(store: Store, record: Any) -> list[dict[str, Any]]:
    path = store.rejects_path(record)
    return pq.read_table(path).to_pylist() if path else []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("video", "song", "stage", "subject"),
    [
        (MARK, "song", "clips", f"{MARK}.danced.mkv"),
        (MARK, "song", "cut_clips", f"{MARK}.mp4"),
        ("film", MARK, "cut_clips", f"The sound of {MARK}.wav"),
        ("film", MARK, "music", f"The sound of {MARK}.wav"),
    ],
)
def test_the_run_after_a_death_rejects_what_is_deadly(
    tmp_path: Path, video: str, song: str, stage: str, subject: str
) -> None:
    store = Store(tmp_path / "store")
    derivation = steps(tmp_path, video, song)[stage]
    assert realised(derivation, store) == -signal.SIGSEGV
    assert realised(derivation, store) == 0
    record = committed(derivation, store)
    assert record is not None
    assert record.rejected == {"decoder_crashed": record.rows_in}
    assert {each["detail"] for each in rejects(store, record)} == {f"{subject}: the decoder died: SIGSEGV."}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("video", "song", "stage", "told"),
    [
        (HANGS, "song", "cut_clips", f"{HANGS}.mp4: no sign of life for {PATIENCE_S:g} s."),
        ("film", HANGS, "music", f"The sound of {HANGS}.wav: no sign of life for {PATIENCE_S:g} s."),
    ],
)
def test_what_hangs_is_rejected_by_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str, song: str, stage: str, told: str
) -> None:
    monkeypatch.setenv(HANG_VARIABLE, f"{PATIENCE_S}")
    store = Store(tmp_path / "store")
    derivation = steps(tmp_path, video, song)[stage]
    assert realised(derivation, store) == 0
    record = committed(derivation, store)
    assert record is not None
    assert record.rejected == {"decoder_timed_out": record.rows_in}
    assert {each["detail"] for each in rejects(store, record)} == {told}


@pytest.mark.slow
def test_what_only_was_beside_a_death_is_made_as_ever(tmp_path: Path) -> None:
    store, calm = Store(tmp_path / "store"), Store(tmp_path / "calm")
    for name, derivation in steps(tmp_path).items():
        expected = realise(derivation, calm).record
        mark = store.attempt_path(expected.stage, expected.key)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_bytes(b".")
        assert realise(derivation, store).record == expected, name
        assert not mark.exists()
        assert expected.data.rows, name
