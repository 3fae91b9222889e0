"""Lists that are packed, at an address, or on the hub."""

import gzip
import os
import socket
from pathlib import Path

import pytest

from tasks.ingest import url_fetch
from tasks.ingest.hub import HubAccess
from tasks.ingest.url_files import lists_folder, sweep_lists
from tasks.schema.errors import SourceError
from tasks.shards.store import Store
from tests.ingest.hub_server import HubServer
from tests.ingest.url_rows import ListServer, ingest_urls, source

LINES = b"".join(b"%d a http://h/%d\n" % (i, i) for i in range(2000))
DATASET = "owner/lists"
PATIENCE = HubAccess(timeout_s=5, pauses_s=(0.01, 0.01))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def left(store: Store) -> list[Path]:
    return list(store.tmp.glob("*"))


def test_gzip(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.lst.gz").write_bytes(gzip.compress(LINES[:20_000]) + gzip.compress(LINES[20_000:]))
    assert len(ingest_urls(source(tmp_path / "a.lst.gz"), store).kept) == 2000
    (copy,) = lists_folder(store).iterdir()
    os.utime(copy, (0, 0))
    ingest_urls(source(tmp_path / "a.lst.gz"), store)
    assert list(lists_folder(store).iterdir()) == [copy]
    assert sweep_lists(store, 3600) == []
    os.utime(copy, (0, 0))
    assert sweep_lists(store, 3600) == [copy]
    assert not copy.exists()


@pytest.mark.parametrize(
    ("data", "gigabytes", "told"),
    [
        (gzip.compress(LINES)[:-20], 1, "ends in the middle of its gzip stream"),
        (gzip.compress(LINES) + b"rubbish", 1, "is damaged gzip"),
        (gzip.compress(LINES)[:50] + b"\0" * 50 + gzip.compress(LINES)[100:], 1, "is damaged gzip"),
        (gzip.compress(bytes(1 << 20)), 1e-4, "unpacks to more than 100,000 bytes: raise `max_gigabytes`"),
    ],
)
def test_gzip_that_does_not_unpack(tmp_path: Path, store: Store, data: bytes, gigabytes: float, told: str) -> None:
    (tmp_path / "a.lst.gz").write_bytes(data)
    with pytest.raises(SourceError, match=told):
        ingest_urls(source(tmp_path / "a.lst.gz", max_gigabytes=gigabytes), store)
    assert not lists_folder(store).exists() or not list(lists_folder(store).iterdir())
    assert not left(store)


def test_a_list_at_an_address(store: Store) -> None:
    with ListServer(LINES) as server:
        wanted = source(f"{server.address}/lists/url.lst?token=secret")
        first = ingest_urls(wanted, store, 500, PATIENCE)
        again = ingest_urls(wanted, store, 500, PATIENCE)
        server.body, server.etag = LINES + b"2000 a http://h/2000\n", '"2"'
        grown = ingest_urls(wanted, store, 500, PATIENCE)
    assert len(first.kept) == 2000
    assert again.listing == first.listing
    assert grown.listing.parts[:4] == first.listing.parts
    assert [status for _, _, status in server.asked] == [200, 304, 200]
    assert not left(store)
    assert not [path for path in lists_folder(store).iterdir() if b"secret" in path.read_bytes()]


def test_packed_lists_at_an_address(store: Store) -> None:
    with ListServer(gzip.compress(LINES), etag="") as server:
        assert len(ingest_urls(source(f"{server.address}/url%2Elst.gz"), store, access=PATIENCE).kept) == 2000


def test_a_broken_connection_is_taken_up(store: Store) -> None:
    with ListServer(LINES) as server:
        server.cuts, server.statuses = [10_000, 20_000], [200, 503, 200]
        wanted = source(f"{server.address}/url.lst")
        patient = HubAccess(timeout_s=5, pauses_s=(0.01, 0.01, 0.01))
        assert len(ingest_urls(wanted, store, access=patient).kept) == 2000
    assert [status for _, _, status in server.asked] == [200, 503, 206, 206]
    assert server.asked[-1][1]["range"] == "bytes=30000-"


def test_a_list_that_changes_while_it_breaks(store: Store) -> None:
    with ListServer(LINES, etag='W/"weak"') as server:
        server.cuts = [10_000]
        assert len(ingest_urls(source(f"{server.address}/url.lst"), store, access=PATIENCE).kept) == 2000
        assert "range" not in server.asked[1][1]


@pytest.mark.parametrize(
    ("statuses", "cuts", "told"),
    [
        ([404], [], "cannot be fetched: the server answers HTTP 404"),
        ([503] * 3, [], r"cannot be fetched \(HTTP 503\), 3 tries"),
        ([], [10, 10, 10], "cannot be fetched .*3 tries"),
        ([206], [], "the server answers HTTP 206"),
    ],
)
def test_a_list_that_cannot_be_fetched(store: Store, statuses: list[int], cuts: list[int], told: str) -> None:
    with ListServer(LINES) as server:
        server.statuses, server.cuts = statuses, cuts
        with pytest.raises(SourceError, match=told) as error:
            ingest_urls(source(f"{server.address}/url.lst?token=secret"), store, access=PATIENCE)
    assert "secret" not in str(error.value)
    assert not lists_folder(store).exists()
    assert not left(store)


def test_nobody_there(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="ConnectError"):
            ingest_urls(source(f"http://127.0.0.1:{taken.getsockname()[1]}/url.lst"), store, access=PATIENCE)


@pytest.mark.parametrize("location", ["http://[::1/url.lst", "http:///url.lst", "https://"])
def test_no_address(store: Store, location: str) -> None:
    with pytest.raises(SourceError, match=r"is no address|cannot be fetched"):
        ingest_urls(source(location), store, access=PATIENCE)


def test_more_than_is_allowed(store: Store) -> None:
    with (
        ListServer(LINES) as server,
        pytest.raises(SourceError, match=r"more than 10,000 bytes: raise `max_gigabytes`"),
    ):
        ingest_urls(source(f"{server.address}/url.lst", max_gigabytes=1e-5), store, access=PATIENCE)
    assert not left(store)


def test_redirects(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with ListServer(LINES) as server:
        server.redirects = {"/old.lst": "/new.lst", "/file.lst": "file:///etc/passwd"}
        assert len(ingest_urls(source(f"{server.address}/old.lst"), store, access=PATIENCE).kept) == 2000
        with pytest.raises(SourceError, match="cannot be fetched"):
            ingest_urls(source(f"{server.address}/file.lst"), store, access=PATIENCE)
        server.redirects["/in.lst"] = server.address.replace("127.0.0.1", "localhost") + "/new.lst"
        monkeypatch.setattr(url_fetch, "_inside", lambda host: host == "localhost")
        with pytest.raises(SourceError, match=r"redirects into this network \(localhost\)"):
            ingest_urls(source(f"{server.address}/in.lst"), store, access=PATIENCE)
    assert "/new.lst" in [path for path, _, _ in server.asked]


def test_https_stays_https() -> None:
    import httpx

    download = url_fetch._Download("https://h.example/url.lst?key=secret", 1, PATIENCE, None, "", "")
    download.check(httpx.Request("GET", "https://h.example/url.lst"))
    with pytest.raises(SourceError, match=r"^https://h.example/url.lst redirects to http"):
        download.check(httpx.Request("GET", "http://h.example/url.lst"))
    assert url_fetch._inside("127.0.0.1")
    assert url_fetch._inside("::1")
    assert not url_fetch._inside("1.1.1.1")


def test_a_list_on_the_hub(hub: HubServer, access: HubAccess, store: Store) -> None:
    commit = hub.publish(DATASET, {"lists/url.lst": LINES, "README.md": b"# Lists\n"})
    wanted = source(f"hf://datasets/{DATASET}/lists/url.lst")
    made = ingest_urls(wanted, store, 500, access)
    assert (len(made.kept), made.listing.revision) == (2000, commit)
    sent = hub.sent("resolve")
    assert ingest_urls(wanted, store, 500, access).listing == made.listing
    assert hub.sent("resolve") == sent == len(LINES)
    hub.publish(DATASET, {"lists/url.lst": LINES + b"2000 a http://h/2000\n"})
    grown = ingest_urls(wanted, store, 500, access)
    assert grown.listing.parts[:4] == made.listing.parts
    pinned = wanted.model_copy(update={"revision": commit})
    assert ingest_urls(pinned, store, 500, access).listing == made.listing
    assert not left(store)


def test_many_lists_on_the_hub(hub: HubServer, access: HubAccess, store: Store) -> None:
    files = {f"x/{n}.lst": LINES[:1000] for n in "ab"} | {"x/c.lst.gz": gzip.compress(LINES[5000:6000]), "x/c.md": b""}
    hub.publish(DATASET, files)
    listing = ingest_urls(source(f"hf://datasets/{DATASET}/x/*.lst*"), store, access=access).listing
    assert [part.uri for part in listing.parts] == [f"urls://web/x/{name}" for name in ("a.lst", "b.lst", "c.lst.gz")]
    assert listing.repeated == LINES[:1000].count(b"\n")


def test_the_hub_fails_for_a_while(hub: HubServer, access: HubAccess, store: Store) -> None:
    hub.publish(DATASET, {"url.lst": LINES})
    hub.fail("resolve", 0, 2)
    assert len(ingest_urls(source(f"hf://datasets/{DATASET}/url.lst"), store, access=access).kept) == 2000


def test_private_lists(hub: HubServer, access: HubAccess, store: Store) -> None:
    hub.publish(DATASET, {"url.lst": LINES})
    hub.private.add(DATASET)
    hub.tokens.add("token")
    wanted = source(f"hf://datasets/{DATASET}/url.lst")
    with pytest.raises(SourceError, match="or it is private"):
        ingest_urls(wanted, store, access=access)
    reach = HubAccess(token="token", endpoint=hub.endpoint, timeout_s=5)
    assert len(ingest_urls(wanted, store, access=reach).kept) == 2000


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (f"hf://datasets/{DATASET}", "names no file"),
        (f"hf://datasets/{DATASET}/none.lst", "has no none.lst"),
        (f"hf://datasets/{DATASET}/*.csv", "No file of owner/lists .* is called '[*].csv'"),
        (f"hf://datasets/{DATASET}/big.lst", "has 30,786 bytes: raise `max_gigabytes`"),
        ("hf://datasets/nobody/nothing/url.lst", "has no dataset nobody/nothing"),
    ],
)
def test_hub_locations_that_do_not_fit(
    hub: HubServer, access: HubAccess, store: Store, location: str, told: str
) -> None:
    hub.publish(DATASET, {"big.lst": LINES[:30_786]})
    with pytest.raises(SourceError, match=told):
        ingest_urls(source(location, max_gigabytes=1e-5), store, access=access)


def test_other_bytes_than_the_hub_promised(hub: HubServer, access: HubAccess, store: Store) -> None:
    hub.publish(DATASET, {"url.parquet": b"PAR1" + LINES})
    (digest,) = hub.blobs
    hub.blobs[digest] = b"PAR2" + LINES
    with pytest.raises(SourceError, match="other bytes than the hub promised"):
        ingest_urls(source(f"hf://datasets/{DATASET}/url.parquet"), store, access=access)
    assert not left(store)
