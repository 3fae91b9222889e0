"""Processes that go on after the command that started them: known again by their pid and their command line."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.schema.errors import MannequinError

_STOP_S = 15.0
_ours: list[subprocess.Popen[bytes]] = []
"""Children of this process, the last started first: they are reaped when they end while we still live."""


class ServiceError(MannequinError):
    """A process of the local service does not start or does not stop."""


@dataclass(frozen=True)
class Service:
    """One background process and the two files that it has.

    Args:
        name: what people read.
        record: JSON of who was started: pid, command and `url`; exists from the start to the stop.
        log: what the process prints; one earlier log is kept beside it.
    """

    name: str
    record: Path
    log: Path

    def url(self) -> str | None:
        """The address written down at the last start, whether or not the process still lives."""
        url = self._written().get("url")
        return url if isinstance(url, str) else None

    def pid(self) -> int | None:
        """The living process, or None; a pid that belongs to another program by now does not count."""
        written = self._written()
        pid, command = written.get("pid"), written.get("command")
        if not isinstance(pid, int) or not isinstance(command, list):
            return None
        ours = next((child for child in _ours if child.pid == pid), None)
        if ours is not None:  # its command line may not be readable yet
            return pid if ours.poll() is None else None
        return pid if _command_line(pid).endswith(" ".join(command[1:])) else None

    def started(self) -> float:
        """When the process was started, in seconds of the epoch; now if it never was."""
        return self.record.stat().st_mtime if self.record.exists() else time.time()

    def start(self, command: Sequence[str], env: Mapping[str, str], folder: Path, url: str) -> int:
        """Start the process in a session of its own, so that it outlives the terminal."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.record.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
            )
        _ours.insert(0, process)
        unfinished = self.record.with_suffix(".part")
        unfinished.write_text(json.dumps({"pid": process.pid, "command": list(command), "url": url}, indent=1))
        unfinished.replace(self.record)
        return process.pid

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the process says that it is ready.

        Raises:
            ServiceError: it ended, or took too long; the message holds the last lines of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.pid() is None:
                raise ServiceError(f"The {self.name} ended at once: {self._last_lines()} (log: {self.log})")
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The {self.name} was not ready after {timeout_s:.0f} s: {self._last_lines()} (log: {self.log})"
                )
            time.sleep(0.25)

    def stop(self) -> bool:
        """Stop the process and what it started; False if none was running.

        Raises:
            ServiceError: it does not end.
        """
        pid = self.pid()
        if pid is not None:
            self._end(pid)
        self.record.unlink(missing_ok=True)
        return pid is not None

    def _end(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            deadline = time.monotonic() + _STOP_S
            while time.monotonic() < deadline:
                if self.pid() is None:
                    return
                time.sleep(0.1)
        raise ServiceError(f"The {self.name} (pid {pid}) does not end.")

    def _written(self) -> dict[str, object]:
        with suppress(FileNotFoundError, ValueError):
            found = json.loads(self.record.read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def _last_lines(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-3:]) or "it said nothing"


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _command_line(pid: int) -> str:
    """Words of a living process, joined by spaces; empty where there is none (or only its exit status is left)."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        return ""
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return listed.stdout.strip()
