"""One URL to its bytes: http and https, checked addresses, bounded in bytes, time and redirects.

Proxies are not used: what they connect to could not be checked.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead, LineTooLong
from typing import IO, Final, Protocol
from urllib.parse import SplitResult, quote, urljoin

from tasks.download.address import PORTS, Resolver, parse_networks, parse_url
from tasks.download.answers import kept_headers, location_of, refused
from tasks.download.connection import Connection, TooManyBytesError, trust
from tasks.download.failure import Answer, FetchError
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason

REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))

SNIFFED: Final = 256
"""Bytes that tell a picture from anything else; of anything else no more are read."""

Sniff = Callable[[bytes, Answer], None]
"""Looks at the first bytes, and raises `FetchError` if they are not what is wanted."""

_CHUNK: Final = 1 << 16
_COMPRESSED: Final = {"gzip", "x-gzip", "deflate"}
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~?-._"


class TransportLimits(Frozen):
    """Bounds of one request, redirects included. Times in seconds; `total_timeout_s` is for everything together."""

    max_body_bytes: int = 32 << 20
    max_header_bytes: int = 64 << 10
    connect_timeout_s: float = 5.0
    total_timeout_s: float = 20.0
    max_redirects: int = 5


@dataclass(frozen=True)
class NetworkAccess:
    """What the operator decides: no part of any key.

    `allow_networks`: CIDRs that may be asked though they are not public, at any port. `allow_ports`: besides 80
    and 443. `ca_file`: certificates to trust in place of the usual ones.
    """

    allow_networks: tuple[str, ...] = ()
    allow_ports: tuple[int, ...] = ()
    user_agent: str = "MannequinBot/0.1 (+dataset builder)"
    ca_file: str | None = None


class Watch(Protocol):
    """Looks on, and raises `FetchError` where no more is to be asked or read."""

    def before(self, place: SplitResult) -> None:
        """An address is about to be asked."""

    def heard(self, answer: Answer) -> None:
        """The head of an answer came."""


@dataclass(frozen=True)
class Wanted:
    """Which bodies are taken: `sniff` refuses by the first bytes; `cut`: of a longer one the beginning is enough."""

    sniff: Sniff | None = None
    cut: bool = False


class Transport:
    """Follows URLs to what they lead to; one instance serves any number of threads."""

    def __init__(self, limits: TransportLimits, access: NetworkAccess) -> None:
        self._limits = limits
        self._access = access
        self._resolver = Resolver(parse_networks(access.allow_networks), time.monotonic)

    def follow(self, url: str, out: IO[bytes], wanted: Wanted, watch: Watch | None = None) -> Answer:
        """What is at `url`, redirects followed, written as it comes. Time that `watch` takes is its own.

        Raises:
            FetchError: the server, or `watch`; `out` then holds a part, or nothing.
            StoreError: it cannot be written.
        """
        deadline = time.monotonic() + self._limits.total_timeout_s
        place = parse_url(url)
        for hop in range(self._limits.max_redirects + 1):
            try:
                started = time.monotonic()
                if watch is not None:
                    watch.before(place)
                    deadline += time.monotonic() - started
                with closing(self._connect(place, deadline)) as connection:
                    found = self._ask(connection, place, out, wanted, watch)
            except FetchError as error:
                if hop and error.answer is None:
                    error.answer = Answer(place.geturl())
                raise
            if isinstance(found, Answer):
                return found
            place = self._redirected(place, found)
        detail = f"more than {self._limits.max_redirects} redirects, the last to {place.geturl()[:200]}"
        raise FetchError(Reason.REDIRECT_REFUSED, detail, Answer(place.geturl()))

    def _connect(self, place: SplitResult, deadline: float) -> Connection:
        host, port = place.hostname or "", place.port or PORTS[place.scheme]
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._late(Answer(place.geturl()))
        addresses = self._resolver.addresses(host, left)
        if port not in (*PORTS.values(), *self._access.allow_ports):
            allowed = parse_networks(self._access.allow_networks)
            addresses = tuple(a for a in addresses if any(a.version == n.version and a in n for n in allowed))
            if not addresses:
                raise FetchError(Reason.ADDRESS_REFUSED, f"port {port} of {host} is none of the web's")
        tls = trust(self._access.ca_file) if place.scheme == "https" else None
        return Connection(addresses, host, port, tls, self._limits.connect_timeout_s, deadline)

    def _ask(
        self, connection: Connection, place: SplitResult, out: IO[bytes], wanted: Wanted, watch: Watch | None
    ) -> Answer | str:
        """What the server said, its body written; or where to look for it."""
        url = place.geturl()
        answer = Answer(url)
        try:
            with closing(connection.ask(self._request(place), self._limits.max_header_bytes)) as response:
                answer = Answer(url, response.status, kept_headers(response.headers))
                if watch is not None:
                    watch.heard(answer)
                if response.status in REDIRECTS:
                    return location_of(response.headers, answer)
                if not 200 <= response.status < 300:
                    raise refused(answer, response.headers.get("retry-after"))
                self._pour(response, answer, out, wanted)
                return answer
        except TimeoutError as error:
            raise self._late(answer) from error
        except (TooManyBytesError, LineTooLong) as error:
            detail = f"the head of the answer has more than {self._limits.max_header_bytes:,} bytes"
            raise FetchError(Reason.RESPONSE_TOO_LARGE, detail, answer) from error
        except (IncompleteRead, ConnectionError) as error:
            reason = Reason.CONNECTION_FAILED if answer.status is None else Reason.RESPONSE_TRUNCATED
            raise FetchError(reason, f"the server hung up ({type(error).__name__})", answer) from error
        except (OSError, HTTPException, ValueError) as error:
            detail = f"no HTTP that we understand: {type(error).__name__}: {str(error)[:200]}"
            raise FetchError(Reason.CONNECTION_FAILED, detail, answer) from error

    def _late(self, answer: Answer) -> FetchError:
        return FetchError(Reason.RESPONSE_TIMED_OUT, f"not finished within {self._limits.total_timeout_s:g} s", answer)

    def _request(self, place: SplitResult) -> bytes:
        target = quote(place.path or "/", safe=_PATH_SAFE) + (
            f"?{quote(place.query, safe=_PATH_SAFE)}" if place.query else ""
        )
        lines = (
            f"GET {target} HTTP/1.1",
            f"Host: {place.netloc}",
            f"User-Agent: {self._access.user_agent}",
            "Accept: image/*, */*;q=0.5",
            "Accept-Encoding: identity",
            "Connection: close",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1", "replace")

    def _redirected(self, place: SplitResult, location: str) -> SplitResult:
        try:
            target = parse_url(urljoin(place.geturl(), location))
        except FetchError as error:
            detail = f"redirected to {location[:200]!r}: {error.detail}"
            raise FetchError(Reason.REDIRECT_REFUSED, detail, Answer(place.geturl())) from error
        try:
            self._resolver.addresses(target.hostname or "", self._limits.connect_timeout_s)
        except FetchError as error:
            if error.reason is Reason.ADDRESS_REFUSED:
                detail = f"redirected to {location[:200]!r}: {error.detail}"
                raise FetchError(Reason.REDIRECT_REFUSED, detail, Answer(place.geturl())) from error
            raise
        return target

    def _pour(self, response: HTTPResponse, answer: Answer, out: IO[bytes], wanted: Wanted) -> None:
        limit = self._limits.max_body_bytes
        if not wanted.cut and response.length is not None and response.length > limit:
            raise _too_large(limit, answer, float(response.length))
        head, size = bytearray(), 0
        for piece in _decoded(response, answer, limit):
            size += len(piece)
            if size > limit:
                if wanted.cut:
                    _write(out, piece[: limit - size])
                    return
                raise _too_large(limit, answer)
            if len(head) < SNIFFED:
                head += piece[:SNIFFED]
                if wanted.sniff and len(head) >= SNIFFED:
                    wanted.sniff(bytes(head[:SNIFFED]), answer)
            _write(out, piece)
        if response.length:
            detail = f"the server announced {response.length:,} bytes more than it sent"
            raise FetchError(Reason.RESPONSE_TRUNCATED, detail, answer)
        if wanted.sniff and len(head) < SNIFFED:
            wanted.sniff(bytes(head), answer)


def _too_large(limit: int, answer: Answer, announced: float | None = None) -> FetchError:
    told = f"announces {announced:,.0f} bytes" if announced else "sends and sends"
    return FetchError(Reason.RESPONSE_TOO_LARGE, f"the server {told}: more than {limit:,}", answer)


def _write(out: IO[bytes], piece: bytes) -> None:
    try:
        out.write(piece)
    except OSError as error:
        raise StoreError(f"What is fetched cannot be written ({error.strerror}): make room, then run again.") from error


def _decoded(response: HTTPResponse, answer: Answer, limit: int) -> Iterator[bytes]:
    """The body piece by piece, unpacked where the server packed it unasked; never much more than `limit` at once."""
    encoding = (response.headers.get("content-encoding") or "identity").strip().lower()
    if encoding in ("", "identity"):
        yield from _pieces(response)
        return
    if encoding not in _COMPRESSED:
        raise FetchError(Reason.RESPONSE_NO_IMAGE, f"encoded as {encoding[:40]!r}, which nobody asked for", answer)
    unpacked = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        for packed in _pieces(response):
            waiting = packed
            while waiting:
                yield unpacked.decompress(waiting, limit)
                waiting = unpacked.unconsumed_tail
        yield unpacked.flush()
    except zlib.error as error:
        raise FetchError(Reason.RESPONSE_TRUNCATED, f"its {encoding} does not unpack: {error}", answer) from error
    if not unpacked.eof:
        raise FetchError(Reason.RESPONSE_TRUNCATED, f"its {encoding} ends too early", answer)


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    size = SNIFFED
    while piece := response.read(size):
        yield piece
        size = _CHUNK
