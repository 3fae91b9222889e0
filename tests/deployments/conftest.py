"""A service that the tests of a module share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.local import server
from tests.deployments.local_service import local


@pytest.fixture(scope="module")
def started() -> Iterator[str]:
    """The address of a local server with a worker; its home is outside of pytest's folders, which only we may enter."""
    folder = Path(tempfile.mkdtemp(prefix="mannequin-home-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("MANNEQUIN_HOME", str(folder))
        for name in ("MANNEQUIN_PORT", "MANNEQUIN_NOTIFY_URL", "PREFECT_API_URL"):
            variables.delenv(name, raising=False)
        done = local("up")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        yield str(server().url())
        done = local("down")
        assert done.returncode == 0, done.stderr
    shutil.rmtree(folder)
