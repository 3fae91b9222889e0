"""A local HTTP server that behaves in every way a server on the web may."""

import socket
import socketserver
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import cv2
import numpy as np
import pyarrow as pa

from tasks.schema.webbody import URL_SCHEMA

SITE_FILES = ("/robots.txt", "/.well-known/tdmrep.json")


@lru_cache
def jpeg(seed: int = 0, width: int = 300, height: int = 200) -> bytes:
    """A picture that is not all of one colour."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))[1])


class UrlServer:
    """Serves `/<behaviour>/...` at every loopback address; see the methods of `_Handler`.

    `requests` holds (path, time, headers) of each, `site_requests` those for robots.txt and tdmrep.json. `sites`: what
    they are, by path: a body, or a status; 404 where nothing is said.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[tuple[str, float, dict[str, str]]] = []
        self.site_requests: list[tuple[str, float, dict[str, str]]] = []
        self.sites: dict[str, bytes | int] = {}
        self.moved = "/"
        self.seen: Counter[str] = Counter()
        self.most_active: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.delay_s = 0.0
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.going_down = threading.Event()
        self._listener = _Listener(self, port, tls)
        self.port = self._listener.server_address[1]
        self.scheme = "https" if tls else "http"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def asked(self, path: str) -> int:
        return self.seen[path]

    def serve(self) -> None:
        self._listener.serve_forever(0.02)

    def stop(self) -> None:
        """Go away at once: the port is closed, connections are cut."""
        self.going_down.set()
        self._listener.shutdown()
        self._listener.server_close()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, urls: UrlServer, port: int, tls: ssl.SSLContext | None) -> None:
        self.urls = urls
        self.tls = tls
        super().__init__(("", port), _Handler)

    def get_request(self) -> Any:
        accepted, address = super().get_request()
        if self.tls is not None:
            accepted.settimeout(5)
            accepted = self.tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        return accepted, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what half of the tests are about."""


class _Handler(socketserver.StreamRequestHandler):
    server: "_Listener"

    def handle(self) -> None:
        urls = self.server.urls
        line = self.rfile.readline(65536).decode("latin-1").split()
        headers: dict[str, str] = {}
        while (text := self.rfile.readline(65536).strip()) != b"":
            name, _, value = text.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        self.path = line[1]
        self.host = headers.get("host", "").partition(":")[0]
        with urls.lock:
            booked = urls.site_requests if self.path in SITE_FILES else urls.requests
            booked.append((self.path, time.monotonic(), headers))
            urls.seen[self.path] += 1
            self.times = urls.seen[self.path]
            urls.active[self.host] += 1
            urls.most_active[self.host] = max(urls.most_active[self.host], urls.active[self.host])
        try:
            time.sleep(urls.delay_s)
            named = "site" if self.path in SITE_FILES else self.path.split("/")[1].partition("?")[0]
            behaviour: Callable[[], None] = getattr(self, f"do_{named}")
            with suppress(OSError):
                behaviour()
        finally:
            with urls.lock:
                urls.active[self.host] -= 1

    def answer(self, body: bytes = b"", status: str = "200 OK", kind: str = "image/jpeg", **headers: object) -> None:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Content-Type": kind, "Content-Length": len(body), **told}
        self.head(status, [(name, value) for name, value in sent.items() if value is not None])
        self.wfile.write(body)

    def head(self, status: str, headers: Sequence[tuple[str, object]]) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
        self.wfile.write("\r\n".join(lines).encode("latin-1"))

    def rest(self) -> str:
        return unquote(self.path.split("/", 2)[2])

    def do_site(self) -> None:
        """What a test says of the site; a status of 3xx leads to `moved`, 0 hangs up."""
        said = self.server.urls.sites.get(self.path, 404)
        if said == 0:
            return
        if isinstance(said, bytes):
            self.answer(said, kind="text/plain")
        else:
            self.answer(b"no", f"{said} Whatever", "text/plain", Location=self.server.urls.moved)

    def do_ok(self) -> None:
        self.answer(jpeg(sum(self.path.encode())), ETag='"x"', Server="test", Set_Cookie="a=b")

    def do_file(self) -> None:
        """What a test put there; 503 until then."""
        body = self.server.urls.files.get(self.rest().partition("?")[0])
        if body is None:
            self.answer(b"no", "503 Busy", "text/plain")
        else:
            self.answer(body, kind="application/octet-stream")

    def do_close(self) -> None:
        """No length: the end of the connection is the end of the picture."""
        self.answer(jpeg(1), Content_Length=None)

    def do_chunked(self) -> None:
        self.head("200 OK", [("Transfer-Encoding", "chunked")])
        body = jpeg(2)
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def do_gzipped(self) -> None:
        packer = zlib.compressobj(wbits=31)
        self.answer(packer.compress(jpeg(3)) + packer.flush(), Content_Encoding="gzip")

    def do_bomb(self) -> None:
        """A picture's first bytes and then gigabytes of zeros, packed."""
        packer = zlib.compressobj(9, wbits=31)
        packed = packer.compress(jpeg(3)) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(20))
        self.answer(packed + packer.flush(), Content_Encoding="gzip")

    def do_brotli(self) -> None:
        self.answer(b"\x8b\x03\x80", Content_Encoding="br")

    def do_status(self) -> None:
        self.answer(b"no", f"{self.rest().split('/')[0]} Whatever", "text/plain")

    def do_flaky(self) -> None:
        """Fails at first."""
        if self.times == 1:
            self.answer(b"no", "503 Busy", "text/plain")
        else:
            self.do_ok()

    def do_flakyno(self) -> None:
        """Opts out, then fails, then has a picture."""
        if self.times == 1:
            self.answer(jpeg(4), X_Robots_Tag="noai")
        elif self.times == 2:
            self.answer(b"no", "503 Busy", "text/plain")
        else:
            self.do_ok()

    def do_limited(self) -> None:
        """429 once, with the wait in the path; a picture then."""
        if self.times == 1:
            self.answer(b"slow down", "429 Too Many", "text/plain", Retry_After=self.rest().split("/")[0])
        else:
            self.do_ok()

    def do_away(self) -> None:
        """Always 429, with the wait in the path."""
        self.answer(b"slow down", "429 Too Many", "text/plain", Retry_After=self.rest().split("/")[0])

    def do_redirect(self) -> None:
        self.head("302 Found", [("Location", self.rest()), ("Content-Length", 0)])

    def do_redirectno(self) -> None:
        """A redirect that opts out."""
        self.head("302 Found", [("Location", self.rest()), ("X-Robots-Tag", "noai"), ("Content-Length", 0)])

    def do_loop(self) -> None:
        self.head("302 Found", [("Location", f"/loop/{self.times}"), ("Content-Length", 0)])

    def do_nowhere(self) -> None:
        self.head("302 Found", [("Content-Length", 0)])

    def do_robots(self) -> None:
        """X-Robots-Tag as the path says; `|` between lines."""
        body = jpeg(4)
        lines = [("X-Robots-Tag", value) for value in self.rest().split("|")]
        self.head("200 OK", [*lines, ("Content-Type", "image/jpeg"), ("Content-Length", len(body))])
        self.wfile.write(body)

    def do_gone(self) -> None:
        """Nothing there, and an X-Robots-Tag as the path says."""
        self.answer(b"no", "404 Gone", "text/plain", X_Robots_Tag=self.rest())

    def do_tdm(self) -> None:
        self.answer(jpeg(5), TDM_Reservation=self.rest(), TDM_Policy="https://example.org/policy.json")

    def do_html(self) -> None:
        self.answer(b"<!doctype html><html>" + b" " * 3000, kind="text/html")

    def do_lying(self) -> None:
        self.answer(b"<!doctype html><html>" + b" " * 3000, kind="image/jpeg")

    def do_empty(self) -> None:
        self.answer()

    def do_truncated(self) -> None:
        body = jpeg(6)
        self.answer(body[: len(body) // 2], Content_Length=len(body))

    def do_cut(self) -> None:
        """Half a picture whose length is said to be that."""
        self.answer(jpeg(6)[: len(jpeg(6)) // 2])

    def do_cutchunks(self) -> None:
        self.head("200 OK", [("Transfer-Encoding", "chunked")])
        self.wfile.write(b"400\r\n" + jpeg(6)[:400])

    def do_endless(self) -> None:
        self.head("200 OK", [("Content-Type", "image/jpeg")])
        self.wfile.write(jpeg(7))
        while not self.server.urls.going_down.is_set():
            self.wfile.write(bytes(1 << 16))

    def do_large(self) -> None:
        self.answer(b"", Content_Length=10**12)

    def do_slow(self) -> None:
        """Silence before the answer."""
        self.server.urls.going_down.wait(float(self.rest().split("/")[0]))
        self.do_ok()

    def do_drip(self) -> None:
        """A byte, and a byte, and a byte."""
        self.head("200 OK", [("Content-Type", "image/jpeg"), ("Content-Length", len(jpeg(8)))])
        self._drip(jpeg(8))

    def do_driphead(self) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000)

    def _drip(self, data: bytes) -> None:
        for byte in data:
            if self.server.urls.going_down.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def do_reset(self) -> None:
        """Hang up rudely before the answer."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()

    def do_resetonce(self) -> None:
        if self.times == 1:
            self.do_reset()
        else:
            self.do_ok()

    def do_silent(self) -> None:
        """Hang up politely without a word."""

    def do_garbage(self) -> None:
        self.wfile.write(b"\x00\xff\x00 this is no HTTP\r\n\r\n")

    def do_hugehead(self) -> None:
        self.head("200 OK", [("X-Much", "a" * 4000) for _ in range(50)])

    def do_endlesshead(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.server.urls.going_down.is_set():
            self.wfile.write(b"X-More: and more\r\n" * 100)

    def do_longline(self) -> None:
        self.head("200 OK", [("X-Long", "a" * 100_000)])

    def do_continue(self) -> None:
        """100 Continue, for ever."""
        while not self.server.urls.going_down.is_set():
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def url_rows(urls: Sequence[str]) -> pa.RecordBatch:
    """A list of URLs as rows of `URL_SCHEMA`."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "sample_id": f"list/{number:06d}",
                "parent_id": None,
                "source_uri": url,
                "licence": "unknown",
                "idx": str(number),
                "label": f"label-{number % 7}",
                "url": url,
            }
            for number, url in enumerate(urls)
        ],
        schema=URL_SCHEMA,
    )


def tls_context(folder: Path) -> ssl.SSLContext:
    """A server's certificate for `localhost`, signed by itself, in `folder`/cert.pem."""
    import subprocess

    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
