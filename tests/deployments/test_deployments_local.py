"""`make up` and `make down`, for real: half-started states are completed, and what people changed stays."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from deployments.local import ROOT, ask, environment, server, worker
from tasks.catalog.embedded import start_embedded
from tasks.schema.home import home as home_folder
from tests.deployments.local_service import local, until

PROGRAMS = Path(sys.executable).parent
FORM = {
    "sources": [{"name": "mannequins", "kind": "mannequins", "category": "lifestyle", "limit": 8}],
    "keypoints": {"pose_model": ""},
    "shard_rows": 8,
    "controls": False,
}
DATASETS = ("pose_templates", "webbody", "video_patches", "music_to_pose", "runway_street")
MADE = {(task, "Completed") for task in ("list", "describe", "select", "combine", "publish", "report", "show", "fill")}
BEGUN = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
"""Runs but for the nights that the server plans."""
FOUND = {(task, "Cached" if task in ("describe", "select", "combine") else state) for task, state in MADE}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    monkeypatch.delenv("MANNEQUIN_PORT", raising=False)
    return tmp_path


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


@pytest.mark.engine
def test_a_database_that_cannot_be_read_is_explained(home: Path) -> None:
    (home / "prefect").mkdir()
    database = home / "prefect" / "prefect.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('fffffffffff0')")
        connection.commit()
    for means in ("was made by a newer Prefect", "is damaged"):
        done = local("up")
        assert done.returncode == 1
        assert f"{database} {means}" in done.stderr
        assert "Traceback" not in done.stderr
        assert server().pid() is None
        database.write_bytes(b"no database at all, but long enough to have a header" * 100)


def test_down_and_status_where_nothing_runs(home: Path) -> None:
    assert "was not running" in local("down").stdout
    assert "not running" in local("status").stdout
    assert not (home / "prefect").exists()


def deploy_anew(url: str) -> None:
    """Let the next `make up` deploy, as after a new version."""
    body = {"variables": {"name": {"any_": ["mannequin_deployed"]}}}
    [found] = ask(url, "variables/filter", body)
    httpx.delete(f"{url}/api/variables/{found['id']}").raise_for_status()


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


def tell(method: str, url: str, said: object) -> None:
    """Ask for a change, again while the server's database is busy."""
    for _ in range(10):
        reply = httpx.request(method, url, json=said, timeout=30)
        if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(1)
    reply.raise_for_status()


def set_by_people(url: str) -> None:
    """Schedules switched on, off and added, a pool changed, parameters saved, also such as an older version took."""
    older = {"type": "object", "properties": {"config": {"type": "object"}}}
    gone = {"config": {"a_field_of_an_older_version": 3}}
    noon = [{"active": True, "schedule": {"cron": "0 12 * * *", "timezone": "Europe/Berlin"}}]
    for name, on, update, schedules in (
        ("nightly", False, {}, []),
        ("pose_templates", True, {"parameters": {"config": FORM}, "work_pool_name": "gpu"}, []),
        ("webbody", True, {}, noon),
        ("music_to_pose", False, {"parameters": gone, "parameter_openapi_schema": older}, []),
    ):
        found = ask(url, f"deployments/name/{name}/{name}")
        path = f"{url}/api/deployments/{found['id']}"
        tell("PATCH", f"{path}/schedules/{found['schedules'][0]['id']}", {"active": on})
        tell("PATCH", path, update)
        tell("POST", f"{path}/schedules", schedules)


def saved(url: str) -> dict[str, Any]:
    """What people set of every deployment, without the ids that a server gives to schedules."""
    return {
        each["id"]: (
            each["parameters"],
            each["work_pool_name"],
            sorted((schedule["schedule"]["cron"], schedule["active"]) for schedule in each["schedules"]),
        )
        for each in ask(url, "deployments/filter", {})
    }


