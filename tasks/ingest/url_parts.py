"""Cutting lists into parts while they are read once, and telling each part which of its rows are repeats."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from tasks.ingest.url_read import Block, Piece, UrlList, new_digest
from tasks.ingest.url_repeats import Records, Repeats, Rows, encode_repeats, row_hashes
from tasks.schema.url_sources import UrlFormat, UrlLayout, UrlPart

Given = TypeVar("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FoundFile:
    """A file of a list, and the number of rows in the files before it; `name` is empty where it is the only one."""

    uri: str
    name: str
    path: Path
    layout: UrlLayout
    rows_before: int


@dataclass(frozen=True)
class Slice:
    """A part before its repeats are known. `rows_before`: rows of the whole list in front of it."""

    file: int
    rows_before: int
    part: UrlPart


@dataclass
class Counts:
    """What was seen of a list on the way."""

    rows: int = 0
    malformed: int = 0
    complete: bool = True


def slices_of(
    number: int,
    file: FoundFile,
    opened: UrlList,
    part_rows: int,
    most_rows: int | None,
    repeats: Repeats,
    counts: Counts,
    pool: Executor,
    ahead: int,
) -> Iterator[Slice]:
    """The slices of one file, read once; hashes go to `repeats`, what is seen to `counts`.

    Args:
        most_rows: rows of the whole list, all files together, that are wanted; None: all.
        ahead: blocks that are looked at in `pool` at the same time.
    """
    cut: _Cut | None = None
    first_row = 0
    blocks: Iterator[Block] = opened.blocks()
    for piece, hashes in ordered(pool, _hashed, blocks, ahead):
        left = None if most_rows is None else most_rows - counts.rows
        rows = piece.rows if left is None else piece.rows.until(left)
        counts.complete &= rows.count == piece.rows.count
        at = rows.entries["row"].to_numpy()
        repeats.add(at + counts.rows, hashes[: len(at)])
        without = rows.entries.filter(pl.col("idx").is_null())["row"].to_numpy()
        done = 0
        while done < rows.count:
            cut = cut or _Cut(number, file, first_row, counts.rows + done, piece.byte_at(done))
            taken = min(part_rows - cut.rows, rows.count - done)
            cut.take(piece, done, done + taken, lacks_idx=bool(((without >= done) & (without < done + taken)).any()))
            done, first_row = done + taken, first_row + taken
            if cut.rows == part_rows:
                yield cut.close()
                cut = None
        counts.rows += rows.count
        counts.malformed += len(rows.malformed)
        if not counts.complete:
            break
    if cut is not None:
        yield cut.close()


class _Cut:
    """A slice in the making."""

    def __init__(self, number: int, file: FoundFile, first_row: int, rows_before: int, first_byte: int) -> None:
        self._number, self._file = number, file
        self._first_row, self._rows_before, self._first_byte = first_row, rows_before, first_byte
        self._digest = new_digest(file.layout)
        self._lacks_idx = False
        self.rows = 0

    def take(self, piece: Piece, first: int, stop: int, *, lacks_idx: bool) -> None:
        for told in piece.told(first, stop):
            self._digest.update(told)
        self.rows += stop - first
        self._lacks_idx |= lacks_idx

    def close(self) -> Slice:
        part = UrlPart(
            uri=self._file.uri,
            layout=self._file.layout,
            digest=self._digest.close(),
            first_row=self._first_row,
            rows=self.rows,
            first_idx=self._rows_before if self._lacks_idx else 0,
            first_byte=self._first_byte,
            size=self._digest.size,
        )
        return Slice(self._number, self._rows_before, part)


def _hashed(block: Block) -> tuple[Piece, Records]:
    piece = block.read()
    return piece, row_hashes(piece.rows.entries)


def ordered(pool: Executor, ask: Callable[[Given], Answer], given: Iterable[Given], ahead: int) -> Iterator[Answer]:
    """`map` with at most `ahead` questions under way."""
    waiting: deque[Future[Answer]] = deque()
    for each in given:
        waiting.append(pool.submit(ask, each))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def with_repeats(files: list[FoundFile], slices: list[Slice], repeats: Repeats, total: int) -> Iterator[UrlPart]:
    """The parts in order, each with its repeats."""
    starts = np.array([each.rows_before for each in slices])
    waiting: list[tuple[Rows, Rows]] = []
    current = 0
    for rows, firsts in repeats.found(total):
        of = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(of).tolist():
            while current < number:
                yield _told(files, slices[current], waiting)
                waiting = []
                current += 1
            waiting.append((rows[of == number], firsts[of == number]))
    for each in slices[current:]:
        yield _told(files, each, waiting)
        waiting = []


def _told(files: list[FoundFile], found: Slice, repeats: list[tuple[Rows, Rows]]) -> UrlPart:
    if not repeats:
        return found.part
    rows, firsts = (np.concatenate(each) for each in zip(*repeats, strict=True))
    before = np.array([file.rows_before for file in files])
    of = np.searchsorted(before, firsts, side="right") - 1
    others, positions = np.unique(of[of != found.file], return_inverse=True)
    place = np.zeros(len(rows), np.int64)
    place[of != found.file] = positions + 1
    shown = np.array([shown_number(file.layout, 0) for file in files])
    told = encode_repeats(rows - found.rows_before, firsts - before[of] + shown[of], place)
    names = tuple(f"{files[each].name}, {word(files[each].layout)} " for each in others.tolist())
    return found.part.model_copy(update={"repeats": told, "repeats_of": names})


def word(layout: UrlLayout) -> str:
    """What a row of such a list is called."""
    return "row" if layout.format is UrlFormat.PARQUET else "line"


def shown_number(layout: UrlLayout, row: int) -> int:
    """A row's number as people count it: lines from 1, the header included; rows of a table from 0."""
    return row if layout.format is UrlFormat.PARQUET else row + layout.header_lines + 1
