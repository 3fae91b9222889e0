"""Kills in every stage of the flow on real photos, and a server that goes away, end as an undisturbed run does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

ROOT = Path(__file__).parents[2]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_killed_build_goes_on_to_the_same_end(prefect_server: None, real_data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.kill_webbody", str(tmp_path), "3"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "MANNEQUIN_REAL_DATA": str(real_data)},
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert " 0 differ" in done.stdout
