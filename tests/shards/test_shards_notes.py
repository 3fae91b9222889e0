"""What runs tell while they run: who, what was found and made, by which process, and how it ended."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.shards import notes
from tasks.shards.derive import realise
from tasks.shards.distribute import distribute
from tasks.shards.notes import (
    RunHeader,
    begin_run,
    current_run,
    drop_runs,
    end_run,
    expect_members,
    flush_notes,
    join_run,
    read_header,
)
from tasks.shards.store import Store
from tasks.watching.runs import RunProgress, RunWatch, StoreWatch
from tests.shards.sample_stages import build


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def begun(store: Store, run: str = "r1") -> RunWatch:
    header = RunHeader(run=run, flow="webbody", name="old-owl")
    begin_run(store, header)
    return RunWatch(store.root / "running" / run, header)


def looked(watch: RunWatch) -> RunProgress:
    flush_notes(watch.header.run)
    watch.look()
    return watch.progress()


def test_nothing_is_noted_where_no_run_was_begun(store: Store) -> None:
    join_run(store, "never")
    realise(build(parts=1, rows=3), store)
    assert current_run() is None
    assert not (store.root / "running").exists()


def test_each_shard_counts_once_and_made_outweighs_found(store: Store) -> None:
    watch = begun(store)
    try:
        join_run(store, "r1", "look")
        expect_members("look", 4)
        for _ in range(3):
            realise(build(parts=1, rows=3), store)
        progress = looked(watch)
        by_stage = {each.stage: each for each in progress.stages}
        last = list(by_stage.values())[-1]
        assert (last.shards, last.made, last.known) == (1, 1, 4)
        assert progress.state == "running"
        assert progress.share == pytest.approx(0.25)
        assert last.rows_in == last.rows_kept + sum(last.rejected.values())
    finally:
        end_run(store, "r1", "completed")
    again = begun(store, "r2")
    realise(build(parts=1, rows=3), store)
    assert {(each.shards, each.made) for each in looked(again).stages} == {(1, 0)}
    end_run(store, "r2", "completed")


@pytest.mark.parametrize("kind", ["threads", pytest.param("multiprocessing", marks=pytest.mark.slow)])
def test_workers_tell_what_they_make(store: Store, kind: str) -> None:
    watch = begun(store)
    try:
        ended = list(distribute([build(parts=1, rows=n) for n in (2, 3, 4)], store, 2, kind))  # type: ignore[arg-type]
        assert all(result.error is None for _, result in ended)
        time.sleep(1.5 * notes.FLUSH_S if kind == "multiprocessing" else 0)
        assert {each.stage: each.made for each in looked(watch).stages}["make"] == 3
    finally:
        end_run(store, "r1", "completed")


def test_how_a_run_ended_is_told_and_nothing_after_it(store: Store) -> None:
    watch = begun(store)
    end_run(store, "r1", "failed", "StoreError: no disk")
    realise(build(parts=1, rows=3), store)
    progress = looked(watch)
    assert (progress.state, progress.said, progress.stages, progress.alive) == (
        "failed",
        "StoreError: no disk",
        (),
        False,
    )


def test_a_run_whose_process_went_away_says_so(store: Store) -> None:
    header = RunHeader(run="r1", flow="webbody", name="n", pid=2**22 - 1)
    begin_run(store, header)
    elsewhere = header.model_copy(update={"run": "r2", "host": "elsewhere"})
    begin_run(store, elsewhere)
    silent = elsewhere.model_copy(update={"run": "r3", "seen_at": datetime.now(UTC) - timedelta(minutes=5)})
    begin_run(store, silent)
    begin_run(store, silent.model_copy(update={"run": "r4", "seen_at": datetime.now(UTC) - timedelta(minutes=15)}))
    found = {run.header.run: run.progress().state for run in StoreWatch(store).look()}
    assert found == {"r1": "gone", "r2": "running", "r3": "silent", "r4": "gone"}
    for run in found:
        end_run(store, run, "crashed")


def test_damaged_notes_are_passed_over_and_old_runs_go(store: Store) -> None:
    watch = begun(store)
    realise(build(parts=1, rows=3), store)
    flush_notes("r1")
    end_run(store, "r1", "completed")
    (store.root / "running" / "r1" / "x-1-0.jsonl").write_bytes(b'{"stage":"a"}\nnonsense\n[1]\n{"cut":')
    assert looked(watch).stages
    header = read_header(store.root / "running" / "r1")
    assert header is not None
    long_ago = header.model_copy(update={"seen_at": datetime.now(UTC) - timedelta(days=30)})
    (store.root / "running" / "r1" / "run.json").write_text(json.dumps(json.loads(long_ago.model_dump_json())))
    begun(store, "r2")
    end_run(store, "r2", "completed")
    assert [path.name for path in (store.root / "running").iterdir()] == ["r2"]


def test_what_failed_runs_said_can_be_dropped(store: Store) -> None:
    for run, said in {"r1": "", "r2": "no film /films/me.mkv"}.items():
        begun(store, run)
        end_run(store, run, "failed" if said else "completed", said)
    drop_runs(store, lambda header: bool(header.said))
    assert [path.name for path in (store.root / "running").iterdir()] == ["r1"]
