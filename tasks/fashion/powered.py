"""Shares corrected by a labelled sample: prediction-powered inference.

A classifier that errs makes a share wrong, and on photos unlike those it learned from nobody knows by how much. A
random sample that people labelled tells: the mean of the classifier's probabilities over all photos, plus the mean
error on the sample. Its interval holds whatever the classifier's errors are. How much weight the probabilities get (0
to 1) is tuned to the smallest variance, so that a useless classifier costs nothing: the sample alone is the estimate.

Sources: Angelopoulos et al. 2023, "Prediction-powered inference"; Angelopoulos, Duchi and Zrnic 2023, "PPI++", for a
mean and its tuned weight. The sample is one of the photos themselves, so "all photos" are here those outside of it.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.shares import Clusters, Shares, shares_of, without_interval

Array = NDArray[np.float64]

_ALL_THE_SAME = 1e-12
"""A variance that rounding makes of equal numbers."""


def powered_shares(
    probabilities: NDArray[np.floating], seen: NDArray[np.floating], clusters: NDArray[np.int64]
) -> Shares:
    """The share of photos that really show each label.

    Args:
        probabilities: what the classifier says of each photo, (N, L); any number, nothing learned: all the same.
        seen: 1 or 0 where people labelled the photo, NaN in the whole row where not, (N, L); a random sample.
        clusters: a number for each photo's cluster, (N,).
    """
    labelled = ~np.isnan(seen[:, :1])
    grouped = Clusters.of(clusters)
    truth, sample = np.where(labelled, seen, 0), np.where(labelled, probabilities, 0)
    parts = (labelled, ~labelled, truth, sample, probabilities - sample, truth * sample, sample**2)
    sums = np.hstack([grouped.sums(part) for part in parts])
    share = np.clip(_estimate(sums.sum(0, keepdims=True))[0], 0, 1)
    photos = sums[:, 0]
    if (photos > 0).sum() < 2:
        return without_interval(share, len(seen), int((photos > 0).sum()))
    return shares_of(share, _estimate(sums.sum(0) - sums), photos, len(seen))


def _estimate(sums: Array) -> Array:
    """The estimate from sums over photos, (..., 2 + 5 L) -> (..., L).

    The weight is the slope of truth on probability in the sample, less as much as the others are few.
    """
    n, others = sums[:, :1], sums[:, 1:2]
    truth, sample, rest, product, square = np.split(sums[:, 2:], 5, axis=1)
    covariance, variance = product / n - truth * sample / n**2, square / n - (sample / n) ** 2
    known = (variance > _ALL_THE_SAME) & (others > 0)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=known)
    others = np.maximum(others, 1)
    weight = np.clip(slope / (1 + n / others), 0, 1)
    return np.asarray(truth / n + weight * (rest / others - sample / n), float)
