"""How well clusters agree with the truth: pairs and BCubed, in time linear in the faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError


@dataclass(frozen=True)
class Agreement:
    """Precision, recall and their harmonic mean; 1 where there is nothing to get wrong."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def pairwise(truth: NDArray[np.integer], found: NDArray[np.integer]) -> Agreement:
    """Agreement on which pairs of faces belong together.

    Args:
        truth: (N,) numbers of the true identities; -1: alone.
        found: (N,) numbers of the clusters; -1: alone.
    """
    together, of_truth, of_found, _ = _overlaps(truth, found)
    right = _pairs(together)
    linked, same = _pairs(of_found), _pairs(of_truth)
    return Agreement(right / linked if linked else 1.0, right / same if same else 1.0)


def bcubed(truth: NDArray[np.integer], found: NDArray[np.integer]) -> Agreement:
    """Mean over the faces of: the share of its cluster that is its person, the share of its person in its cluster.

    Args:
        truth: (N,) numbers of the true identities; -1: alone.
        found: (N,) numbers of the clusters; -1: alone.
    """
    together, of_truth, of_found, (truth_at, found_at) = _overlaps(truth, found)
    if not len(truth):
        return Agreement(1.0, 1.0)
    squares = together.astype(np.float64) ** 2
    return Agreement(
        float((squares / of_found[found_at]).sum() / len(truth)),
        float((squares / of_truth[truth_at]).sum() / len(truth)),
    )


_Counts = NDArray[np.int64]


def _overlaps(
    truth: NDArray[np.integer], found: NDArray[np.integer]
) -> tuple[_Counts, _Counts, _Counts, tuple[_Counts, _Counts]]:
    """Faces in both of each overlapping pair, of each true identity, of each cluster; and which two each pair is."""
    if truth.shape != found.shape or truth.ndim != 1:
        raise ShapeError(f"truth and clusters are (N,) each, got {truth.shape} and {found.shape}")
    a, b = _named(truth), _named(found)
    width = int(b.max(initial=0)) + 1
    cell, together = np.unique(a * width + b, return_counts=True)
    return together, np.bincount(a), np.bincount(b), (cell // width, cell % width)


def _pairs(counts: _Counts) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _named(labels: NDArray[np.integer]) -> _Counts:
    """Numbers from 0 without gaps, one of its own for each face that is alone."""
    alone = labels < 0
    own = np.where(alone, labels.max(initial=-1) + 1 + np.cumsum(alone), labels)
    return np.unique(own, return_inverse=True)[1].astype(np.int64)