def from_a_clean_shell(*words: str, folder: Path, **variables: str) -> str:
    """What a program of ours says to somebody who has set nothing but `variables`; it must end well."""
    done = subprocess.run(
        [PROGRAMS / words[0], *words[1:]],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ended_tasks(url: str, expected: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Task and state of the task runs of the last flow run; the server hears of them a little later than we do."""
    deadline = time.monotonic() + 30
    while True:
        last = ask(url, "flow_runs/filter", BEGUN | {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})[0]["id"]
        runs = ask(url, "task_runs/filter", {"flow_runs": {"id": {"any_": [last]}}})
        found = {(run["name"].replace("-", " ").split()[0], run["state_name"]) for run in runs}
        if found == expected or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def rows_in_postgres() -> int:
    with psycopg.connect(start_embedded(home_folder() / "postgres")) as connection:
        counted = connection.execute('SELECT count(*) FROM pose_templates WHERE "isActive"').fetchone()
    return int(counted[0]) if counted else 0


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_the_worker_and_the_command_line_share_one_store(started: str, tmp_path: Path) -> None:
    deployed = ("prefect", "deployment", "run", "pose_templates/pose_templates", "--watch")
    for expected in (MADE, FOUND):
        from_a_clean_shell(
            *deployed, "--params", json.dumps({"config": FORM}), folder=tmp_path, PREFECT_API_URL=f"{started}/api"
        )
        assert ended_tasks(started, expected) == expected
        assert rows_in_postgres() == 8

    (tmp_path / "form.json").write_text(json.dumps(FORM))
    run = ("mannequin", "run", "pose_templates", "--config", "form.json")
    from_a_clean_shell(*run, folder=tmp_path, MANNEQUIN_HOME=str(home_folder()))
    assert ended_tasks(started, FOUND) == FOUND
    runs = ask(started, "flow_runs/filter", BEGUN)
    assert [each["state_name"] for each in runs] == ["Completed"] * 3
    assert sum(each["deployment_id"] is None for each in runs) == 1
    assert rows_in_postgres() == 8


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_the_server_plans_the_next_nights(started: str) -> None:
    """Prefect's scheduler makes runs of schedules ahead of time, and only says in its log that it cannot."""
    night = {"deployments": {"name": {"any_": ["nightly"]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: bool(ask(started, "flow_runs/filter", night)), 90)
    assert {run["expected_start_time"][11:16] for run in ask(started, "flow_runs/filter", night)} == {"01:00"}


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_up_again_and_after_accidents(started: str) -> None:
    url = started
    before = state_of(url)
    on = {each["name"]: schedule["active"] for each in before[0] for schedule in each["schedules"]}
    assert on == {"nightly": True} | dict.fromkeys(DATASETS, False)

    assert {each["name"] for each in ask(url, "work_pools/filter", {})} >= {"local", "gpu", "clustering"}
    assert "gpu" in {each["name"] for each in ask(url, "v2/concurrency_limits/filter", {})}

    pids = server().pid(), worker().pid()
    deploy_anew(url)
    again = local("up")
    assert again.stdout.count("runs already") == 2
    assert (server().pid(), worker().pid()) == pids
    assert state_of(url) == before

    set_by_people(url)
    kept = saved(url)
    deploy_anew(url)
    register = [sys.executable, "-m", "deployments.register"]
    killed = subprocess.Popen(register, cwd=ROOT, env=os.environ | {"PREFECT_API_URL": f"{url}/api"})
    until(lambda: not ask(url, "deployments/name/pose_templates/pose_templates")["parameters"], 120)
    killed.kill()
    killed.wait()
    assert saved(url) != kept
    os.kill(int(worker().pid() or 0), signal.SIGKILL)
    again = local("up")
    assert again.returncode == 0, again.stderr
    assert worker().pid() not in (None, pids[1])
    assert "saved on music_to_pose/music_to_pose do not fit any more" in again.stdout
    assert "a_field_of_an_older_version" in again.stdout
    assert saved(url) == kept

    os.killpg(int(server().pid() or 0), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server().pid() is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "not running" in local("status").stdout
    assert local("up").returncode == 0
    assert server().url() == url
    assert {each["id"] for each in ask(url, "deployments/filter", {})} == {each["id"] for each in before[0]}

    done = local("down")
    assert done.returncode == 0, done.stderr
    stopped = {line.removesuffix(" stopped").strip() for line in done.stdout.splitlines() if line.endswith(" stopped")}
    assert stopped >= {"worker", "Prefect server"}
    assert (server().pid(), worker().pid()) == (None, None)
    assert (home_folder() / "prefect" / "prefect.db").exists()
