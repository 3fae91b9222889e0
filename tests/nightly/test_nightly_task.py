"""What a night tells of a refresh: the time of its runs, its rows, and why those cannot be told."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from tasks.nightly import task
from tasks.nightly.changes import builds_of
from tasks.nightly.plan import Deployed, Night, Outcome
from tasks.schema.errors import StoreError
from tasks.shards.notes import Run, RunHeader, write_header
from tasks.shards.store import Store
from tests.reports.made_builds import JudgeConfig, build, store_in

WELL = Outcome(deployment="sample/sample", state="Completed")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    found = store_in(tmp_path)
    monkeypatch.setattr(task, "store_of", lambda _name: found)
    build(found)
    return found


def refreshed(store: Store, *, builds: dict[str, str] | None, tells: bool = True, beside: int = 0) -> Outcome:
    """What is told of a refresh after which a stricter build is the last one; it ran twice, 90 s in all."""
    name = {"flow": "sample", "name": "sample", "pool": "local", "store": "default", "configured": True}
    mine, *others = (Deployed.model_validate({"id": uuid4(), **name, "builds": builds}) for _ in range(1 + beside))
    ids = {"flow_id": uuid4(), "deployment_id": mine.id}
    runs = [FlowRun.model_validate(ids | {"total_run_time": timedelta(seconds=s)}) for s in (30, 60)]
    runs.append(FlowRun(flow_id=uuid4(), deployment_id=uuid4(), total_run_time=timedelta(seconds=7)))
    if tells:
        run = Run(store, str(runs[1].id))
        run.folder.mkdir(parents=True)
        write_header(run, RunHeader(run=run.id, flow="sample", name="sample"))
    build(store, judged=JudgeConfig(threshold=0.5))
    return task._with_change(mine, WELL, Night(refreshes=(mine, *others), skipped=()), runs)


def test_the_time_of_all_its_runs_and_what_became_of_its_rows(store: Store) -> None:
    told = refreshed(store, builds=builds_of(store, "sample"))
    assert (told.seconds, told.message, told.well) == (90, "", True)
    assert told.change is not None
    assert (told.change.rows_before, told.change.rows, told.change.dropped) == (32, 20, 12)


def test_a_store_on_another_machine_is_not_taken_for_one_with_nothing_new(store: Store) -> None:
    told = refreshed(store, builds=builds_of(store, "sample"), tells=False)
    assert (told.change, told.message) == (None, "What is new is not known: its store is on another machine")


def test_two_deployments_that_publish_in_one_store_are_not_told_apart(store: Store) -> None:
    told = refreshed(store, builds=builds_of(store, "sample"), beside=1)
    assert told.change is None
    assert "another deployment of sample" in told.message


def test_a_store_that_does_not_answer_is_told_and_stops_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "its store did not answer before" in refreshed(store, builds=None).message

    def away(_name: str) -> Store:
        raise StoreError("The bucket is away.")

    monkeypatch.setattr(task, "store_of", away)
    told = task._with_change(
        Deployed(id=uuid4(), flow="sample", name="sample", pool="local", store="default", configured=True),
        WELL,
        Night(refreshes=(), skipped=()),
        [],
    )
    assert (told.change, told.message) == (None, "What is new is not known: The bucket is away.")
