"""Rows of a list that say again what an earlier row said: found exactly, over lists larger than memory.

Rows are compared by a 128-bit hash of label and URL, two of 400 million different ones share it with probability 2e-22.
The hashes wait in temporary files, those that might be equal in the same one, and each file is looked at by itself.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.shards.files import disk_errors_explained

BUCKETS = 64
"""Files of hashes. Of 400 million rows each gets 150 MB."""

HELD_ROWS = 1 << 20
"""Records that wait in memory before they go to files; 24 MB. Shorter lists never touch the disk."""

Records = NDArray[np.uint64]
Rows = NDArray[np.int64]

_ODD = np.uint64(0x9E3779B97F4A7C15)


def row_hashes(entries: pl.DataFrame) -> Records:
    """Two 64-bit hashes of label and URL for each entry, (N, 2). They mean nothing in another process."""
    label, url = entries["label"], entries["url"]
    made = np.empty((len(entries), 2), np.uint64)
    for column, seed in enumerate((1, 2)):
        made[:, column] = url.hash(seed).to_numpy() * _ODD + label.hash(seed + 2).to_numpy()
    return made


class Spill:
    """Records (N, 3) in buckets, in memory until they are many, then in files that vanish with the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[list[Records]] = [[] for _ in range(BUCKETS)]
        self._held_rows = 0
        self._files: list[IO[bytes]] = []

    def add(self, buckets: NDArray[np.uint8], records: Records) -> None:
        """Put each record into its bucket."""
        chosen = records[np.argsort(buckets, kind="stable")]
        start = 0
        for held, size in zip(self._held, np.bincount(buckets, minlength=BUCKETS).tolist(), strict=True):
            held.append(chosen[start : start + size])
            start += size
        self._held_rows += len(records)
        if self._held_rows >= HELD_ROWS:
            self._write()

    def _write(self) -> None:
        with disk_errors_explained(self._folder):
            if not self._files:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._files = [tempfile.TemporaryFile(dir=self._folder) for _ in range(BUCKETS)]  # noqa: SIM115
            for file, records in zip(self._files, self._take_held(), strict=True):
                file.write(records.tobytes())

    def _take_held(self) -> list[Records]:
        held, self._held, self._held_rows = self._held, [[] for _ in range(BUCKETS)], 0
        return [np.concatenate([np.empty((0, 3), np.uint64), *parts]) for parts in held]

    def buckets(self) -> Iterator[Records]:
        """The records of each bucket in turn, in the order in which they came."""
        if not self._files:
            yield from self._take_held()
            return
        self._write()
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), np.uint64).reshape(-1, 3)

    def close(self) -> None:
        for file in self._files:
            file.close()


class Repeats:
    """Collects the hashes of all rows of a list, then says which rows repeat which.

    `count`: repeats found.
    """

    def __init__(self, folder: Path) -> None:
        self._hashes = Spill(folder)
        self._found = Spill(folder)
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._hashes.close()
        self._found.close()

    def add(self, rows: Rows, hashes: Records) -> None:
        """Rows by their number in the whole list, ascending from call to call."""
        records = np.empty((len(rows), 3), np.uint64)
        records[:, 0] = rows
        records[:, 1:] = hashes
        self._hashes.add((hashes[:, 0] >> np.uint64(58)).astype(np.uint8), records)

    def found(self, total: int) -> Iterator[tuple[Rows, Rows]]:
        """The rows that repeat an earlier one, ascending, and the first that said the same; some at a time.

        Args:
            total: rows of the whole list.
        """
        width = total // BUCKETS + 1
        for records in self._hashes.buckets():
            rows, firsts = _repeats_among(records)
            if not len(rows):
                continue
            self.count += len(rows)
            made = np.zeros((len(rows), 3), np.uint64)
            made[:, 0], made[:, 1] = rows, firsts
            self._found.add((rows // width).astype(np.uint8), made)
        self._hashes.close()
        for records in self._found.buckets():
            order = np.argsort(records[:, 0])
            yield records[order, 0].astype(np.int64), records[order, 1].astype(np.int64)


def _repeats_among(records: Records) -> tuple[Rows, Rows]:
    """Of (row, hash, hash): rows whose hashes came before, and the first row that had them."""
    sorted_hashes = np.sort(records[:, 1])
    twice = np.unique(sorted_hashes[1:][sorted_hashes[1:] == sorted_hashes[:-1]])
    chosen = records[np.isin(records[:, 1], twice)] if len(twice) else records[:0]
    chosen = chosen[np.lexsort((chosen[:, 0], chosen[:, 2], chosen[:, 1]))]
    same = np.zeros(len(chosen), bool)
    same[1:] = (chosen[1:, 1:] == chosen[:-1, 1:]).all(axis=1)
    at = np.arange(len(chosen))
    first = chosen[np.maximum.accumulate(np.where(same, 0, at)), 0] if len(chosen) else chosen[:, 0]
    return chosen[same, 0].astype(np.int64), first[same].astype(np.int64)


def encode_repeats(rows: Rows, firsts: Rows, files: Rows) -> str:
    """Repeats as text: `17=3 20..29=100 31=2:7`.

    Row 17 (counted from 0 in the part) says what number 3 of its file said; rows 20 to 29 what numbers 100 to 109 said;
    row 31 what number 7 of the second of the part's `repeats_of` said.

    Args:
        rows: ascending, in the part.
        firsts: the numbers of the rows that they repeat, as people count them.
        files: 0: the same file; else a position in `repeats_of`, from 1.
    """
    if not len(rows):
        return ""
    breaks = (np.diff(rows) != 1) | (np.diff(firsts) != 1) | (np.diff(files) != 0)
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    stops = np.append(starts[1:], len(rows)) - 1
    runs = zip(
        rows[starts].tolist(), rows[stops].tolist(), firsts[starts].tolist(), files[starts].tolist(), strict=True
    )
    return " ".join(
        f"{start}{f'..{stop}' if stop > start else ''}={f'{file}:' if file else ''}{first}"
        for start, stop, first, file in runs
    )


def decode_repeats(told: str) -> dict[int, tuple[int, int]]:
    """Row -> (file, number of the row that it repeats), as `encode_repeats` had them."""
    found = {}
    for run in told.split():
        rows, _, first = run.partition("=")
        start, _, stop = rows.partition("..")
        file, _, number = first.rpartition(":")
        for step in range(int(stop or start) - int(start) + 1):
            found[int(start) + step] = int(file or 0), int(number) + step
    return found
