"""The most memory that planning the clips of a long video takes: one shot with two people in it.

    python -m tests.benchmarks.bench_long_video [--minutes 120]

The video is drawn first, which takes about as long as the planning.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.dance.blocks_film import BlockShot, blocks_film, swaying
from tests.dance.test_dance_clips_long import PLANNING

PEOPLE = [swaying(30, 10, 14, 40, 10), swaying(90, 20, 12, 36, 5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=120)
    shot = BlockShot(60 * parser.parse_args().minutes, 1, PEOPLE)
    with tempfile.TemporaryDirectory() as folder:
        path = blocks_film(Path(folder) / "long.mkv", [shot], width=128, height=72)
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", PLANNING, str(path)], capture_output=True, text=True, check=True)
        took = time.monotonic() - began
    seconds, clips, mebibytes = (float(each) for each in done.stdout.split())
    print(f"{seconds:,.0f} s of video, {clips:.0f} clips, {mebibytes:.0f} MiB at most, {took:.0f} s")


if __name__ == "__main__":
    main()
