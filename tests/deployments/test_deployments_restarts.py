"""Server and worker go away in mid-run: the run ends or goes on, what it made is found, and no slot stays taken."""

import os
import signal
from datetime import timedelta
from typing import Any

import pytest

from deployments.local import ask, server, worker
from deployments.runs import run_processes
from tasks.schema.home import home
from tests.deployments.local_service import begin, ended, local, mannequins, run_of, slots_taken, state_of, until

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]
FLOW = "pose_templates/pose_templates"
MADE_S, STOP_S, END_S = 120.0, 180.0, 300.0


def at_work(url: str, seed: int) -> tuple[str, dict[str, Any]]:
    """A run that has committed something and has much to do, with its configuration."""
    config = mannequins(100, 2)
    config["sources"][0]["seed"] = seed  # nothing of the other tests is found
    run = begin(url, FLOW, config=config)
    until(lambda: state_of(url, run) == "RUNNING", MADE_S)
    before = records()
    until(lambda: records() > before + 3, MADE_S)
    assert state_of(url, run) == "RUNNING"
    return run, config


def records() -> int:
    return sum(1 for _ in (home() / "shards").rglob("*.json")) if (home() / "shards").exists() else 0


def resumed(url: str, config: dict[str, Any]) -> None:
    """The same run again comes to its end, and no slot is taken afterwards."""
    assert ended(url, begin(url, FLOW, config=config), END_S) == "COMPLETED"
    until(lambda: slots_taken(url) == 0, 30)


def test_a_run_outlives_a_restart_of_the_server(started: str) -> None:
    run, config = at_work(started, 1)
    os.killpg(int(server().pid() or 0), signal.SIGKILL)
    until(lambda: server().pid() is None, 15)
    again = local("up")
    assert again.returncode == 0, again.stderr
    assert server().url() == started
    assert ended(started, run, END_S) == "COMPLETED", run_of(started, run)["state"]
    assert run_of(started, run)["run_count"] == 1
    resumed(started, config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_goes_away_alone(started: str, number: signal.Signals) -> None:
    run, config = at_work(started, 1 + number)
    os.kill(int(worker().pid() or 0), number)
    until(lambda: worker().pid() is None, STOP_S)
    again = local("up")
    assert again.returncode == 0, again.stderr
    assert ended(started, run, END_S) in {"COMPLETED", "CRASHED"}
    until(lambda: run not in run_processes(started), 30)
    resumed(started, config)


def test_a_machine_that_goes_away(started: str) -> None:
    run, config = at_work(started, 100)
    os.kill(int(worker().pid() or 0), signal.SIGKILL)
    for process in run_processes(started)[run]:
        process.kill()
    until(lambda: worker().pid() is None, 15)
    again = local("up")
    assert f"{run_of(started, run)['name']} had lost its worker and was ended" in again.stdout
    assert state_of(started, run) == "CRASHED"
    resumed(started, config)


def test_the_server_ends_by_itself_what_has_no_heartbeat(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{started}/api")
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from deployments.automations import register_automations

    with temporary_settings({PREFECT_API_URL: f"{started}/api"}), get_client(sync_client=True) as client:
        register_automations(client, "", silent=timedelta(seconds=30))
    run, config = at_work(started, 200)
    os.kill(int(worker().pid() or 0), signal.SIGKILL)
    for process in run_processes(started)[run]:
        process.kill()
    assert ended(started, run, 120) == "CRASHED"
    assert "heartbeat" in run_of(started, run)["state"]["message"]
    until(lambda: slots_taken(started) == 0, 30)
    assert local("up").returncode == 0
    assert ask(started, "automations/filter", {})
    resumed(started, config)


def test_down_leaves_no_process_and_no_run_that_runs(started: str) -> None:
    run, config = at_work(started, 300)
    assert local("down").returncode == 0
    assert not run_processes(started)
    assert local("up").returncode == 0
    url = str(server().url())  # the port was free for a while, for others too
    assert state_of(url, run) == "CRASHED"
    resumed(url, config)
