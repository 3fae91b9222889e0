"""From one keypoint layout to another."""

from typing import Final

import numpy as np

from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints

_NECK: Final = OPENPOSE_18.index("neck")
_SHARED: Final = [COCO_17.joints.index(name) for name in OPENPOSE_18.joints if name != "neck"]
_SHARED_TO: Final = [joint for joint in range(len(OPENPOSE_18)) if joint != _NECK]
_SHOULDERS: Final = [COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")]


def coco17_to_openpose18(keypoints: Keypoints) -> Keypoints:
    """The same people as OpenPose draws them.

    The neck, which COCO does not have, is the mean of both shoulders with the lower of their confidences, and missing
    where a shoulder is. Source: OpenPose's own COCO training targets.

    Raises:
        ShapeError: another layout than `COCO_17`.
    """
    if keypoints.layout != COCO_17:
        raise ShapeError(f"expected {COCO_17.name}, got {keypoints.layout.name}")
    xy = np.full((len(keypoints), len(OPENPOSE_18), 2), np.nan, np.float32)
    confidence = np.zeros((len(keypoints), len(OPENPOSE_18)), np.float32)
    xy[:, _SHARED_TO] = keypoints.xy[:, _SHARED]
    confidence[:, _SHARED_TO] = keypoints.confidence[:, _SHARED]
    xy[:, _NECK] = keypoints.xy[:, _SHOULDERS].mean(axis=1)
    confidence[:, _NECK] = keypoints.confidence[:, _SHOULDERS].min(axis=1)
    return Keypoints(OPENPOSE_18, xy, confidence)
