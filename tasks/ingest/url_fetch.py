"""Fetching a list, whole and once: under a temporary name, by digest, and only then under its own."""

import json
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1, sha256
from ipaddress import ip_address
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from blake3 import blake3

from tasks.download.address import refusal
from tasks.ingest.hub import BLOCK_BYTES, PASSING_STATUS, HubAccess, HubFile, HubStream
from tasks.schema.errors import SourceError
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

if TYPE_CHECKING:
    import httpx

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

MOST_REDIRECTS = 10


def fetch_from_hub(file: HubFile, most_bytes: int, access: HubAccess, store: Store, folder: Path) -> Path:
    """A file of a dataset, fetched unless it is there.

    Raises:
        SourceError: the hub refuses or is out of reach, or the bytes are not those it promised.
    """
    where = f"{file.path} of {file.dataset}"
    if not _DIGEST.fullmatch(file.digest):
        raise SourceError(f"The hub gives no digest of {where}: {file.digest!r}.")
    if file.size > most_bytes:
        raise SourceError(f"{where} has {file.size:,} bytes: raise `max_gigabytes` of the source.")
    target = folder / f"{file.digest}.list"
    if target.exists() and target.stat().st_size == file.size:
        target.touch()
        return target
    digest = sha256() if len(file.digest) == 64 else sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    part = temporary(store.tmp)
    try:
        with disk_errors_explained(store.root), store.files.create(part) as out, HubStream(file, access) as stream:
            while piece := stream.read(BLOCK_BYTES):
                digest.update(piece)
                out.write(piece)
            store.files.sync(out)
        if digest.hexdigest() != file.digest:
            raise SourceError(f"{where} came with other bytes than the hub promised: try again.")
        _publish(part, target, store)
    finally:
        store.files.remove(part)
    return target


def fetch_file(address: str, most_bytes: int, access: HubAccess, store: Store, folder: Path) -> Path:
    """What is at an http(s) address, asked anew each time and fetched unless the server says that we have it.

    A connection that breaks is taken up where it broke if the server can. Redirects may lead neither from https to http
    nor from the internet into our own network.

    Raises:
        SourceError: no network, refused, not there, cut short, or more than `most_bytes`.
    """
    import httpx

    note = folder / f"{sha256(address.encode()).hexdigest()[:32]}.json"
    download = _Download(address, most_bytes, access, *_known(note, folder))
    part = temporary(store.tmp)
    try:
        hooks = {"request": [download.check]}
        with (
            disk_errors_explained(store.root),
            store.files.create(part) as out,
            httpx.Client(
                follow_redirects=True, max_redirects=MOST_REDIRECTS, timeout=access.timeout_s, event_hooks=hooks
            ) as client,
        ):
            if download.patiently(client, out):
                store.files.sync(out)
            elif download.known is not None:
                download.known.touch()
                return download.known
        target = folder / f"{download.digest.hexdigest()[:32]}.list"
        _publish(part, target, store)
    finally:
        store.files.remove(part)
    told = {"name": target.name, "size": download.size, "etag": download.etag, "modified": download.modified}
    written = temporary(store.tmp)
    with store.files.create(written) as out:
        out.write(json.dumps(told).encode())
        store.files.sync(out)
    store.files.replace(written, note)
    return target


def _publish(part: Path, target: Path, store: Store) -> None:
    store.files.replace(part, target)
    store.files.sync_folder(target.parent)


