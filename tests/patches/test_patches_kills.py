"""Killed at every 13th write point and 20 times at random: the next run leaves the tree of an undisturbed one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_killed_anywhere_the_tree_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.patches.kill_patches", str(tmp_path), "20", "13"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
