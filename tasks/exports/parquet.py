"""Templates with their pictures as Parquet files that `datasets` and its viewer read as they are.

README.md                            the dataset card
data/<category>/train-00000.parquet  every column of the template, and its pictures as the source gave them
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.audit.rates import ErrorRate
from tasks.exports.card import CardFacts, dataset_card
from tasks.exports.contents import MadeBy
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.rows import pick, read_templates
from tasks.schema.columns import IMAGE, SAMPLE_FIELDS, shard_schema
from tasks.schema.ids import template_id
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest
from tasks.shards.parquet import ShardWriter, row_bytes

FILE_BYTES = 400 << 20
"""Payload of a file at most; the hub's own tools cut at 500 MB."""

CATEGORIES = ("fashion", "lifestyle", "sports")
_PICTURES = ("image", "conditioning", "mask", "mask_overlay")

EXPORT_SCHEMA = shard_schema(
    pa.field("template_id", pa.string(), nullable=False),
    *(pa.field(name, IMAGE) for name in _PICTURES),
    *list(TEMPLATE_SCHEMA)[len(SAMPLE_FIELDS) :],
)
"""Columns of the export: `SAMPLE_FIELDS`, the id of the template, the pictures, the rest of `TEMPLATE_SCHEMA`."""


@dataclass(frozen=True)
class ParquetExport:
    """What is in the folder now: rows per category, names of the data files, and what had to change for it."""

    folder: Path
    rows: dict[str, int]
    data_files: tuple[str, ...]
    change: FolderChange


def export_parquet(
    templates: Sequence[Path],
    photos: Sequence[Path],
    folder: Path,
    *,
    title: str,
    manifest: Manifest | None = None,
    audited: Sequence[ErrorRate] = (),
    file_bytes: int = FILE_BYTES,
    files: LocalFiles | None = None,
) -> ParquetExport:
    """Write a build as a dataset folder, or bring that of an earlier build up to date; equal builds give equal bytes.

    A category without rows has one file without rows, which keeps the columns. The card is written last.

    Args:
        templates: shards of `TEMPLATE_SCHEMA`, the rows to export.
        photos: shards of `PHOTO_SCHEMA` with at least their samples.
        title: heading of the dataset card.
        manifest: the build, for models and the funnel in the card.
        audited: its error rates, for the card.
        file_bytes: payload of a file at most (a larger row has its own).
    Raises:
        ConfigError: a file of somebody else's is in the way.
        StoreError: a template has no photo.
    """
    files = files or LocalFiles()
    table = read_templates(templates)
    places = {sample_id: place for place, sample_id in enumerate(table["sample_id"].to_pylist())}
    uris = dict(zip(places, table["source_uri"].to_pylist(), strict=True))
    with OwnedFolder(folder, files) as out:
        with ExitStack() as stack:
            series = {
                category: stack.enter_context(_Series(out, files, category, file_bytes)) for category in CATEGORIES
            }
            for group in pick(photos, uris, _PICTURES):
                rows = _joined(table.take(pa.array([places[i] for i in group["sample_id"].to_pylist()])), group)
                for category, writer in series.items():
                    writer.write(rows.filter(pc.equal(rows["category"], category)))
        data_files = tuple(name for each in series.values() for name in each.names)
        written = sum((folder / name).stat().st_size for name in data_files)
        facts = _facts(title, table, written, manifest, audited)
        out.put({"README.md": dataset_card(facts).encode()})
        change = out.finish(MadeBy.of(manifest))
    return ParquetExport(folder, dict(facts.rows), data_files, change)


def _joined(templates: pa.Table, pictures: pa.Table) -> pa.Table:
    ids = pa.array([template_id(i) for i in templates["sample_id"].to_pylist()], pa.string())
    rows = templates.append_column("template_id", ids)
    for name in _PICTURES:
        rows = rows.append_column(name, pictures[name])
    return rows.select(EXPORT_SCHEMA.names)


class _Series:
    """The data files of one category: each is closed before it would exceed its size; there is one in any case."""

    def __init__(self, out: OwnedFolder, files: LocalFiles, category: str, file_bytes: int) -> None:
        self._out, self._files, self._category, self._limit = out, files, category, file_bytes
        self.names: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._path = self._out.temporary()
        self._stream = self._files.create(self._path)
        self._writer = ShardWriter(self._stream, EXPORT_SCHEMA)
        self._bytes = 0

    def _end(self) -> None:
        self._writer.finish("train")
        self._files.sync(self._stream)
        self._stream.close()
        name = f"data/{self._category}/train-{len(self.names):05d}.parquet"
        self._out.adopt(name, self._path)
        self.names.append(name)

    def write(self, rows: pa.Table) -> None:
        batches = rows.cast(EXPORT_SCHEMA).combine_chunks().to_batches()
        for batch in batches:
            sizes = sum((row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))
            start = 0
            for row, size in enumerate(sizes.tolist()):
                if self._bytes and self._bytes + size > self._limit:
                    self._writer.write(batch.slice(start, row - start))
                    start = row
                    self._end()
                    self._begin()
                self._bytes += size
            self._writer.write(batch.slice(start))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end()
        else:
            self._writer.__exit__(kind, error, trace)
            self._stream.close()


def _facts(
    title: str, table: pa.Table, folder_bytes: int, manifest: Manifest | None, audited: Sequence[ErrorRate]
) -> CardFacts:
    counted = Counter(table["category"].to_pylist())
    return CardFacts(
        title=title,
        rows={category: counted[category] for category in CATEGORIES},
        sources=Counter(zip(table["source"].to_pylist(), table["licence"].to_pylist(), strict=True)),
        schema=EXPORT_SCHEMA,
        data_bytes=folder_bytes,
        manifest=manifest,
        audited=audited,
    )
