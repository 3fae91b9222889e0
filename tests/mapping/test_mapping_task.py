"""Mappings on threads, processes and Ray: what the server is told, and what becomes of those who die."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import State

from tasks.machine.runner import Runner
from tasks.machine.task import GPU
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.store import Store
from tests.mapping.mapped_tasks import work_on

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(600)]

KINDS = [
    "threads",
    pytest.param("processes", marks=pytest.mark.slow),
    pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.engine]),
]


def run(root: Path, runner: Runner, count: int = 5, fates: dict[int, str] | None = None) -> State[Any]:
    return work_on(count, fates or {}, str(root), runner, return_state=True)


def recorded(state: State[Any], ended: int) -> list[tuple[str, str]]:
    """Names and states of the task runs that the server knows, in order, once so many have ended."""
    flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    deadline = time.monotonic() + 20
    with get_client(sync_client=True) as client:
        while True:
            runs = client.read_task_runs(flow_run_filter=flow_run)
            if sum(each.state is not None and each.state.is_final() for each in runs) >= ended:
                return sorted((each.name, str(each.state_name)) for each in runs)
            assert time.monotonic() < deadline, [(each.name, each.state_name) for each in runs]
            time.sleep(0.2)


def told(state: State[Any], expected: int) -> tuple[int, int]:
    """How many artifacts and how many lines of `work` the server has of a run, once there are so many lines."""
    run_id = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))
            lines = [line for line in logs if line.message.startswith("working on")]
            if len(lines) >= expected:
                break
            time.sleep(0.5)
    return len(artifacts), len(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_is_told_the_same_wherever_tasks_run(kind: Any, tmp_path: Path) -> None:
    runner = Runner(kind=kind, workers=2)
    state = run(tmp_path, runner)
    numbers, processes = zip(*state.result(), strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert (set(processes) == {os.getpid()}) == (kind == "threads")
    assert recorded(state, 5) == [(f"work on {number}", "Completed") for number in range(5)]
    assert told(state, 5) == (1, 5)
    again = run(tmp_path, runner, 6)
    assert [state for _, state in recorded(again, 6)] == [*["Cached"] * 5, "Completed"]


def test_many_shards_are_few_task_runs_and_one_that_fails_is_alone(tmp_path: Path) -> None:
    runner = Runner(workers=2, most_task_runs=200)
    state = run(tmp_path, runner, 60, {7: "fails"})
    assert state.is_failed()
    with pytest.raises(ValueError, match="on purpose"):
        state.result()
    runs = recorded(state, 50)
    assert len(runs) == 50
    (failed,) = [name for name, ended in runs if ended == "Failed"]
    assert failed in {"work on 7", "work on 6 to 7", "work on 7 to 8"}
    assert Counter(ended for _, ended in runs) == {"Completed": 49, "Failed": 1}
    assert len(list(Store(tmp_path).records())) == 59


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_its_group_tried_again(tmp_path: Path) -> None:
    runner = Runner(kind="processes", workers=2)
    state = run(tmp_path, runner, 4, {1: "dies once"})
    assert [number for number, _ in state.result()] == [0, 1, 2, 3]
    runs = recorded(state, 4)
    assert [name for name, ended in runs if ended == "Completed"] == [f"work on {number}" for number in range(4)]
    assert {(name, ended) for name, ended in runs if ended != "Completed"} <= {("work on 1", "Crashed")}
    state = run(tmp_path, runner, 5, {4: "dies"})
    with pytest.raises(StoreError, match="died 3 times"):
        state.result()
    runs = recorded(state, 4)
    assert [name for name, ended in runs if ended == "Cached"] == [f"work on {number}" for number in range(4)]
    assert {(name, ended) for name, ended in runs if ended != "Cached"} <= {("work on 4", "Crashed")}


@pytest.mark.slow
@pytest.mark.engine
def test_a_ray_worker_that_dies_again_and_again_is_told_to_the_server(tmp_path: Path) -> None:
    state = run(tmp_path, Runner(kind="ray", workers=2), 3, {1: "dies"})
    with pytest.raises(StoreError, match="Ray gave up 1 groups of 'work'"):
        state.result()
    assert recorded(state, 3) == [("work on 0", "Completed"), ("work on 1", "Crashed"), ("work on 2", "Completed")]
    assert len(list(Store(tmp_path).records())) == 2


@pytest.fixture
def ray_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address that a Ray which runs has for clients; any token will do."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, own = one.getsockname()[1], other.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")  # sockets lie in it, whose paths must be short
    where = ["--port", str(own), "--ray-client-server-port", str(port), "--node-ip-address", "127.0.0.1"]
    size = ["--num-cpus", "2", "--include-dashboard", "false", "--temp-dir", folder]
    ray = subprocess.Popen(
        [Path(sys.executable).with_name("ray"), "start", "--head", "--block", *where, *size],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            assert ray.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"ray://127.0.0.1:{port}"
    finally:
        ray.terminate()
        ray.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.engine
def test_a_ray_that_runs_is_worked_on_as_a_client(ray_client: str, tmp_path: Path) -> None:
    state = run(tmp_path, Runner(kind="ray", address=ray_client))
    numbers, processes = zip(*state.result(), strict=True)
    assert numbers == (0, 1, 2, 3, 4)
    assert os.getpid() not in processes
    assert recorded(state, 5) == [(f"work on {number}", "Completed") for number in range(5)]
    assert told(state, 5) == (1, 5)


def test_an_address_where_no_ray_listens_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        state = run(tmp_path, Runner(kind="ray", address=address))
        with pytest.raises(ConfigError, match=f"^There is no Ray at {address}: Connection refused\\.$"):
            state.result()


@pytest.mark.slow
def test_counted_gpus_want_a_limit_and_give_back_its_slots(tmp_path: Path) -> None:
    runner = Runner(workers=3, gpus=1)
    with get_client(sync_client=True) as client:
        state = run(tmp_path, runner, 1)
        with pytest.raises(ConfigError, match="no concurrency limit 'gpu'"):
            state.result()
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU, limit=1))
        try:
            assert run(tmp_path, runner, 4, {2: "fails"}).is_failed()
            assert len(list(Store(tmp_path).records())) == 3
            assert client.read_global_concurrency_limit_by_name(GPU).active_slots == 0
        finally:
            client.delete_global_concurrency_limit_by_name(GPU)
