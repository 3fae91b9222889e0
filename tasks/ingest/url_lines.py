"""Lists with one row a line: `lst`, CSV, TSV, JSONL. A line is a row whatever it holds, so none spoils another.

Most lines are read all at once: where fields begin and end is found in the bytes of a block, and a sieve lets the good
ones pass. What does not pass is read line by line, which is exact and slower.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from tasks.ingest.url_entries import (
    FIELD_BYTES,
    Rows,
    begins,
    merged,
    no_entries,
    stripped,
    surely_good,
    surely_good_if_printable,
)
from tasks.ingest.url_layouts import DELIMITERS, LINE_BYTES, TOO_LONG, Seen, read_line, reader_of
from tasks.schema.errors import SourceError
from tasks.schema.url_sources import UrlFormat, UrlLayout

BLOCK_BYTES = 2 << 20
"""Read and looked at together: fits the caches of a core, and is about 20,000 lines. More than `LINE_BYTES`."""

NEW_LINE, RETURN, SPACE, QUOTE = b'\n\r "'

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of an open file: bytes [start, stop). `data` is empty where they are one line that is too long."""

    descriptor: int
    start: int
    stop: int
    data: bytes

    def parse(self, layout: UrlLayout) -> tuple[Rows, Ints]:
        """The rows, and where in the file each of them begins and the last one ends, (rows + 1,)."""
        if not self.data:
            first = _pread(self.descriptor, FIELD_BYTES, self.start)
            return Rows(1, no_entries(), {0: replace(TOO_LONG, begins=begins(first))}), np.array(
                [self.start, self.stop]
            )
        rows, edges = parse_lines(self.data, layout)
        return rows, edges + self.start

    def bytes_between(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """The bytes at [start, stop) of the file, which are of this block."""
        if self.data:
            yield memoryview(self.data)[start - self.start : stop - self.start]
            return
        yield from read_pieces(self.descriptor, start, stop)


def read_pieces(descriptor: int, start: int, stop: int) -> Iterator[bytes]:
    """Bytes [start, stop) of an open file, or as many of them as there are, some at a time."""
    while start < stop and (piece := _pread(descriptor, min(BLOCK_BYTES, stop - start), start)):
        yield piece
        start += len(piece)


def _pread(descriptor: int, size: int, start: int) -> bytes:
    try:
        return os.pread(descriptor, size, start)
    except OSError as error:
        raise SourceError(f"The list cannot be read at byte {start:,} ({error.strerror}).") from error


def line_blocks(descriptor: int, start: int, stop: int) -> Iterator[LineBlock]:
    """Bytes [start, stop) of an open file in blocks of whole lines; ends early where the file does."""
    while start < stop:
        asked = min(BLOCK_BYTES, stop - start)
        data = _pread(descriptor, asked, start)
        if not data:
            return
        end = start + len(data)
        stop = stop if len(data) == asked else end
        if end < stop:
            cut = data.rfind(b"\n") + 1
            end = start + cut if cut else _line_end(descriptor, end, stop)
            data = data[:cut]
        yield LineBlock(descriptor, start, end, data)
        start = end


def _line_end(descriptor: int, start: int, stop: int) -> int:
    """Where the line that goes on at `start` ends, its line feed included."""
    for piece in read_pieces(descriptor, start, stop):
        if (at := piece.find(b"\n")) >= 0:
            return start + at + 1
        start += len(piece)
    return start


def parse_lines(data: bytes, layout: UrlLayout) -> tuple[Rows, Ints]:
    """The rows of whole lines (the last may lack its line feed), and the offsets at which they begin and end."""
    text = data.replace(b"\t", b" ") if layout.format is UrlFormat.LST else data
    buffer = np.frombuffer(text, np.uint8)
    feeds = np.flatnonzero(buffer == NEW_LINE)
    if not text.endswith(b"\n"):
        feeds = np.append(feeds, len(text))
    edges = np.concatenate([[0], feeds + 1])
    edges[-1] = len(text)
    starts = edges[:-1]
    stops = feeds - ((feeds > starts) & (buffer[feeds - 1] == RETURN))
    if layout.format is UrlFormat.JSONL:
        sure, doubtful = no_entries(), np.arange(len(starts))
    else:
        sure, doubtful = _sieved(text, buffer, starts, stops, layout)
    read = reader_of(layout)

    def looked_at() -> Iterator[tuple[int, Seen]]:
        for row in doubtful.tolist():
            yield row, read_line(data[starts[row] : stops[row]], read)

    entries, malformed = merged(sure, looked_at())
    return Rows(len(starts), entries, malformed), edges


class _Fields(NamedTuple):
    """Where in a block the three fields of each line begin and end, (rows,) each.

    `absent`: the line has no index. `known` is False where the line has to be read by itself.
    """

    idx: tuple[Ints, Ints]
    label: tuple[Ints, Ints]
    url: tuple[Ints, Ints]
    absent: Flags
    known: Flags


def _sieved(text: bytes, buffer: Bytes, starts: Ints, stops: Ints, layout: UrlLayout) -> tuple[pl.DataFrame, Ints]:
    """The entries that are good beyond doubt, and the numbers of the other lines."""
    if layout.format is UrlFormat.LST:
        fields = _lst_fields(buffer, starts, stops)
        _leave_out_no_text(text, buffer, starts, stops, fields.known)
        frame = _frame(text, starts, fields)
        odd = np.flatnonzero((buffer - np.uint8(ord(" "))) > ord("~") - ord(" "))
        printable = ~_any_between(odd, starts, stops) & (stops - starts <= FIELD_BYTES)
        good = np.where(printable, _passes(frame, surely_good_if_printable()), _passes_odd(frame, ~printable))
    else:
        fields = _separated_fields(buffer, starts, stops, layout)
        _leave_out_no_text(text, buffer, starts, stops, fields.known)
        frame = stripped(_frame(text, starts, fields))
        good = _passes(frame, surely_good())
    good &= fields.known
    return (frame if good.all() else frame.filter(good)), np.flatnonzero(~good)


def _passes(frame: pl.DataFrame, sieve: pl.Expr) -> Flags:
    return frame.select(sieve.fill_null(value=False)).to_series().to_numpy().copy()


def _passes_odd(frame: pl.DataFrame, chosen: Flags) -> Flags:
    """`surely_good` of the chosen rows; False for the others."""
    good = np.zeros(len(frame), bool)
    if chosen.any():
        good[chosen] = _passes(frame.filter(chosen), surely_good())
    return good


def _leave_out_no_text(text: bytes, buffer: Bytes, starts: Ints, stops: Ints, known: Flags) -> None:
    """Lines that are no UTF-8 become unknown."""
    if buffer.max() < 0x80 or _is_text(text):
        return
    for row in np.flatnonzero(_any_between(np.flatnonzero(buffer >= 0x80), starts, stops) & known).tolist():
        known[row] = _is_text(text[starts[row] : stops[row]])


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _frame(text: bytes, starts: Ints, fields: _Fields) -> pl.DataFrame:
    """The fields as entries, none of them judged; an absent index is null, fields of unknown lines are empty."""
    edges = np.append(starts, len(text))
    lines = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts), [None, pa.py_buffer(edges), pa.py_buffer(text)]
    )
    given = {"line": pl.from_arrow(lines), "row": np.arange(len(starts)), "absent": fields.absent}
    for name in ("idx", "label", "url"):
        begin, end = getattr(fields, name)
        given |= {f"{name}_at": begin - starts, f"{name}_size": np.where(fields.known, end - begin, 0)}
    cut = {name: pl.col("line").bin.slice(pl.col(f"{name}_at"), pl.col(f"{name}_size")) for name in fields._fields[:3]}
    cut["idx"] = pl.when(~pl.col("absent")).then(cut["idx"])
    return pl.DataFrame(given).select("row", **{name: field.cast(pl.String) for name, field in cut.items()})


