"""Nights on a real service: what is new is made and told, what fails is told and stops nobody, kills lose nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.local import ask, server
from tasks.shards.store import Store
from tests.deployments.local_service import (
    begin,
    deployment_id,
    ended,
    local,
    mannequins,
    process_of,
    run_of,
    slots_taken,
    until,
)
from tests.download.url_server import UrlServer
from tests.ingest.hub_server import HubServer
from tests.nightly.growing_sources import GrowingSources

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]
NIGHT = "nightly/nightly"
GROWING = "growing"
"""The store of the datasets whose sources grow."""


class Listener(ThreadingHTTPServer):
    """Whom failures are told; `heard` holds the bodies."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Told)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class Told(BaseHTTPRequestHandler):
    """Takes one message."""

    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with Listener() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrowingSources]:
    with HubServer() as hub, UrlServer() as web:
        yield GrowingSources(tmp_path_factory.mktemp("sources"), hub, web)


@pytest.fixture(scope="module")
def started(listener: Listener, sources: GrowingSources) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="mannequin-home-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("MANNEQUIN_HOME", str(folder))
        variables.setenv("MANNEQUIN_MODELS", str(sources.folder / "models"))
        variables.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
        variables.setenv("MANNEQUIN_ALLOW_NETWORKS", "127.0.0.0/8")
        variables.setenv("HF_ENDPOINT", sources.hub.endpoint)
        variables.delenv("MANNEQUIN_PORT", raising=False)
        done = local("up", MANNEQUIN_NOTIFY_URL=listener.url)
        assert done.returncode == 0, done.stderr
        assert "failures are told by the block mannequin-notify" in done.stdout
        yield str(server().url())
        assert local("down").returncode == 0
    shutil.rmtree(folder)


