"""Videos named by address: fetched once, whole, or refused with the reason."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.download.client import Client
from tasks.download.failure import FetchError
from tasks.ingest.hub import HubAccess
from tasks.m2p import fetch
from tasks.m2p.fetch import FetchRules, client, fetched
from tasks.machine.places import Machine, Network
from tasks.models.zoo import Zoo
from tasks.schema.rejections import Reason
from tasks.shards.store import Store
from tests.download.url_server import UrlServer, jpeg


@pytest.fixture
def server() -> Iterator[UrlServer]:
    with UrlServer() as running:
        yield running


def asking(store: Store, allowed: tuple[str, ...] = ("127.0.0.0/8",), **rules: object) -> Client:
    here = Machine(store, HubAccess(), Zoo.from_environment(), Network(allowed))
    return client(FetchRules.model_validate(rules), here)


def test_what_was_fetched_is_not_asked_for_again(server: UrlServer, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = fetched(server.url("/ok/dance"), asking(store), store)
    assert first.read_bytes()
    assert fetched(server.url("/ok/dance"), asking(store), store) == first
    assert server.asked("/ok/dance") == 1
    assert list(store.tmp.glob("*")) == []


def test_what_passes_is_tried_again(server: UrlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSES_S", (0.0, 0.0))
    store = Store(tmp_path)
    assert fetched(server.url("/flaky/dance"), asking(store), store).exists()


@pytest.mark.parametrize(
    ("path", "allowed", "rules", "reason"),
    [
        ("/status/410", ("127.0.0.0/8",), {}, Reason.HTTP_GONE),
        ("/ok/inside", (), {}, Reason.ADDRESS_REFUSED),
        ("/ok/large", ("127.0.0.0/8",), {"max_gigabytes": 1e-6}, Reason.RESPONSE_TOO_LARGE),
    ],
)
def test_what_cannot_be_had_leaves_nothing(
    server: UrlServer, tmp_path: Path, path: str, allowed: tuple[str, ...], rules: dict[str, object], reason: Reason
) -> None:
    store = Store(tmp_path)
    with pytest.raises(FetchError) as refused:
        fetched(server.url(path), asking(store, allowed, **rules), store)
    assert refused.value.reason is reason
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_stricter_policy_needs_no_request(server: UrlServer, tmp_path: Path) -> None:
    store, address = Store(tmp_path / "store"), server.url("/robots/noai")
    path = fetched(address, asking(store, respect_opt_out=False), store)
    blocked = tmp_path / "block.txt"
    blocked.write_text(sha256(path.read_bytes()).hexdigest())
    for rules, reason in (({}, Reason.OPTED_OUT), ({"consent": {"block_list": str(blocked)}}, Reason.BLOCKED)):
        with pytest.raises(FetchError) as refused:
            fetched(address, asking(store, **rules), store)
        assert (refused.value.reason, bool(refused.value.found["opt_out"])) == (reason, True)
    assert fetched(address, asking(store, respect_opt_out=False), store) == path
    assert server.asked("/robots/noai") == 1


def test_a_file_that_is_blocked_is_not_kept_nor_fetched_again(server: UrlServer, tmp_path: Path) -> None:
    store, address, blocked = Store(tmp_path / "store"), server.url("/ok/blocked"), tmp_path / "block.txt"
    blocked.write_text(sha256(jpeg(sum(b"/ok/blocked"))).hexdigest())
    for _ in range(2):
        with pytest.raises(FetchError) as refused:
            fetched(address, asking(store, consent={"block_list": str(blocked)}), store)
        assert refused.value.reason is Reason.BLOCKED
    assert server.asked("/ok/blocked") == 1
    assert fetched(address, asking(store), store).exists()