def _lst_fields(buffer: Bytes, starts: Ints, stops: Ints) -> _Fields:
    """First and last field of each line, and what lies between; unknown where two blanks touch or one is at an end."""
    blanks = np.flatnonzero(buffer == SPACE)
    low, high = np.searchsorted(blanks, starts), np.searchsorted(blanks, stops)
    count = high - low
    padded = np.append(blanks, 0)
    first = np.where(count > 0, padded[low], starts)
    last = padded[high - 1]
    label_start = np.where(count > 0, first + 1, starts)
    label_stop = np.where(count > 1, last, label_start)
    url_start = np.where(count > 0, last + 1, starts)
    known = (stops > starts) & (buffer[np.minimum(starts, len(buffer) - 1)] != SPACE) & (buffer[stops - 1] != SPACE)
    touching = blanks[1:][np.diff(blanks) == 1]
    known &= ~_any_between(touching, starts, stops)
    return _Fields((starts, first), (label_start, label_stop), (url_start, stops), count == 0, known)


def _separated_fields(buffer: Bytes, starts: Ints, stops: Ints, layout: UrlLayout) -> _Fields:
    """The fields of CSV and TSV lines; unknown where the line is quoted or has more or fewer of them."""
    marks = np.flatnonzero(buffer == ord(DELIMITERS[layout.format]))
    low, high = np.searchsorted(marks, starts), np.searchsorted(marks, stops)
    known = (high - low == layout.width - 1) & (stops - starts <= LINE_BYTES)
    if layout.format is UrlFormat.CSV:
        known &= ~_any_between(np.flatnonzero(buffer == QUOTE), starts, stops)
    padded = np.append(marks, np.zeros(layout.width, np.int64))

    def field(at: int | str | None) -> tuple[Ints, Ints]:
        if not isinstance(at, int):
            return starts, starts
        begin = starts if at == 0 else padded[low + at - 1] + 1
        return begin, (stops if at == layout.width - 1 else padded[low + at])

    idx, label, url = field(layout.idx), field(layout.label), field(layout.url)
    for begin, end in (idx, label, url):
        known &= (begin >= starts) & (begin <= end) & (end <= stops)
    return _Fields(idx, label, url, np.full(len(starts), layout.idx is None), known)


def _any_between(places: Ints, starts: Ints, stops: Ints) -> Flags:
    """Whether any of the ascending places lies in [start, stop), for each pair."""
    if not len(places):
        return np.zeros(len(starts), bool)
    found: Flags = np.searchsorted(places, starts) != np.searchsorted(places, stops)
    return found
