"""The hooks of a watched flow: how each way to end is told to the store and to the UI."""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed

from tasks.machine.places import PlaceNames
from tasks.shards.derive import realise
from tasks.shards.notes import RunHeader, begin_run, current_run, end_run, expect_members
from tasks.shards.store import Store
from tasks.watching import task as watching
from tasks.watching.runs import RunProgress, StoreWatch
from tasks.watching.task import WATCHED, say_begun, say_ended
from tasks.watching.words import summary_line
from tests.shards.sample_stages import build
from tests.test_architecture import DATASETS, MODULES

SHOWN: list[tuple[str, float, str]] = []
"""State, percent and text of what the UI was told last, and before."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of every run, and a UI that remembers."""
    found = Store(tmp_path)
    monkeypatch.setattr(watching, "store_of", lambda name: found)
    monkeypatch.setattr(watching, "TELL_EVERY_S", 0.01)
    SHOWN.clear()

    def publish(self: object, progress: RunProgress, said: str) -> None:
        SHOWN.append((progress.state, progress.share or 0.0, said))

    monkeypatch.setattr(watching._Telling, "_publish", publish)
    return found


def begun(name: str = "webbody") -> tuple[Any, FlowRun]:
    """A flow and its run, whose hooks were called; this thread works for it."""
    watched, run = flow(name=name)(lambda: None), FlowRun(flow_id=uuid4(), name="old-owl", parameters={})
    say_begun(watched, run, State(type="RUNNING"))
    return watched, run


def only(store: Store) -> RunProgress:
    (run,) = StoreWatch(store).look()
    return run.progress()


@pytest.mark.parametrize(
    ("state", "ended", "said"),
    [
        (Completed(message="All is well"), "completed", ""),
        (Failed(message="the disk is full"), "failed", "the disk is full"),
        (Crashed(message="its worker is gone"), "crashed", "its worker is gone"),
        (Cancelling(message="somebody asked"), "cancelled", "somebody asked"),
        (Cancelled(message="somebody asked"), "cancelled", "somebody asked"),
    ],
)
def test_however_a_run_ends_the_store_and_the_ui_are_told(store: Store, state: State, ended: str, said: str) -> None:
    watched, run = begun()
    assert only(store).state == "running"
    expect_members("", 2)
    realise(build(parts=1, rows=3), store)
    say_ended(watched, run, state)
    found = only(store)
    assert (found.run, found.flow, found.name) == (str(run.id), "webbody", "old-owl")
    assert (found.state, found.said) == (ended, said)
    assert found.stages
    told, _, line = SHOWN[-1]
    assert told == ended
    assert line == summary_line(found)
    assert current_run() is None
    assert not [each for each in watching._TELLING if each == str(run.id)]


def test_nothing_after_the_end_says_that_a_run_lives(store: Store) -> None:
    watched, run = begun()
    say_ended(watched, run, Failed(message="no film"))
    say_ended(watched, run, Failed(message="no film"))
    assert (only(store).state, only(store).said) == ("failed", "no film")


def test_a_run_whose_process_is_killed_is_gone(store: Store) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        begin_run(store, RunHeader(run="r1", flow="webbody", name="old-owl", pid=process.pid))
        assert only(store).state == "running"
        process.kill()
    assert only(store).state == "gone"
    assert not only(store).alive
    end_run(store, "r1", "crashed")


def test_members_that_went_other_ways_are_not_waited_for(store: Store) -> None:
    """Two parts, each of a stage of its own, that meet in a third one."""
    begin_run(store, RunHeader(run="r1", flow="webbody", name="old-owl"))
    done = [("ingest", "a"), ("render", "b"), ("inspect", "c"), ("inspect", "d"), ("keypoints", "e")]
    counts = {"at": 0.0, "in": 1, "kept": 1, "out": 1, "bytes": 1}
    lines = [{"members": 2, "task": "describe"}]
    lines += [{"stage": stage, "task": "describe", "key": key} | counts for stage, key in done]
    (store.root / "running" / "r1" / "x-1-0.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = only(store)
    known = {each.stage: (each.shards, each.known) for each in found.stages}
    assert known == {"ingest": (1, 1), "render": (1, 1), "inspect": (2, 2), "keypoints": (1, 2)}
    assert found.share == 5 / 6
    end_run(store, "r1", "completed")


def test_every_dataset_is_watched() -> None:
    ways = {"on_running", "on_completion", "on_failure", "on_crashed", "on_cancellation"}
    assert set(WATCHED) == ways
    for name in set(DATASETS) - {"nightly"}:
        assert f'@flow(name="{name}", **WATCHED)' in MODULES[f"flows.{name}"].read_text()


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_real_run_tells_the_ui_how_it_ended(
    fails: bool, prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key = Store(tmp_path), f"watched-{'failing' if fails else 'good'}"
    monkeypatch.setattr(watching, "store_of", lambda name: store)

    @flow(name=key.replace("-", "_"), **WATCHED)
    def watched(places: PlaceNames = PlaceNames()) -> None:  # noqa: B008 - as the flows have it
        realise(build(parts=1, rows=3), store)
        if fails:
            raise ValueError("the disk is full")

    state = watched(return_state=True)
    assert state.is_failed() == fails
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"{key}-progress"])),
            sort=ArtifactSort.CREATED_DESC,
        )
    assert str(artifact.description).startswith("failed after" if fails else "completed after")
    assert artifact.data == (0 if fails else 100)
    assert only(store).said == ("Flow run encountered an exception: ValueError: the disk is full" if fails else "")
