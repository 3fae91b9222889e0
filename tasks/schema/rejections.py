"""Why a sample was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Reason(StrEnum):
    """Every reason a stage may give; one list for the whole project, each value is what people see."""

    IMAGE_MISSING = "image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_BOMB = "image_bomb"
    IMAGE_EMPTY = "image_empty"
    IMAGE_TOO_SMALL = "image_too_small"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_FORMAT_UNSUPPORTED = "image_format_unsupported"
    DECODER_CRASHED = "decoder_crashed"
    DECODER_TIMED_OUT = "decoder_timed_out"
    METADATA_MISSING = "metadata_missing"
    METADATA_WITHOUT_FILE = "metadata_without_file"
    DUPLICATE_EXACT = "duplicate_exact"
    DUPLICATE_NEAR = "duplicate_near"
    OVER_LIMIT = "over_limit"
    NOBODY_FOUND = "nobody_found"
    DRAWING_UNREADABLE = "drawing_unreadable"
    TOO_FEW_JOINTS = "too_few_joints"
    VIDEO_UNREADABLE = "video_unreadable"
    VIDEO_BOMB = "video_bomb"


@dataclass(frozen=True)
class Rejection:
    """One sample that a stage left out.

    `detail` is one sentence for a person; `score` is the measured value that decided, where there was one.
    """

    sample_id: str
    reason: Reason
    detail: str
    score: float | None = None
    source_uri: str = ""


REJECT_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("source_uri", pa.string(), nullable=False),
    ]
)


def rejection_table(stage: str, rejections: Sequence[Rejection]) -> pa.Table:
    """Rejections of one stage as rows of `REJECT_SCHEMA`, in the order given."""
    rows = [
        {
            "sample_id": r.sample_id,
            "stage": stage,
            "reason": r.reason.value,
            "detail": r.detail,
            "score": r.score,
            "source_uri": r.source_uri,
        }
        for r in rejections
    ]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)
