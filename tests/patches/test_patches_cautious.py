"""A film that kills who decodes it, or hangs: found by the next run, or at once, and nothing else is left out."""

import signal
from pathlib import Path

import pytest

from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tasks.shards.watchdog import HANG_VARIABLE
from tests.patches.film_builds import made, patches_of
from tests.video.deadly import HANGS, MARK, PATIENCE_S, SECONDS, realised
from tests.video.make_film import Scene, make_film

ONE_TRY = {"replacements": 0, "skip_end": 0.02}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "endings", "reason", "told"),
    [
        (MARK, [-signal.SIGSEGV, 0], "decoder_crashed", "SIGSEGV"),
        (HANGS, [0], "decoder_timed_out", f"no answer within {PATIENCE_S:g} s"),
    ],
)
def test_windows_that_kill_or_hold_their_reader_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, endings: list[int], reason: str, told: str
) -> None:
    film = make_film(
        tmp_path / f"{fault}.mp4", width=640, height=360, scenes=[Scene(frames=96, seed=1)], crf=20, gop=(12, 12)
    )
    store = Store(tmp_path / "store")

    def piece(store: Store) -> Derivation:
        return patches_of(film, store, store.root / "tree", windows=8, planning=ONE_TRY)[0]

    monkeypatch.setenv(HANG_VARIABLE, f"{PATIENCE_S}")
    assert [realised(piece(store), store) for _ in endings] == endings
    _, kept, rejected = made(piece(store), store)
    calm = Store(tmp_path / "calm")
    _, all_kept, poor = made(piece(calm), calm)

    last = SECONDS[0] - 6 / 24
    deadly = [row["sample_id"] for row in all_kept if last <= row["time_s"] < SECONDS[1]]
    assert deadly
    crashed = [each for each in rejected if each["reason"] == reason]
    assert [each["sample_id"] for each in crashed] == deadly
    assert told in crashed[0]["detail"]
    assert [each for each in rejected if each not in crashed] == poor
    assert kept == [row for row in all_kept if row["sample_id"] not in deadly]
    assert not list((store.root / "attempts").glob("*"))