def _known(note: Path, folder: Path) -> tuple[Path | None, str, str]:
    """What was fetched last, if it is still there whole, and its ETag and Last-Modified."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told: dict[str, Any] = json.loads(note.read_bytes())
        path = folder / Path(str(told["name"])).name
        if path.stat().st_size == told["size"]:
            return path, str(told["etag"]), str(told["modified"])
    return None, "", ""


class _PassingError(Exception):
    """Another try may mend it."""

    def __init__(self, why: str, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.pause_s = pause_s


@dataclass
class _Download:
    """One download, over as many connections as it takes; `known` is what we have of the last time."""

    address: str
    most_bytes: int
    access: HubAccess
    known: Path | None
    known_etag: str
    known_modified: str
    etag: str = ""
    modified: str = ""
    size: int = 0
    tries: int = 0

    def __post_init__(self) -> None:
        self.digest = blake3()
        self._shown = without_secrets(self.address)

    def check(self, request: "httpx.Request") -> None:
        """Refuse a redirect that leads where a list on the internet has no business."""
        first, now = urlsplit(self.address), request.url
        if first.scheme == "https" and now.scheme != "https":
            raise SourceError(f"{self._shown} redirects to {now.scheme}: give an address that stays on https.")
        if now.host != first.hostname and _inside(now.host) and not _inside(first.hostname or ""):
            raise SourceError(f"{self._shown} redirects into this network ({now.host}), which is not followed.")

    def patiently(self, client: "httpx.Client", out: IO[bytes]) -> bool:
        """Fetch, and go on after growing pauses; False: what we have is what the server has.

        Raises:
            SourceError: it cannot be had.
        """
        import httpx

        for pause in (*self.access.pauses_s, None):
            try:
                return self._ask(client, out)
            except _PassingError as error:
                why, told = str(error), error.pause_s
            except (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError) as error:
                why, told = f"{type(error).__name__}: {error}", 0.0
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise SourceError(f"{self._shown} cannot be fetched: {error}.") from error
            if pause is not None:
                time.sleep(min(max(pause, told), 4 * max(self.access.pauses_s)))
        raise SourceError(f"{self._shown} cannot be fetched ({why}), {len(self.access.pauses_s) + 1} tries: try later.")

    def _ask(self, client: "httpx.Client", out: IO[bytes]) -> bool:
        headers = {"accept-encoding": "identity"}
        if self.size:
            headers |= {"range": f"bytes={self.size}-", "if-range": self.etag or self.modified}
        elif self.known is not None:
            told = {"if-none-match": self.known_etag, "if-modified-since": self.known_modified}
            headers |= {name: value for name, value in told.items() if value}
        with client.stream("GET", self.address, headers=headers) as response:
            status = response.status_code
            if status == 304 and self.known is not None and not self.size:
                return False
            if status in PASSING_STATUS:
                told_pause = response.headers.get("retry-after", "")
                raise _PassingError(f"HTTP {status}", float(told_pause) if told_pause.isdigit() else 0.0)
            if status == 200:
                self._restart(out, response)
            elif status != 206 or not self.size or not self._goes_on(response):
                raise SourceError(f"{self._shown} cannot be fetched: the server answers HTTP {status}.")
            self._pour(response, out)
        return True

    def _restart(self, out: IO[bytes], response: "httpx.Response") -> None:
        out.seek(0)
        out.truncate()
        self.digest, self.size = blake3(), 0
        self.etag, self.modified = (response.headers.get(name, "") for name in ("etag", "last-modified"))

    def _goes_on(self, response: "httpx.Response") -> bool:
        return str(response.headers.get("content-range", "")).startswith(f"bytes {self.size}-")

    def _pour(self, response: "httpx.Response", out: IO[bytes]) -> None:
        import httpx

        try:
            for piece in response.iter_raw():
                if self.size + len(piece) > self.most_bytes:
                    raise SourceError(f"{self._shown} has more than {self.most_bytes:,} bytes: raise `max_gigabytes`.")
                self.digest.update(piece)
                out.write(piece)
                self.size += len(piece)
        except httpx.HTTPError:
            if not (self.etag or self.modified) or self.etag.startswith("W/"):
                self._forget(out)
            raise

    def _forget(self, out: IO[bytes]) -> None:
        """Nothing of what came can be used: the server does not say which version it was."""
        out.seek(0)
        out.truncate()
        self.digest, self.size = blake3(), 0


def without_secrets(address: str) -> str:
    """An address as it may be shown: without account, query and fragment.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        split = urlsplit(address)
    except ValueError as error:
        raise SourceError(f"The location of the list is no address ({error}).") from error
    if not split.hostname:
        raise SourceError("The location of the list is no address: it has no host.")
    return f"{split.scheme}://{split.hostname}{split.path}"


def _inside(host: str) -> bool:
    """Whether a name leads to an address that is not public."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return any(refusal(ip_address(address.partition("%")[0])) is not None for address in found)
