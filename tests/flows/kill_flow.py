"""Runs the flow in forked processes, kills them at random, and compares the end with an undisturbed run.

    python -m tests.flows.kill_flow FOLDER ROUNDS KILLS_A_ROUND

Each round starts in an empty home, is killed several times in the same build, then runs to its end.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psycopg

from flows.pose_templates import pose_templates
from tasks.catalog.embedded import start_embedded, stop_embedded
from tasks.poses.config import Exports, PoseTemplatesForm
from tasks.schema.sources import PhotoSource, SourceKind

FORM = PoseTemplatesForm(
    sources=(
        PhotoSource(name="a", kind=SourceKind.MANNEQUINS, category="fashion", limit=10, near_duplicates=False),
        PhotoSource(name="b", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=6, near_duplicates=False, seed=1),
    ),
    shard_rows=4,
    exports=Exports(folders=True, parquet=True),
)
KEPT = ("shards", "builds", "ledgers", "exports", "public")
ROWS = """
SELECT "id", "category", "keypointsJson", "previewUrl", "difficulty", "tags", "avgQualityScore", "isActive"
FROM pose_templates ORDER BY id
"""


def run(home: Path, kill_after_s: float | None = None) -> bool:
    """One run of the flow in a forked process; whether it came to its end."""
    child = os.fork()
    if child == 0:
        os.environ["MANNEQUIN_HOME"] = str(home)
        silent = os.open(home.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            pose_templates(FORM)
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


def state(home: Path) -> dict[str, object]:
    """All bytes that a build leaves, and the rows in Postgres."""
    files = {
        str(path.relative_to(home)): path.read_bytes()
        for name in KEPT
        for path in sorted((home / name).rglob("*"))
        if path.is_file()
    }
    with psycopg.connect(start_embedded(home / "postgres")) as connection:
        rows = connection.execute(ROWS).fetchall()
    return {**files, "rows": rows}


def main(folder: str, rounds: str, kills: str) -> None:
    """Print what happened; exit status 1 where an end differs."""
    top = Path(folder)
    calm = top / "calm"
    began = time.monotonic()
    run(calm)
    took = time.monotonic() - began
    expected = state(calm)
    stop_embedded(calm / "postgres")
    draw = np.random.default_rng(0)
    killed, different = 0, []
    for number in range(int(rounds)):
        home = top / f"round-{number}"
        for _ in range(4 * int(kills)):
            if killed < (number + 1) * int(kills):
                killed += not run(home, draw.uniform(0, took / 3))
        run(home)
        found = state(home)
        stop_embedded(home / "postgres")
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        different += [f"round {number}: {name}" for name in wrong]
    print(f"{killed} kills in {rounds} rounds, {len(expected)} outputs each, {len(different)} differ: {different[:5]}")
    sys.exit(bool(different) or killed == 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
