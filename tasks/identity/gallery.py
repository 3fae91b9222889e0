"""What a linker looks at, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.identity.neighbours import Neighbours
from tasks.schema.errors import ShapeError

_ROWS = 65536
"""Vectors that are converted at once."""


def _no_pairs() -> NDArray[np.int64]:
    return np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Gallery:
    """The faces that are to be linked.

    Attributes:
        neighbours: the nearest faces of each.
        vectors: (N, width) float16 or float32, of any length but zero.
        least: (N,) cosine from which a face is linked; two faces from the higher of theirs.
        apart: (M, 2) rows of faces that are never one person.
        label: (N,) what each face was found under; only linkers that ask for it need it.
    """

    neighbours: Neighbours
    vectors: NDArray[np.floating]
    least: NDArray[np.float32]
    apart: NDArray[np.int64] = field(default_factory=_no_pairs)
    label: pa.Array | None = None

    def __post_init__(self) -> None:
        if not len(self.neighbours) == len(self.vectors) == len(self.least):
            raise ShapeError(
                f"{len(self.neighbours)} neighbours, {len(self.vectors)} vectors and {len(self.least)} cosines"
            )

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Linked:
    """Clusters of faces.

    Attributes:
        cluster: (N,) int64, numbered by their first rows; a face without others has a cluster of its own.
        kept_apart: how often clusters that are alike enough were not joined, for faces that are never one person.
        left_out: (N,) faces that belong to a cluster which the linker does not want.
    """

    cluster: NDArray[np.int64]
    kept_apart: int = 0
    left_out: NDArray[np.bool_] | None = None


class Linker(Protocol):
    """Says which faces are one person; the same for the same gallery."""

    def link(self, gallery: Gallery) -> Linked: ...


def unit_blocks(vectors: NDArray[np.floating]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The vectors at unit length, float32, some rows at a time."""
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, min(start + _ROWS, len(vectors)))
        block = vectors[rows].astype(np.float32)
        block /= np.maximum(np.sqrt(np.einsum("ij,ij->i", block, block))[:, None], np.float32(1e-12))
        yield rows, block


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The vectors at unit length, (N, width) float32."""
    made = np.empty(vectors.shape, np.float32)
    for rows, block in unit_blocks(vectors):
        made[rows] = block
    return made


def same_photo(photo: NDArray[np.integer]) -> NDArray[np.int64]:
    """All pairs of rows of one photo, (M, 2), the lower row first.

    Args:
        photo: (N,) number of each row's photo.
    """
    order = np.argsort(photo, kind="stable")
    ordered = photo[order]
    pairs = []
    step = 1
    while True:
        at = np.flatnonzero(ordered[step:] == ordered[:-step])
        if not len(at):
            break
        pairs.append(np.stack([order[at], order[at + step]], axis=1))
        step += 1
    return np.concatenate(pairs) if pairs else _no_pairs()


def pair_cosines(vectors: NDArray[np.floating], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """The cosine of each pair of rows, (M,)."""
    cosines = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _ROWS // 2):
        some = pairs[start : start + _ROWS // 2]
        cosines[start : start + len(some)] = np.einsum("ij,ij->i", unit(vectors[some[:, 0]]), unit(vectors[some[:, 1]]))
    return cosines