def save(folder: Path, name: str, config: dict[str, Any], *words: str) -> str:
    """`mannequin save`, as a person says it; returns what it printed."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    command = [Path(sys.executable).parent / "mannequin", "save", name, "--config", path, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=os.environ)
    return done.stdout + done.stderr


def made_in(home: Path) -> dict[tuple[str, str], int]:
    """(Stage, key) of every output in a store -> its rows."""
    return {(record.stage, record.key): record.data.rows for record in Store(home).records()}


def written(home: Path) -> dict[Path, int]:
    """When each file of the shards was written."""
    return {path: path.stat().st_mtime_ns for path in (home / "shards").rglob("*") if path.is_file()}


def refreshes(url: str, deployment: str) -> dict[str, str]:
    """The runs of a deployment, the first one first -> the names of their states."""
    wanted = {"flow_runs": {"deployment_id": {"any_": [deployment_id(url, deployment)]}}, "sort": "START_TIME_ASC"}
    return {run["id"]: run["state_name"] for run in ask(url, "flow_runs/filter", wanted) or ()}


def told_of(url: str, run: str) -> list[dict[str, Any]]:
    """The table of a night."""
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["night"]}}}
    until(lambda: bool(ask(url, "artifacts/filter", wanted)), 30)
    rows: list[dict[str, Any]] = json.loads(ask(url, "artifacts/filter", wanted)[0]["data"])
    return rows


def test_one_dataset_that_fails_stops_nobody_and_is_told(started: str, listener: Listener, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    film = {"films": [{"name": "film", "path": str(path), "categories": {"general": 1.0}}]}
    assert "there is no file" in save(tmp_path, "video_patches", film)
    path.write_bytes(b"no film")
    assert "There is no deployment webbody/none" in save(tmp_path, "webbody/none", {"sources": []})
    assert "has config, places saved" in save(tmp_path, "video_patches", film, "-p", "places.store=nowhere")
    assert "has config saved" in save(tmp_path, "pose_templates", mannequins(8, 8))
    assert "do not fit webbody" in save(tmp_path, "webbody", {"sources": []})

    run = begin(started, NIGHT)
    assert ended(started, run, 600) == "FAILED"
    message = run_of(started, run)["state"]["message"]
    assert "1 of 5 did not end well" in message
    assert "video_patches/video_patches Failed" in message
    assert "mannequin-store/nowhere" in message
    rows = {row["deployment"].partition("/")[0]: row["state"] for row in told_of(started, run)}
    skipped = dict.fromkeys(("webbody", "music_to_pose", "runway_street"), "Skipped")
    assert rows == {"pose_templates": "Completed", "video_patches": "Failed"} | skipped
    until(lambda: len(listener.heard) >= 2, 60)
    dataset, night = dict.fromkeys(each["text"] for each in listener.heard)
    assert dataset.startswith("video_patches "), "as soon as it failed"
    assert night.startswith("nightly ")
    assert run in night
    assert "the others are done. video_patches/video_patches Failed" in night
    until(lambda: slots_taken(started) == 0, 30)


@pytest.fixture(scope="module")
def grown(started: str, sources: GrowingSources) -> Path:
    """A store of its own, known by a block."""
    folder = sources.folder / "store"
    block = f"from blocks import Store; Store(root={str(folder)!r}).save({GROWING!r})"
    subprocess.run([sys.executable, "-c", block], env=os.environ | {"PREFECT_API_URL": f"{started}/api"}, check=True)
    return folder


@pytest.fixture(scope="module")
def first_night(started: str, sources: GrowingSources, grown: Path) -> list[dict[str, Any]]:
    for flow, config in sources.configs().items():
        assert "has config, places saved" in save(sources.folder, flow, config, "-p", f"places.store={GROWING}")
    run = begin(started, NIGHT)
    assert ended(started, run, 600) == "COMPLETED", run_of(started, run)["state"]["message"]
    return told_of(started, run)


def test_the_first_night_makes_everything(first_night: list[dict[str, Any]]) -> None:
    rows = {row["deployment"].partition("/")[0]: row for row in first_night}
    assert {flow: (row["rows before"], row["rows"], row["new"]) for flow, row in rows.items()} == {
        "pose_templates": (0, 4, 4),
        "webbody": (0, 1, 1),
        "video_patches": (0, 2, 2),
        "music_to_pose": (0, 1, 1),
        "runway_street": (0, 3, 3),
    }
    assert {row["state"] for row in first_night} == {"Completed"}
    assert all(row["minutes"] > 0 for row in first_night)
    assert set(rows["webbody"]["newly rejected"].split(", ")) == {"http_gone 1", "http_server_error 1"}


def test_a_night_makes_what_is_new_in_each_source_and_tells_it(
    started: str, first_night: list[dict[str, Any]], sources: GrowingSources, grown: Path
) -> None:
    before, files = made_in(grown), written(grown)
    assert sources.web.asked("/status/404") == 1
    sources.grow()
    run = begin(started, NIGHT)
    assert ended(started, run, 600) == "COMPLETED", run_of(started, run)["state"]["message"]

    assert files.items() <= written(grown).items()
    made: Counter[str] = Counter()
    for (stage, key), rows in made_in(grown).items():
        made[stage] += rows if (stage, key) not in before else 0
    assert made == {
        **dict.fromkeys(("ingest", "keypoints", "describe", "preview"), 2),  # the rows of the new revision
        **dict.fromkeys(("combine", "select"), 6),  # which of all are kept
        **dict.fromkeys(("download", "consent"), 2),  # a new address, and one that was due again
        **dict.fromkeys(("urls", "retry_urls", "film", "dance", "labels", "embed"), 1),
        **dict.fromkeys(("windows", "patches", "looks"), 2),
        "inspect": 2 + 1,  # of pose_templates and of runway_street
    }
    assert sources.web.asked("/status/404") == sources.web.asked("/ok/0") == sources.web.asked("/ok/1") == 1

    told = {row["deployment"].partition("/")[0]: row for row in told_of(started, run)}
    columns = ("rows before", "rows", "new", "dropped", "newly rejected")
    assert {flow: tuple(row[column] for column in columns) for flow, row in told.items()} == {
        "pose_templates": (4, 6, 2, 0, ""),
        "webbody": (1, 3, 2, 0, ""),
        "video_patches": (2, 4, 2, 0, ""),
        "music_to_pose": (1, 2, 1, 0, "video_truncated 1"),
        "runway_street": (3, 4, 1, 0, "image_format_unsupported 1"),
    }
    assert all(row["compare"].startswith("mannequin compare ") for row in told.values())
    assert all(row["compare"].endswith(f" --store {GROWING}") for row in told.values())


def test_a_night_with_nothing_new_makes_nothing(started: str, first_night: object, grown: Path) -> None:
    before, latest = written(grown), (grown / "builds" / "pose_templates" / "latest.json").read_bytes()
    run = begin(started, NIGHT, config={"deployments": ["pose_templates/pose_templates"]})
    assert ended(started, run, 300) == "COMPLETED"
    (row,) = told_of(started, run)
    assert (row["state"], row["rows before"], row["new"], row["dropped"]) == ("Completed", row["rows"], 0, 0)
    assert row["compare"] == ""
    assert written(grown) == before
    assert (grown / "builds" / "pose_templates" / "latest.json").read_bytes() == latest


def test_a_night_that_was_killed_leaves_its_refresh_and_the_next_one_waits_for_it(
    started: str, sources: GrowingSources
) -> None:
    """While it waits the server is killed and started again."""
    only = {"deployments": ["webbody/webbody"]}
    sources.list_urls("/ok/0", "/ok/2")
    save(sources.folder, "webbody", sources.configs()["webbody"])
    before = len(refreshes(started, "webbody/webbody"))
    killed = begin(started, NIGHT, config=only)
    until(lambda: "Running" in refreshes(started, "webbody/webbody").values(), 120)
    (held,) = (
        process_of(started, run) for run, state in refreshes(started, "webbody/webbody").items() if state == "Running"
    )
    os.kill(held, signal.SIGSTOP)
    try:
        second = begin(started, NIGHT, config=only)
        assert ended(started, second, 120) == "CANCELLED", "a night that is at work is not followed by another one"
        os.kill(process_of(started, killed), signal.SIGKILL)
        assert ended(started, killed, 120) == "CRASHED"
        next_one = begin(started, NIGHT, config=only)
        until(lambda: "AwaitingConcurrencySlot" in refreshes(started, "webbody/webbody").values(), 120)
        os.kill(server().pid() or 0, signal.SIGKILL)
        assert local("up").returncode == 0
    finally:
        os.kill(held, signal.SIGCONT)
    assert ended(started, next_one, 300) == "COMPLETED"
    assert list(refreshes(started, "webbody/webbody").values())[before:] == ["Completed", "Completed"]
    assert sources.web.asked("/ok/2") == 1
    until(lambda: slots_taken(started) == 0, 30)


def test_a_deployment_without_a_worker_and_an_unknown_one_are_told(started: str, tmp_path: Path) -> None:
    unknown = begin(started, NIGHT, config={"deployments": ["films/films"]})
    assert ended(started, unknown, 120) == "FAILED"
    assert "There is no deployment films/films" in run_of(started, unknown)["state"]["message"]
    save(tmp_path, "pose_templates/gpu", mannequins(8, 8))
    waiting = begin(started, NIGHT, config={"deployments": ["pose_templates/gpu"]})
    refresh = {"flow_runs": {"id": {"any_": [waiting]}}, "task_runs": {"state": {"name": {"any_": ["AwaitingRetry"]}}}}
    until(lambda: bool(ask(started, "task_runs/filter", refresh)), 120)
    logs = {"logs": {"flow_run_id": {"any_": [waiting]}}}
    until(lambda: "No worker serves the work pool" in str(ask(started, "logs/filter", logs)), 30)
    ask(started, f"flow_runs/{waiting}/set_state", {"state": {"type": "CANCELLING"}})
    assert ended(started, waiting, 120) == "CANCELLED"
