"""Fixtures that every test may use."""

import os
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
