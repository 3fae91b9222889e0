"""Runs a flow in forked processes, kills them at random, and compares the end with an undisturbed run.

    python -m tests.flows.kill_flow DATASET FOLDER ROUNDS KILLS_A_ROUND

Each round starts in an empty home, is killed several times in the same build, then runs to its end. PREFECT_API_URL
names a server; MANNEQUIN_REAL_DATA the real photos and weights, where a dataset needs some.
"""

import os
import shutil
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import psycopg

from tasks.catalog.embedded import start_embedded, stop_embedded
from tests.flows.kill_datasets import DATASETS, Dataset, state

ROWS = """
SELECT "id", "category", "keypointsJson", "previewUrl", "difficulty", "tags", "avgQualityScore", "isActive"
FROM pose_templates ORDER BY id
"""


def run(flow: str, dataset: Dataset, home: Path, kill_after_s: float | None = None) -> bool:
    """One run of the flow in a forked process; whether it came to its end."""
    if dataset.before is not None and not home.exists():
        shutil.copytree(dataset.before / "shards", home / "shards")
    child = os.fork()
    if child == 0:
        os.environ |= {"MANNEQUIN_HOME": str(home), "MANNEQUIN_TRUST_FIRST_DOWNLOAD": "1"}
        if dataset.models is not None:
            os.environ["MANNEQUIN_MODELS"] = str(dataset.models)
        silent = os.open(home.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            getattr(import_module(f"flows.{flow}"), flow)(dataset.form)
            os._exit(0)
        finally:
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"a run failed with {status}: {home.with_suffix('.log').read_text()[-2000:]}")
    return status == 0


def end(flow: str, home: Path) -> dict[str, object]:
    """All bytes that a build leaves, and of templates the rows in Postgres."""
    found: dict[str, object] = {**state(home)}
    if flow == "pose_templates":
        with psycopg.connect(start_embedded(home / "postgres")) as connection:
            found["rows"] = connection.execute(ROWS).fetchall()
        stop_embedded(home / "postgres")
    return found


def main(flow: str, folder: str, rounds: str, kills: str) -> None:
    """Print what happened; exit status 1 where an end differs."""
    top = Path(folder).resolve()
    dataset = DATASETS[flow](top, Path(os.environ.get("MANNEQUIN_REAL_DATA", "/")).resolve())
    import_module(f"flows.{flow}")
    began = time.monotonic()
    run(flow, dataset, top / "calm")
    took = time.monotonic() - began
    expected = end(flow, top / "calm")
    draw = np.random.default_rng(0)
    killed, different = 0, []
    for number in range(int(rounds)):
        home = top / f"round-{number}"
        for _ in range(4 * int(kills)):
            if killed < (number + 1) * int(kills):
                killed += not run(flow, dataset, home, draw.uniform(0, took / 3))
        run(flow, dataset, home)
        found = end(flow, home)
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        different += [f"round {number}: {name}" for name in wrong]
    print(f"{killed} kills in {rounds} rounds, {len(expected)} outputs each, {len(different)} differ: {different[:5]}")
    sys.exit(bool(different) or killed == 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
