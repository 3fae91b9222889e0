"""Which of several people a picture is about."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import Keypoints

SIZE_WEIGHT: Final = 0.5
CENTRALITY_WEIGHT: Final = 0.3
CONFIDENCE_WEIGHT: Final = 0.2
"""A person in front outweighs a central one behind; confidence decides between equals. Our choice; they sum to 1."""

_DECIMALS: Final = 6
"""Scores that agree to this many decimals count as a tie."""


def boxes_of(keypoints: Keypoints) -> Boxes:
    """The smallest boxes around people's joints, widened by half a pixel so that a joint's own pixel lies inside.

    Returns:
        One box a person; its score is the mean confidence over all joints of the layout. A person without any joint has
        an empty box at 0, 0 with score 0.
    """
    missing = ~keypoints.present[..., None]
    low = np.where(missing, np.float32(np.inf), keypoints.xy).min(axis=1, initial=np.inf) - 0.5
    high = np.where(missing, np.float32(-np.inf), keypoints.xy).max(axis=1, initial=-np.inf) + 0.5
    xyxy = np.concatenate([low, high], axis=1)
    xyxy[~keypoints.present.any(axis=1)] = 0
    return Boxes(xyxy.astype(np.float32), keypoints.confidence.mean(axis=1).astype(np.float32))


def main_person(
    keypoints: Keypoints, boxes: Boxes | None, scores: NDArray[np.float32] | None, width: int, height: int
) -> int:
    """The index of the person that the picture is about: large, central, surely there.

    The score is 0.5 x size + 0.3 x centrality + 0.2 x confidence. Size: root of the area inside the frame, relative to
    the largest person. Centrality: 1 at the frame's centre, 0 in its corners. Ties go to the person further left, then
    further up, then to the lower index, so that the choice does not depend on the order in which people were found.

    Args:
        keypoints: pixels of the frame.
        boxes: one a person; around the joints if not given.
        scores: how sure it is that each person is there, 0 to 1, (N,); `boxes.score` if not given.
        width: of the frame, pixels.
        height: of the frame, pixels.
    Raises:
        ValueError: there is nobody, or the numbers of people differ.
    """
    around = boxes_of(keypoints) if boxes is None else boxes
    sure = around.score if scores is None else np.asarray(scores, np.float32)
    if not len(keypoints) or len(around) != len(keypoints) or sure.shape != (len(keypoints),):
        raise ValueError(
            f"{len(keypoints)} people, {len(around)} boxes, {sure.shape} scores: need one each, of at least 1"
        )
    frame = np.array([width, height, width, height], float)
    inside = np.clip(around.xyxy.astype(float), 0, frame)
    size = np.sqrt((inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1]))
    offset = (inside[:, :2] + inside[:, 2:]) / 2 - frame[:2] / 2
    centrality = 1 - np.hypot(offset[:, 0], offset[:, 1]) / (np.hypot(width, height) / 2)
    score = (
        SIZE_WEIGHT * size / max(float(size.max()), 1e-9)
        + CENTRALITY_WEIGHT * centrality
        + CONFIDENCE_WEIGHT * sure.astype(float)
    ).round(_DECIMALS)
    order = np.lexsort((np.arange(len(score)), around.xyxy[:, 1], around.xyxy[:, 0], -score))
    return int(order[0])
