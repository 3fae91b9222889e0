"""Answers read from files: kept while the files stay, read again when they change, few, and asked for by threads."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tasks.ingest.remembered import Remembered, Watch
from tests.ingest.photo_rows import age, write


class Reader:
    """Reads a file and counts how often."""

    def __init__(self, path: Path, pause_s: float = 0.0) -> None:
        self.path, self.pause_s, self.times = path, pause_s, 0

    def __call__(self, watch: Watch) -> bytes:
        watch(self.path)
        self.times += 1
        time.sleep(self.pause_s)
        return self.path.read_bytes()


def test_a_file_that_stays_is_read_once_until_asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, known = Reader(write(tmp_path / "a", b"1")), Remembered[bytes]()
    age(monkeypatch)
    assert [known.get("a", read) for _ in range(3)] == [b"1"] * 3
    assert read.times == 1
    assert known.get("a", read, anew=True) == b"1"
    assert read.times == 2
    known.forget("a")
    known.get("a", read)
    assert read.times == 3


def test_any_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that keeps size and time of writing, and a file put in the place of another."""
    path = write(tmp_path / "a", b"1")
    read, known = Reader(path), Remembered[bytes]()
    age(monkeypatch)
    assert known.get("a", read) == b"1"
    before = path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    age(monkeypatch)
    assert known.get("a", read) == b"2"
    write(tmp_path / "b", b"3").replace(path)
    assert known.get("a", read) == b"3"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        known.get("a", read)


def test_a_file_just_written_is_not_trusted(tmp_path: Path) -> None:
    read, known = Reader(write(tmp_path / "a", b"1")), Remembered[bytes]()
    known.get("a", read)
    known.get("a", read)
    assert read.times == 2


def test_the_one_asked_for_longest_ago_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = {name: Reader(write(tmp_path / name, name)) for name in "abc"}
    known = Remembered[bytes](entries=2)
    age(monkeypatch)
    for name in "abacab":
        known.get(name, reads[name])
    assert {name: read.times for name, read in reads.items()} == {"a": 1, "b": 2, "c": 1}


def test_threads_wait_for_one_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, known, together = Reader(write(tmp_path / "a", b"1"), pause_s=0.05), Remembered[bytes](), Barrier(8)
    age(monkeypatch)

    def ask(_: int) -> bytes:
        together.wait()
        return known.get("a", read)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [b"1"] * 8
    assert read.times == 1
