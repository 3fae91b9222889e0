"""robots.txt and tdmrep.json over a server that does everything: once a host, bounded, and what is unknown is a no."""

import json
import threading
import time

import pytest

from tasks.download.address import parse_url
from tasks.download.client import Client
from tasks.download.consent import Consent, ConsentPolicy
from tasks.download.failure import RETRYABLE, FetchError
from tasks.download.robots import MOST_BYTES
from tasks.download.sites import Sites
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.schema.rejections import Reason
from tests.download.conftest import LOCAL
from tests.download.url_server import UrlServer

ROBOTS, TDMREP = "/robots.txt", "/.well-known/tdmrep.json"
CLOSED = b"User-agent: *\nDisallow: /ok/closed\n"
LIMITS = TransportLimits(total_timeout_s=5.0)
CARELESS = Consent.of(ConsentPolicy(), respect=False)


def client(consent: Consent | None = None, access: NetworkAccess = LOCAL) -> Client:
    return Client(LIMITS, consent or Consent(), access)


def failure(url: str, consent: Consent | None = None, access: NetworkAccess = LOCAL) -> FetchError:
    with pytest.raises(FetchError) as failed:
        client(consent, access).fetch(url)
    return failed.value


def test_what_robots_disallow_is_not_asked_for(server: UrlServer) -> None:
    server.sites[ROBOTS] = CLOSED
    no = failure(server.url("/ok/closed/1"))
    told = json.loads(no.found["opt_out"])
    assert (no.reason, told["kind"], told["value"]) == (Reason.OPTED_OUT, "robots", "Disallow: /ok/closed")
    assert client().fetch(server.url("/ok/open")).body
    assert [path for path, _, _ in server.requests] == ["/ok/open"]
    assert [path for path, _, _ in server.site_requests] == [ROBOTS, TDMREP]
    assert server.site_requests[0][2]["user-agent"].startswith("MannequinBot/")


def test_what_robots_say_is_recorded_though_nobody_asks_for_it(server: UrlServer) -> None:
    server.sites = {ROBOTS: CLOSED, TDMREP: json.dumps([{"location": "/ok", "tdm-reservation": 1}]).encode()}
    (hop,) = client(CARELESS).fetch(server.url("/ok/closed/1")).answer.hops
    assert (hop.robots.refuses, hop.robots.status, hop.robots.rule) == (True, 200, "Disallow: /ok/closed")
    assert len(hop.robots.sha256) == 64
    assert (hop.tdm.refuses, hop.tdm.rule) == (True, "/ok")
    assert failure(server.url("/ok/open")).found["opt_out"].count("tdm") > 0


def test_redirects_ask_every_host(server: UrlServer) -> None:
    with UrlServer() as other:
        other.sites[ROBOTS] = CLOSED
        no = failure(server.url(f"/redirect/{other.url('/ok/closed/1')}"))
        assert no.reason is Reason.OPTED_OUT
        assert not other.requests
        assert no.answer is not None
        assert [hop.robots.refuses for hop in no.answer.hops] == [False, True]


def test_headers_of_a_redirect_are_recorded(server: UrlServer) -> None:
    hops = client(CARELESS).fetch(server.url(f"/redirectno/{server.url('/ok/1')}")).answer.hops
    assert [hop.headers for hop in hops] == [{"x-robots-tag": "noai"}, {}]
    assert failure(server.url(f"/redirectno/{server.url('/ok/1')}")).reason is Reason.OPTED_OUT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_no_file_means_yes(server: UrlServer, status: int) -> None:
    server.sites[ROBOTS] = status
    assert client().fetch(server.url("/ok/1")).answer.hops[0].robots.status == status


@pytest.mark.parametrize(("status", "reason"), [(503, Reason.HTTP_SERVER_ERROR), (429, Reason.HTTP_RATE_LIMITED)])
def test_a_file_that_cannot_be_had_means_no_for_now(server: UrlServer, status: int, reason: Reason) -> None:
    server.sites[ROBOTS] = status
    no = failure(server.url("/ok/1"))
    assert (no.reason, no.detail) == (reason, f"robots.txt: HTTP {status}")
    assert no.reason in RETRYABLE
    assert not server.requests
    (hop,) = client(CARELESS).fetch(server.url("/ok/1")).answer.hops
    assert (hop.robots.refuses, hop.robots.status) == (True, status)


