"""Merging identities whose centres are alike: greedily, the best pair first, until nobody is alike any more."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from tasks.identity.clean_pairs import Pairs, pairs_above

MAX_ROUNDS = 20
"""After a round only new centres are compared; three rounds are rare."""


@dataclass(frozen=True, eq=False)
class Bonds:
    """What else decides a merge.

    Args:
        photos: identity x photo, any number where the identity has a face in the photo, sparse (K, P). Two identities
            that share a photo are two people.
        same: identity pairs that a person said are one, (S, 2); stronger than `photos`.
        different: identity pairs that a person said are two, (D, 2); stronger than `same`.
    """

    photos: csr_array
    same: NDArray[np.int64]
    different: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Merged:
    """What became of K identities.

    Args:
        root: the identity that each lives on in, (K,); the one of most faces of those that were merged.
        cosine: of the two centres when the identity was merged; NaN where it was not, or where a person said so.
        reviewed: merges that a person's word made.
        contradicted: merges that it did not make for another word.
        oversized: identities of components that are too large to be merged.
        rounds: how often all pairs, then those of new centres, were looked at.
    """

    root: NDArray[np.int64]
    cosine: NDArray[np.float64]
    reviewed: int
    contradicted: int
    oversized: int
    rounds: int


def units_of(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of raw features -> unit vectors, (K, W); a sum of nothing stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", sums.astype(np.float64), sums.astype(np.float64)))
    units: NDArray[np.float32] = (sums / np.maximum(lengths, 1e-30)[:, None]).astype(np.float32)
    return units


def merge(
    sums: NDArray[np.float32],
    sizes: NDArray[np.int64],
    bonds: Bonds,
    cosine: float,
    *,
    max_component: int,
    once: bool = False,
    device: str = "cpu",
) -> Merged:
    """Merge identities whose centres are above `cosine`.

    What a person said is merged first. Then: connected components of the pairs above the cosine; in each the best pair
    is merged and its centre computed anew, while one is left; and again, for new centres may be like others.

    Args:
        sums: sums of raw features, (K, W), of identities in the order of their ids.
        sizes: faces, (K,).
        max_component: identities of a larger component stay as they are.
        once: stop after the first round, as the reference does.
    Raises:
        ConfigError: so many pairs are above the cosine that it tells nobody apart.
    """
    merging = _Merging(sums, sizes, bonds)
    changed: NDArray[np.int64] | None = None
    oversized: set[int] = set()
    rounds = 0
    while rounds < (1 if once else MAX_ROUNDS) and (changed is None or len(changed)):
        rounds += 1
        pairs = pairs_above(units_of(merging.sums), cosine, rows=changed, device=device)
        components = _components(pairs.where(merging.alive[pairs.first] & merging.alive[pairs.second]), len(sums))
        oversized.update(int(i) for each in components if len(each) > max_component for i in each)
        changed = merging.merge_components([each for each in components if len(each) <= max_component], cosine)
    return Merged(
        root=merging.roots(),
        cosine=merging.cosine,
        reviewed=merging.reviewed,
        contradicted=merging.contradicted,
        oversized=len(oversized),
        rounds=rounds,
    )


class _Merging:
    """Identities on their way; `_into` leads from a merged one to the next."""

    def __init__(self, sums: NDArray[np.float32], sizes: NDArray[np.int64], bonds: Bonds) -> None:
        self.sums = sums.copy()
        self.alive = np.ones(len(sums), np.bool_)
        self.cosine = np.full(len(sums), np.nan)
        self.reviewed, self.contradicted = 0, 0
        self._sizes = sizes
        self._into = np.arange(len(sums))
        self._bonds = bonds
        self._apart = np.unique(np.sort(bonds.different, axis=1), axis=0)
        for a, b in np.unique(np.sort(bonds.same, axis=1), axis=0).tolist():
            self._merge_as_told(a, b)

    def roots(self) -> NDArray[np.int64]:
        root = self._into
        while not np.array_equal(root, root[root]):
            root = root[root]
        return root

    def _merge_as_told(self, a: int, b: int) -> None:
        root = self.roots()
        ends = {int(root[a]), int(root[b])}
        if len(ends) == 1:
            return
        if any(ends == {x, y} for x, y in root[self._apart].tolist()):
            self.contradicted += 1
            return
        self._join(min(ends), max(ends), float("nan"))
        self.reviewed += 1

    def _join(self, a: int, b: int, cosine: float) -> int:
        """Merge two: the larger one as it was at first lives on, of equal ones the first. -> who lives."""
        live, go = sorted((a, b), key=lambda i: (-int(self._sizes[i]), i))
        self.sums[live] = (self.sums[live].astype(np.float64) + self.sums[go]).astype(np.float32)
        self.alive[go], self._into[go], self.cosine[go] = False, live, cosine
        return live

    def merge_components(self, components: list[NDArray[np.int64]], cosine: float) -> NDArray[np.int64]:
        """Merge in each the best pair while it is above `cosine`; -> those with a new centre, in order."""
        if not components:
            return np.zeros(0, np.int64)
        clashes = self._clashes(components)
        new = [self._merge_component(each, clashes.get(i, []), cosine) for i, each in enumerate(components)]
        return np.sort(np.concatenate(new))

    def _clashes(self, components: list[NDArray[np.int64]]) -> dict[int, list[tuple[int, int]]]:
        """Component -> places in it of pairs that must not be merged: they share a photo, or were said to be two."""
        root = self.roots()
        members = np.concatenate(components)
        sizes = [len(each) for each in components]
        of, place = np.full(len(root), -1, np.int64), np.zeros(len(root), np.int64)
        of[members] = np.repeat(np.arange(len(components)), sizes)
        place[members] = np.concatenate([np.arange(size) for size in sizes])
        inside = np.flatnonzero(of[root] >= 0)
        gather = (np.ones(len(inside), np.int32), (root[inside], inside))
        held = coo_array(gather, shape=(len(root), len(root))).tocsr() @ self._bonds.photos
        shared = (held @ held.T).tocoo()
        pairs = np.concatenate([np.stack([shared.row, shared.col], axis=1).astype(np.int64), root[self._apart]])
        pairs = pairs[(of[pairs[:, 0]] == of[pairs[:, 1]]) & (of[pairs[:, 0]] >= 0) & (pairs[:, 0] != pairs[:, 1])]
        found: dict[int, list[tuple[int, int]]] = {}
        for each, a, b in zip(of[pairs[:, 0]].tolist(), *place[pairs].T.tolist(), strict=True):
            found.setdefault(each, []).append((a, b))
        return found

    def _merge_component(
        self, members: NDArray[np.int64], clashes: list[tuple[int, int]], cosine: float
    ) -> NDArray[np.int64]:
        clash = np.zeros((len(members), len(members)), np.bool_)
        for a, b in clashes:
            clash[a, b] = clash[b, a] = True
        near = _Nearest(self.sums[members], clash)
        new: set[int] = set()
        while True:
            first, second, best = near.best()
            if not best > cosine:
                return np.array([i for i in new if self.alive[i]], np.int64)
            live = self._join(int(members[first]), int(members[second]), best)
            stays, goes = (first, second) if live == members[first] else (second, first)
            near.merge(stays, goes, self.sums[live])
            new.add(live)


class _Nearest:
    """Cosines within a component, and each member's best partner, kept up to date while members are merged."""

    def __init__(self, sums: NDArray[np.float32], clash: NDArray[np.bool_]) -> None:
        self._units = units_of(sums).astype(np.float64)
        self._clash = clash
        self._gone = np.zeros(len(sums), np.bool_)
        self._cosine = np.round(self._units @ self._units.T, 7).astype(np.float32)
        self._cosine[clash] = -np.inf
        np.fill_diagonal(self._cosine, -np.inf)
        self._partner = self._cosine.argmax(axis=1)
        self._best = self._cosine[np.arange(len(sums)), self._partner]

    def best(self) -> tuple[int, int, float]:
        """The best pair, of equal ones the first."""
        a = int(self._best.argmax())
        return a, int(self._partner[a]), float(self._best[a])

    def merge(self, stays: int, goes: int, total: NDArray[np.float32]) -> None:
        self._units[stays] = units_of(total[None])[0]
        self._gone[goes] = True
        self._clash[stays] |= self._clash[goes]
        self._clash[:, stays] |= self._clash[:, goes]
        row = np.round(np.einsum("ij,j->i", self._units, self._units[stays]), 7).astype(np.float32)
        row[self._clash[stays] | self._gone] = -np.inf
        row[stays] = -np.inf
        self._cosine[stays] = self._cosine[:, stays] = row
        self._cosine[goes] = self._cosine[:, goes] = -np.inf
        stale = np.flatnonzero((self._partner == stays) | (self._partner == goes))
        stale = np.union1d(stale, [stays, goes])
        self._partner[stale] = self._cosine[stale].argmax(axis=1)
        self._best[stale] = self._cosine[stale, self._partner[stale]]
        better = row > self._best
        self._partner[better], self._best[better] = stays, row[better]


def _components(pairs: Pairs, count: int) -> list[NDArray[np.int64]]:
    """Connected components of more than one, each in order."""
    if not len(pairs):
        return []
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs.first, pairs.second)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable").astype(np.int64)
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    return [members for members in np.split(order, cuts) if len(members) > 1]
