"""One URL against a server that does everything."""

import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.download.address import parse_url
from tasks.download.answers import refused, retry_after_seconds
from tasks.download.client import Client
from tasks.download.consent import Consent
from tasks.download.failure import Answer, FetchError
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.schema.rejections import Reason
from tests.download.conftest import LOCAL
from tests.download.url_server import UrlServer, jpeg, tls_context

LIMITS = TransportLimits(max_body_bytes=1 << 20, total_timeout_s=5.0, connect_timeout_s=2.0)
HURRIED = TransportLimits(max_body_bytes=1 << 20, total_timeout_s=0.5)


def client(access: NetworkAccess = LOCAL, limits: TransportLimits = LIMITS) -> Client:
    return Client(limits, Consent(), access)


def failure(url: str, access: NetworkAccess = LOCAL, limits: TransportLimits = LIMITS) -> FetchError:
    with pytest.raises(FetchError) as failed:
        client(access, limits).fetch(url)
    return failed.value


def test_a_picture_comes_with_what_the_server_said(server: UrlServer) -> None:
    fetched = client().fetch(server.url("/ok/1"))
    assert fetched.body == jpeg(sum(b"/ok/1"))
    assert fetched.answer.status == 200
    assert fetched.answer.headers["etag"] == '"x"'
    assert "set-cookie" not in fetched.answer.headers
    (_, _, asked) = server.requests[0]
    assert asked["user-agent"].startswith("MannequinBot/")
    assert asked["accept-encoding"] == "identity"
    assert asked["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(("path", "seed"), [("/close/", 1), ("/chunked/", 2), ("/gzipped/", 3)])
def test_every_way_to_send_a_body(server: UrlServer, path: str, seed: int) -> None:
    assert client().fetch(server.url(path)).body == jpeg(seed)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/status/404", Reason.HTTP_GONE),
        ("/status/410", Reason.HTTP_GONE),
        ("/status/401", Reason.HTTP_REFUSED),
        ("/status/403", Reason.HTTP_REFUSED),
        ("/status/408", Reason.RESPONSE_TIMED_OUT),
        ("/status/429", Reason.HTTP_RATE_LIMITED),
        ("/status/500", Reason.HTTP_SERVER_ERROR),
        ("/status/503", Reason.HTTP_SERVER_ERROR),
        ("/status/304", Reason.HTTP_REFUSED),
        ("/nowhere/", Reason.REDIRECT_REFUSED),
        ("/loop/", Reason.REDIRECT_REFUSED),
        ("/robots/noai", Reason.OPTED_OUT),
        ("/robots/nofollow|mannequinbot: noimageai", Reason.OPTED_OUT),
        ("/tdm/1", Reason.OPTED_OUT),
        ("/html/", Reason.RESPONSE_NO_IMAGE),
        ("/lying/", Reason.RESPONSE_NO_IMAGE),
        ("/empty/", Reason.RESPONSE_NO_IMAGE),
        ("/brotli/", Reason.RESPONSE_NO_IMAGE),
        ("/truncated/", Reason.RESPONSE_TRUNCATED),
        ("/cutchunks/", Reason.RESPONSE_TRUNCATED),
        ("/endless/", Reason.RESPONSE_TOO_LARGE),
        ("/large/", Reason.RESPONSE_TOO_LARGE),
        ("/bomb/", Reason.RESPONSE_TOO_LARGE),
        ("/hugehead/", Reason.RESPONSE_TOO_LARGE),
        ("/endlesshead/", Reason.CONNECTION_FAILED),
        ("/longline/", Reason.RESPONSE_TOO_LARGE),
        ("/continue/", Reason.RESPONSE_TOO_LARGE),
        ("/reset/", Reason.CONNECTION_FAILED),
        ("/silent/", Reason.CONNECTION_FAILED),
        ("/garbage/", Reason.CONNECTION_FAILED),
    ],
)
def test_everything_else_is_a_reason(server: UrlServer, path: str, reason: Reason) -> None:
    assert failure(server.url(path)).reason is reason


@pytest.mark.parametrize("path", ["/slow/5", "/drip/", "/driphead/"])
def test_time_is_bounded_however_slowly_it_drips(server: UrlServer, path: str) -> None:
    started = time.monotonic()
    assert failure(server.url(path), limits=HURRIED).reason is Reason.RESPONSE_TIMED_OUT
    assert time.monotonic() - started < 1.5


def test_time_is_bounded_over_all_redirects(server: UrlServer) -> None:
    server.delay_s = 0.2
    assert failure(server.url("/loop/"), limits=HURRIED).reason is Reason.RESPONSE_TIMED_OUT


def test_a_body_that_is_too_large_is_not_read(server: UrlServer) -> None:
    started = time.monotonic()
    failure(server.url("/endless/"))
    assert time.monotonic() - started < 2.0


def test_an_opt_out_is_evidence(server: UrlServer) -> None:
    said_no = failure(server.url("/tdm/1"))
    assert json.loads(said_no.found["opt_out"])["by"] == "tdm-reservation"
    assert said_no.answer is not None
    assert said_no.answer.headers["tdm-policy"] == "https://example.org/policy.json"


