"""A reader of MXNet's indexed RecordIO that shares nothing with the writer: one seek and a state machine a record."""

import struct
from pathlib import Path


def read_indexed(rec: Path, idx: Path) -> dict[int, tuple[tuple[int, float, int, int], bytes]]:
    """Number -> header (flag, label, id, id2) and picture, by the offsets of the index."""
    places = [line.split("\t") for line in idx.read_text().splitlines()]
    data = rec.read_bytes()
    return {int(number): _picture(data, int(offset)) for number, offset in places}


def _picture(data: bytes, offset: int) -> tuple[tuple[int, float, int, int], bytes]:
    payload = record_at(data, offset)
    flag, label, first, second = struct.unpack("<IfQQ", payload[:24])
    return (flag, label, first, second), payload[24:]


def record_at(data: bytes, offset: int) -> bytes:
    """The payload that begins at a byte; a continued record has the magic number between its pieces."""
    payload = b""
    state = "start"
    while state != "done":
        magic, word = struct.unpack_from("<II", data, offset)
        assert magic == 0xCED7230A
        assert offset % 4 == 0
        flag, length = word >> 29, word & 0x1FFFFFFF
        assert flag in ((0, 1) if state == "start" else (2, 3))
        if state == "more":
            payload += struct.pack("<I", magic)
        payload += data[offset + 8 : offset + 8 + length]
        assert not any(data[offset + 8 + length : offset + 8 + (length + 3) // 4 * 4])
        offset += 8 + (length + 3) // 4 * 4
        state = "more" if flag in (1, 2) else "done"
    return payload
