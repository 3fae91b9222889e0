"""Shares of photos that come in clusters: the photos of one show, or by one author, are alike.

What a cluster costs is measured by leaving out one cluster at a time (the delete-one jackknife of a ratio). Its
variance says how many independent photos would be as good: the effective number, which goes into Wilson's interval,
Newcombe's difference and the score test in place of the number of photos. Few clusters measure their own variance
badly, so the number is lowered as Student's t asks, with as many degrees of freedom as there would be clusters of equal
size.

Measured by simulation over 5 to 50 clusters, equal and of very different sizes, shares from 0.1, intra-cluster
correlations from 0 to 0.2: 95.3 % of the intervals hold the truth, from 6 clusters on 92 to 97 % at every single point
(the low ones are rare labels that gather in few clusters). Resampling clusters with replacement is worse at this: 89 %
by percentiles, 90 % bias-corrected and accelerated, 94 % studentised.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.fashion.intervals import Z, newcombe, score_test, wilson

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of L labels: `share`, its 95 % interval, and how many independent photos it is worth, each (L,).

    `n`: photos; `clusters`: how many of them are behind the interval.
    """

    share: Array
    low: Array
    high: Array
    effective_n: Array
    n: int
    clusters: int


@dataclass(frozen=True, eq=False)
class Difference:
    """One side's shares minus the other's, with 95 % intervals and the p value of "no difference", each (L,)."""

    difference: Array
    low: Array
    high: Array
    p_value: Array


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which rows are of one cluster: all rows in the `order` of their G clusters, and where each cluster `starts`."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, clusters: NDArray[np.int64]) -> "Clusters":
        """From a number for each row's cluster, (N,), N > 0."""
        order = np.argsort(clusters, kind="stable")
        first = np.flatnonzero(np.diff(clusters[order])) + 1
        return cls(order, np.concatenate([[0], first]))

    @property
    def photos(self) -> Array:
        """How many rows each has, (G,)."""
        return np.diff(self.starts, append=len(self.order)).astype(float)

    def sums(self, values: NDArray[Any]) -> Array:
        """The sums of columns over each, (N, L) -> (G, L)."""
        return np.add.reduceat(values[self.order], self.starts, axis=0, dtype=np.float64)


def clustered_shares(words: NDArray[np.bool_], clusters: NDArray[np.int64]) -> Shares:
    """The share of photos of each label; exactly Wilson's where every photo is a cluster of its own.

    Args:
        words: whether a photo shows a label, (N, L), N > 0.
        clusters: a number for each photo's cluster, (N,). One cluster alone gives intervals of NaN.
    """
    grouped = Clusters.of(clusters)
    photos, hits = grouped.photos, grouped.sums(words)
    share = hits.sum(0) / len(words)
    if len(photos) == 1:
        return without_interval(share, len(words))
    each_left_out = (hits.sum(0) - hits) / (len(words) - photos[:, None])
    return shares_of(share, each_left_out, photos, len(words))


def shares_of(share: Array, each_left_out: Array, photos: Array, n: int) -> Shares:
    """Intervals from what the estimate becomes without each cluster.

    Args:
        share: the estimate, (L,).
        each_left_out: (G, L), G > 1.
        photos: how many photos of each cluster the estimate's error rests on, (G,); clusters without one do not count.
        n: photos of all clusters.
    """
    resting = photos[photos > 0]
    count = len(each_left_out)
    variance = (count - 1) / count * ((each_left_out - each_left_out.mean(0)) ** 2).sum(0)
    spread = np.clip(share * (1 - share), 0, None)
    known = (variance > 0) & (spread > 0)
    independent = 1 + spread / np.where(known, variance, 1)
    # where all photos agree they do not say how alike those of a cluster are: as alike as the other labels say
    unsaid = min(float(np.median(independent[known])), float(resting.sum())) if known.any() else float(len(resting))
    independent = np.where(known, independent, unsaid)
    effective_n = independent * _student(resting)
    low, high = wilson(share, effective_n)
    return Shares(share, low, high, effective_n, n, len(resting))


def without_interval(share: Array, n: int, clusters: int = 1) -> Shares:
    """Shares of too few clusters to say how exact they are."""
    unknown = np.full_like(share, np.nan)
    return Shares(share, unknown, unknown, unknown, n, clusters)


def difference(a: Shares, b: Shares) -> Difference:
    """`a` minus `b`, of independent photos."""
    low, high = newcombe(a.share, (a.low, a.high), b.share, (b.low, b.high))
    return Difference(a.share - b.share, low, high, score_test(a.share, a.effective_n, b.share, b.effective_n))


def _student(photos: Array) -> float:
    """By how much an effective number is lowered; not at all where every photo is a cluster of its own.

    Clusters of different sizes are worth as many of equal size as their sizes say (Kish's effective number).
    """
    from scipy.special import stdtrit

    if (photos == photos[0]).all() and photos[0] == 1:
        return 1.0
    equal = photos.sum() ** 2 / (photos**2).sum()
    return float((Z / stdtrit(max(equal - 1, 1.0), 0.975)) ** 2)