@pytest.mark.parametrize("path", ["/robots/otherbot: noai", "/tdm/0", "/robots/unavailable_after: 25 Jun 2030"])
def test_what_is_no_opt_out_is_fetched(server: UrlServer, path: str) -> None:
    assert client().fetch(server.url(path)).answer.headers


def test_home_is_refused_by_default(server: UrlServer) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):  # noqa: S104
        found = failure(server.url("/ok/1", host), NetworkAccess(allow_ports=(server.port,)))
        assert found.reason in (Reason.ADDRESS_REFUSED, Reason.DNS_FAILED), host
    assert not server.requests


def test_only_ports_of_the_web_are_asked() -> None:
    assert failure("http://1.1.1.1:22/").reason is Reason.ADDRESS_REFUSED


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    server: UrlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is checked, and home when somebody looks again."""
    looked_up = []

    def rebinding(host: str, port: Any, *_: object, **__: object) -> Any:
        looked_up.append(host)
        address = "203.0.114.1" if len(looked_up) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    connected = []

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    found = failure("http://rebinding.example/a.jpg", NetworkAccess())
    assert found.reason is Reason.CONNECTION_FAILED
    assert connected == [("203.0.114.1", 80)]


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "//192.168.0.1/a.jpg",
        "file:///etc/passwd",
        "ftp://example.org/a.jpg",
        "gopher://127.0.0.1:70/_x",
        "https://a b/",
    ],
)
def test_redirects_are_checked_like_urls(server: UrlServer, target: str) -> None:
    found = failure(server.url(f"/redirect/{target}"))
    assert found.reason is Reason.REDIRECT_REFUSED
    assert len(server.requests) == 1


def test_a_redirect_inward_is_refused_though_the_first_address_is_allowed(server: UrlServer) -> None:
    with UrlServer() as inner:
        access = NetworkAccess(allow_networks=("127.0.0.2/32",))
        found = failure(server.url(f"/redirect/{inner.url('/ok/1')}", "127.0.0.2"), access)
        assert found.reason is Reason.REDIRECT_REFUSED
        assert not inner.requests


def test_redirects_are_followed(server: UrlServer) -> None:
    fetched = client().fetch(server.url(f"/redirect/{server.url('/redirect//ok/7')}"))
    assert fetched.answer.url == server.url("/ok/7")


def test_proxies_of_the_environment_are_not_asked(server: UrlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client().fetch(server.url("/ok/1")).body


def test_a_server_that_is_gone() -> None:
    with UrlServer() as gone:
        url = gone.url("/ok/1")
    found = failure(url)
    assert found.reason is Reason.CONNECTION_FAILED
    assert found.answer is None


def test_tls_is_verified_for_the_name(tmp_path: Path) -> None:
    with UrlServer(tls=tls_context(tmp_path)) as server:
        trusting = NetworkAccess(allow_networks=("127.0.0.0/8", "::1/128"), ca_file=str(tmp_path / "cert.pem"))
        assert client(trusting).fetch(server.url("/ok/1", "localhost")).body
        assert failure(server.url("/ok/1", "127.0.0.1"), trusting).reason is Reason.TLS_FAILED
        assert failure(server.url("/ok/1", "localhost"), LOCAL).reason is Reason.TLS_FAILED
        plain = server.url("/ok/1", "localhost").replace("https", "http")
        assert failure(plain, limits=HURRIED).reason in (Reason.CONNECTION_FAILED, Reason.RESPONSE_TIMED_OUT)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("HTTP://Example.ORG", "http://example.org"),
        ("http://example.org:80/a b?c d#e", "http://example.org/a b?c d"),
        ("https://user:secret@example.org:8443/", "https://example.org:8443/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/ü"),
        ("http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81/"),
        ("  http://example.org/a\n", "http://example.org/a"),
    ],
)
def test_urls_are_understood(url: str, asked: str) -> None:
    assert parse_url(url).geturl() == asked


@pytest.mark.parametrize(
    "url",
    [
        *("", "a.jpg", "file:///etc/passwd", "ftp://a/b", "data:image/png;base64,AA", "javascript:1", "http:///a.jpg"),
        *(
            "http://[::1",
            "http://a:99999/",
            "http://a:x/",
            "http://a:0/",
            "http://a\tb c/",
            "http://" + "ü" * 80 + ".de/",
        ),
        *("http://exa\x00mple.org/", "http://a\\b/"),
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(FetchError) as failed:
        parse_url(url)
    assert failed.value.reason is Reason.URL_MALFORMED


def test_a_path_cannot_add_lines_to_the_request(server: UrlServer) -> None:
    fetched = client().fetch(server.url("/ok/%0d%0aX-Evil:%201\u2028 ü"))
    assert fetched.body
    assert "x-evil" not in server.requests[0][2]


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("999999999", 7 * 86400.0),
        ("-5", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 00:02:00 GMT", 7 * 86400.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds


def test_retry_after_is_part_of_the_failure() -> None:
    found = refused(Answer("http://a/", 503), "30", NOW)
    assert (found.reason, found.retry_after_s) == (Reason.HTTP_SERVER_ERROR, 30.0)
