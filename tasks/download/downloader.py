"""img2dataset's Downloader over another transport.

Its shard files, columns, keys, resizer and writer stay. Its transport and the loop around it are replaced: a sample
that fails for whatever reason is a row with that reason, a defect ends the shard, the list of URLs is not removed, and
no thread outlives the shard.
"""

import json
import math
import time
from base64 import b64decode
from collections import Counter
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tasks.download.failure import Answer
from tasks.download.fetching import Fetching, Finished
from tasks.download.hops import hops_json
from tasks.download.upstream import submodule

COLUMNS: Final = ("sample_id", "idx", "label", "url", "licence")
"""Columns of a list of URLs that are carried along."""

SHARD_ID: Final = 0
_SHARD_DIGITS: Final = 5
_SUCCESS, _NO_DOWNLOAD, _NO_RESIZE = "success", "failed_to_download", "failed_to_resize"

_MORE = (
    pa.field("row", pa.int64()),
    pa.field("content_xyxy", pa.list_(pa.float32(), 4)),
    pa.field("reason", pa.string()),
    pa.field("http_status", pa.int16()),
    pa.field("final_url", pa.string()),
    pa.field("headers", pa.string()),
    pa.field("reuse", pa.string()),
    pa.field("fetched_at", pa.timestamp("ms", "UTC")),
    pa.field("tries", pa.int32()),
    pa.field("retry_after_s", pa.float64()),
    pa.field("found", pa.string()),
    pa.field("received_bytes", pa.int64()),
)
_THEIRS = (
    *((name, pa.string()) for name in ("key", "status", "error_message")),
    *((name, pa.int32()) for name in ("width", "height", "original_width", "original_height")),
    *((name, pa.string()) for name in ("exif", "sha256")),
)
"""What img2dataset adds to the columns of a list."""

WRITTEN: Final = pa.schema([*((name, pa.string()) for name in COLUMNS), *_THEIRS, *_MORE, pa.field("jpg", pa.binary())])
"""A shard as it is written, in the order in which the URLs finished; `row` is the row of the list."""


def download_shard(urls: pa.Table, folder: Path, fetching: Fetching) -> tuple[Path, dict[str, Any]]:
    """Fetch all URLs of a list into one Parquet file of `WRITTEN`.

    Args:
        urls: `COLUMNS`.
        folder: an empty one; the list and the result are written there.
        fetching: how.
    Returns:
        the file, and img2dataset's statistics of the shard.
    """
    listed = folder / "urls.arrow"
    with pa.OSFile(str(listed), "wb") as sink, pa.ipc.new_file(sink, urls.schema) as writer:
        writer.write_table(urls)
    downloader = _downloader_class()(folder, urls.num_rows, fetching)
    downloader.download_shard((SHARD_ID, str(listed)))
    return folder / f"{SHARD_ID:0{_SHARD_DIGITS}d}.parquet", downloader.statistics


@cache
def _downloader_class() -> Any:
    """The subclass; made when it is wanted, because img2dataset is heavy."""
    upstream, writers = submodule("downloader"), submodule("writer")

    class PhotoDownloader(upstream.Downloader):  # type: ignore[misc, name-defined]
        """Rows of (shard id, list of URLs) to Parquet files of photos."""

        def __init__(self, folder: Path, rows: int, fetching: Fetching) -> None:
            super().__init__(
                sample_writer_class=writers.ParquetSampleWriter,
                resizer=None,  # works in the child process: `prepare`
                thread_count=fetching.machine.threads,
                save_caption=False,
                extract_exif=True,
                output_folder=str(folder),
                column_list=list(COLUMNS),
                timeout=None,
                number_sample_per_shard=max(2, rows),
                oom_shard_count=_SHARD_DIGITS,
                compute_hash="sha256",
                verify_hash_type=None,
                encode_format="jpg",
                retries=fetching.patience.tries - 1,
                user_agent_token=None,
                disallowed_header_directives=None,
            )
            self.fetching = fetching
            self.statistics: dict[str, Any] = {}

        def download_shard(self, row: tuple[int, str]) -> None:
            shard_id, listed = row
            started = time.time()
            with pa.OSFile(listed, "rb") as source, pa.ipc.open_file(source) as reader:
                samples = reader.read_all().select(self.column_list).to_pylist()
            digits = math.ceil(math.log10(self.number_sample_per_shard))
            counted: Counter[str] = Counter()
            statuses: Counter[str] = Counter()
            schema = pa.schema([field for field in WRITTEN if field.name != self.encode_format])
            writer = self.sample_writer_class(
                shard_id, self.output_folder, self.save_caption, self.oom_shard_count, schema, self.encode_format
            )
            with closing(writer):
                for finished in self.fetching.run([sample["url"] for sample in samples]):
                    key = upstream.compute_key(finished.row, shard_id, digits, self.oom_shard_count)
                    told = columns_of(finished)
                    statuses[told["reason"] or _SUCCESS] += 1
                    jpeg = told.pop("jpg")
                    writer.write(jpeg, key, None, {**samples[finished.row], "key": key, **told})
                    counted[told["status"]] += 1
                    counted.update(received_bytes=finished.received_bytes, requests=finished.tries)
            self.statistics = {
                "count": len(samples),
                "received_bytes": counted["received_bytes"],
                "requests": counted["requests"],
                "failed_to_resize": counted[_NO_RESIZE],
                "statuses": dict(statuses),
                "start_time": started,
                "end_time": time.time(),
            }

    return PhotoDownloader


def columns_of(finished: Finished) -> dict[str, Any]:
    """The columns of `WRITTEN` that say what became of a URL."""
    photo, error = finished.photo or {}, finished.error
    answer = finished.answer or Answer("")
    status = _SUCCESS if error is None else _NO_RESIZE if finished.sha256 else _NO_DOWNLOAD
    return {
        "jpg": b64decode(photo["jpeg"]) if photo else None,
        "status": status,
        "error_message": error.detail if error else None,
        **{name: photo.get(name) for name in ("width", "height", "original_width", "original_height", "exif")},
        "content_xyxy": photo.get("content"),
        "sha256": finished.sha256 or None,
        "row": finished.row,
        "reason": error.reason.value if error else None,
        "http_status": answer.status,
        "final_url": answer.url or None,
        "headers": json.dumps(dict(answer.headers)),
        "reuse": hops_json(answer.hops),
        "fetched_at": finished.at,
        "tries": finished.tries,
        "retry_after_s": error.retry_after_s if error else None,
        "found": json.dumps(error.found) if error else None,
        "received_bytes": finished.received_bytes,
    }
