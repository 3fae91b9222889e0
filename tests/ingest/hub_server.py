"""A local HTTP server that speaks the part of the Hugging Face Hub's API that reading a dataset needs."""

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """One answered request: what was asked for and how many bytes of body went out."""

    method: str
    path: str
    status: int
    sent: int
    token: str | None


@dataclass
class Failure:
    """Answer `times` requests whose path contains `part` with `status` (0: hang up)."""

    part: str
    status: int
    times: int
    headers: dict[str, str] = field(default_factory=dict)


class HubServer:
    """Datasets at commits, with tokens, gates, pages, redirects to a content store, failures and slowness."""

    def __init__(self) -> None:
        self.trees: dict[tuple[str, str], dict[str, bytes]] = {}
        self.refs: dict[tuple[str, str], str] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.tokens: set[str] = set()
        self.failures: list[Failure] = []
        self.page_size = 1000
        self.delay_s = 0.0
        self.serves_ranges = True
        self.requests: list[Request] = []
        self.blobs: dict[str, bytes] = {}
        self._http = _Listener(self)
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.store = f"http://localhost:{self._http.server_address[1]}/cdn"

    def publish(self, dataset: str, files: dict[str, bytes], ref: str = "main") -> str:
        """Commit `files` as the whole content of a branch; returns the commit."""
        commit = sha1(
            repr((dataset, ref, [(path, _sha256(data)) for path, data in sorted(files.items())])).encode(),
            usedforsecurity=False,
        ).hexdigest()
        self.trees[dataset, commit] = files
        self.refs[dataset, ref] = self.refs[dataset, commit] = commit
        self.blobs |= {_sha256(data): data for data in files.values()}
        return commit

    def sent(self, part: str = "") -> int:
        """Bytes of body that went out to requests whose path contains `part`."""
        return sum(request.sent for request in self.requests if part in request.path)

    def fail(self, part: str, status: int, times: int, **headers: str) -> None:
        self.failures.append(Failure(part, status, times, headers))

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()


@lru_cache
def _git_oid(data: bytes) -> str:
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@lru_cache
def _sha256(data: bytes) -> str:
    return sha256(data).hexdigest()


