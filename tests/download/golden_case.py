"""A download whose every byte is known beforehand: a server at a fixed port, a clock that stands still."""

import threading
from datetime import UTC, datetime
from functools import cache

from tasks.download.consent import Consent, ConsentPolicy
from tasks.download.fetching import Patience
from tasks.download.released import ReleaseConfig, ReleasedUrls
from tasks.download.retry import RetryConfig, RetryUrls
from tasks.download.stage import Download, DownloadConfig
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.download.conftest import LOCAL
from tests.download.listed import ListedUrls, ListedUrlsConfig
from tests.download.url_server import UrlServer

PORT = 28_417
CONFIG = DownloadConfig(image_px=64, patience=Patience(tries=1))


def still() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@cache
def serve() -> None:
    """Serve until this process ends; another process that serves at the port serves the same."""
    try:
        server = UrlServer(port=PORT)
    except OSError:
        return
    threading.Thread(target=server.serve, daemon=True).start()


def download_case() -> Derivation:
    """Photos, a refusal, an opt-out."""
    serve()
    paths = ("/ok/1", "/ok/2", "/status/404", "/robots/noai")
    return _downloaded(tuple(f"http://127.0.0.1:{PORT}{path}" for path in paths))


def retry_case(store: Store) -> Derivation:
    """What is asked again after nobody listened at a port."""
    record = realise(_downloaded(("http://127.0.0.1:1/a", "file:///b")), store).record
    assert record.rejects is not None
    return Derivation(RetryUrls(RetryConfig(parent=record.ref, rejects=record.rejects.digest, attempt=1), store))


def release_case(store: Store) -> Derivation:
    """What is asked again when nobody minds an opt-out any more."""
    serve()
    record = realise(_downloaded((f"http://127.0.0.1:{PORT}/gone/noai", "file:///b")), store).record
    assert record.rejects is not None
    config = ReleaseConfig(parent=record.ref, rejects=record.rejects.digest, number=0)
    return Derivation(ReleasedUrls(config, store, Consent.of(ConsentPolicy(), respect=False), frozenset()))


def _downloaded(urls: tuple[str, ...]) -> Derivation:
    listed = Derivation(ListedUrls(ListedUrlsConfig(urls=urls)))
    return Derivation(Download(CONFIG, LOCAL, now=still), (listed,))
