"""A real server that speaks S3, in a process of its own, and a wire to it that can be cut."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from tasks.shards.bucket import Bucket

NAME = "mannequin"
SERVE = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""
"""One request after another: with threads, moto sometimes lets two conditional PUTs of one name win."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of a server with the empty bucket `mannequin`; it ends with the block."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", SERVE, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{endpoint}/moto-api/")
                break
            except httpx.HTTPError:
                assert process.poll() is None, "the S3 server ended"
                assert time.monotonic() < deadline, "the S3 server does not come up"
                time.sleep(0.05)
        make_bucket(endpoint, NAME)
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=30)


def make_bucket(endpoint: str, name: str) -> None:
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request"}
    httpx.put(f"{endpoint}/{name}", headers=signed).raise_for_status()


def bucket_at(endpoint: str, prefix: str, name: str = NAME) -> Bucket:
    return Bucket(f"s3://{name}/{prefix}", endpoint, "key", "secret")


class Wire:
    """Passes bytes on to a server; cut, it refuses and drops what goes through it."""

    def __init__(self, target: str) -> None:
        self._to = int(target.rpartition(":")[2])
        self._ends: list[socket.socket] = []
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._listening: socket.socket | None = None

    def mend(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
