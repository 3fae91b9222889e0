"""The formats of a bundle: rows of `BUNDLE_SCHEMA` as RecordIO, as tar files, as Parquet files.

Files are drafts with temporary names until a whole bundle is there.
"""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Protocol, Self

import pyarrow as pa
import pyarrow.compute as pc

from tasks.body.crop import INVISIBLE
from tasks.exports.owned import OwnedFolder
from tasks.exports.recordio import RecordFiles
from tasks.exports.webbody_cut import BUNDLE_SCHEMA
from tasks.exports.webdataset import TarShard
from tasks.schema.keypoints import COCO_17
from tasks.shards.files import LocalFiles
from tasks.shards.parquet import ShardWriter, payload

Format = Literal["recordio", "webdataset", "parquet"]

SPLITS = ("train", "validation", "test")

_NUMBERED = ("local_idx", "global_idx", "detection_idx")
_SYNCS_AT_ONCE = 8
_DIGITS = 9
"""Of the numbers that name the samples in a tar file, so that their names sort as they stand."""


class Drafts:
    """Files of a folder in the making; a context manager that closes what is open."""

    def __init__(self, out: OwnedFolder, files: LocalFiles) -> None:
        self._out, self._files = out, files
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(ThreadPoolExecutor(_SYNCS_AT_ONCE))
        self._syncing: list[Future[None]] = []
        self._tables: dict[ShardWriter, IO[bytes]] = {}
        self.made: dict[str, Path] = {}

    def open(self, name: str) -> IO[bytes]:
        """A new file that is to become `name`."""
        path = self._out.temporary()
        stream = self._stack.enter_context(self._files.create(path))
        self.made[name] = path
        return stream

    def close(self, stream: IO[bytes]) -> None:
        """Nothing more is written to a file: make it durable, beside the work that goes on."""
        self._syncing.append(self._pool.submit(self._sync, stream))

    def settle(self) -> None:
        """Wait until every closed file is durable."""
        for each in self._syncing:
            each.result()
        self._syncing.clear()

    def _sync(self, stream: IO[bytes]) -> None:
        self._files.sync(stream)
        stream.close()

    def open_parquet(self, name: str, schema: pa.Schema) -> ShardWriter:
        """A new Parquet file that is to become `name`."""
        stream = self.open(name)
        writer = self._stack.enter_context(ShardWriter(stream, schema))
        self._tables[writer] = stream
        return writer

    def close_parquet(self, writer: ShardWriter) -> None:
        """Make a Parquet file whole, and durable as `close`."""
        writer.finish("draft")
        self.close(self._tables.pop(writer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class Sink(Protocol):
    """One format of a bundle."""

    def add(self, rows: pa.Table) -> None:
        """Append rows of `BUNDLE_SCHEMA`."""

    def end(self) -> None:
        """Make the files whole and close them."""


class RecordSink:
    """`train.rec`, `.idx`, `.tsv` with the bodies, `face.*` with their faces under the same numbers, and two tables.

    `kps_xyn.csv` has the joints from 0 to 1, from edge to edge of the picture, and -1 where they are not seen;
    `shapes.csv` the height and width of the bodies before scaling. Source: the files of the reference's bundles.
    """

    def __init__(self, drafts: Drafts, side: int) -> None:
        self._drafts, self._side = drafts, side
        names = [f"{name}.{kind}" for name in ("train", "face") for kind in ("rec", "idx", "tsv")]
        self._streams = [drafts.open(name) for name in (*names, "kps_xyn.csv", "shapes.csv")]
        *records, self._joints, self._shapes = self._streams
        self._bodies, self._faces = RecordFiles(*records[:3]), RecordFiles(*records[3:])
        joints = [f"kp_{i}_{axis}" for i in range(len(COCO_17)) for axis in "xy"]
        self._joints.write((",".join((*_NUMBERED, *joints)) + "\n").encode())
        self._shapes.write((",".join((*_NUMBERED, "height", "width")) + "\n").encode())

    def add(self, rows: pa.Table) -> None:
        columns = ("path", "label", "image", "face", "keypoints_xy", "crop_height", "crop_width")
        for row in rows.select(columns).to_pylist():
            number, path = self._bodies.count, row["path"]
            self._bodies.add(path, row["label"], row["image"]["bytes"])
            self._faces.add(path, row["label"], row["face"]["bytes"])
            of_photo, _, detection = path.rpartition("/")[2].removesuffix(".jpg").rpartition("_")
            head = f"{number},{of_photo},{detection}"
            joints = ",".join(_edge_to_edge(v, self._side) for v in row["keypoints_xy"])
            self._joints.write(f"{head},{joints}\n".encode())
            self._shapes.write(f"{head},{row['crop_height']},{row['crop_width']}\n".encode())

    def end(self) -> None:
        for stream in self._streams:
            self._drafts.close(stream)


class TarSink:
    """`webdataset/<split>-00000.tar`: `<number>.jpg`, `.json` and `.face.jpg` of each sample.

    The perceptual hash is 16 hex digits there: few readers of JSON have whole numbers of 64 bits without a sign.

    Args:
        limit: payload of a file at most, bytes.
    """

    def __init__(self, drafts: Drafts, limit: int) -> None:
        self._drafts, self._limit = drafts, limit
        self._count = 0
        self._files: dict[str, int] = {}
        self._open: dict[str, tuple[TarShard, IO[bytes]]] = {}

    def add(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            body, face, split = row.pop("image")["bytes"], row.pop("face")["bytes"], row["split"]
            told = {**row, "photo_phash": f"{row['photo_phash']:016x}"}
            said = json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
            size = len(body) + len(face) + len(said)
            if split in self._open and self._open[split][0].size + size > self._limit:
                self._close(split)
            shard = self._shard(split)
            shard.add(f"{self._count:0{_DIGITS}d}", {"jpg": body, "face.jpg": face, "json": said})
            self._count += 1

    def end(self) -> None:
        if not self._count:
            self._shard(SPLITS[0])
        for split in list(self._open):
            self._close(split)

    def _shard(self, split: str) -> TarShard:
        if split not in self._open:
            number = self._files[split] = self._files.get(split, -1) + 1
            stream = self._drafts.open(f"webdataset/{split}-{number:05d}.tar")
            self._open[split] = TarShard(stream), stream
        return self._open[split][0]

    def _close(self, split: str) -> None:
        shard, stream = self._open.pop(split)
        shard.finish()
        self._drafts.close(stream)


class ParquetSink:
    """`data/<split>-00000.parquet`, `BUNDLE_SCHEMA`; a bundle without rows has one file without rows.

    Args:
        limit: payload of a file at most, bytes.
    """

    def __init__(self, drafts: Drafts, limit: int) -> None:
        self._drafts, self._limit = drafts, limit
        self._files: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._open: dict[str, ShardWriter] = {}

    def add(self, rows: pa.Table) -> None:
        for split in pc.unique(rows["split"]).to_pylist():
            for batch in rows.filter(pc.equal(rows["split"], split)).combine_chunks().to_batches():
                start = 0
                for row, size in enumerate(payload(batch).tolist()):
                    if self._sizes.get(split, 0) and self._sizes[split] + size > self._limit:
                        self._writer(split).write(batch.slice(start, row - start))
                        self._close(split)
                        start = row
                    self._sizes[split] = self._sizes.get(split, 0) + size
                self._writer(split).write(batch.slice(start))

    def end(self) -> None:
        if not self._files:
            self._writer(SPLITS[0])
        for split in list(self._open):
            self._close(split)

    def _writer(self, split: str) -> ShardWriter:
        if split not in self._open:
            number = self._files[split] = self._files.get(split, -1) + 1
            self._open[split] = self._drafts.open_parquet(f"data/{split}-{number:05d}.parquet", BUNDLE_SCHEMA)
        return self._open[split]

    def _close(self, split: str) -> None:
        self._drafts.close_parquet(self._open.pop(split))
        self._sizes[split] = 0


def sink(kind: Format, drafts: Drafts, side: int, limit: int) -> Sink:
    """The writer of a format."""
    if kind == "recordio":
        return RecordSink(drafts, side)
    return TarSink(drafts, limit) if kind == "webdataset" else ParquetSink(drafts, limit)


def _edge_to_edge(pixels: float, side: int) -> str:
    """A coordinate of the picture from 0 to 1; in pixels the centre of the first one is 0, its edge -0.5."""
    return "-1" if pixels == INVISIBLE else f"{(pixels + 0.5) / side:.5f}"
