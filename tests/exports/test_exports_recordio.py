"""RecordIO: read back by a reader written from the format's description, and by MXNet's own."""

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.exports.recordio import MAGIC, PictureRecord, RecordFiles, framed, packed, read_records, unpacked
from tasks.schema.errors import StoreError
from tests.exports.recordio_reader import read_indexed, record_at

PIECES = st.lists(st.one_of(st.binary(max_size=9), st.just(MAGIC), st.just(MAGIC[:3])), max_size=12)
PAYLOADS = PIECES.map(b"".join)

READ_WITH_MXNET = """
import hashlib, json, sys
import numpy as np
np.bool = np.bool_
import mxnet as mx
read = mx.recordio.MXIndexedRecordIO(sys.argv[1] + ".idx", sys.argv[1] + ".rec", "r")
found = []
for key in read.keys:
    header, picture = mx.recordio.unpack(read.read_idx(key))
    found.append([key, int(header.flag), float(header.label), int(header.id), hashlib.sha256(picture).hexdigest()])
in_order = mx.recordio.MXRecordIO(sys.argv[1] + ".rec", "r")
count = 0
while in_order.read() is not None:
    count += 1
print(json.dumps([found, count]))
"""


@given(PAYLOADS)
@example(b"")
@example(MAGIC)
@example(MAGIC * 3)
@example(b"x" + MAGIC + b"xxx" + MAGIC)
def test_every_payload_comes_back(payload: bytes) -> None:
    frame = framed(payload)
    assert record_at(frame, 0) == payload
    assert list(read_records(io.BytesIO(frame))) == [(0, payload)]


@given(PAYLOADS)
def test_the_magic_number_begins_records_only(payload: bytes) -> None:
    frame = framed(payload)
    places = [at for at in range(0, len(frame), 4) if frame[at : at + 4] == MAGIC]
    begins, at = [], 0
    while at < len(frame):
        begins.append(at)
        length = struct.unpack_from("<I", frame, at + 4)[0] & 0x1FFFFFFF
        at += 8 + (length + 3) // 4 * 4
    assert places == begins


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2**24), PAYLOADS), max_size=6))
def test_files_hold_what_was_added(pictures: list[tuple[int, bytes]]) -> None:
    rec, idx, tsv = io.BytesIO(), io.BytesIO(), io.BytesIO()
    files = RecordFiles(rec, idx, tsv)
    for number, (label, picture) in enumerate(pictures):
        files.add(f"q/{number}_0.jpg", label, picture)
    rec.seek(0)
    read = list(read_records(rec))
    assert [unpacked(data) for _, data in read] == [PictureRecord(i, *each) for i, each in enumerate(pictures)]
    assert idx.getvalue().decode() == "".join(f"{i}\t{at}\n" for i, (at, _) in enumerate(read))
    assert tsv.getvalue().decode() == "".join(f"{i}\tq/{i}_0.jpg\t{each[0]}\n" for i, each in enumerate(pictures))


def test_a_record_byte_for_byte() -> None:
    payload = packed(PictureRecord(7, 3, b"hi" + MAGIC + b"ab" + MAGIC))
    assert payload == struct.pack("<IfQQ", 0, 3.0, 7, 0) + b"hi" + MAGIC + b"ab" + MAGIC
    first = MAGIC + struct.pack("<I", 1 << 29 | 32) + payload[:32]
    last = MAGIC + struct.pack("<I", 3 << 29 | 0)
    assert framed(payload) == first + last


def test_a_cut_or_foreign_file_is_told(tmp_path: Path) -> None:
    frame = framed(b"x" * 50) + framed(MAGIC * 2)
    for end in range(1, len(frame)):
        if end != len(framed(b"x" * 50)):
            with pytest.raises(StoreError, match=r"cut off|No record begins"):
                list(read_records(io.BytesIO(frame[:end])))
    with pytest.raises(StoreError, match="No record begins at byte 0"):
        list(read_records(io.BytesIO(b"PAR1PAR1")))
    middle = MAGIC + struct.pack("<I", 2 << 29)
    with pytest.raises(StoreError, match="not put together"):
        list(read_records(io.BytesIO(middle)))
    with pytest.raises(StoreError, match="holds no picture"):
        unpacked(b"short")
    with pytest.raises(StoreError, match="one class"):
        unpacked(struct.pack("<IfQQ", 2, 0, 1, 0))


def test_a_record_has_less_than_half_a_gigabyte() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 29

    with pytest.raises(ValueError, match="less than"):
        framed(Long())


def test_offsets_beyond_four_gigabytes() -> None:
    idx = io.BytesIO()
    files = RecordFiles(io.BytesIO(), idx, io.BytesIO())
    files._offset = 5 << 30
    files.add("q/0_0.jpg", 0, b"1234")
    files.add("q/1_0.jpg", 0, b"1234")
    assert idx.getvalue().decode() == f"0\t{5 << 30}\n1\t{(5 << 30) + 8 + 24 + 4}\n"


def write_pictures(folder: Path, count: int = 50) -> list[bytes]:
    """Real record files with payloads that hold the magic number at all places."""
    pictures = [os.urandom(40 + i) + MAGIC * (i % 4) + os.urandom(i % 5) + MAGIC for i in range(count)]
    paths = [folder / f"train.{kind}" for kind in ("rec", "idx", "tsv")]
    streams = [path.open("wb") for path in paths]
    files = RecordFiles(*streams)
    for i, picture in enumerate(pictures):
        files.add(f"q/{i}_0.jpg", i // 2, picture)
    for stream in streams:
        stream.close()
    return pictures


def test_an_independent_reader_finds_everything_by_the_index(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path)
    read = read_indexed(tmp_path / "train.rec", tmp_path / "train.idx")
    assert read == {i: ((0, i // 2, i, 0), picture) for i, picture in enumerate(pictures)}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(600)
def test_mxnet_reads_the_files(tmp_path: Path) -> None:
    """In an environment of its own: MXNet 1.9.1 is the last one, and it needs a NumPy that still has `np.bool`."""
    from hashlib import sha256

    pictures = write_pictures(tmp_path)
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, "numpy==1.23.5", "requests"], check=True)
    subprocess.run([*install, "--no-deps", "mxnet==1.9.1"], check=True)
    asked = [python, "-W", "ignore", "-c", READ_WITH_MXNET, tmp_path / "train"]
    found, count = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    assert count == len(pictures)
    assert found == [[i, 0, i // 2, i, sha256(picture).hexdigest()] for i, picture in enumerate(pictures)]
