"""A search for bytes in files as readers see them: compressed, packed and encoded ones are decoded first.

What was forgotten must not be found anywhere; a search of the raw bytes alone would miss a row of a compressed
Parquet file, an array in an npz, or a picture inside a page.
"""

import gzip
import io
import mmap
import re
import tarfile
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_EMBEDDED = re.compile(rb";base64,([A-Za-z0-9+/]{4,}={0,2})")
"""A file inside a page: RFC 2397."""

_DEEPEST = 4
"""How often something packed is looked for inside of something packed."""

_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, tarfile.TarError, pa.ArrowException)
"""What readers of files raise that only begin as theirs; the bytes of such a file were searched as they are."""

_Bytes = bytes | mmap.mmap


def search_for(paths: Iterable[Path], needles: Collection[bytes]) -> tuple[Path, ...]:
    """The files that hold one of `needles`, in the order in which they were found.

    Looks into the bytes and, decoded, into every column of Parquet files, members of tar and zip (npz) files, gzip
    streams, and files inside pages (`data:...;base64`), also one in the other.

    Args:
        paths: files, and folders with all that they hold; what is not there holds nothing. Links are not followed.
        needles: any bytes: names, picture files, vectors as they lie in memory. Empty ones are not looked for.
    """
    wanted = [needle for needle in dict.fromkeys(needles) if needle]
    return tuple(path for top in paths for path in _files(top) if _file_holds(path, wanted))


def parts_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and of all that is packed in it, part by part."""
    yield from _parts(path.read_bytes(), _DEEPEST)


def _parts(data: bytes, deeper: int) -> Iterator[bytes]:
    yield data
    for part in _decoded(data) if deeper else ():
        yield from _parts(part, deeper - 1)


def _files(top: Path) -> Iterator[Path]:
    if top.is_file() and not top.is_symlink():
        yield top
    elif top.is_dir():
        yield from sorted(path for path in top.rglob("*") if path.is_file() and not path.is_symlink())


def _file_holds(path: Path, needles: list[bytes]) -> bool:
    try:
        with path.open("rb") as stream:
            if not stream.seek(0, io.SEEK_END):
                return False
            # not closed here: Arrow may still hold on to it
            return _holds(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), needles, _DEEPEST)
    except FileNotFoundError:
        return False


def _holds(data: _Bytes, needles: list[bytes], deeper: int) -> bool:
    if any(data.find(needle) >= 0 for needle in needles):
        return True
    return deeper > 0 and any(_holds(part, needles, deeper - 1) for part in _decoded(data))


def _decoded(data: _Bytes) -> Iterator[bytes]:
    """What is packed in a file, part by part."""
    head = data[:265]
    try:
        if head[:4] == b"PAR1":
            yield from _columns(data)
        elif head[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as packed:
                yield from (packed.read(name) for name in packed.namelist())
        elif head[:2] == b"\x1f\x8b":
            yield gzip.decompress(data)
        elif head[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(data)) as packed_:
                files = (packed_.extractfile(member) for member in packed_)
                yield from (file.read() for file in files if file is not None)
        else:
            yield from (b64decode(found[1] + b"==") for found in _EMBEDDED.finditer(data))
    except _UNREADABLE:
        return


def _columns(data: _Bytes) -> Iterator[bytes]:
    """The values of a Parquet file, a buffer of a column of a row group at a time."""
    with pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)), pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            for column in file.schema_arrow.names:
                for chunk in file.read_row_group(group, columns=[column]).column(0).chunks:
                    yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer is not None)
