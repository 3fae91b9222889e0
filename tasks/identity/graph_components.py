"""The graph of faces that may be one person, and its connected components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.identity.neighbours import Neighbours


@dataclass(frozen=True)
class Edges:
    """Pairs of rows, `first` < `second`, each pair once, in their order; (E,) int64 each, and their cosines float32."""

    rows: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)

    def of(self, wanted: NDArray[np.bool_]) -> Edges:
        """Those of the edges, (E,)."""
        return Edges(self.rows, self.first[wanted], self.second[wanted], self.cosine[wanted])


def edges(neighbours: Neighbours, least: NDArray[np.floating]) -> Edges:
    """Pairs of neighbours that reach the cosine that both of them ask for.

    Args:
        least: (N,) cosine from which a row is linked.
    """
    count = len(neighbours)
    row, place = np.nonzero((neighbours.cosine >= least[:, None]) & (neighbours.index >= 0))
    other = neighbours.index[row, place].astype(np.int64)
    cosine = neighbours.cosine[row, place]
    wanted = cosine >= least[other]
    row, other, cosine = row[wanted], other[wanted], cosine[wanted]
    pair, at = np.unique(np.minimum(row, other) * count + np.maximum(row, other), return_index=True)
    return Edges(count, pair // max(count, 1), pair % max(count, 1), cosine[at])


def components(graph: Edges) -> NDArray[np.int64]:
    """The component of each row, numbered by their first rows, (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    matrix = coo_array((np.ones(len(graph), np.int8), (graph.first, graph.second)), shape=(graph.rows, graph.rows))
    return numbered(connected_components(matrix, directed=False)[1])


def numbered(clusters: NDArray[np.integer]) -> NDArray[np.int64]:
    """The same clusters, numbered from 0 in the order of their first rows."""
    _, first, cluster = np.unique(clusters, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[cluster]
