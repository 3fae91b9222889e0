"""Whole builds, killed at some of their write points, end as undisturbed ones; by hand at all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = {"music_to_pose": 12, "pose_templates": 12, "runway_street": 12, "video_patches": 12, "webbody": 48}
"""Every point takes a process of some seconds; the steps of all stages begin at different points."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def killed(dataset: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.kill_points", dataset, str(folder), str(STEPS[dataset])],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("dataset", ["pose_templates", "runway_street", "video_patches"])
def test_what_needs_no_weights(dataset: str, tmp_path: Path) -> None:
    assert " 0 differ" in killed(dataset, tmp_path, {})


@pytest.mark.real
@pytest.mark.parametrize("dataset", ["music_to_pose", "webbody"])
def test_what_needs_weights(dataset: str, tmp_path: Path, real_data: Path) -> None:
    assert " 0 differ" in killed(dataset, tmp_path, {"MANNEQUIN_REAL_DATA": str(real_data)})
