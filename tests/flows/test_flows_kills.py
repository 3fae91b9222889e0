"""Fifty random kills of whole flows end in the bytes and rows of an undisturbed run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_killed_flow_goes_on_to_the_same_end(prefect_server: None, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.kill_flow", "pose_templates", str(tmp_path), "10", "5"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.startswith("50 kills in 10 rounds")
    assert " 0 differ" in done.stdout
