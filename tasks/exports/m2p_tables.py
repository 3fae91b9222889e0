"""Samples of music and poses as Parquet files that `datasets` reads as they are, and as WebDataset.

README.md                          the dataset card
samples/<split>-00000.parquet      every column of `JOINED_SCHEMA` but the pixels
clips/<split>-00000.parquet        the MP4s and reference pictures, `CLIPS_SCHEMA`
webdataset/<split>-00000.tar       <folder>.mp4, .reference.jpg, .music.npy, .poses.npy, .face.npy, .json
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

import pyarrow as pa

from tasks.audit.rates import ErrorRate
from tasks.exports.contents import Disjoint, MadeBy
from tasks.exports.m2p_arrays import npy_bytes
from tasks.exports.m2p_card import m2p_card
from tasks.exports.m2p_files import SPLITS
from tasks.exports.m2p_join import JOINED_SCHEMA, PIXELS, Moved, Sample, VideoShards, joined_samples, part_of
from tasks.exports.m2p_metadata import M2PFacts, finite, kept_together
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.parquet import FILE_BYTES
from tasks.exports.webbody_formats import Drafts
from tasks.exports.webdataset import TarShard
from tasks.schema.columns import SAMPLE_FIELDS
from tasks.schema.errors import ConfigError
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest
from tasks.shards.parquet import ShardWriter, payload

TableFormat = Literal["parquet", "webdataset"]

SAMPLES_SCHEMA: Final = part_of(JOINED_SCHEMA, [name for name in JOINED_SCHEMA.names if name not in PIXELS])
CLIPS_SCHEMA: Final = part_of(
    JOINED_SCHEMA,
    [*(field.name for field in SAMPLE_FIELDS), "folder", "video", "split", "frames", "width", "height", *PIXELS],
)


@dataclass(frozen=True)
class M2PTablesExport:
    """What is in the folder now: samples of each split, how many have a face, and what had to change for it."""

    folder: Path
    samples: dict[str, int]
    with_face: int
    change: FolderChange


def export_m2p_tables(
    videos: Sequence[VideoShards],
    split: Path,
    folder: Path,
    formats: Sequence[TableFormat] = ("parquet",),
    *,
    title: str,
    manifest: Manifest | None = None,
    audited: Sequence[ErrorRate] = (),
    moved: Moved | None = None,
    file_bytes: int = FILE_BYTES,
    files: LocalFiles | None = None,
) -> M2PTablesExport:
    """Write a build as tables, or bring those of an earlier build up to date; equal builds give equal bytes.

    The old files stay until the new ones are whole, which then get their names together; equal ones stay as they are.

    Args:
        videos: shards of all videos of the split.
        split: a shard of `SAMPLE_SCHEMA`.
        title: heading of the dataset card.
        moved: see `joined_samples`.
        manifest: the build, for models and the funnel in the card.
        audited: its error rates, for the card.
        file_bytes: payload of a file at most (a larger sample has its own).
    Raises:
        ConfigError: no format, the folder is not absolute, or a file of somebody else's is in the way.
        StoreError: the shards do not fit each other, or the disk does not take more.
    """
    if not formats or not set(formats) <= {"parquet", "webdataset"}:
        raise ConfigError(f"Name at least one format, parquet or webdataset, not {list(formats)}.")
    files = files or LocalFiles()
    facts = M2PFacts()
    with OwnedFolder(folder, files) as out, Drafts(out, files) as drafts:
        tables = []
        if "parquet" in formats:
            tables.append(_Table(drafts, "samples", SAMPLES_SCHEMA, file_bytes))
            tables.append(_Table(drafts, "clips", CLIPS_SCHEMA, file_bytes))
        tars = _Tars(drafts, file_bytes) if "webdataset" in formats else None
        for sample in joined_samples(videos, split, moved):
            facts.add(sample)
            for table in tables:
                table.add(sample)
            if tars is not None:
                tars.add(sample)
        for table in tables:
            table.end()
        if tars is not None:
            tars.end()
        drafts.settle()
        out.adopt_all(dict(sorted(drafts.made.items())))
        out.put({"README.md": m2p_card(facts, title, formats, SAMPLES_SCHEMA, manifest, audited).encode()})
        apart = tuple((name,) for name in SPLITS)
        out.declare(
            Disjoint(("samples/{split}-*.parquet", "webdataset/{split}-*.tar"), kept_together(manifest), splits=apart),
            Disjoint(("clips/{split}-*.parquet",), ("sample_id", "folder", "video"), splits=apart),
        )
        change = out.finish(MadeBy.of(manifest))
    return M2PTablesExport(folder, facts.splits, facts.with_face, change)


class _Table:
    """Parquet files of each split; one without rows keeps the columns where there is no sample at all."""

    def __init__(self, drafts: Drafts, name: str, schema: pa.Schema, limit: int) -> None:
        self._drafts, self._name, self._schema, self._limit = drafts, name, schema, limit
        self._files: dict[str, int] = {}
        self._open: dict[str, tuple[ShardWriter, int]] = {}

    def add(self, sample: Sample) -> None:
        row, split = sample.row.select(self._schema.names), sample.text("split")
        size = int(payload(row).sum())
        if split in self._open and self._open[split][1] + size > self._limit:
            self._drafts.close_parquet(self._open.pop(split)[0])
        writer, before = self._open.get(split) or (self._begin(split), 0)
        writer.write(row)
        self._open[split] = writer, before + size

    def end(self) -> None:
        if not self._files:
            self._open[SPLITS[0]] = self._begin(SPLITS[0]), 0
        for writer, _ in self._open.values():
            self._drafts.close_parquet(writer)

    def _begin(self, split: str) -> ShardWriter:
        number = self._files[split] = self._files.get(split, -1) + 1
        return self._drafts.open_parquet(f"{self._name}/{split}-{number:05d}.parquet", self._schema)


class _Tars:
    """Tar files of each split; an empty one where there is no sample at all."""

    def __init__(self, drafts: Drafts, limit: int) -> None:
        self._drafts, self._limit = drafts, limit
        self._files: dict[str, int] = {}
        self._open: dict[str, tuple[TarShard, IO[bytes]]] = {}

    def add(self, sample: Sample) -> None:
        entries, split = _entries(sample), sample.text("split")
        if split in self._open and self._open[split][0].size + sum(map(len, entries.values())) > self._limit:
            self._close(split)
        if split not in self._open:
            self._begin(split)
        self._open[split][0].add(sample.text("folder"), entries)

    def end(self) -> None:
        if not self._files:
            self._begin(SPLITS[0])
        for split in list(self._open):
            self._close(split)

    def _begin(self, split: str) -> None:
        number = self._files[split] = self._files.get(split, -1) + 1
        stream = self._drafts.open(f"webdataset/{split}-{number:05d}.tar")
        self._open[split] = TarShard(stream), stream

    def _close(self, split: str) -> None:
        shard, stream = self._open.pop(split)
        shard.finish()
        self._drafts.close(stream)


def _entries(sample: Sample) -> Mapping[str, bytes]:
    """Extension -> bytes. Poses are x, y, confidence, (frames, 134, 3), NaN where missing; music its real columns."""
    said = finite({**sample.facts, "music_layout": list(sample.layout)})
    entries = {
        "mp4": sample.clip,
        "reference.jpg": sample.reference,
        "music.npy": npy_bytes(sample.music),
        "poses.npy": npy_bytes(sample.keypoints),
        "json": json.dumps(said, ensure_ascii=False, allow_nan=False).encode(),
    }
    return entries if sample.embedding is None else {**entries, "face.npy": npy_bytes(sample.embedding)}