def _is_lfs(path: str) -> bool:
    return path.endswith(".parquet")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the server's trouble."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: "_Listener"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Tests read `HubServer.requests`."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self._answer(parse_qs(body.decode()))

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = 0
        if self.command != "HEAD":
            try:
                for start in range(0, len(body), 1 << 16):
                    sent += self.wfile.write(body[start : start + (1 << 16)])
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
        self.server.hub.requests.append(Request(self.command, self.path, status, sent, self._token()))

    def _json(self, content: Any, **headers: str) -> None:
        self._send(200, json.dumps(content).encode(), Content_Type="application/json", **headers)

    def _refuse(self, status: int, code: str = "", message: str = "") -> None:
        headers = {"X_Error_Code": code, "X_Error_Message": message}
        body = json.dumps({"error": message or code}).encode()
        self._send(status, body, **{name: value for name, value in headers.items() if value})

    def _token(self) -> str | None:
        given = self.headers.get("authorization")
        return given.removeprefix("Bearer ") if given else None

    def _answer(self, body: dict[str, list[str]] | None = None) -> None:
        time.sleep(self.server.hub.delay_s)
        for failure in self.server.hub.failures:
            if failure.times > 0 and failure.part in self.path:
                failure.times -= 1
                if failure.status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return None
                return self._send(failure.status, b"{}", **failure.headers)
        url = urlsplit(self.path)
        steps = url.path.strip("/").split("/")
        if steps[0] == "cdn":
            return self._bytes(self.server.hub.blobs[steps[1]])
        if self._token() is not None and self._token() not in self.server.hub.tokens:
            return self._refuse(401, message="Invalid credentials in Authorization header")
        if steps[:2] == ["api", "datasets"]:
            return self._api("/".join(steps[2:4]), [unquote(step) for step in steps[4:]], url.query, body)
        if steps[0] == "datasets" and steps[3:4] == ["resolve"]:
            return self._resolve("/".join(steps[1:3]), unquote(steps[4]), unquote("/".join(steps[5:])))
        return self._refuse(404)

    def _commit(self, dataset: str, revision: str) -> str | None:
        """The commit, or None after a refusal."""
        known = any(name == dataset for name, _ in self.server.hub.refs)
        if not known or (dataset in self.server.hub.private and self._token() is None):
            self._refuse(404 if self._token() else 401, "RepoNotFound", "Repository not found")
        elif (dataset, revision) not in self.server.hub.refs:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return self.server.hub.refs[dataset, revision]
        return None

    def _api(self, dataset: str, steps: list[str], query: str, body: dict[str, list[str]] | None) -> None:
        action, revision = (steps[0], steps[1]) if len(steps) > 1 else ("revision", "main")
        commit = self._commit(dataset, revision)
        if commit is None:
            return None
        tree = self.server.hub.trees[dataset, commit]
        if action == "revision":
            siblings = [{"rfilename": path} for path in sorted(tree)]
            return self._json({"id": dataset, "sha": commit, "private": False, "tags": [], "siblings": siblings})
        if action == "paths-info":
            return self._json([_entry(path, tree[path]) for path in (body or {}).get("paths", ()) if path in tree])
        if action != "tree":
            return self._refuse(404)
        given = parse_qs(query)
        below = "/".join(steps[2:])
        listed = _listing(tree, below, given.get("recursive", ["false"])[0].lower() == "true")
        if below and not listed:
            return self._refuse(404, "EntryNotFound", f"{below} does not exist")
        start = int(given.get("cursor", ["0"])[0])
        headers = {}
        if start + self.server.hub.page_size < len(listed):
            wanted = {name: values[0] for name, values in given.items()} | {
                "cursor": str(start + self.server.hub.page_size)
            }
            following = "&".join(f"{name}={quote(value)}" for name, value in wanted.items())
            headers["Link"] = f'<{self.server.hub.endpoint}{self.path.split("?")[0]}?{following}>; rel="next"'
        return self._json(listed[start : start + self.server.hub.page_size], **headers)

    def _resolve(self, dataset: str, revision: str, path: str) -> None:
        commit = self._commit(dataset, revision)
        if commit is None:
            return None
        if dataset in self.server.hub.gated:
            message = f"Access to dataset {dataset} is restricted."
            return self._refuse(403 if self._token() else 401, "GatedRepo", message)
        data = self.server.hub.trees[dataset, commit].get(path)
        if data is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        if not _is_lfs(path):
            return self._bytes(data, X_Repo_Commit=commit, ETag=f'"{_git_oid(data)}"')
        digest = _sha256(data)
        return self._send(
            302,
            Location=f"{self.server.hub.store}/{digest}",
            X_Repo_Commit=commit,
            X_Linked_Etag=f'"{digest}"',
            X_Linked_Size=str(len(data)),
        )

    def _bytes(self, data: bytes, **headers: str) -> None:
        asked = self.headers.get("range")
        if not asked or not self.server.hub.serves_ranges:
            return self._send(200, b"" if self.command == "HEAD" else data, **headers, Content_Length=str(len(data)))
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data) - 1) + 1, len(data))
        if start >= stop:
            return self._send(416, Content_Range=f"bytes */{len(data)}", **headers)
        return self._send(206, data[start:stop], Content_Range=f"bytes {start}-{stop - 1}/{len(data)}", **headers)


def _listing(tree: dict[str, bytes], below: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{below}/" if below else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, data in sorted(tree.items()):
        if not path.startswith(prefix):
            continue
        steps = path.removeprefix(prefix).split("/")
        for depth in range(1, len(steps)):
            if recursive or depth == 1:
                folder = prefix + "/".join(steps[:depth])
                oid = sha1(folder.encode(), usedforsecurity=False).hexdigest()
                entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
        if recursive or len(steps) == 1:
            entries[path] = _entry(path, data)
    return list(entries.values())


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": _git_oid(data), "size": len(data), "path": path}
    if _is_lfs(path):
        entry["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
    return entry
