"""A connection to an address that was checked, with one deadline for all that happens on it."""

import io
import os
import socket
import ssl
import time
from collections.abc import Sequence
from functools import cache
from http.client import HTTPResponse
from typing import cast

from typing_extensions import Buffer

from tasks.download.address import Address
from tasks.download.failure import FetchError
from tasks.schema.rejections import Reason


class TooManyBytesError(Exception):
    """More came than was allowed."""


@cache
def trust(ca_file: str | None) -> ssl.SSLContext:
    """Certificates are verified: against `ca_file`, else SSL_CERT_FILE, else Mozilla's list (certifi)."""
    import certifi

    return ssl.create_default_context(cafile=ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where())


class Connection:
    """A socket to one of `addresses`; `close` it.

    Args:
        addresses: tried in order; never looked up again.
        host: the name for TLS.
        port: TCP port.
        tls: None for plain HTTP.
        connect_timeout_s: for each address.
        deadline: on `time.monotonic`, for everything.
    Raises:
        FetchError: no address takes the connection, or TLS fails.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        connect_timeout_s: float,
        deadline: float,
    ) -> None:
        self.deadline = deadline
        self._socket = _connect(addresses, port, connect_timeout_s, deadline)
        if tls is not None:
            try:
                self._socket.settimeout(self._left())
                self._socket = tls.wrap_socket(self._socket, server_hostname=host)
            except (OSError, ValueError) as error:
                self._socket.close()
                if isinstance(error, TimeoutError):
                    raise FetchError(Reason.RESPONSE_TIMED_OUT, f"{host}: TLS took too long") from error
                raise FetchError(Reason.TLS_FAILED, f"{host}: {_said(error)}") from error

    def ask(self, request: bytes, max_header_bytes: int) -> HTTPResponse:
        """Send a request and read the head of the answer; its body comes with `read`, within the deadline.

        Raises:
            TooManyBytesError: the head is larger than that.
            OSError, http.client.HTTPException: as they happen.
        """
        self._socket.settimeout(self._left())
        self._socket.sendall(request)
        raw = _Received(self._socket, self.deadline, max_header_bytes)
        response = HTTPResponse(cast(socket.socket, _Opened(raw)), method="GET")
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        raw.allowed = None
        return response

    def close(self) -> None:
        self._socket.close()

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Opened:
    """What `HTTPResponse` wants of a socket."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _Received(io.RawIOBase):
    """Bytes of a socket, until the deadline; however slowly they drip."""

    def __init__(self, source: socket.socket, deadline: float, allowed: int | None) -> None:
        self._source = source
        self._deadline = deadline
        self.allowed = allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._source.settimeout(left)
        count = self._source.recv_into(buffer)
        if self.allowed is not None:
            self.allowed -= count
            if self.allowed < 0:
                raise TooManyBytesError
        return count


def _connect(addresses: Sequence[Address], port: int, connect_timeout_s: float, deadline: float) -> socket.socket:
    failures = []
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connected = socket.create_connection((str(address), port), min(left, connect_timeout_s))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            failures.append(f"{address} port {port}: {_said(error)}")
        else:
            return connected
    if not failures:
        raise FetchError(Reason.RESPONSE_TIMED_OUT, "no time left to connect")
    raise FetchError(Reason.CONNECTION_FAILED, "; ".join(failures[:3]))


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
