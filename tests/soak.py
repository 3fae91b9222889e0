"""Kills, for as long as it is given, and tells what became of what was killed.

    python -m tests.soak FOLDER [--minutes 60] [--engine-kills 1000] [--flow-kills 10]

The engine alone, without Prefect, in forked workers that are killed at random moments; then every flow, with a Prefect
server of its own. After every kill of the engine, and at the end of every flow, what is there is compared byte by byte
with what an undisturbed run leaves. Prints a table; exit status 1 where something differs or a kill is missing. With
too few minutes the table says how far it came.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.flows.kill_datasets import DATASETS

ROOT = Path(__file__).parents[1]
ROUND = 50
"""Kills of the engine between two looks at the clock."""


def engine(folder: Path, kills: int, ends: float) -> tuple[int, str]:
    """Kills of the engine, and what went wrong."""
    killed, number = 0, 0
    while killed < kills and time.monotonic() < ends:
        asked = (str(folder / f"engine-{number}"), str(min(ROUND, kills - killed)), str(number))
        done = subprocess.run(
            [sys.executable, "-m", "tests.shards.test_shards_faults", "random", *asked],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        if done.returncode:
            return killed, (done.stdout + done.stderr)[-300:]
        killed += int(done.stdout.split(" kills")[0].split()[-1])
        number += 1
    return killed, ""


def flow(name: str, folder: Path, kills: int, left_s: float) -> tuple[int, str]:
    """Kills of a whole flow, and what went wrong; it has the time that is left."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.flows.kill_flow", name, str(folder), "2", str((kills + 1) // 2)],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=left_s,
        )
    except subprocess.TimeoutExpired:
        return 0, "not in this time"
    said = (done.stdout.strip() or done.stderr.strip()[-300:])[:300]
    return (int(said.split()[0]), "") if done.returncode == 0 else (0, said)


def main() -> None:
    """Print the table."""
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("folder", type=Path)
    read.add_argument("--minutes", type=float, default=60.0)
    read.add_argument("--engine-kills", type=int, default=1000)
    read.add_argument("--flow-kills", type=int, default=10)
    asked = read.parse_args()
    ends = time.monotonic() + 60 * asked.minutes
    print("| what | kills | ends that differ |\n|---|---|---|", flush=True)
    short = False

    def tell(what: str, killed: int, wanted: int, wrong: str) -> None:
        nonlocal short
        short |= bool(wrong) or killed < wanted
        print(f"| {what} | {killed} of {wanted} | {wrong or 0} |", flush=True)

    killed, wrong = engine(asked.folder, asked.engine_kills, ends)
    tell("engine", killed, asked.engine_kills, wrong)
    real = "MANNEQUIN_REAL_DATA" in os.environ
    quiet = {PREFECT_SERVER_ANALYTICS_ENABLED: False}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        os.environ["PREFECT_API_URL"] = PREFECT_API_URL.value()
        for name in DATASETS:
            if asked.flow_kills == 0 or (name in ("music_to_pose", "webbody") and not real):
                continue
            killed, wrong = flow(name, asked.folder / name, asked.flow_kills, max(1.0, ends - time.monotonic()))
            tell(name, killed, asked.flow_kills, wrong)
    sys.exit(short)


if __name__ == "__main__":
    main()
