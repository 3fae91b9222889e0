"""Which addresses are asked."""

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from tasks.download.address import Resolver, parse_networks, refusal
from tasks.download.failure import FetchError
from tasks.schema.errors import ConfigError
from tasks.schema.rejections import Reason

INWARD = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254"),  # noqa: S104
    *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1"),
    *("5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1"),
]
OUTWARD = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "198.20.0.1", "223.255.255.254"]
OUTWARD_6 = ["2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2400:cb00::1"]


@pytest.mark.parametrize("address", INWARD)
def test_inward_is_refused(address: str) -> None:
    assert refusal(ip_address(address))


@pytest.mark.parametrize("address", OUTWARD + OUTWARD_6)
def test_outward_is_asked(address: str) -> None:
    assert refusal(ip_address(address)) is None


def test_the_operator_may_allow() -> None:
    allowed = parse_networks(("10.1.0.0/16", "::1/128"))
    assert refusal(ip_address("10.1.2.3"), allowed) is None
    assert refusal(ip_address("::1"), allowed) is None
    assert refusal(ip_address("10.2.2.3"), allowed)
    assert refusal(ip_address("::ffff:10.1.2.3"), allowed)


def test_what_is_no_network_is_said() -> None:
    with pytest.raises(ConfigError, match="allow_networks"):
        parse_networks(("10.1.2.3/16",))


def answering(*addresses: str) -> Callable[..., Any]:
    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_only_public_ones_of_a_name_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering("10.0.0.1", "1.1.1.1", "64:ff9b::101:101"))
    assert Resolver((), lambda: 0.0).addresses("mixed.example", 1) == (ip_address("1.1.1.1"),)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1", "0"])
def test_every_spelling_of_home_is_refused(host: str) -> None:
    with pytest.raises(FetchError) as refused:
        Resolver((), lambda: 0.0).addresses(host, 5)
    assert refused.value.reason in (Reason.ADDRESS_REFUSED, Reason.DNS_FAILED)


def test_a_name_is_looked_up_once_for_many_and_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up, go_on, now = [], threading.Event(), [0.0]

    def slow(host: str, *_: object, **__: object) -> Any:
        looked_up.append(host)
        go_on.wait(5)
        return answering("1.1.1.1")()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver((), lambda: now[0])
    askers = [threading.Thread(target=resolver.addresses, args=("a.example", 5)) for _ in range(8)]
    for asker in askers:
        asker.start()
    go_on.set()
    for asker in askers:
        asker.join()
    assert looked_up == ["a.example"]
    now[0] = 301.0
    resolver.addresses("a.example", 5)
    assert looked_up == ["a.example"] * 2


def test_a_failed_lookup_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    resolver = Resolver((), lambda: 0.0)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(FetchError, match="Temporary failure") as failed:
        resolver.addresses("a.example", 5)
    assert failed.value.reason is Reason.DNS_FAILED
    monkeypatch.setattr(socket, "getaddrinfo", answering("1.1.1.1"))
    assert resolver.addresses("a.example", 5)


def test_who_waits_for_a_slow_lookup_waits_no_longer_than_he_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> Any:
        asked.set()
        go_on.wait(5)
        return answering("1.1.1.1")()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver((), lambda: 0.0)
    first = threading.Thread(target=resolver.addresses, args=("a.example", 5))
    first.start()
    asked.wait(5)
    with pytest.raises(FetchError) as late:
        resolver.addresses("a.example", 0.01)
    assert late.value.reason is Reason.DNS_FAILED
    go_on.set()
    first.join()


def test_a_name_that_is_none() -> None:
    with pytest.raises(FetchError) as failed:
        Resolver((), lambda: 0.0).addresses("a" * 300 + ".example", 5)
    assert failed.value.reason in (Reason.URL_MALFORMED, Reason.DNS_FAILED)
