"""The best neighbours so far of rows whose cosines come tile by tile: what is chosen, and what waits to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_GROUP = 8
"""Columns of a product whose maximum is compared first."""

_ROOM = 64
"""Candidates of a row that wait beside its neighbours until the best are chosen."""


class Candidates:
    """The best candidates of every row so far, as 64-bit keys that sort by cosine and then by the lower row."""

    def __init__(self, tiles: int, size: int, k: int, floor: float, device: torch.device) -> None:
        """Nothing is known yet of `tiles * size` rows.

        Args:
            size: rows of a tile, a power of two, at most 2**15.
            floor: cosines below it do not count.
        """
        import torch

        self.k = k
        self.size = size
        self.floor = max(floor, -1.5)
        self.keys = torch.full((tiles * size, k + _ROOM), _NOBODY, dtype=torch.int64, device=device)
        self.filled = torch.zeros(tiles * size, dtype=torch.int64, device=device)
        self.worst = torch.full((tiles * size,), self.floor, device=device)
        self._steps = torch.arange(_GROUP, device=device) * (size // _GROUP)
        self._size_bits = size.bit_length() - 1
        self._part_bits = (size // _GROUP).bit_length() - 1

    def start_from(self, index: NDArray[np.int32], cosine: NDArray[np.float32]) -> None:
        """The first rows have these neighbours among themselves, (M, k); -1: none."""
        import torch

        for start in range(0, len(index), self.size):
            rows = slice(start, min(start + self.size, len(index)))
            other = torch.from_numpy(index[rows]).to(self.keys.device)
            alike = torch.from_numpy(cosine[rows]).to(self.keys.device)
            self.keys[rows, : self.k] = torch.where(other >= 0, _key(alike, other), _NOBODY)
            self.filled[rows] = self.k
            self._rank(rows)

    def _rows(self, tile: int) -> slice:
        return slice(tile * self.size, (tile + 1) * self.size)

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

        group = _GROUP if len(strip) * self.size >= 2 * _GROUP * self.k else 1
        # That the k highest of the groups' maxima are reached is a bound as well, and hardly a lower one.
        most = torch.cat([each.view(-1, group, self.size).amax(1) for each in strip]).T.contiguous()
        bound = most.topk(min(self.k, most.shape[1]), dim=1, sorted=False).values.amin(1)
        below = torch.nextafter(bound, torch.full_like(bound, -3.0))
        self.worst[self._rows(tile)] = torch.maximum(self.worst[self._rows(tile)], below)

    def offer(self, products: torch.Tensor, i: int, j: int) -> None:
        """Look at the cosines of tile `i` (rows) with tile `j` (columns), for both sides."""
        import torch

        of_rows, of_columns = self.worst[self._rows(i)], self.worst[self._rows(j)]
        size, part = self.size, self.size // _GROUP
        by_part = of_columns.view(_GROUP, part).T.contiguous()
        most = products.view(size, _GROUP, part).amax(1)
        hit = _places(most > torch.minimum(of_rows[:, None], by_part.amin(1)))
        row = hit >> self._part_bits
        place = (row * size + (hit & (part - 1)))[:, None] + self._steps
        cosines = products.view(-1).take(place)
        found = _places(cosines > torch.minimum(of_rows.take(row)[:, None], by_part.index_select(0, hit & (part - 1))))
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
        keys = _key(cosines, theirs.take(order) + other * self.size)
        mine = self.keys[self._rows(tile)]
        filled = self.filled[self._rows(tile)]
        while len(own):
            counts = torch.bincount(own, minlength=self.size)
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

    def chosen(self, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The neighbours of the first rows, nearest first: rows (-1: none) and cosines (-2: none), (count, k) each."""
        import torch

        index = np.empty((count, self.k), np.int32)
        cosine = np.empty((count, self.k), np.float32)
        for start in range(0, count, self.size):
            rows = slice(start, min(start + self.size, count))
            keys = self.keys[rows].topk(self.k, dim=1).values
            index[rows] = torch.where(keys > _NOBODY, _row(keys), -1).cpu().numpy()
            cosine[rows] = torch.where(keys > _NOBODY, _cosine(keys), -2.0).cpu().numpy()
        return index, cosine


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
