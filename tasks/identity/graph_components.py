"""The graph of faces that may be one person, and its connected components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.identity.neighbours import Neighbours


@dataclass(frozen=True)
class Edges:
    """Pairs of rows, `first` < `second`, each pair once; (E,) int64 each, and their cosines float32."""

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
    row, place = np.nonzero((neighbours.cosine >= least[:, None]) & (neighbours.index >= 0))
    other = neighbours.index[row, place].astype(np.int64)
    cosine = neighbours.cosine[row, place]
    # A pair stands in both lists, or in that of one row; of the former the one from the lower row is taken.
    last_cosine, last = neighbours.cosine[other, -1], neighbours.index[other, -1]
    mutual = (cosine > last_cosine) | ((cosine == last_cosine) & (row <= last))
    wanted = (cosine >= least[other]) & ((row < other) | ~mutual)
    row, other = row[wanted], other[wanted]
    return Edges(len(neighbours), np.minimum(row, other), np.maximum(row, other), cosine[wanted])


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
