"""An open list, whatever its layout: its rows in pieces, and the bytes that decide them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from blake3 import blake3

from tasks.ingest.table import open_parquet
from tasks.ingest.url_entries import Rows
from tasks.ingest.url_layouts import DELIMITERS, line_layout
from tasks.ingest.url_lines import Ints, LineBlock, line_blocks, read_pieces
from tasks.ingest.url_tables import TableBlock, table_blocks, table_layout
from tasks.schema.errors import SourceError
from tasks.schema.url_sources import UrlColumns, UrlFormat, UrlLayout, UrlPart

HEAD_BYTES = 1 << 20
"""Looked at to see how a list of lines is written."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


class LinesDigest:
    """BLAKE3 of lines without the end of the last one, so that it does not matter whether a list ends with one.

    `size` counts that end too.
    """

    def __init__(self) -> None:
        self._digest = blake3()
        self._held = b""
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if len(data) < 2:
            data = self._held + bytes(data)
            self._held = b""
        self._digest.update(self._held)
        self._digest.update(data[:-2])
        self._held = bytes(data[-2:])

    def close(self) -> str:
        self._digest.update(self._held.removesuffix(b"\n").removesuffix(b"\r"))
        return self._digest.hexdigest()


class RowsDigest:
    """BLAKE3 of rows that have no place in a file."""

    size = 0

    def __init__(self) -> None:
        self._digest = blake3()

    def update(self, data: bytes | memoryview) -> None:
        self._digest.update(data)

    def close(self) -> str:
        return self._digest.hexdigest()


def new_digest(layout: UrlLayout) -> LinesDigest | RowsDigest:
    """What a part of such a list is pinned by."""
    return RowsDigest() if layout.format is UrlFormat.PARQUET else LinesDigest()


@dataclass(frozen=True)
class LinePiece:
    """Lines that were read together; `edges` is where in the file each begins and the last one ends."""

    rows: Rows
    edges: Ints
    block: LineBlock

    def byte_at(self, row: int) -> int:
        """Where a row begins in the file; `rows.count`: where the last one ends."""
        return int(self.edges[row])

    def told(self, first: int, stop: int) -> Iterator[bytes | memoryview]:
        """What decides rows [first, stop)."""
        return self.block.bytes_between(self.byte_at(first), self.byte_at(stop))


@dataclass(frozen=True)
class TablePiece:
    """Rows of a table that were read together; they have no place in bytes."""

    rows: Rows
    block: TableBlock

    def byte_at(self, row: int) -> int:  # noqa: ARG002 - as `LinePiece`
        return 0

    def told(self, first: int, stop: int) -> tuple[bytes]:
        return (self.block.bytes_between(first, stop),)


Piece = LinePiece | TablePiece


@dataclass(frozen=True)
class Lines:
    """A block of lines that was not looked at yet; `read` may run in any thread."""

    block: LineBlock
    layout: UrlLayout

    def read(self) -> LinePiece:
        rows, edges = self.block.parse(self.layout)
        return LinePiece(rows, edges, self.block)


@dataclass(frozen=True)
class Cells:
    """A block of a table that was not looked at yet; `read` may run in any thread."""

    block: TableBlock

    def read(self) -> TablePiece:
        return TablePiece(self.block.parse(), self.block)


Block = Lines | Cells


@dataclass(frozen=True)
class LineList:
    """An open list of lines; `first_byte` is where its first row begins."""

    descriptor: int
    layout: UrlLayout
    first_byte: int

    def blocks(self) -> Iterator[Lines]:
        """All rows, in order."""
        stop = os.fstat(self.descriptor).st_size
        return (Lines(block, self.layout) for block in line_blocks(self.descriptor, self.first_byte, stop))

    def part(self, part: UrlPart) -> Iterator[Lines]:
        """The rows of a part, in order, or as many of them as there are."""
        stop = part.first_byte + part.size
        return (Lines(block, self.layout) for block in line_blocks(self.descriptor, part.first_byte, stop))

    def digest(self, part: UrlPart) -> str:
        """The digest of a part's rows as they are now."""
        digest = LinesDigest()
        for piece in read_pieces(self.descriptor, part.first_byte, part.first_byte + part.size):
            digest.update(piece)
        return digest.close()


@dataclass(frozen=True)
class TableList:
    """An open Parquet list."""

    file: pq.ParquetFile
    layout: UrlLayout
    where: str

    def blocks(self) -> Iterator[Cells]:
        return self._between(0, self.file.metadata.num_rows)

    def part(self, part: UrlPart) -> Iterator[Cells]:
        return self._between(part.first_row, part.rows)

    def digest(self, part: UrlPart) -> str:
        digest = RowsDigest()
        for block in table_blocks(self.file, self.layout, part.first_row, part.rows, self.where):
            digest.update(block.bytes_between(0, block.batch.num_rows))
        return digest.close()

    def _between(self, first_row: int, rows: int) -> Iterator[Cells]:
        return (Cells(block) for block in table_blocks(self.file, self.layout, first_row, rows, self.where))


UrlList = LineList | TableList


@contextmanager
def recognised(path: Path, kind: UrlFormat, columns: UrlColumns, where: str) -> Iterator[UrlList]:
    """A list as it is found.

    Raises:
        SourceError: it is not written as it should be, or lacks a column.
    """
    with _opened(path, where) as descriptor:
        if kind is UrlFormat.PARQUET:
            with path.open("rb") as stream, open_parquet(stream, where) as file:
                yield TableList(file, table_layout(file.schema_arrow, columns, where), where)
            return
        head = b"".join(read_pieces(descriptor, 0, HEAD_BYTES))
        if head.startswith(OTHER_ENCODINGS):
            raise SourceError(f"{where} is UTF-16: write it as UTF-8.")
        start = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
        layout = line_layout(kind, head[start:], columns, where)
        for _ in range(layout.header_lines if kind in DELIMITERS else 0):
            start = head.find(b"\n", start) + 1 or len(head)
        yield LineList(descriptor, layout, start)


@contextmanager
def known(path: Path, layout: UrlLayout, where: str) -> Iterator[UrlList]:
    """A list as it was recognised before.

    Raises:
        SourceError: it is gone, or no Parquet file any more.
    """
    with _opened(path, where) as descriptor:
        if layout.format is not UrlFormat.PARQUET:
            yield LineList(descriptor, layout, 0)
            return
        with path.open("rb") as stream, open_parquet(stream, where) as file:
            yield TableList(file, layout, where)


@contextmanager
def _opened(path: Path, where: str) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise SourceError(f"{where} cannot be read ({error.strerror}). List the source again.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
