"""A short way through listing and stage for the tests of URL lists, and a server of lists."""

import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tasks.ingest.hub import HubAccess
from tasks.ingest.url_lists import IngestUrls, list_urls
from tasks.schema.rejections import Rejection
from tasks.schema.url_sources import UrlListing, UrlSource
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.store import Store


def source(location: Path | str, **fields: Any) -> UrlSource:
    return UrlSource.model_validate({"name": "web", "location": str(location), **fields})


@dataclass
class Ingested:
    """What came of a list: its listing, the rows kept and rejected, and how many lines were blank."""

    listing: UrlListing
    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    blank: int = 0

    @property
    def triples(self) -> list[tuple[str, str, str]]:
        return [(row["idx"], row["label"], row["url"]) for row in self.kept]

    @property
    def details(self) -> dict[str, str]:
        return {rejection.sample_id: rejection.detail for rejection in self.rejected}


def ingest_urls(wanted: UrlSource, store: Store, part_rows: int = 1000, access: HubAccess | None = None) -> Ingested:
    """List, and run the stage over every part; everything is accounted for, and every id is there once."""
    listing = list_urls(wanted, access or HubAccess(), store, part_rows, threads=1)
    made = Ingested(listing)
    for part in listing.parts:
        for output in IngestUrls.of(wanted, listing, part).process(iter(())):
            assert output.kept.schema.equals(URL_SCHEMA, check_metadata=True)
            made.kept.extend(output.kept.to_pylist())
            made.rejected.extend(output.rejected)
            made.blank += output.facts.get("blank_lines", 0)  # type: ignore[operator]
    ids = [row["sample_id"] for row in made.kept] + [rejection.sample_id for rejection in made.rejected]
    assert len(set(ids)) == len(ids)
    assert len(ids) + made.blank == listing.rows == sum(part.rows for part in listing.parts)
    assert len(made.rejected) == listing.malformed + listing.repeated
    return made


class ListServer:
    """Serves `body` under any path; `cuts` are the bytes after which the connection breaks, answer for answer."""

    def __init__(self, body: bytes = b"", etag: str = '"1"') -> None:
        self.body, self.etag = body, etag
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.redirects: dict[str, str] = {}
        self.announces = True
        self.asked: list[tuple[str, dict[str, str], int]] = []
        self._http = _Listener(self)
        self.address = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, lists: ListServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lists = lists

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the server's trouble."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Tests read `ListServer.asked`."""

    def do_GET(self) -> None:
        lists = self.server.lists
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = lists.statuses.pop(0) if lists.statuses else 200
        body = lists.body
        first = 0
        if self.path in lists.redirects:
            status = 302
        elif status == 200 and lists.etag and headers.get("if-none-match") == lists.etag:
            status = 304
        elif status == 200 and "range" in headers and headers.get("if-range") == lists.etag:
            status, first = 206, int(headers["range"].removeprefix("bytes=").rstrip("-"))
        lists.asked.append((self.path, headers, status))
        self.send_response(status)
        sent = body[first:] if status in (200, 206) else b""
        if status == 302:
            self.send_header("Location", lists.redirects[self.path])
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if lists.etag:
            self.send_header("ETag", lists.etag)
        if status != 304:
            self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if sent and lists.cuts:
            sent = sent[: lists.cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(sent)
