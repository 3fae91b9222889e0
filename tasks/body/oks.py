"""Object keypoint similarity: how well found keypoints agree with annotated ones."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.keypoints import Keypoints

COCO_SIGMAS: Final = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
     0.089]
)  # fmt: skip
"""How far annotators differ, per joint of COCO-17, as a share of the person's size. Source: `pycocotools.cocoeval`."""

MATCH_AT: Final = 0.5
"""The lowest similarity that counts as the same person: COCO's loosest."""


def similarity(truth: Keypoints, areas: NDArray[np.floating], found: Keypoints) -> NDArray[np.float64]:
    """OKS of every annotated person with every found one.

    A joint that is annotated but not found counts 0; joints that are not annotated do not count.

    Args:
        truth: COCO-17, T people; only annotated joints are present.
        areas: square pixels, (T,), of the annotated people.
        found: COCO-17, P people.
    Returns:
        (T, P), 0 to 1; 0 for people without an annotated joint.
    Source: COCO keypoint evaluation, with the constant 2 sigma.
    """
    apart = np.square(truth.xy[:, None].astype(float) - found.xy[None].astype(float)).sum(axis=-1)
    scale = 2 * np.square(2 * COCO_SIGMAS) * np.asarray(areas, float)[:, None, None]
    per_joint = np.where(np.isnan(apart), 0, np.exp(-np.nan_to_num(apart) / scale))
    counted = truth.present[:, None]
    return np.asarray((per_joint * counted).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1), np.float64)


def matched(similarities: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Which found person is which annotated one: greedy, the most confident chooses first.

    Args:
        similarities: (T, P).
        scores: (P,).
    Returns:
        (T,): the index of the found person, -1 where none is similar enough (`MATCH_AT`).
    """
    of = np.full(similarities.shape[0], -1, np.int64)
    for person in np.argsort(-np.asarray(scores), kind="stable"):
        open_similarities = np.where(of < 0, similarities[:, person], -1.0)
        if open_similarities.size and open_similarities.max() >= MATCH_AT:
            of[int(open_similarities.argmax())] = person
    return of
