"""Rows as sources offer them, and how they become a stage's output, whatever kind of source they come from."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from blake3 import blake3

from tasks.images.inspect import InspectConfig
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.sources import Category, ColumnMapping, PhotoColumns, SourceKind, SourcePart
from tasks.schema.templates import PHOTO_SCHEMA
from tasks.shards.stage import StageOutput

BATCH_ROWS = 32
BATCH_BYTES = 32 << 20
"""A batch closes at either, so that memory stays bounded whatever the photos are."""

MAX_IMAGE_BYTES = InspectConfig().max_encoded_bytes
"""A photo with more encoded bytes is left out unread: the first look at photos would refuse it."""

ID_CHARACTERS = 20
"""80 bits of the sha256: two of 10 million photos share an id with probability 4e-11."""

IMAGE_COLUMNS = ("image", "conditioning", "mask", "mask_overlay")
TEXT_COLUMNS = ("caption", "gender", "pose", "cloth", "pid")


class PartConfig(Protocol):
    """What the parameters of a stage say of the part of a source that it reads."""

    @property
    def source(self) -> str: ...
    @property
    def columns(self) -> PhotoColumns: ...
    @property
    def part(self) -> SourcePart: ...


class IngestConfig(Frozen):
    """All that decides the rows of one part; no limit, revision or place, so that equal bytes are found again."""

    source: str
    kind: SourceKind
    category: Category
    columns: ColumnMapping
    licence: str
    part: SourcePart


@dataclass(frozen=True)
class Encoded:
    """An encoded picture and the name it had (never a path)."""

    data: bytes
    name: str | None = None


@dataclass(frozen=True)
class Problem:
    """Why a row gives no photo; `score` is the measured value that decided, where there was one."""

    reason: Reason
    detail: str
    score: float | None = None


@dataclass(frozen=True)
class SourceRow:
    """One row as its source offers it.

    `locator` names the row within its source; `uri` is the same as a whole address. `problem`: why there is no photo.
    """

    locator: str
    uri: str
    images: dict[str, Encoded | None] = field(default_factory=dict)
    texts: dict[str, str | None] = field(default_factory=dict)
    problem: Problem | None = None


Row = TypeVar("Row", bound=SourceRow)

NO_PHOTO = Problem(Reason.IMAGE_MISSING, "The source holds no photo here.")


def base_name(path: str | None) -> str | None:
    """The last part of a path of any system."""
    return PurePosixPath(path.replace("\\", "/")).name or None if path else None


def file_digest(path: Path) -> str:
    """What pins the bytes of a local file: their BLAKE3, in hex."""
    return str(blake3(max_threads=1).update_mmap(path).hexdigest())


def photo_batches(config: IngestConfig, rows: Iterable[SourceRow]) -> Iterator[StageOutput]:
    """Rows as `PHOTO_SCHEMA`; see `named_batches`."""
    return named_batches(config.source, rows, partial(_record, config), PHOTO_SCHEMA)


def named_batches(
    source: str, rows: Iterable[Row], record: Callable[[str, Row], dict[str, Any]], schema: pa.Schema
) -> Iterator[StageOutput]:
    """Name every row by its content and keep it, or reject it with a reason; one output per batch.

    A row without a photo is named by its locator. The second row of a part with the same photo is rejected.

    Args:
        record: `sample_id` and row -> the columns of `schema`.
    """
    seen: dict[str, str] = {}
    kept: list[dict[str, Any]] = []
    rejected: list[Rejection] = []
    size = 0
    for row in rows:
        photo = row.images.get("image")
        problem = row.problem or image_problem(photo)
        if problem is not None or photo is None:
            sample_id = f"{source}/row-{row.locator}"
            problem = problem or NO_PHOTO
            rejected.append(Rejection(sample_id, problem.reason, problem.detail, problem.score, row.uri))
        else:
            sample_id = f"{source}/{sha256(photo.data).hexdigest()[:ID_CHARACTERS]}"
            if sample_id in seen:
                detail = f"The same bytes as {seen[sample_id]}."
                rejected.append(Rejection(sample_id, Reason.DUPLICATE_EXACT, detail, None, row.uri))
            else:
                seen[sample_id] = row.uri
                kept.append(record(sample_id, row))
                size += sum(len(image.data) for image in row.images.values() if image is not None)
        if len(kept) + len(rejected) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield StageOutput(pa.RecordBatch.from_pylist(kept, schema=schema), tuple(rejected))
            kept, rejected, size = [], [], 0
    if kept or rejected:
        yield StageOutput(pa.RecordBatch.from_pylist(kept, schema=schema), tuple(rejected))


def image_problem(photo: Encoded | None) -> Problem | None:
    """What is wrong with an encoded photo before anybody decodes it."""
    if photo is None:
        return NO_PHOTO
    if not photo.data:
        return Problem(Reason.IMAGE_EMPTY, "The photo has 0 bytes.")
    return too_large(len(photo.data))


def too_large(size: int) -> Problem | None:
    """What is wrong with a photo of `size` encoded bytes."""
    if size <= MAX_IMAGE_BYTES:
        return None
    return Problem(Reason.IMAGE_TOO_LARGE, f"{size:,} bytes are more than {MAX_IMAGE_BYTES:,}.", float(size))


def _record(config: IngestConfig, sample_id: str, row: SourceRow) -> dict[str, Any]:
    images = {name: row.images.get(name) for name in IMAGE_COLUMNS}
    return {
        "sample_id": sample_id,
        "parent_id": None,
        "source_uri": row.uri,
        "licence": config.licence,
        "source": config.source,
        "category": config.category,
        **{name: image and {"bytes": image.data, "path": image.name} for name, image in images.items()},
        **{name: row.texts.get(name) for name in TEXT_COLUMNS},
    }
