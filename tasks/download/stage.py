"""The stage that makes photos of URLs."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.download.client import Client
from tasks.download.consent import Consent
from tasks.download.downloader import COLUMNS, WRITTEN, download_shard
from tasks.download.failure import REFUSED
from tasks.download.fetching import Fetching, Machine, Patience, utc_now
from tasks.download.tracking import Tracking, track
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.images.decode import decoder_build
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import WEB_PHOTO_SCHEMA
from tasks.shards.stage import Stage, StageOutput

SCRATCH_PREFIX: Final = "mannequin-download-"
SCRATCH_IS_OLD_S: Final = 2 * 86400.0


class DownloadConfig(Frozen):
    """All that decides what a URL becomes. `attempt` counts from 0.

    `jpeg_quality`: 95, img2dataset's default; the reference takes 85, but these pixels are cut and encoded once more in
    the bundle, and faces of 16 px are read from them. `max_pixels` is Pillow's warning limit. `min_side_px` keeps out
    icons and tracking pixels.
    """

    attempt: int = 0
    image_px: int = 640
    resize_mode: Literal["border"] = "border"
    jpeg_quality: int = 95
    max_pixels: int = 89_478_485
    min_side_px: int = 32
    limits: TransportLimits = TransportLimits()
    patience: Patience = Patience()


@dataclass(frozen=True)
class Download(Stage):
    """URLs to photos, one to one: kept in the order of the list, or rejected with what the server said as evidence.

    `access`, `machine` and `tracking` are the operator's and the machine's; `now` tells the time of each answer.
    `consent` says what is not asked for or not taken today, and is no part of the key either: under another policy
    `tasks.download.consented` judges what was fetched, and `tasks.download.released` queues what was refused.
    """

    config: DownloadConfig
    access: NetworkAccess = field(default_factory=NetworkAccess)
    machine: Machine = field(default_factory=Machine)
    tracking: Tracking | None = None
    consent: Consent = field(default_factory=Consent)
    now: Callable[[], datetime] = utc_now

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 2

    @property
    def schema(self) -> pa.Schema:
        return WEB_PHOTO_SCHEMA

    def execution(self) -> dict[str, str]:
        packages = ("img2dataset", "albumentations", "opencv-python-headless")
        return {**decoder_build(), **{name: version_of(name) for name in packages}}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        listed = [batch.select(list(COLUMNS)) for batch in batches]
        if not listed:
            return
        urls = pa.Table.from_batches(listed)
        with scratch_folder() as folder:
            written, statistics = download_shard(urls, folder, self._fetching())
            facts = {name: statistics[name] for name in ("received_bytes", "requests")}
            for batch in _in_order(written, self.batch_rows):
                yield StageOutput(self._kept(batch), tuple(self._rejected(batch)), facts)
                facts = {}
            if self.tracking is not None:
                track(self.tracking, statistics)

    def _fetching(self) -> Fetching:
        config = self.config
        return Fetching(
            client=Client(config.limits, self.consent, self.access),
            options={
                "image_px": config.image_px,
                "resize_mode": config.resize_mode,
                "jpeg_quality": config.jpeg_quality,
                "max_pixels": config.max_pixels,
                "min_side_px": config.min_side_px,
            },
            patience=config.patience,
            machine=self.machine,
            now=self.now,
        )

    def _kept(self, batch: pa.RecordBatch) -> pa.Table:
        kept = pa.Table.from_batches([batch]).filter(pc.is_null(batch["reason"]))
        rows = kept.num_rows
        names = pa.array([f"{key}.jpg" for key in kept["key"].to_pylist()], pa.string())
        image = pa.StructArray.from_arrays([kept["jpg"].combine_chunks(), names], names=["bytes", "path"])
        return (
            kept.append_column("image", image)
            .append_column("parent_id", pa.nulls(rows, pa.string()))
            .append_column("source_uri", kept["url"])
            .append_column("attempt", pa.repeat(pa.scalar(self.config.attempt, pa.int16()), rows))
        )

    def _rejected(self, batch: pa.RecordBatch) -> Iterator[Rejection]:
        failed = batch.filter(pc.is_valid(batch["reason"])).drop_columns(["jpg", "exif"])
        for row in failed.to_pylist():
            yield Rejection(
                sample_id=row["sample_id"],
                reason=Reason(row["reason"]),
                detail=row["error_message"],
                source_uri=row["url"],
                evidence=json.dumps(self._evidence(row)),
            )

    def _evidence(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the next attempt and the ledger need, and what the server said."""
        told = {
            "idx": row["idx"],
            "label": row["label"],
            "licence": row["licence"],
            "attempt": self.config.attempt,
            "status": row["http_status"],
            "tries": row["tries"],
            "last_seen": row["fetched_at"].isoformat(timespec="milliseconds"),
            "retry_after_s": row["retry_after_s"],
            "final_url": row["final_url"],
            "sha256": row["sha256"],
            "headers": json.loads(row["headers"]) or None,
            "reuse": json.loads(row["reuse"]) if row["reason"] in REFUSED else None,
            **json.loads(row["found"]),
        }
        return {name: value for name, value in told.items() if value is not None}


def _in_order(written: Path, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Rows of a finished shard in the order of its list, in bounded memory: from a mapped copy beside it."""
    mapped = written.with_suffix(".arrow")
    places: list[tuple[int, int, int]] = []
    with (
        pq.ParquetFile(written) as file,
        pa.OSFile(str(mapped), "wb") as sink,
        pa.ipc.new_file(sink, WRITTEN) as writer,
    ):
        for number, batch in enumerate(file.iter_batches(batch_rows)):
            places += [(row, number, at) for at, row in enumerate(batch["row"].to_pylist())]
            writer.write_batch(batch)
    places.sort()
    with pa.memory_map(str(mapped)) as source, pa.ipc.open_file(source) as reader:
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        for start in range(0, len(places), batch_rows):
            wanted = places[start : start + batch_rows]
            yield pa.concat_batches([batches[number].slice(at, 1) for _, number, at in wanted])


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder that is removed afterwards; what killed runs left there days ago goes with it."""
    oldest = time.time() - SCRATCH_IS_OLD_S
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}*"):
        with suppress(OSError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX) as folder:
        yield Path(folder)
