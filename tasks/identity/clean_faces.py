"""Faces that are to be cleaned, their centres, and how much each is like the others of its identity."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_CELLS = 1 << 22
"""Numbers of vectors, or cosines of groups, that are held at once: 16 MiB of float32."""


@dataclass(frozen=True, eq=False)
class Faces:
    """N faces in the order of their ids, so that nothing depends on the order in which they came.

    Args:
        ids: sample ids, ascending.
        names: identity ids, ascending; `identity` (N,) holds places in it.
        photo: one number a photo, (N,).
        score, side_px, norm: float32, (N,).
        embedding: unit vectors, float16, (N, W).
        picture: one number for photos of equal bytes, (N,); None where the photos are not known.
        phash: uint64, (N,); None where the photos are not known.
    """

    ids: list[str]
    names: list[str]
    identity: NDArray[np.int64]
    photo: NDArray[np.int64]
    score: NDArray[np.float32]
    side_px: NDArray[np.float32]
    norm: NDArray[np.float32]
    embedding: NDArray[np.float16]
    picture: NDArray[np.int64] | None = None
    phash: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def _no_faces() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class Reviewed:
    """What people said, as places of faces: `removed` (R,), `same` and `different` pairs (S, 2), (D, 2)."""

    removed: NDArray[np.int64] = field(default_factory=_no_faces)
    same: NDArray[np.int64] = field(default_factory=_no_pairs)
    different: NDArray[np.int64] = field(default_factory=_no_pairs)


@dataclass(frozen=True, eq=False)
class Centres:
    """Sums of raw features (embedding x norm) of K identities.

    Args:
        identity: which, ascending, (K,).
        sums: float32, (K, W).
        faces: how many, (K,).
    """

    identity: NDArray[np.int64]
    sums: NDArray[np.float32]
    faces: NDArray[np.int64]


def batches_of(group: NDArray[np.int64], width: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows by group, groups of one size together: places of G groups among all, (G,), and their rows, (G, size).

    Groups are in order of their numbers, rows in their own; a batch has about `_CELLS` numbers, or is one group.
    """
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    for size in np.unique(sizes).tolist():
        places = np.flatnonzero(sizes == size)
        at_once = max(1, _CELLS // (size * max(size, width)))
        for first in range(0, len(places), at_once):
            some = places[first : first + at_once]
            yield some, order[starts[some, None] + np.arange(size)]


def centres(embedding: NDArray[np.float16], norm: NDArray[np.float32], identity: NDArray[np.int64]) -> Centres:
    """The sums of all identities; rows are added in their order."""
    names, faces = np.unique(identity, return_counts=True)
    sums = np.zeros((len(names), embedding.shape[1]), np.float32)
    for places, rows in batches_of(identity, embedding.shape[1]):
        sums[places] = np.einsum("gsw,gs->gw", embedding[rows].astype(np.float32), norm[rows])
    return Centres(names, sums, faces)


def likeness(
    embedding: NDArray[np.float16], norm: NDArray[np.float32], identity: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Cosine of each face to the centre of the other faces of its identity, (N,); 1 where it has no others."""
    found = np.ones(len(identity), np.float32)
    for _, rows in batches_of(identity, embedding.shape[1]):
        if rows.shape[1] > 1:
            units = embedding[rows].astype(np.float32)
            sums = np.einsum("gsw,gs->gw", units, norm[rows])
            dots = np.einsum("gsw,gw->gs", units, sums).astype(np.float64)
            squares = np.einsum("gsw,gsw->gs", units, units).astype(np.float64)
            whole = np.einsum("gw,gw->g", sums, sums)[:, None].astype(np.float64)
            others = whole - 2 * norm[rows] * dots + norm[rows].astype(np.float64) ** 2 * squares
            lengths = np.sqrt(np.maximum(others * squares, np.finfo(np.float32).tiny))
            found[rows] = np.clip((dots - norm[rows] * squares) / lengths, -1, 1)
    return found
