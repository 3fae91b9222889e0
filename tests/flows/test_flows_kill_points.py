"""Whole builds, killed at some of their write points, end as undisturbed ones; by hand at all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEP = 12
"""Every point takes a process of some seconds; the steps of all stages begin at different points."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def killed(dataset: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.kill_points", dataset, str(folder), str(STEP)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_runway_to_street(tmp_path: Path) -> None:
    assert " 0 differ" in killed("runway_street", tmp_path, {})


@pytest.mark.real
def test_music_to_pose(tmp_path: Path, real_data: Path) -> None:
    assert " 0 differ" in killed("music_to_pose", tmp_path, {"MANNEQUIN_REAL_DATA": str(real_data)})
