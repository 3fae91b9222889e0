"""Which photos of one source look most like a photo of the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.images.hashing import MAX_DISTANCE, hamming
from tasks.schema.errors import ShapeError

SAME_PHOTO_BITS: Final = 6
"""pHashes of 64 bits that differ in as many or fewer are of one photo: recompressed, resized, or slightly cut."""

_ROWS: Final = 1024
_TILE: Final = 4096
"""Rows of a block of photos that is compared, and of one that it is compared with: 16 MiB of cosines."""

_NOBODY: Final = np.int64(-(1 << 62))
_ALL_BUT_SIGN: Final = np.int32(0x7FFFFFFF)
_LOW: Final = (1 << 32) - 1


@dataclass(frozen=True, eq=False)
class Looks:
    """Photos of one source. `embeddings`: float32, (N, width), may be mapped from a file; `phash`: uint64, (N,)."""

    embeddings: NDArray[np.float32]
    phash: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or self.phash.shape != (len(self.embeddings),):
            raise ShapeError(
                f"want (N, width) embeddings, (N,) hashes; got {self.embeddings.shape}, {self.phash.shape}"
            )

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, eq=False)
class Similar:
    """The nearest photos of each, nearest first, equal ones in order.

    Attributes:
        index: rows of the other source, int64, (N, k); -1 where there is none.
        similarity: cosine, float32, (N, k); -2 where there is none.
    """

    index: NDArray[np.int64]
    similarity: NDArray[np.float32]


def most_similar(looks: Looks, others: Looks, k: int, *, same_photo_bits: int = SAME_PHOTO_BITS) -> Similar:
    """The `k` photos of `others` whose embeddings point most in the direction of each look's, exactly.

    Each source is centred on its own mean first, so that what all of its photos share (the catwalk, the street) does
    not decide; a source of one photo on the mean of both. A photo is no neighbour of itself: pairs whose pHashes differ
    in `same_photo_bits` or fewer are left out. An embedding at the mean is like nothing: its cosines are 0.

    Raises:
        ShapeError: the embeddings have different widths.
        ValueError: `k` is not positive, or `same_photo_bits` is out of range.
    """
    if looks.embeddings.shape[1] != others.embeddings.shape[1]:
        raise ShapeError(f"widths differ: {looks.embeddings.shape[1]} and {others.embeddings.shape[1]}")
    if k < 1 or not 0 <= same_photo_bits <= MAX_DISTANCE:
        raise ValueError(f"k is at least 1, same_photo_bits 0 to {MAX_DISTANCE}; not {k} and {same_photo_bits}")
    own_mean, other_mean = _centres(looks.embeddings, others.embeddings)
    best = np.full((len(looks), k), _NOBODY, np.int64)
    for rows in _slices(len(looks), _ROWS):
        units = _units(looks.embeddings[rows], own_mean)
        for tile in _slices(len(others), _TILE):
            keys = _keys(units @ _units(others.embeddings[tile], other_mean).T, tile.start)
            keys[hamming(looks.phash[rows, None], others.phash[None, tile]) <= same_photo_bits] = _NOBODY
            best[rows] = _largest(np.concatenate([best[rows], keys], axis=1), k)
    found = best != _NOBODY
    return Similar(np.where(found, _LOW - (best & _LOW), -1), np.where(found, _cosines(best), np.float32(-2)))


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _centres(*sources: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """The mean of each source; of one with a single photo, which would be at its centre, that of all."""
    totals = [_total(each) for each in sources]
    overall = np.sum(totals, axis=0) / max(1, sum(map(len, sources)))
    return [total / len(each) if len(each) > 1 else overall for total, each in zip(totals, sources, strict=True)]


def _total(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    total = np.zeros(embeddings.shape[1])
    for rows in _slices(len(embeddings), _TILE):
        total += embeddings[rows].sum(axis=0, dtype=np.float64)
    return total


def _units(embeddings: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows around the mean at unit length; what differs from it by rounding only is zero."""
    centred = embeddings - mean
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    nothing = length <= 1e-6 * np.linalg.norm(mean)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=~nothing & (length > 0)), np.float32)


def _keys(cosines: NDArray[np.float32], first: int) -> NDArray[np.int64]:
    """Numbers that are larger for a larger cosine, then for a lower row."""
    bits = (cosines + np.float32(0)).view(np.int32)  # no negative zero
    ordered = np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits).astype(np.int64)
    rows = first + np.arange(cosines.shape[1], dtype=np.int64)
    return (ordered << 32) | (_LOW - rows)


def _cosines(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    ordered = (keys >> 32).astype(np.int32)
    return np.where(ordered < 0, ordered ^ _ALL_BUT_SIGN, ordered).astype(np.int32).view(np.float32)


def _largest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    if keys.shape[1] > k:
        keys = np.partition(keys, keys.shape[1] - k, axis=1)[:, -k:]
    return np.sort(keys, axis=1)[:, ::-1]
