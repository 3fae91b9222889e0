"""A home of its own for every module of flow tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.catalog.embedded import stop_embedded


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Iterator[Path]:
    """MANNEQUIN_HOME of a module's tests, with an embedded Postgres that ends with them."""
    folder = tmp_path_factory.mktemp("home")
    before = os.environ.get("MANNEQUIN_HOME")
    os.environ["MANNEQUIN_HOME"] = str(folder)
    yield folder
    stop_embedded(folder / "postgres")
    if before is None:
        del os.environ["MANNEQUIN_HOME"]
    else:
        os.environ["MANNEQUIN_HOME"] = before
