"""Exact nearest neighbours by cosine: every pair of tiles is multiplied once and serves both of its sides.

Pairs are looked at tile by tile, in the order of the rows; a pair counts where it beats the worst neighbour that one
of its two rows has so far. Tiles have one size whatever the number of rows, so that a pair's cosine does not depend
on who else is there: adding rows later gives what a full computation would.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.identity.neighbour_candidates import Candidates
from tasks.schema.errors import ShapeError

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 80
"""Neighbours of a row: the k of FC-ES on MS1M."""

TILE = 1024
"""Rows of a tile: a power of two; a product of two tiles is 4 MiB and stays in the cache."""

GPU_TILE = 8192
"""The same on a GPU, where few large multiplications are faster."""

_STRIP = 8
"""First tiles that a tile meets together, to know well what a neighbour has to reach before one is noted."""

_AHEAD = 2
"""Products that are made before they are looked at."""

_RESIDENT_BYTES = 1 << 30
"""Unit vectors are held in float32 up to this size, and made tile by tile beyond."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of every row, nearest first; equal cosines in the order of the rows; a row is not its own.

    Attributes:
        index: rows, (N, k) int32; -1 where there is none.
        cosine: (N, k) float32; -2 where there is none.
    """

    index: NDArray[np.int32]
    cosine: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.index.ndim != 2 or self.index.shape != self.cosine.shape:
            raise ShapeError(f"neighbours are two (N, k) arrays, got {self.index.shape} and {self.cosine.shape}")

    def __len__(self) -> int:
        return len(self.index)

    @property
    def best(self) -> NDArray[np.float32]:
        """The cosine of each row's nearest, (N,); -2 where there is none."""
        return self.cosine[:, 0] if self.cosine.shape[1] else np.full(len(self), -2, np.float32)


def nearest(
    vectors: NDArray[np.floating], k: int = NEIGHBOURS, *, floor: float = -1.0, gpu: bool = False
) -> Neighbours:
    """The `k` nearest neighbours of every row among all others, exactly.

    Args:
        vectors: (N, width) float16 or float32, of any length but zero; compared by direction.
        floor: cosines below it are no neighbours; the higher, the faster.
        gpu: compute on the CUDA device.
    """
    empty = Neighbours(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
    return extend(empty, vectors, floor=floor, gpu=gpu)


def extend(known: Neighbours, vectors: NDArray[np.floating], *, floor: float = -1.0, gpu: bool = False) -> Neighbours:
    """The neighbours of all rows, where those of the first rows among themselves are known.

    Equals `nearest` of all rows; costs the multiplication of the new rows with all.

    Args:
        known: what `nearest` or `extend` gave for the first `len(known)` rows, with the same floor.
        vectors: (N, width), the rows already known first.
    Raises:
        ShapeError: there are fewer vectors than known rows.
    """
    import torch

    if vectors.ndim != 2 or len(vectors) < len(known):
        raise ShapeError(f"want (N, width) vectors with N >= {len(known)}, got {vectors.shape}")
    with torch.inference_mode():
        device = torch.device("cuda" if gpu else "cpu")
        tiles = _Tiles(vectors, GPU_TILE if gpu else TILE, device)
        best = Candidates(tiles.count, tiles.size, known.index.shape[1], floor, device)
        best.start_from(known.index, known.cosine)
        strip: list[torch.Tensor] = []
        for products, i, j in _products(tiles, len(known)):
            if i >= _STRIP:
                best.offer(products, i, j)
                continue
            strip.append(products)
            if i == min(j, _STRIP - 1):
                best.meet(strip, j)
                for first, each in enumerate(strip):
                    best.offer(each, first, j)
                strip = []
        return Neighbours(*best.chosen(len(vectors)))


def _products(tiles: _Tiles, known: int) -> Iterator[tuple[torch.Tensor, int, int]]:
    """The product of every pair of tiles, the first not after the second, of which one holds rows that are not known.

    A tile meets the first few ones first, then all are met by the next one, and so on: every row meets the others in
    their order. The next product is multiplied while the last one is looked at.
    """
    import torch

    def product(i: int, j: int) -> torch.Tensor:
        with torch.inference_mode():
            made = tiles[i] @ tiles[j].T
            _blank(made, i, j, tiles, known)
            return made

    new = range(known // tiles.size, tiles.count)
    pairs = [(i, j) for j in new for i in range(min(j + 1, _STRIP))]
    pairs += [(i, j) for i in range(_STRIP, tiles.count) for j in new if j >= i]
    with ThreadPoolExecutor(1) as beside:
        coming = [beside.submit(product, *pair) for pair in pairs[:_AHEAD]]
        for at, (i, j) in enumerate(pairs):
            yield coming[at % _AHEAD].result(), i, j
            if at + _AHEAD < len(pairs):
                coming[at % _AHEAD] = beside.submit(product, *pairs[at + _AHEAD])


class _Tiles:
    """The vectors at unit length, float32, in tiles of one size; rows beyond the last are zero."""

    def __init__(self, vectors: NDArray[np.floating], size: int, device: torch.device) -> None:
        import torch

        self.rows = len(vectors)
        self.size = size
        self.count = -(-self.rows // size)
        self.device = device
        self._vectors = torch.from_numpy(np.ascontiguousarray(vectors))
        self._resident: list[torch.Tensor] | None = None
        if self.count * size * vectors.shape[1] * 4 <= _RESIDENT_BYTES or device.type == "cuda":
            self._resident = [self._make(i) for i in range(self.count)]
        self._last: tuple[int, torch.Tensor] | None = None

    def _make(self, i: int) -> torch.Tensor:
        from torch.nn.functional import normalize, pad

        tile = normalize(self._vectors[i * self.size : (i + 1) * self.size].to(self.device).float(), dim=1)
        return pad(tile, (0, 0, 0, self.size - len(tile)))

    def __getitem__(self, i: int) -> torch.Tensor:
        if self._resident is not None:
            return self._resident[i]
        if self._last is None or self._last[0] != i:
            self._last = i, self._make(i)
        return self._last[1]


def _blank(products: torch.Tensor, i: int, j: int, tiles: _Tiles, known: int) -> None:
    """Take out of a product, in place, the pairs that do not count: a row with itself, padding, what is known."""
    if i == j:
        products.triu_(1)
        products.add_(products.T.clone())
        products.fill_diagonal_(-2.0)
    first, end = j * tiles.size, tiles.rows - j * tiles.size
    if end < tiles.size:
        products[:, end:] = -2.0
        if i == j:
            products[end:] = -2.0
    old = known - first
    if old > 0:
        products[: old if i == j else tiles.size, :old] = -2.0
