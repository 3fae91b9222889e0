"""Joints as they stand in the rows of a shard."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.schema.keypoints import OPENPOSE_18, Keypoints


def joints(row: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The columns `keypoints_xy` and `keypoints_confidence` of one row as (18, 2), NaN where missing, and (18,)."""
    xy = np.array([np.nan if value is None else value for value in row["keypoints_xy"]], np.float32)
    return xy.reshape(-1, 2), np.array(row["keypoints_confidence"], np.float32)


def person(row: Mapping[str, Any], scale: float = 1.0) -> Keypoints:
    """The one person of a row, in pixels of the photo scaled by `scale`."""
    xy, confidence = joints(row)
    centres = (xy + 0.5) * scale - 0.5
    return Keypoints.from_arrays(OPENPOSE_18, centres[None], confidence[None])
