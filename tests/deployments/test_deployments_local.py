"""`make up` and `make down`, for real: half-started states are completed, and what people changed stays."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local import ask, environment, server, worker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    monkeypatch.delenv("MANNEQUIN_PORT", raising=False)
    return tmp_path


def local(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.local", verb]
    return subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)


def test_the_environment_is_our_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "somebody else's")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.setenv("MANNEQUIN_MODELS", "weights")
    found = environment("http://127.0.0.1:4200")
    assert "PREFECT_API_KEY" not in found
    assert found["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert found["PREFECT_HOME"] == str(home / "prefect")
    assert found["MANNEQUIN_MODELS"] == str(Path("weights").absolute())


def test_a_taken_port_that_was_asked_for_is_an_error(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        done = local("up", MANNEQUIN_PORT=str(held.getsockname()[1]))
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr
    assert local("up", MANNEQUIN_PORT="http").returncode == 1


def test_down_and_status_where_nothing_runs(home: Path) -> None:
    assert "was not running" in local("down").stdout
    assert "not running" in local("status").stdout
    assert not (home / "prefect").exists()


def state_of(url: str) -> Any:
    """Everything that was deployed, without the times at which it was looked at."""
    deployments = ask(url, "deployments/filter", {})
    for each in deployments:
        for name in ("updated", "last_polled", "status"):
            del each[name]
        for schedule in each["schedules"]:
            del schedule["updated"]
    blocks = [(each["id"], each["data"]) for each in ask(url, "block_documents/filter", {})]
    return deployments, sorted(blocks), [each["id"] for each in ask(url, "automations/filter", {})]


@pytest.fixture
def started(home: Path) -> Iterator[str]:
    done = local("up")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    yield str(server().url())
    local("down")


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_up_again_and_after_accidents(started: str, home: Path) -> None:
    url = started
    before = state_of(url)
    assert [each["name"] for each in before[0]] == ["pose_templates"]
    assert [schedule["active"] for schedule in before[0][0]["schedules"]] == [False]

    pids = server().pid(), worker().pid()
    again = local("up")
    assert again.stdout.count("runs already") == 2
    assert (server().pid(), worker().pid()) == pids
    assert state_of(url) == before

    deployment, schedule = before[0][0]["id"], before[0][0]["schedules"][0]["id"]
    httpx.patch(f"{url}/api/deployments/{deployment}/schedules/{schedule}", json={"active": True}).raise_for_status()
    os.kill(int(worker().pid() or 0), signal.SIGKILL)
    assert local("up").returncode == 0
    assert worker().pid() not in (None, pids[1])
    assert ask(url, f"deployments/{deployment}")["schedules"][0]["active"] is True

    os.killpg(int(server().pid() or 0), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server().pid() is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "not running" in local("status").stdout
    assert local("up").returncode == 0
    assert server().url() == url
    assert [each["id"] for each in ask(url, "deployments/filter", {})] == [deployment]

    assert local("down").stdout.count(" stopped") == 2
    assert (server().pid(), worker().pid()) == (None, None)
    assert (home / "prefect" / "prefect.db").exists()
