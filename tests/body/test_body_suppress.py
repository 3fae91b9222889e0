"""Suppression keeps what torchvision's keeps, in its order."""

import numpy as np
import pytest

from tasks.body.suppress import best_of_overlapping


def boxes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (count, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(0, 200, (count, 2))], axis=1).astype(np.float32)
    return xyxy, rng.uniform(0, 1, count).round(2).astype(np.float32)


def one_by_one(xyxy: np.ndarray, score: np.ndarray, iou: float) -> list[int]:
    """The definition, pair by pair."""
    kept: list[int] = []
    area = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    for i in sorted(range(len(score)), key=lambda k: (-score[k], k)):
        size = (np.minimum(xyxy[i, 2:], xyxy[kept, 2:]) - np.maximum(xyxy[i, :2], xyxy[kept, :2])).clip(0)
        shared = size.prod(axis=1)
        if (shared <= iou * (area[i] + area[kept] - shared)).all():
            kept.append(i)
    return kept


@pytest.mark.parametrize("count", [0, 1, 7, 200])
@pytest.mark.parametrize("iou", [0.0, 0.45, 0.7, 1.0])
def test_the_best_of_those_that_overlap_stays(count, iou):
    xyxy, score = boxes(count, seed=count)
    expected = one_by_one(xyxy, score, iou)
    assert best_of_overlapping(xyxy, score, iou, 1000).tolist() == expected
    assert best_of_overlapping(xyxy, score, iou, 5).tolist() == expected[:5]


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 7, 400])
@pytest.mark.parametrize("iou", [0.0, 0.45, 0.7, 1.0])
def test_as_torchvision(count, iou):
    import torch
    from torchvision.ops import nms

    xyxy, score = boxes(count, seed=count)
    expected = nms(torch.from_numpy(xyxy), torch.from_numpy(score), iou).numpy()
    np.testing.assert_array_equal(best_of_overlapping(xyxy, score, iou, 1000), expected)
    assert (np.diff(score[expected]) <= 0).all()


def test_empty_boxes_do_not_overlap():
    flat = np.zeros((3, 4), np.float32)
    np.testing.assert_array_equal(best_of_overlapping(flat, np.array([0.1, 0.3, 0.2], np.float32), 0.7, 9), [1, 2, 0])
