"""What happens around the requests: decoders that die, defects, machines that stop."""

import threading

import pytest

from tasks.download import fetching
from tasks.download.client import Client
from tasks.download.consent import Consent
from tasks.download.fetching import Fetching, Finished, Machine, Patience
from tasks.download.transport import TransportLimits
from tasks.images.isolate import IsolationError
from tasks.schema.rejections import Reason
from tests.download.conftest import LOCAL
from tests.download.deadly import CRASHES, HANGS, prepare_or_die
from tests.download.url_server import UrlServer, jpeg

OPTIONS = {
    "image_px": 64,
    "resize_mode": "border",
    "jpeg_quality": 90,
    "max_pixels": 10**6,
    "min_side_px": 1,
}


def fetch(urls: list[str], options: dict[str, object] | None = None, **machine: object) -> list[Finished]:
    client = Client(TransportLimits(total_timeout_s=5.0), Consent(), LOCAL)
    run = Fetching(client, options or OPTIONS, Patience(), Machine(**machine))
    return sorted(run.run(urls), key=lambda finished: finished.row)


def test_a_picture_that_kills_its_decoder_takes_nobody_with_it(
    server: UrlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "prepare", prepare_or_die)
    server.files = {"a": jpeg(1), "crash": jpeg(2) + CRASHES, "b": jpeg(3), "hang": jpeg(4) + HANGS, "c": jpeg(5)}
    found = fetch([server.url(f"/file/{name}") for name in server.files], decode_timeout_s=1.0, decoders=2)
    reasons = [each.error.reason if each.error else None for each in found]
    assert reasons == [None, Reason.DECODER_CRASHED, None, Reason.DECODER_TIMED_OUT, None]


def test_a_defect_ends_the_run_and_leaves_no_thread(server: UrlServer) -> None:
    with pytest.raises(IsolationError):
        fetch([server.url(f"/ok/{number}") for number in range(30)], {"no_such_option": 1})
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download")]


def test_who_stops_listening_stops_the_run(server: UrlServer) -> None:
    client = Client(TransportLimits(), Consent(), LOCAL)
    results = Fetching(client, OPTIONS, machine=Machine(threads=2)).run([server.url("/status/404")] * 200)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download")]
    assert len(server.requests) < 200


def test_no_urls_are_no_trouble() -> None:
    assert fetch([]) == []


def test_few_bytes_wait_at_once(server: UrlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget smaller than a picture lets one wait at a time."""
    monkeypatch.setattr(fetching, "prepare", prepare_or_die)
    found = fetch([server.url(f"/ok/{number}") for number in range(8)], waiting_bytes=1)
    assert all(each.photo for each in found)
