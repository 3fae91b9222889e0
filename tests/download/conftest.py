"""Fixtures of the downloads."""

from collections.abc import Iterator
from typing import Final

import pytest

from tasks.download.transport import NetworkAccess
from tests.download.url_server import UrlServer

LOCAL: Final = NetworkAccess(allow_networks=("127.0.0.0/8",))


@pytest.fixture
def server() -> Iterator[UrlServer]:
    with UrlServer() as running:
        yield running
