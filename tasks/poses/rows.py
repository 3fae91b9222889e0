"""Rows of a shard: the joints in them, and one row made of each."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.images.decode import DecodeError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tasks.schema.rejections import Rejection
from tasks.shards.stage import StageOutput


def joints(row: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The columns `keypoints_xy` and `keypoints_confidence` of one row as (18, 2), NaN where missing, and (18,)."""
    xy = np.array([np.nan if value is None else value for value in row["keypoints_xy"]], np.float32)
    return xy.reshape(-1, 2), np.array(row["keypoints_confidence"], np.float32)


def person(row: Mapping[str, Any], scale: float = 1.0) -> Keypoints:
    """The one person of a row, in pixels of the photo scaled by `scale`."""
    xy, confidence = joints(row)
    centres = (xy + 0.5) * scale - 0.5
    return Keypoints.from_arrays(OPENPOSE_18, centres[None], confidence[None])


def each_photo(
    batches: Iterator[pa.RecordBatch], make: Callable[[dict[str, Any]], dict[str, Any]], schema: pa.Schema
) -> Iterator[StageOutput]:
    """Make one row of `schema` of every row; rejects those whose photo does not decode any more."""
    for batch in batches:
        rows, rejected = [], []
        for row in batch.to_pylist():
            try:
                rows.append(make(row))
            except DecodeError as error:
                rejected.append(Rejection(row["sample_id"], error.reason, error.detail, source_uri=row["source_uri"]))
        yield StageOutput(pa.RecordBatch.from_pylist(rows, schema=schema), tuple(rejected))
