"""Of boxes that show the same person, the best."""

import numpy as np
from numpy.typing import NDArray


def best_of_overlapping(
    xyxy: NDArray[np.float32], score: NDArray[np.float32], iou: float, most: int
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: indices of the boxes that stay, best first.

    A box goes if it overlaps a better one that stays by more than `iou`; of equal scores the earlier box is the better.

    Args:
        xyxy: (N, 4).
        score: (N,).
        iou: intersection over union, 0 to 1.
        most: that stay.
    """
    order = np.argsort(-score, kind="stable")
    boxes = xyxy[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.ones(len(order), np.bool_)
    kept: list[int] = []
    for i in range(len(order)):
        if not left[i]:
            continue
        kept.append(i)
        if len(kept) == most:
            break
        size = np.minimum(boxes[i, 2:], boxes[i + 1 :, 2:]) - np.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        shared = size.clip(0).prod(axis=1)
        left[i + 1 :] &= shared <= iou * (area[i] + area[i + 1 :] - shared)
    return order[kept].astype(np.int64)
