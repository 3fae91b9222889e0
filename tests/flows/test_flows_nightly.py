"""A night on a real service: what fails is told and stops nobody, and a night with nothing new makes nothing."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.local import ask, server
from tests.deployments.local_service import begin, ended, local, mannequins, run_of, slots_taken, until

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]
NIGHT = "nightly/nightly"


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
def started(listener: Listener) -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="mannequin-home-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("MANNEQUIN_HOME", str(folder))
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
    texts = [each["text"] for each in listener.heard]
    assert any(text.startswith("video_patches ") for text in texts)
    assert any(text.startswith("nightly ") and run in text for text in texts)
    until(lambda: slots_taken(started) == 0, 30)


def test_a_night_with_nothing_new_makes_nothing(started: str, tmp_path: Path) -> None:
    only = {"deployments": ["pose_templates/pose_templates"]}
    save(tmp_path, "pose_templates", mannequins(8, 8))
    assert ended(started, begin(started, NIGHT, config=only), 300) == "COMPLETED"
    store = Path(os.environ["MANNEQUIN_HOME"])
    before = {path: path.stat().st_mtime_ns for path in (store / "shards").rglob("*")}
    latest = (store / "builds" / "pose_templates" / "latest.json").read_bytes()
    run = begin(started, NIGHT, config=only)
    assert ended(started, run, 300) == "COMPLETED"
    assert [row["state"] for row in told_of(started, run)] == ["Completed"]
    assert {path: path.stat().st_mtime_ns for path in (store / "shards").rglob("*")} == before
    assert (store / "builds" / "pose_templates" / "latest.json").read_bytes() == latest


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
