"""Average linkage over the graph of neighbours: the most similar clusters join while their faces are alike on average.

The average is over all pairs of faces of two clusters, also those that are no neighbours: it is the product of the
sums of their vectors. Only clusters that neighbours connect are compared. In every round all clusters that are each
other's most similar join at once, which gives what joining one pair after the other gives.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.gallery import Gallery, Linked, unit
from tasks.identity.graph_components import Edges, edges, numbered
from tasks.schema.records import Frozen

MEAN_SHARE = 0.85
"""The mean over many pairs of two people varies less than a single pair does. Measured in three spaces: from 0.7 to
0.9 pair F stays within 0.01 of its best in each; at 1 people lose their odd faces."""

_DOTS = 32768
"""Products computed at once."""


class AverageLinkage(Frozen):
    """Average linkage; faces that are never one person stay apart while clusters grow.

    Attributes:
        mean_share: of the cosine from which two faces are linked, what two clusters need on average.
    """

    method: Literal["average"] = "average"
    mean_share: float = Field(default=MEAN_SHARE, gt=0, le=1)

    def link(self, gallery: Gallery) -> Linked:
        graph = edges(gallery.neighbours, gallery.least)
        return link_average(graph, gallery.vectors, gallery.least * self.mean_share, gallery.apart)


def link_average(
    graph: Edges,
    vectors: NDArray[np.floating],
    least: NDArray[np.floating],
    apart: NDArray[np.int64],
) -> Linked:
    """Join clusters while the mean cosine between their faces reaches what both ask for.

    Args:
        graph: which rows may be compared, and how similar they are.
        vectors: (N, width) of any length but zero.
        least: (N,) mean cosine that a row asks for; a cluster asks for the mean of its rows.
        apart: (M, 2) rows that never come together.
    """
    state = _Clusters(graph, unit(vectors), least, apart)
    while state.join():
        pass
    return Linked(numbered(state.cluster), state.kept_apart)


class _Clusters:
    """Clusters so far, each named by its lowest row, and the pairs of them that neighbours connect."""

    def __init__(
        self,
        graph: Edges,
        units: NDArray[np.float32],
        least: NDArray[np.floating],
        apart: NDArray[np.int64],
    ) -> None:
        self.count = graph.rows
        self.cluster = np.arange(graph.rows)
        self.size = np.ones(graph.rows)
        self.least = np.asarray(least, np.float64).copy()
        self.sums = units
        self.first, self.second = graph.first, graph.second
        self.total = graph.cosine.astype(np.float64)
        self.known = np.ones(len(graph))
        self.apart = self._key(apart[:, 0], apart[:, 1])
        self.kept_apart = 0
        self._separate()

    def _key(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(one, other) * self.count + np.maximum(one, other)

    def _mean(self) -> NDArray[np.float64]:
        """Mean cosine of every pair of clusters; computed where not all of their faces were compared."""
        all_pairs = self.size[self.first] * self.size[self.second]
        unknown = np.flatnonzero(self.known < all_pairs)
        for start in range(0, len(unknown), _DOTS):
            rows = unknown[start : start + _DOTS]
            one, other = self.sums[self.first[rows]], self.sums[self.second[rows]]
            self.total[rows] = np.einsum("ij,ij->i", one, other)
        self.known[unknown] = all_pairs[unknown]
        return self.total / all_pairs

    def _separate(self) -> None:
        """Drop the pairs of clusters that cannot be one person."""
        one, other = np.divmod(self.apart, self.count)
        compared = np.zeros(self.count, np.bool_)
        compared[self.first] = compared[self.second] = True
        wanted = compared[one] & compared[other]
        self.apart = np.sort(self._key(one[wanted], other[wanted]))
        if not len(self.apart):
            return
        key = self._key(self.first, self.second)
        at = np.minimum(np.searchsorted(self.apart, key), len(self.apart) - 1)
        forbidden = self.apart[at] == key
        if forbidden.any():
            self.kept_apart += int((forbidden & (self._mean() >= self._asked())).sum())
            self._keep(~forbidden)

    def _asked(self) -> NDArray[np.float64]:
        mean = self.least / self.size
        return np.maximum(mean[self.first], mean[self.second])

    def _keep(self, pairs: NDArray[np.bool_]) -> None:
        self.first, self.second = self.first[pairs], self.second[pairs]
        self.total, self.known = self.total[pairs], self.known[pairs]

    def join(self) -> bool:
        """Join all clusters that are each other's most similar; whether there were any."""
        if not len(self.first):
            return False
        mean = self._mean()
        # Two clusters that are too unlike a third one do not come closer to it by joining: such pairs are done with.
        alike = mean >= self._asked()
        self._keep(alike)
        partner = self._most_similar(mean[alike])
        mutual = np.flatnonzero((partner >= 0) & (partner > np.arange(self.count)))
        mutual = mutual[partner[partner[mutual]] == mutual]
        if not len(mutual):
            return False
        gone = partner[mutual]
        self.sums[mutual] += self.sums[gone]
        self.size[mutual] += self.size[gone]
        self.least[mutual] += self.least[gone]
        into = np.arange(self.count)
        into[gone] = mutual
        self.cluster = into[self.cluster]
        self._merge_pairs(into)
        if len(self.apart):
            one, other = np.divmod(self.apart, self.count)
            self.apart = self._key(into[one], into[other])
            self._separate()
        return True

    def _most_similar(self, mean: NDArray[np.float64]) -> NDArray[np.int64]:
        """The most similar cluster of each, the lowest of equals, (N,); -1: none reaches what is asked for."""
        own = np.concatenate([self.first, self.second])
        other = np.concatenate([self.second, self.first])
        both = np.concatenate([mean, mean])
        best = np.full(self.count, -2.0)
        np.maximum.at(best, own, both)
        top = both == best[own]
        partner = np.full(self.count, self.count)
        np.minimum.at(partner, own[top], other[top])
        partner[partner == self.count] = -1
        return partner

    def _merge_pairs(self, into: NDArray[np.int64]) -> None:
        """Name the pairs by the clusters that now hold them; pairs that became one are added up."""
        key = self._key(into[self.first], into[self.second])
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        self.total = np.add.reduceat(self.total[order], starts)
        self.known = np.add.reduceat(self.known[order], starts)
        self.first, self.second = np.divmod(key[starts], self.count)
        self._keep(self.first != self.second)
