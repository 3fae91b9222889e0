"""Photos, tables and folders that the tests of ingest make, and a short way through the stage."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.ingest import remembered
from tasks.ingest.hub import HubAccess
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.schema.rejections import Rejection
from tasks.schema.sources import PhotoSource, SourceListing
from tasks.schema.templates import PHOTO_SCHEMA


def photo(seed: int, side: int = 24, suffix: str = "JPEG") -> bytes:
    """An encoded picture of noise; another seed, other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, suffix)
    return stream.getvalue()


def blob(seed: int, size: int) -> bytes:
    """Bytes that no compression makes smaller; ingest does not look into photos."""
    return np.random.default_rng(seed).bytes(size)


def hub_table(photos: Sequence[bytes | None], group_rows: int, image: str = "image", **columns: list[Any]) -> bytes:
    """A Parquet file as `datasets` writes it: Image and ClassLabel features in the metadata, row groups of a size."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    features = {image: ImageFeature()}
    for name in columns:
        features[name] = ClassLabel(names=["WOMEN", "MEN"]) if name == "gender" else Value("string")
    cells = [None if data is None else {"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(photos)]
    stream = io.BytesIO()
    Dataset.from_dict({image: cells, **columns}, features=Features(features)).to_parquet(stream, batch_size=group_rows)
    return stream.getvalue()


def plain_table(group_rows: int = 10, page_rows: int = 4, **columns: list[Any] | pa.Array) -> bytes:
    """A Parquet file without any feature in its metadata."""
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=group_rows, write_batch_size=page_rows)
    return stream.getvalue()


def ingest(
    source: PhotoSource, access: HubAccess | None = None, part_rows: int = 256
) -> tuple[SourceListing, list[dict[str, Any]], list[Rejection]]:
    """List a source and run the stage over all of its parts: the listing, the rows kept, the rejections."""
    reach = access or HubAccess()
    listing = list_source(source, reach, part_rows)
    kept: list[dict[str, Any]] = []
    rejected: list[Rejection] = []
    for part in listing.parts:
        for output in IngestPhotos.of(source, listing, part, reach).process(iter(())):
            assert output.kept.schema.equals(PHOTO_SCHEMA, check_metadata=True)
            assert output.kept.num_rows + len(output.rejected) <= 32
            kept.extend(output.kept.to_pylist())
            rejected.extend(output.rejected)
    return listing, kept, rejected


def age(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on files just written count as written long ago."""
    monkeypatch.setattr(remembered, "SETTLED_NS", 0)
    time.sleep(0.02)  # longer than the steps of a file's times


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path
