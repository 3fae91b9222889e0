"""Which perceptual hashes are near one another: the edges that join them, in bounded memory."""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.images.hashing import MAX_DISTANCE, hamming

_BANDS, _BAND_BITS = 4, 16
_PAIRS_AT_ONCE = 1 << 22

Edges = NDArray[np.int64]
"""Rows, rows, and the bits in which their hashes differ: (3, E)."""


def nearest_edges(hashes: NDArray[np.uint64], bits: int) -> Edges:
    """Edges that join just what all pairs within `bits` would join, and so for every smaller number of bits.

    They are a minimum spanning forest of those pairs: at most N - 1.

    Args:
        hashes: distinct, (N,).
        bits: 0 to `MAX_DISTANCE`.
    Raises:
        ValueError: `bits` is out of range.
    """
    if not 0 <= bits <= MAX_DISTANCE:
        raise ValueError(f"bits is 0 to {MAX_DISTANCE}, not {bits}")
    kept = np.zeros((3, 0), np.int64)
    waiting: list[Edges] = []
    for pairs in _near_pairs(hashes, bits):
        waiting.append(pairs)
        if sum(each.shape[1] for each in waiting) > _PAIRS_AT_ONCE:
            kept, waiting = _forest(np.concatenate([kept, *waiting], axis=1), len(hashes)), []
    return _forest(np.concatenate([kept, *waiting], axis=1), len(hashes))


def joined(count: int, edges: Edges) -> NDArray[np.int64]:
    """The component of each of `count` rows, (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(count, count))
    label: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return label


def _forest(edges: Edges, count: int) -> Edges:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    graph = coo_array((edges[2].astype(np.float64), (edges[0], edges[1])), shape=(count, count))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return np.stack([tree.row, tree.col, tree.data]).astype(np.int64)


def _near_pairs(hashes: NDArray[np.uint64], bits: int) -> Iterator[Edges]:
    """All pairs within `bits`, each once.

    Two hashes within d bits agree, in at least one of four bands, up to d // 4 bits (pigeonhole): only those are
    compared, and a pair counts in the first of its bands.
    """
    most = bits // _BANDS
    masks = [sum(1 << i for i in flip) for n in range(most + 1) for flip in combinations(range(_BAND_BITS), n)]
    bands = [(hashes >> np.uint64(band * _BAND_BITS)).astype(np.uint16) for band in range(_BANDS)]
    for band, keys in enumerate(bands):
        by_key = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[by_key], np.arange((1 << _BAND_BITS) + 1))
        for mask in masks:
            rows = np.flatnonzero(keys & (mask & -mask) == 0)  # of the two sides of a pair, the one with a 0 there
            probes = keys[rows].astype(np.int64) ^ mask
            counts = starts[probes + 1] - starts[probes]
            for some in _parts(counts):
                left = np.repeat(rows[some], counts[some])
                shift = starts[probes[some]] - (np.cumsum(counts[some]) - counts[some])
                right = by_key[np.arange(len(left)) + np.repeat(shift, counts[some])]
                apart = hamming(hashes[left], hashes[right])
                near = np.flatnonzero((apart <= bits) & ((left < right) if mask == 0 else True))
                for earlier in bands[:band]:
                    near = near[np.bitwise_count(earlier[left[near]] ^ earlier[right[near]]) > most]
                yield np.stack([left[near], right[near], apart[near].astype(np.int64)])


def _parts(counts: NDArray[np.int64]) -> list[slice]:
    """Slices whose counts sum to about `_PAIRS_AT_ONCE`."""
    total = np.cumsum(counts)
    last = int(total[-1]) if len(total) else 0
    edges = np.searchsorted(total, np.arange(_PAIRS_AT_ONCE, last, _PAIRS_AT_ONCE))
    stops = sorted({0, *(int(edge) + 1 for edge in edges), len(counts)})
    return [slice(first, end) for first, end in pairwise(stops)]
