"""Thousands of cheap stage-shards through the mapping of the flows: task runs, records, seconds and memory.

    python -m tests.benchmarks.bench_prefect_size --shards 12000

Runs against a Prefect server of its own, with the settings of `make up`; then once more, when everything is found.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

TASKS = 1500
RECORDS_S = 300.0


def started(port: int, folder: Path) -> "psutil.Popen":
    """A server as `make up` starts it, ready; this process talks to it."""
    from deployments.local import answers, environment

    url = f"http://127.0.0.1:{port}"
    os.environ["MANNEQUIN_HOME"] = str(folder)
    settings = environment(url)
    os.environ.update(settings)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = psutil.Popen(command, env=settings, stdout=log, stderr=subprocess.STDOUT)
    while not answers(url):
        time.sleep(0.5)
    return server


def resident(process: "psutil.Process") -> float:
    """MB of a process and its children."""
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


def recorded(flow_run: Any) -> tuple[Counter[str], float]:
    """States of the task runs that the server knows, and how long it took until it had all that it will have."""
    from prefect.client.orchestration import get_client

    began = time.monotonic()
    last: Counter[str] = Counter()
    quiet = began
    with get_client(sync_client=True) as client:
        while time.monotonic() - quiet < 15 and time.monotonic() - began < RECORDS_S:
            found: Counter[str] = Counter()
            offset = 0
            while True:
                body = {"flow_runs": {"id": {"any_": [str(flow_run)]}}, "limit": 200, "offset": offset}
                page = client.request("POST", "/task_runs/filter", json=body).json()
                found.update(str(each["state_name"]) for each in page)
                offset += len(page)
                if len(page) < 200:
                    break
            if found != last:
                last, quiet = found, time.monotonic()
            time.sleep(1)
    return last, quiet - began


def main() -> None:
    """Two runs: one that makes everything, one that finds it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=12_000)
    parser.add_argument("--port", type=int, default=4397)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        server = started(options.port, Path(folder).resolve())
        try:
            measure(options.shards, Path(folder).resolve() / "store", server)
        finally:
            server.terminate()
            server.wait(30)


def measure(shards: int, root: Path, server: "psutil.Popen") -> None:
    """Run twice, and say what it took."""
    from prefect import flow, task

    from tasks.machine.groups import each_of
    from tasks.machine.runner import Runner
    from tasks.machine.task import RETRIED, as_found, named
    from tasks.mapping.task import mapping
    from tasks.shards.derive import Derivation, realise
    from tasks.shards.store import Store
    from tests.benchmarks.bench_engine import Pictures, Size

    @task(name="make", task_run_name=named("make", "numbers", str), **RETRIED)
    def make(numbers: tuple[int, ...], folder: str) -> tuple[int, ...]:
        """Find or make some shards."""
        store = Store(Path(folder))

        def one(number: int) -> tuple[int, bool]:
            return number, realise(Derivation(Pictures(Size(rows=2, image_bytes=100, round=number))), store).cached

        done, found = each_of(numbers, one, str)
        return as_found(found, done)

    @flow(name="size")
    def size(count: int, folder: str, runner: Runner) -> int:
        """All shards, as the flows map them."""
        with mapping(runner) as mapped:
            return len(mapped(make, range(count), folder))

    own = psutil.Process()
    print(f"at rest: flow {resident(own):.0f} MB, server {resident(server):.0f} MB", flush=True)
    for told in ("made", "found"):
        began = time.monotonic()
        state = size(shards, str(root), Runner(most_task_runs=TASKS), return_state=True)
        took = time.monotonic() - began
        assert state.result() == shards
        flow_mb = resident(own)
        records, late = recorded(state.state_details.flow_run_id)
        print(
            f"{shards} shards {told} in {took:.1f} s ({took / shards * 1e3:.1f} ms each): {sum(records.values())} task "
            f"runs recorded after {late:.0f} s more, {dict(records)}; flow {flow_mb:.0f} MB, server "
            f"{resident(server):.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
