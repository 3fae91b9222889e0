"""`make up` and `make down` as a person calls them, and what the server then says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from deployments.local import ask

ROOT = Path(__file__).parents[2]


def local(verb: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.local", verb]
    return subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)


def mannequins(rows: int, shard_rows: int) -> dict[str, Any]:
    """A configuration of pose_templates that needs no weights and no network."""
    return {
        "sources": [{"name": "mannequins", "kind": "mannequins", "category": "lifestyle", "limit": rows}],
        "keypoints": {"pose_model": ""},
        "shard_rows": shard_rows,
        "seeding": {"enabled": False},
        "controls": False,
    }


def deployment_id(url: str, full_name: str) -> str:
    return str((ask(url, f"deployments/name/{full_name}") or {}).get("id"))


def begin(url: str, full_name: str, **parameters: Any) -> str:
    """Start a run of a deployment, also while a busy server is late with its answer; returns its id."""
    body = {"parameters": parameters, "idempotency_key": uuid4().hex}
    for _ in range(5):
        made = ask(url, f"deployments/{deployment_id(url, full_name)}/create_flow_run", body)
        if made is not None:
            return str(made["id"])
    raise AssertionError(f"{url} starts no run of {full_name}")


def run_of(url: str, run: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(url, f"flow_runs/{run}") or {}
    return found


def state_of(url: str, run: str) -> str:
    """COMPLETED and so on; empty while the server does not answer."""
    return str(run_of(url, run).get("state_type", ""))


def ended(url: str, run: str, timeout_s: float) -> str:
    """The state in which a run ends."""
    until(lambda: state_of(url, run) in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}, timeout_s)
    return state_of(url, run)


def process_of(url: str, run: str) -> int:
    """Number of the process that the worker started for a run; 0 while there is none."""
    return int(str(run_of(url, run).get("infrastructure_pid") or "").rpartition(":")[2] or 0)


def slots_taken(url: str) -> int:
    """Of all limits, those of deployments and of GPUs alike."""
    return sum(
        int(each["active_slots"]) for each in ask(url, "v2/concurrency_limits/filter", {}) or [{"active_slots": 1}]
    )


def until(true: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s"
        time.sleep(0.5)
