"""The cut pictures of a plan, a thousand members a file, so that a killed export goes on where it was."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.webbody_cut import PIECE_SCHEMA, CutConfig, cut_members
from tasks.exports.webbody_join import Plan, Rows
from tasks.shards.files import LocalFiles, temporary
from tasks.shards.parquet import ShardWriter

PIECE_ROWS = 1024
"""Members a piece: about 40 MB of bodies and as much of photos, which is what an export holds at once."""


class Pieces:
    """Files of `PIECE_SCHEMA`, one row for each member of the plan, in its order.

    Args:
        folder: where they stay until `remove`; named by what decides their bytes, its siblings are of other exports.
    """

    def __init__(self, folder: Path, files: LocalFiles, members: int) -> None:
        self._folder, self._files = folder, files
        self._slices = [slice(i, min(i + PIECE_ROWS, members)) for i in range(0, members, PIECE_ROWS)]

    def cut(self, plan: Plan, faces: Rows, people: Rows, photos: Rows, config: CutConfig, threads: int) -> None:
        """Cut the pieces that are not there yet."""
        for other in self._folder.parent.glob("*"):
            if other != self._folder:
                shutil.rmtree(other)
        with ThreadPoolExecutor(threads) as pool:
            for rows in self._slices:
                if not self._path(rows).exists():
                    table = cut_members(plan, rows, faces, people, photos, config, pool)
                    written = temporary(self._folder)
                    with self._files.create(written) as stream, ShardWriter(stream, PIECE_SCHEMA) as writer:
                        writer.write(table)
                        writer.finish("piece")
                        self._files.sync(stream)
                    self._files.replace(written, self._path(rows))

    def tables(self, columns: tuple[str, ...] | None = None) -> Iterator[tuple[slice, pa.Table]]:
        """Members and their rows, piece by piece."""
        for rows in self._slices:
            yield (
                rows,
                pq.read_table(
                    self._path(rows),
                    columns=list(columns) if columns else None,
                    pre_buffer=False,
                    page_checksum_verification=True,
                    partitioning=None,
                ),
            )

    def shown(self) -> NDArray[np.bool_]:
        """Which members have a picture, (M,)."""
        found = [table["reason"].is_null().to_numpy() for _, table in self.tables(("reason",))]
        return np.concatenate(found) if found else np.zeros(0, bool)

    def remove(self) -> None:
        """Remove the files: what was to be made of them is whole."""
        if self._folder.parent.exists():
            shutil.rmtree(self._folder.parent)

    def _path(self, rows: slice) -> Path:
        return self._folder / f"{rows.start // PIECE_ROWS:06d}.parquet"
