"""What the tests of ingest share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.ingest.hub import HubAccess
from tests.ingest.hub_server import HubServer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub of this machine; no token of the person who runs the tests reaches it."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        yield server


@pytest.fixture
def access(hub: HubServer) -> HubAccess:
    """The way there, with pauses that a test can wait for."""
    return HubAccess(endpoint=hub.endpoint, timeout_s=5, pauses_s=(0.01, 0.02, 0.04))
