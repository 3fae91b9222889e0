"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos, videos and weights; tests that need it skip where it is not given."""
    root = os.environ.get("MANNEQUIN_REAL_DATA")
    if not root:
        pytest.skip("MANNEQUIN_REAL_DATA is not set")
    path = Path(root).resolve()
    if not path.is_dir():
        pytest.fail(f"MANNEQUIN_REAL_DATA={root} is not a folder")
    return path


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """An empty Prefect server that the code under test talks to."""
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    quiet = {PREFECT_SERVER_ANALYTICS_ENABLED: False, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        yield
