"""A film that kills who decodes it: found by the next run, which leaves out what is deadly and nothing else."""

import signal
from pathlib import Path

import pytest

from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.patches.film_builds import made, patches_of
from tests.video.deadly import MARK, SECONDS, realised
from tests.video.make_film import Scene, make_film

ONE_TRY = {"replacements": 0, "skip_end": 0.02}


@pytest.mark.slow
def test_windows_that_kill_their_reader_are_left_out(tmp_path: Path) -> None:
    film = make_film(
        tmp_path / f"{MARK}.mp4", width=640, height=360, scenes=[Scene(frames=96, seed=1)], crf=20, gop=(12, 12)
    )
    store = Store(tmp_path / "store")

    def piece(store: Store) -> Derivation:
        return patches_of(film, store, store.root / "tree", windows=8, planning=ONE_TRY)[0]

    assert realised(piece(store), store) == -signal.SIGSEGV
    assert realised(piece(store), store) == 0
    _, kept, rejected = made(piece(store), store)
    calm = Store(tmp_path / "calm")
    _, all_kept, poor = made(piece(calm), calm)

    last = SECONDS[0] - 6 / 24
    deadly = [row["sample_id"] for row in all_kept if last <= row["time_s"] < SECONDS[1]]
    assert deadly
    crashed = [each for each in rejected if each["reason"] == "decoder_crashed"]
    assert [each["sample_id"] for each in crashed] == deadly
    assert "SIGSEGV" in crashed[0]["detail"]
    assert [each for each in rejected if each not in crashed] == poor
    assert kept == [row for row in all_kept if row["sample_id"] not in deadly]
    assert not list((store.root / "attempts").glob("*"))
