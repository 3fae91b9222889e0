"""The runs that a worker of this machine started: each is a process of its own, which outlives the worker.

A run whose process is gone would count as running for ever, so whoever stops or starts a worker ends it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]

Ask = Callable[..., Any]
"""`ask(path, data)`: what the server's API answers, or None."""
_ALIVE = ["RUNNING", "PENDING", "CANCELLING"]
_STOP_S = 15.0
_PAUSES_S = (0.0, 1.0, 3.0)
"""Before each try to end a run: a busy server may refuse one."""


def run_processes(url: str) -> dict[str, list[psutil.Process]]:
    """Id of a flow run -> its processes, of the server at this address; the worker tells it to them by variables."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            variables = process.environ()
            run = variables.get("PREFECT__FLOW_RUN_ID")
            if run and variables.get("PREFECT_API_URL") == f"{url}/api":
                found.setdefault(run, []).append(process)
    return found


def end_lost_runs(ask: Ask, url: str, pool: str, worker: str) -> Iterator[str]:
    """End the runs of a pool that nobody works on any more, once its worker on this machine is gone; gives their names.

    Where other workers serve the pool, theirs cannot be told from ours, and the server ends those without a heartbeat.
    """
    workers = ask(f"work_pools/{pool}/workers/filter", {}) or ()
    if any(each["name"] != worker and each["status"] == "ONLINE" for each in workers):
        return
    alive = run_processes(url)
    for run in _unfinished(ask, pool):
        if run["id"] not in alive and _crash(ask, run, "Its process is gone."):
            yield run["name"]


def stop_runs(ask: Ask, url: str, pool: str) -> Iterator[str]:
    """Stop the processes of all runs on this machine, and end the runs of a pool; gives their names."""
    _stop([process for family in run_processes(url).values() for process in family])
    for run in _unfinished(ask, pool):
        if _crash(ask, run, "It was stopped by `make down`."):
            yield run["name"]


def _unfinished(ask: Ask, pool: str) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"state": {"type": {"any_": _ALIVE}}}, "work_pools": {"name": {"any_": [pool]}}}
    return ask("flow_runs/filter", wanted) or []


def _stop(processes: list[psutil.Process]) -> None:
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                end(each)
        _, processes = psutil.wait_procs(processes, timeout=_STOP_S)


def _crash(ask: Ask, run: dict[str, Any], why: str) -> bool:
    """End a run; False: the server does not take it, and ends the run itself when it misses the heartbeat."""
    state = {"type": "CRASHED", "message": f"{why} Run it again: what it made is found."}
    for pause in _PAUSES_S:
        time.sleep(pause)
        if ask(f"flow_runs/{run['id']}/set_state", {"state": state, "force": True}) is not None:
            return True
    return False
