"""Pairs of unit vectors above a cosine: a matrix product finds who may be, float64 decides who is.

So the answer depends on no thread count, block or device.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.identity.clean_faces import batches_of
from tasks.images.hashing import hamming
from tasks.schema.errors import ConfigError

BLOCK_ROWS = 4096
"""64 MiB of float32 cosines at once."""

SLACK = 1e-4
"""A product in float32 is wrong by less than this for unit vectors of up to a thousand numbers."""

MOST_PAIRS = 50_000_000
"""1.2 GiB of pairs: so many mean a cosine that tells nobody apart."""

_EXACT_ROWS = 1 << 14
_GROUP_CELLS = 1 << 24
"""Cosines of one large group that are computed at once: 64 MiB."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Index pairs and their cosine (float64), each (P,); ordered by `first`, then `second`."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.first)

    def where(self, mask: NDArray[np.bool_]) -> "Pairs":
        return Pairs(self.first[mask], self.second[mask], self.cosine[mask])


NO_PAIRS = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def cosines_of(
    left: NDArray[np.floating], right: NDArray[np.floating], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosine of `left[first]` to `right[second]`, rows of unit length up to rounding; float64, (P,)."""
    found = np.empty(len(first))
    for start in range(0, len(first), _EXACT_ROWS):
        some = slice(start, start + _EXACT_ROWS)
        a, b = left[first[some]].astype(np.float64), right[second[some]].astype(np.float64)
        lengths = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
        found[some] = np.einsum("ij,ij->i", a, b) / np.sqrt(np.maximum(lengths, np.finfo(np.float64).tiny))
    return np.clip(found, -1, 1)


def pairs_above(
    units: NDArray[np.float32],
    cosine: float,
    *,
    rows: NDArray[np.int64] | None = None,
    device: str = "cpu",
) -> Pairs:
    """All pairs i < j of rows of `units` (K, W) with a cosine above `cosine`; with `rows`, those that touch `rows`.

    Raises:
        ConfigError: so many pairs are above it that it tells nobody apart.
    """
    if rows is None:
        return _above(units, units, cosine, device, symmetric=True)
    found = _above(units[rows], units, cosine, device)
    first, second = rows[found.first], found.second
    low, high = np.minimum(first, second), np.maximum(first, second)
    both = np.unique(np.stack([low, high], axis=1)[low < high], axis=0)
    low, high = np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
    return Pairs(low, high, cosines_of(units, units, low, high))


def matches_above(units: NDArray[np.float32], others: NDArray[np.float32], cosine: float, device: str = "cpu") -> Pairs:
    """All pairs of a row of `units` and a row of `others` with a cosine above `cosine`.

    Raises:
        ConfigError: so many pairs are above it that it tells nobody apart.
    """
    return _above(units, others, cosine, device)


def _above(
    left: NDArray[np.float32], right: NDArray[np.float32], cosine: float, device: str, *, symmetric: bool = False
) -> Pairs:
    import torch

    columns = torch.from_numpy(np.ascontiguousarray(right)).to(device)
    queries = columns if symmetric else torch.from_numpy(np.ascontiguousarray(left)).to(device)
    found: list[Pairs] = []
    total = 0
    for top in range(0, len(left), BLOCK_ROWS):
        block = queries[top : top + BLOCK_ROWS]
        for start in range(top if symmetric else 0, len(right), BLOCK_ROWS):
            near = block @ columns[start : start + BLOCK_ROWS].T > cosine - SLACK
            hits = (near.triu(1) if symmetric and start == top else near).nonzero().cpu().numpy()
            total += len(hits)
            if total > MOST_PAIRS:
                raise ConfigError(
                    f"More than {MOST_PAIRS:,} pairs of identities are above a cosine of {cosine:.3f}: it does not fit "
                    "this model. Declare a lower rate, or put a quality gate before."
                )
            first, second = hits[:, 0] + top, hits[:, 1] + start
            exact = cosines_of(left, right, first, second)
            found.append(Pairs(first, second, exact).where(exact > cosine))
    return _joined(found)


def pairs_within(
    embedding: NDArray[np.float16], group: NDArray[np.int64], cosine: float, phash: NDArray[np.uint64], bits: int
) -> Pairs:
    """Pairs i < j of one group that have a cosine above `cosine`, or hashes within `bits` of each other (-1: any are).

    Args:
        embedding: unit vectors, float16, (N, W).
        group: which group each row is of, (N,).
        phash: uint64, (N,).
    """
    return _joined(
        [
            _within(embedding, rows, cosine, phash, bits)
            for _, rows in batches_of(group, embedding.shape[1])
            if rows.shape[1] > 1
        ]
    )


def _within(
    embedding: NDArray[np.float16], rows: NDArray[np.int64], cosine: float, phash: NDArray[np.uint64], bits: int
) -> Pairs:
    size = rows.shape[1]
    found = []
    step = max(1, min(size, _GROUP_CELLS // size))
    units = _unit(embedding[rows])
    for top in range(0, size, step):
        some = rows[:, top : top + step]
        near = np.matmul(units[:, top : top + step], units.transpose(0, 2, 1)) > cosine - SLACK
        if bits >= 0:
            near |= hamming(phash[some][:, :, None], phash[rows][:, None, :]) <= bits
        near &= np.arange(top, top + some.shape[1])[:, None] < np.arange(size)
        which, a, b = np.nonzero(near)
        first, second = some[which, a], rows[which, b]
        exact = cosines_of(embedding, embedding, first, second)
        alike = exact > cosine
        if bits >= 0:
            alike |= hamming(phash[first], phash[second]) <= bits
        found.append(Pairs(first, second, exact).where(alike))
    return _joined(found)


def _unit(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    wide = rows.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = wide / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _joined(found: list[Pairs]) -> Pairs:
    if not found:
        return NO_PAIRS
    first = np.concatenate([p.first for p in found])
    second = np.concatenate([p.second for p in found])
    cosine = np.concatenate([p.cosine for p in found])
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], cosine[order])
