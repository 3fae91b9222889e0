"""Which URLs and addresses may be asked: http and https, the public internet, and what the operator allows."""

import re
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tasks.download.failure import FetchError
from tasks.schema.errors import ConfigError
from tasks.schema.rejections import Reason

PORTS: Final = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REFUSED_4 = {
    IPv4Network(network): kind
    for network, kind in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, metadata services"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
    )
}
"""The IANA IPv4 Special-Purpose Address Registry, and multicast."""

_GLOBAL_6 = IPv6Network("2000::/3")
_REFUSED_6 = {
    IPv6Network(network): kind
    for network, kind in (
        ("2001::/23", "protocol assignments, Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
    )
}
"""The IANA IPv6 Special-Purpose Address Registry within global unicast; all beyond that (mapped IPv4, NAT64, unique
local, link-local, loopback, multicast) is refused as a whole."""

LOOKUP_IS_FRESH_S = 300.0


def parse_url(url: str) -> SplitResult:
    """A URL that can be asked for, without fragment and credentials, its host in ASCII.

    Raises:
        FetchError: it is none of http or https, or has no usable host or port.
    """
    try:
        split = urlsplit(url.strip())
        host, port = split.hostname or "", split.port
        if not re.fullmatch(r"[0-9a-f:.]+", host):
            host = host.encode("idna").decode()
    except (ValueError, UnicodeError) as error:
        raise FetchError(Reason.URL_MALFORMED, f"{url[:200]!r} is no URL: {error}") from error
    if split.scheme not in PORTS:
        raise FetchError(Reason.URL_MALFORMED, f"only http and https are fetched, not {split.scheme[:20]!r}")
    if not host or port == 0 or re.search(r"[\s\x00-\x1f\x7f/?#@\\]", host):
        raise FetchError(Reason.URL_MALFORMED, f"{url[:200]!r} has no usable host")
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port in (None, PORTS[split.scheme]) else f"{shown}:{port}"
    return SplitResult(split.scheme, authority, split.path, split.query, "")


def parse_networks(networks: Iterable[str]) -> tuple[Network, ...]:
    """The operator's CIDRs.

    Raises:
        ConfigError: one is no network.
    """
    try:
        return tuple(ip_network(network) for network in networks)
    except ValueError as error:
        raise ConfigError(f"allow_networks takes networks such as 10.1.0.0/16: {error}.") from error


def refusal(address: Address, allowed: tuple[Network, ...] = ()) -> str | None:
    """Why an address is not asked; None: it may be."""
    if any(address.version == network.version and address in network for network in allowed):
        return None
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _REFUSED_4.items() if address in network), None)
    if address not in _GLOBAL_6:
        return "not global unicast"
    return next((kind for network, kind in _REFUSED_6.items() if address in network), None)


class Resolver:
    """Names to addresses that may be asked. Each name is looked up once at a time, and again when five minutes old.

    Used by many threads. Failed lookups are not remembered.
    """

    def __init__(self, allowed: tuple[Network, ...], clock: Callable[[], float]) -> None:
        """Allow what is public and what is in `allowed`; `clock` counts seconds."""
        self._allowed = allowed
        self._clock = clock
        self._lock = Lock()
        self._known: dict[str, tuple[float, Future[tuple[Address, ...]]]] = {}

    def addresses(self, host: str, timeout_s: float) -> tuple[Address, ...]:
        """Addresses of `host` that may be asked, in the order of the system's resolver.

        The resolver's own time limit holds for whoever looks up; `timeout_s` for those who wait for him.

        Raises:
            FetchError: the name has no address, or none that may be asked; or it took too long.
        """
        with self._lock:
            since, lookup = self._known.get(host, (0.0, None))
            ours = lookup is None or (lookup.done() and self._clock() - since > LOOKUP_IS_FRESH_S)
            if ours:
                lookup = Future()
                self._known[host] = (self._clock(), lookup)
        assert lookup is not None  # noqa: S101 - ours, or known
        if ours:
            self._look_up(host, lookup)
        try:
            found = lookup.result(timeout_s)
        except FutureTimeoutError as error:
            raise FetchError(Reason.DNS_FAILED, f"no address of {host} within {timeout_s:.0f} s") from error
        return self._permitted(host, found)

    def _look_up(self, host: str, lookup: Future[tuple[Address, ...]]) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            lookup.set_result(tuple(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found)))
        except BaseException as error:
            with self._lock:
                self._known.pop(host, None)
            lookup.set_exception(_explained(host, error))
            if not isinstance(error, OSError | ValueError):
                raise

    def _permitted(self, host: str, found: tuple[Address, ...]) -> tuple[Address, ...]:
        why = {address: refusal(address, self._allowed) for address in found}
        permitted = tuple(address for address, kind in why.items() if kind is None)
        if not permitted:
            told = ", ".join(f"{address} ({kind})" for address, kind in why.items())
            raise FetchError(Reason.ADDRESS_REFUSED, f"{host} leads to {told or 'no address'}, which is not public")
        return permitted


def _explained(host: str, error: BaseException) -> FetchError:
    if isinstance(error, UnicodeError):
        return FetchError(Reason.URL_MALFORMED, f"{host!r} is no host name")
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return FetchError(Reason.DNS_FAILED, f"{host}: {said}")