def test_a_server_that_hangs_up_means_no_for_now(server: UrlServer) -> None:
    server.sites[ROBOTS] = 0
    no = failure(server.url("/ok/1"))
    assert no.reason is Reason.CONNECTION_FAILED
    assert not server.requests


def test_trouble_is_forgotten_soon_and_an_answer_after_a_day(server: UrlServer) -> None:
    now = [0.0]
    sites = Sites(LOCAL, clock=lambda: now[0])
    place = parse_url(server.url("/ok/1"))
    server.sites[ROBOTS] = 503
    assert sites.site(place).trouble is sites.site(place).trouble is not None
    assert len(server.site_requests) == 2
    server.sites[ROBOTS] = CLOSED
    now[0] += 3.0
    assert sites.site(place).trouble is None
    now[0] += 23 * 3600.0
    assert sites.site(place).robots.rules
    assert len(server.site_requests) == 4
    now[0] += 2 * 3600.0
    sites.site(place)
    assert len(server.site_requests) == 6


def test_a_huge_file_is_read_to_the_limit(server: UrlServer) -> None:
    server.sites[ROBOTS] = b"User-agent: *\nDisallow: /ok/closed\n" + b"#" * (40 << 20)
    started = time.monotonic()
    assert failure(server.url("/ok/closed")).reason is Reason.OPTED_OUT
    assert time.monotonic() - started < 2.0
    server.sites[ROBOTS] = b"#" * MOST_BYTES + b"\nUser-agent: *\nDisallow: /\n"
    with UrlServer() as other:
        other.sites = server.sites
        assert client().fetch(other.url("/ok/1")).body


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe\n", b""])
def test_marks_and_bytes_that_are_no_text(server: UrlServer, mark: bytes) -> None:
    server.sites[ROBOTS] = mark + b"User-agent: *\nDisallow: /ok/closed # \xff\n"
    assert failure(server.url("/ok/closed")).reason is Reason.OPTED_OUT


def test_a_file_may_lie_elsewhere_but_not_inside(server: UrlServer) -> None:
    server.sites[ROBOTS] = 301
    server.moved = "/file/robots"
    server.files["robots"] = CLOSED
    assert failure(server.url("/ok/closed")).reason is Reason.OPTED_OUT
    with UrlServer() as other:
        other.sites, other.moved = {ROBOTS: 301}, "http://169.254.169.254/robots.txt"
        no = failure(other.url("/ok/1"))
        assert (no.reason, other.requests) == (Reason.REDIRECT_REFUSED, [])
        assert no.detail.startswith("robots.txt: redirected to 'http://169.254.169.254/")


def test_home_is_refused_with_its_own_reason(server: UrlServer) -> None:
    no = failure(server.url("/ok/1"), access=NetworkAccess(allow_ports=(server.port,)))
    assert (no.reason, no.answer, server.site_requests) == (Reason.ADDRESS_REFUSED, None, [])
    assert "robots" not in no.detail


def test_a_host_is_asked_once_by_many(server: UrlServer) -> None:
    server.delay_s = 0.05
    asking = client()
    threads = [threading.Thread(target=asking.fetch, args=(server.url(f"/ok/{n}"),)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path for path, _, _ in server.site_requests] == [ROBOTS, TDMREP]
    assert len(server.requests) == 12


def test_a_slow_file_is_waited_for_so_long(server: UrlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.download.sites.LIMITS", TransportLimits(max_body_bytes=100, total_timeout_s=0.2))
    server.delay_s = 1.0
    started = time.monotonic()
    assert failure(server.url("/ok/1")).reason is Reason.RESPONSE_TIMED_OUT
    assert time.monotonic() - started < 0.9
