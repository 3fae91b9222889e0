"""Background processes: known by pid and command line, ended with what they started."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.processes import Service, ServiceError, is_taken

SLEEP = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service("sleeper", tmp_path / "run" / "sleeper.json", tmp_path / "logs" / "sleeper.log")
    yield found
    found.stop()


def start(service: Service, command: list[str]) -> int:
    return service.start(command, os.environ, service.record.parents[1], "http://127.0.0.1:1")


def test_started_known_and_stopped(service: Service) -> None:
    assert service.pid() is None
    assert service.url() is None
    pid = start(service, SLEEP)
    service.wait(lambda: "ready" in service.log.read_text(), 30)
    assert service.pid() == pid
    assert service.url() == "http://127.0.0.1:1"
    assert service.stop()
    assert service.pid() is None
    assert not service.stop()


def test_it_outlives_who_started_it_and_is_found_again(service: Service) -> None:
    pid = start(service, SLEEP)
    again = Service(service.name, service.record, service.log)
    assert again.pid() == pid
    assert os.getsid(pid) != os.getsid(0)


def test_one_that_another_process_started_is_known_by_its_command_line(service: Service) -> None:
    other = subprocess.Popen(SLEEP, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        service.record.parent.mkdir(parents=True)
        service.record.write_text(json.dumps({"pid": other.pid, "command": SLEEP, "url": "x"}))
        assert service.pid() == other.pid
    finally:
        other.kill()
        other.communicate()


def test_a_pid_that_belongs_to_another_program_does_not_count(service: Service) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        service.record.parent.mkdir(parents=True)
        service.record.write_text(json.dumps({"pid": other.pid, "command": SLEEP, "url": "x"}))
        assert service.pid() is None
        assert not service.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_damaged_record_is_no_record(service: Service, text: str) -> None:
    service.record.parent.mkdir(parents=True)
    service.record.write_text(text)
    assert service.pid() is None


def test_one_that_ends_at_once_says_why(service: Service) -> None:
    start(service, [sys.executable, "-c", "raise SystemExit('no room')"])
    with pytest.raises(ServiceError, match="no room"):
        service.wait(lambda: False, 30)


def test_one_that_is_never_ready_says_so(service: Service) -> None:
    start(service, SLEEP)
    with pytest.raises(ServiceError, match="not ready after"):
        service.wait(lambda: False, 0.5)


def test_stop_ends_the_children_too(service: Service) -> None:
    start(service, ["/bin/sh", "-c", "sleep 60 & echo $!; wait"])
    service.wait(lambda: service.log.read_text().strip().isdigit(), 30)
    child = Path("/proc", service.log.read_text().strip())
    service.stop()
    deadline = time.monotonic() + 10
    while (child / "cmdline").exists() and (child / "cmdline").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not (child / "cmdline").exists() or not (child / "cmdline").read_bytes()


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        assert is_taken(held.getsockname()[1])
        port = held.getsockname()[1]
    assert not is_taken(port)
