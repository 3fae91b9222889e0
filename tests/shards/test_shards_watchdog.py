"""Native code that never returns: who waits for it goes on, or the process ends. What is slow is left alone."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tasks.schema.errors import ConfigError
from tasks.shards.watchdog import HANG_S, HANG_VARIABLE, HangError, alive, hang_limit_s, watched

LIMIT_S = 0.2


def hang(seconds: float) -> None:
    """Sleep inside C, without the interpreter."""
    ctypes.CDLL(None).usleep(round(seconds * 1e6))


def test_items_come_in_order_and_as_they_are_asked_for() -> None:
    made = []

    def items() -> Iterator[int]:
        for n in range(3):
            made.append(n)
            yield n

    for n in watched(items, 5):
        assert made == list(range(n + 1))
    assert made == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_what_is_raised_there_is_raised_here(error: BaseException) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(type(error)) as raised:
        list(watched(items, 5))
    assert raised.value is error


def test_a_reader_that_stops_early_closes_what_it_read() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append(threading.current_thread().name)

    reading = watched(items, 5)
    assert next(reading) == 0
    reading.close()
    assert closed == ["stage"]


def test_who_hangs_is_left_behind_and_ends_at_its_next_sign_of_life() -> None:
    ended = threading.Event()
    after = []

    def items() -> Iterator[int]:
        yield 1
        try:
            hang(4 * LIMIT_S)
            alive()
            after.append(1)
        finally:
            ended.set()
        yield 2

    reading = watched(items, LIMIT_S)
    assert next(reading) == 1
    begun = time.monotonic()
    with pytest.raises(HangError, match=r"no sign of life for 0.2 s, at hang .*test_shards_watchdog"):
        next(reading)
    assert time.monotonic() - begun < 3 * LIMIT_S
    assert not ended.is_set()
    assert ended.wait(20)
    assert not after


def test_signs_of_life_allow_any_time() -> None:
    def items() -> Iterator[int]:
        for _ in range(8):
            hang(LIMIT_S / 2)
            alive()
        yield 1

    assert list(watched(items, LIMIT_S)) == [1]


@pytest.mark.slow
def test_a_job_that_was_stopped_was_not_silent() -> None:
    script = """
import os, time
from tasks.shards.watchdog import watched
def items():
    time.sleep(0.4)
    yield os.getpid()
print("ready", flush=True)
print(list(watched(items, 1)) == [os.getpid()], flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.9)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "True\n"


HOLDS_THE_INTERPRETER = """
import ctypes
from tasks.shards.watchdog import watched
def items():
    ctypes.PyDLL(None).usleep(60_000_000)
    yield 1
list(watched(items, 0.2))
"""


def test_a_process_whose_interpreter_is_held_ends() -> None:
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", HOLDS_THE_INTERPRETER], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 1
    assert "Timeout (" in ended.stderr
    assert "in items" in ended.stderr
    assert time.monotonic() - begun < 30


def test_the_operator_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HANG_VARIABLE, raising=False)
    assert hang_limit_s() == HANG_S
    for said, meant in (("90", 90.0), ("0", 0.0), ("", HANG_S)):
        monkeypatch.setenv(HANG_VARIABLE, said)
        assert hang_limit_s() == meant
    for said in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv(HANG_VARIABLE, said)
        with pytest.raises(ConfigError, match=HANG_VARIABLE):
            hang_limit_s()


def test_unwatched_runs_in_the_same_thread() -> None:
    assert list(watched(lambda: iter([threading.current_thread()]), 0)) == [threading.current_thread()]
