"""Finds clusters of collapsed faces without a word about quality: embeddings that look at nobody.

A model gives small, blurred or hidden faces of unrelated people nearly the same embedding. Such faces are closer to
each other than faces of one person are, and there are many of them; a person's faces are no closer for being many.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.identity.gallery import unit_blocks

POPULATION_FACES = 5
"""Clusters from this size on say how close faces of one person are."""

POPULATION_CLUSTERS = 30
"""Fewer say nothing."""

COLLAPSED_FACES = 30
"""Smaller clusters are left alone: a person with some copies of one photo is no collapse."""

COLLAPSED_Z = 3.0
"""Standard deviations above the median closeness. Measured in three spaces: people reach 2.5, collapsed faces start
at 3.1 to 6.0."""


@dataclass(frozen=True)
class Closeness:
    """How close the faces of each cluster are.

    Attributes:
        faces: (C,) number of faces.
        closeness: (C,) mean cosine over all pairs of faces; 0 of single faces.
        limit: the closeness above which a large cluster has collapsed; None where there are too few to tell.
    """

    faces: NDArray[np.int64]
    closeness: NDArray[np.float64]
    limit: float | None

    @property
    def collapsed(self) -> NDArray[np.bool_]:
        """Which clusters have, (C,)."""
        if self.limit is None:
            return np.zeros(len(self.faces), np.bool_)
        return (self.faces >= COLLAPSED_FACES) & (self.closeness > self.limit)


def closeness(cluster: NDArray[np.int64], sums: NDArray[np.float32]) -> Closeness:
    """How close the faces of clusters are, and how close is too close.

    The lower half of the clusters, which collapsed faces cannot move, says how much closeness varies.

    Args:
        cluster: (N,) cluster of each face.
        sums: (C, width) sums of the unit vectors of each cluster.
    """
    faces = np.bincount(cluster, minlength=len(sums)).astype(np.int64)
    squares = np.einsum("ij,ij->i", sums, sums, dtype=np.float64)
    close = (squares - faces) / np.maximum(faces * (faces - 1), 1)
    close[faces < 2] = 0
    people = close[faces >= POPULATION_FACES]
    if len(people) < POPULATION_CLUSTERS:
        return Closeness(faces, close, None)
    median, low = np.quantile(people, [0.5, 0.16])
    return Closeness(faces, close, float(median + COLLAPSED_Z * (median - low)))


def cluster_sums(cluster: NDArray[np.int64], vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Sums of the unit vectors of each cluster, (C, width)."""
    from scipy.sparse import csr_array

    sums = np.zeros((int(cluster.max(initial=-1)) + 1, vectors.shape[1]), np.float32)
    for rows, block in unit_blocks(vectors):
        own, place = np.unique(cluster[rows], return_inverse=True)
        shape = (len(own), len(block))
        member = csr_array((np.ones(len(block), np.float32), (place, np.arange(len(block)))), shape=shape)
        sums[own] += member @ block
    return sums


def own_similarity(
    cluster: NDArray[np.int64], vectors: NDArray[np.floating], sums: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The cosine of each face to the centre of the others of its cluster, (N,); 0 where there are none."""
    similarity = np.empty(len(cluster), np.float32)
    for rows, block in unit_blocks(vectors):
        others = sums[cluster[rows]] - block
        length = np.sqrt(np.einsum("ij,ij->i", others, others))
        dots = np.einsum("ij,ij->i", others, block)
        similarity[rows] = np.where(length > 1e-3, dots / np.maximum(length, 1e-3), 0)
    return similarity
