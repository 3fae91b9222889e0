"""MXNet's indexed RecordIO: `train.rec` holds the records, `train.idx` where each begins, `train.tsv` what each is.

A record is the magic number, a word of flag (3 bits) and length (29 bits), and the payload, filled with zeros to four
bytes; all words are little-endian. Readers that look for the beginning of a record in the middle of a file search for
the magic number at multiples of four, so a payload that holds it there is cut: the magic number itself is left out, the
first piece has flag 1, the last 3, those between 2, and a reader puts the magic number back between them.

Source: the description of the format in `dmlc/recordio.h`; the header of a picture, in MXNet's `image_recordio.h`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from tasks.schema.errors import StoreError

MAGIC: Final = struct.pack("<I", 0xCED7230A)

_LENGTH_BITS: Final = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_WORDS: Final = struct.Struct("<II")
_HEADER: Final = struct.Struct("<IfQQ")
"""Flag, label, index, second half of the index. A flag above 0 counts further labels, which we do not write."""


@dataclass(frozen=True)
class PictureRecord:
    """A picture in a record file: its number, its class, and its encoded bytes."""

    index: int
    label: int
    picture: bytes


def packed(record: PictureRecord) -> bytes:
    """The payload of a picture: header (flag 0, label, index, 0) and bytes."""
    return _HEADER.pack(0, record.label, record.index, 0) + record.picture


def unpacked(payload: bytes) -> PictureRecord:
    """The picture in a payload.

    Raises:
        StoreError: it has no header, or one that counts several labels.
    """
    if len(payload) < _HEADER.size:
        raise StoreError(f"A record of {len(payload)} bytes holds no picture.")
    flag, label, index, _ = _HEADER.unpack_from(payload)
    if flag or not label.is_integer():
        raise StoreError(f"The record {index} has the flag {flag} and the label {label}; pictures here have one class.")
    return PictureRecord(index, int(label), payload[_HEADER.size :])


def framed(payload: bytes) -> bytes:
    """A payload as it stands in the file.

    Raises:
        ValueError: it does not fit a record (2^29 bytes).
    """
    if len(payload) >= 1 << _LENGTH_BITS:
        raise ValueError(f"a record holds less than 2^{_LENGTH_BITS} bytes, not {len(payload)}")
    cuts = list(_cuts(payload))
    if not cuts:
        return _frame(_WHOLE, payload)
    starts = [0, *(cut + len(MAGIC) for cut in cuts)]
    ends = [*cuts, len(payload)]
    flags = [_FIRST, *[_MIDDLE] * (len(cuts) - 1), _LAST]
    return b"".join(_frame(flag, payload[a:b]) for flag, a, b in zip(flags, starts, ends, strict=True))


def _cuts(payload: bytes) -> Iterator[int]:
    """Where the magic number stands at a multiple of four."""
    at = payload.find(MAGIC)
    while at >= 0:
        if at % 4 == 0:
            yield at
            at = payload.find(MAGIC, at + 4)
        else:
            at = payload.find(MAGIC, at + 1)


def _frame(flag: int, piece: bytes) -> bytes:
    filling = b"\0" * (-len(piece) % 4)
    return MAGIC + struct.pack("<I", flag << _LENGTH_BITS | len(piece)) + piece + filling


class RecordFiles:
    """Writes pictures to open streams as records, with their index and list; sizes beyond 4 GiB are fine."""

    def __init__(self, rec: IO[bytes], idx: IO[bytes], tsv: IO[bytes]) -> None:
        self._rec, self._idx, self._tsv = rec, idx, tsv
        self._offset = 0
        self.count = 0

    def add(self, key: str, label: int, picture: bytes) -> None:
        """Append a picture; `key` is its path in the list, without tabs and line ends."""
        frame = framed(packed(PictureRecord(self.count, label, picture)))
        self._rec.write(frame)
        self._idx.write(b"%d\t%d\n" % (self.count, self._offset))
        self._tsv.write(f"{self.count}\t{key}\t{label}\n".encode())
        self._offset += len(frame)
        self.count += 1


def read_records(rec: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Offset and payload of every record of an open file, from where it stands.

    Raises:
        StoreError: the file is cut off or is no RecordIO.
    """
    offset = rec.tell()
    while head := rec.read(_WORDS.size):
        begin = offset
        pieces: list[bytes] = []
        while True:
            flag, piece = _piece(rec, head, offset)
            offset += _WORDS.size + len(piece) + -len(piece) % 4
            if (flag in (_WHOLE, _FIRST)) != (not pieces):
                raise StoreError(f"The record at byte {begin} is not put together from a first to a last piece.")
            pieces.append(piece)
            if flag in (_WHOLE, _LAST):
                break
            head = rec.read(_WORDS.size)
        yield begin, MAGIC.join(pieces)


def _piece(rec: IO[bytes], head: bytes, offset: int) -> tuple[int, bytes]:
    if len(head) < _WORDS.size or head[:4] != MAGIC:
        raise StoreError(f"No record begins at byte {offset}.")
    word = _WORDS.unpack(head)[1]
    length = word & ((1 << _LENGTH_BITS) - 1)
    filled = rec.read(length + -length % 4)
    if len(filled) != length + -length % 4 or word >> _LENGTH_BITS > _LAST:
        raise StoreError(f"The record at byte {offset} is cut off or damaged.")
    return word >> _LENGTH_BITS, filled[:length]
