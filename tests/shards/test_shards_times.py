"""How long stages took: written where they run, lost without harm."""

from pathlib import Path

from tasks.shards.derive import realise
from tasks.shards.store import Store
from tasks.shards.times import note_seconds, seconds_of
from tests.shards.sample_stages import build


def test_a_stage_that_runs_says_how_long_and_one_that_is_found_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    realise(build(), store)
    lines = {path.stem: path.read_text().count("\n") for path in (store.root / "times").iterdir()}
    assert lines == {"make": 2, "keep_small": 2, "brightness": 2, "halves": 2, "gather": 1}
    realise(build(), store)
    assert {path.stem: path.read_text().count("\n") for path in (store.root / "times").iterdir()} == lines


def test_the_last_time_of_each_output_counts_and_damage_does_no_harm(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key, seconds in (("a", 1.0), ("b", 2.0), ("a", 4.0), ("c", 8.0)):
        note_seconds(store, "stage", key, seconds)
    with (tmp_path / "times" / "stage.jsonl").open("ab") as stream:
        stream.write(b'[]\n{"key": ["b"], "seconds": 1}\n{"key": "b", "seconds": {}}\n\xff\n{"key": "b", "sec')
    assert seconds_of(store, "stage", {"a", "b"}) == 6.0
    assert seconds_of(store, "stage", {"d"}) is None
    assert seconds_of(store, "other", {"a"}) is None
    note_seconds(Store(tmp_path / "gone"), "stage", "a", 1.0)
    assert not (tmp_path / "gone").exists()
