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

from tasks.schema.errors import ShapeError

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 80
"""Neighbours of a row: the k of FC-ES on MS1M."""

TILE = 1024
"""Rows of a tile: a power of two; a product of two tiles is 4 MiB and stays in the cache."""

GPU_TILE = 16384
"""The same on a GPU, where few large multiplications are faster."""

_GROUP = 8
"""Columns of a product whose maximum is compared first."""

_ROOM = 64
"""Candidates of a row that wait beside its neighbours until the best are chosen."""

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
        best = _Best(known, tiles, floor)
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
        return best.result()


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


class _Best:
    """The best candidates of every row so far, as 64-bit keys that sort by cosine and then by the lower row."""

    def __init__(self, known: Neighbours, tiles: _Tiles, floor: float) -> None:
        import torch

        self.k = known.index.shape[1]
        self.tiles = tiles
        self.floor = max(floor, -1.5)
        padded = tiles.count * tiles.size
        self.keys = torch.full((padded, self.k + _ROOM), _NOBODY, dtype=torch.int64, device=tiles.device)
        self.filled = torch.zeros(padded, dtype=torch.int64, device=tiles.device)
        self.worst = torch.full((padded,), self.floor, device=tiles.device)
        self._steps = torch.arange(_GROUP, device=tiles.device) * (tiles.size // _GROUP)
        self._size_bits = tiles.size.bit_length() - 1
        self._part_bits = (tiles.size // _GROUP).bit_length() - 1
        for start in range(0, len(known), tiles.size):
            rows = slice(start, min(start + tiles.size, len(known)))
            index = torch.from_numpy(known.index[rows]).to(tiles.device)
            cosine = torch.from_numpy(known.cosine[rows]).to(tiles.device)
            self.keys[rows, : self.k] = torch.where(index >= 0, _key(cosine, index), _NOBODY)
            self.filled[rows] = self.k
            self._rank(rows)

    def _rows(self, tile: int) -> slice:
        return slice(tile * self.tiles.size, (tile + 1) * self.tiles.size)

    def _rank(self, rows: slice) -> None:
        """Know the worst neighbour of the rows, whose neighbours stand in front."""
        import torch

        last = self.keys[rows, : self.k].amin(1)
        self.worst[rows] = torch.where(last > _NOBODY, _cosine(last), self.floor)

    def _choose(self, tile: int) -> None:
        """Keep the best of the rows of a tile."""
        rows = self._rows(tile)
        self.keys[rows, : self.k] = self.keys[rows].topk(self.k, dim=1, sorted=False).values
        self.keys[rows, self.k :] = _NOBODY
        self.filled[rows] = self.k
        self._rank(rows)

    def meet(self, strip: list[torch.Tensor], tile: int) -> None:
        """Bound the worst neighbour of a tile's rows from below, by its first products, before anything is sorted.

        Args:
            strip: products whose columns are the rows of the tile.
        """
        import torch

        group = _GROUP if len(strip) * self.tiles.size >= 2 * _GROUP * self.k else 1
        # That the k highest of the groups' maxima are reached is a bound as well, and hardly a lower one.
        most = torch.cat([each.view(-1, group, self.tiles.size).amax(1) for each in strip]).T.contiguous()
        bound = most.topk(min(self.k, most.shape[1]), dim=1, sorted=False).values.amin(1)
        below = torch.nextafter(bound, torch.full_like(bound, -3.0))
        self.worst[self._rows(tile)] = torch.maximum(self.worst[self._rows(tile)], below)

    def offer(self, products: torch.Tensor, i: int, j: int) -> None:
        """Look at the cosines of tile `i` (rows) with tile `j` (columns), for both sides."""
        import torch

        of_rows, of_columns = self.worst[self._rows(i)], self.worst[self._rows(j)]
        size, part = self.tiles.size, self.tiles.size // _GROUP
        least = of_columns.view(_GROUP, part).amin(0)
        most = products.view(size, _GROUP, part).amax(1)
        hit = _places(most > torch.minimum(of_rows[:, None], least))
        row = hit >> self._part_bits
        place = (row * size + (hit & (part - 1)))[:, None] + self._steps
        cosines = products.view(-1).take(place)
        found = _places(cosines > torch.minimum(of_rows.take(row)[:, None], of_columns.take(place & (size - 1))))
        cosines, place = cosines.view(-1).take(found), place.view(-1).take(found)
        row, column = place >> self._size_bits, place & (size - 1)
        mine = _places(cosines > of_rows.take(row))
        self._take(cosines.take(mine), row.take(mine), column.take(mine), i, j)
        if i != j:
            mine = _places(cosines > of_columns.take(column))
            self._take(cosines.take(mine), column.take(mine), row.take(mine), j, i)

    def _take(self, cosines: torch.Tensor, own: torch.Tensor, theirs: torch.Tensor, tile: int, other: int) -> None:
        """Put candidates beside the neighbours of `own`, rows of `tile`; `theirs` are rows of the other tile."""
        import torch

        order = _order(own)
        own, cosines = own.take(order), cosines.take(order)
        keys = _key(cosines, theirs.take(order) + other * self.tiles.size)
        mine = self.keys[self._rows(tile)]
        filled = self.filled[self._rows(tile)]
        while len(own):
            counts = torch.bincount(own, minlength=self.tiles.size)
            start = filled - counts.cumsum(0) + counts
            place = torch.arange(len(own), device=own.device) + start.take(own)
            fits = place < mine.shape[1]
            if bool(fits.all()):
                mine.view(-1)[own * mine.shape[1] + place] = keys
                filled += counts
                return
            mine[own[fits], place[fits]] = keys[fits]
            self._choose(tile)
            wanted = ~fits & (cosines >= self.worst[self._rows(tile)].take(own))
            own, cosines, keys = own[wanted], cosines[wanted], keys[wanted]

    def result(self) -> Neighbours:
        import torch

        index = np.empty((self.tiles.rows, self.k), np.int32)
        cosine = np.empty((self.tiles.rows, self.k), np.float32)
        for tile in range(self.tiles.count):
            rows = slice(tile * self.tiles.size, min((tile + 1) * self.tiles.size, self.tiles.rows))
            keys = self.keys[rows].topk(self.k, dim=1).values
            index[rows] = torch.where(keys > _NOBODY, _row(keys), -1).cpu().numpy()
            cosine[rows] = torch.where(keys > _NOBODY, _cosine(keys), -2.0).cpu().numpy()
        return Neighbours(index, cosine)


_NOBODY = -(1 << 63)
_LAST_ROW = (1 << 32) - 1
_ALL_BUT_SIGN = (1 << 31) - 1


def _places(mask: torch.Tensor) -> torch.Tensor:
    """Where a mask is true, counted through its rows."""
    import torch

    if mask.device.type == "cpu":  # where numpy counts many times as fast
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.view(-1).nonzero()[:, 0]


def _order(rows: torch.Tensor) -> torch.Tensor:
    """The stable order of rows of a tile."""
    import torch

    if rows.device.type == "cpu":  # where numpy sorts small numbers by their digits, many times as fast
        return torch.from_numpy(np.argsort(rows.numpy().astype(np.int16), kind="stable"))
    return rows.sort(stable=True).indices


def _key(cosine: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """A number that is larger for a larger cosine, then for a lower row."""
    import torch

    bits = (cosine + 0.0).view(torch.int32)  # no negative zero
    ordered = torch.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)
    return (ordered.long() << 32) | (_LAST_ROW - row.long())


def _cosine(key: torch.Tensor) -> torch.Tensor:
    import torch

    ordered = (key >> 32).int()
    return torch.where(ordered < 0, ordered ^ _ALL_BUT_SIGN, ordered).view(torch.float32)


def _row(key: torch.Tensor) -> torch.Tensor:
    return (_LAST_ROW - (key & _LAST_ROW)).int()
