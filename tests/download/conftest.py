"""Fixtures of the downloads."""

from collections.abc import Iterator
from typing import Final

import pytest

from tasks.download.sites import shared_sites
from tasks.download.transport import NetworkAccess
from tests.download.url_server import UrlServer

LOCAL: Final = NetworkAccess(allow_networks=("127.0.0.0/8",))


@pytest.fixture(autouse=True)
def _no_site_is_known() -> None:
    """Ports are used again by the servers of other tests."""
    shared_sites.cache_clear()


@pytest.fixture
def server() -> Iterator[UrlServer]:
    with UrlServer() as running:
        yield running
