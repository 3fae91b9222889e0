"""Pairs above a cosine, centres and likeness, against the plain way to compute them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.identity import clean_pairs
from tasks.identity.clean_faces import batches_of, centres, likeness
from tasks.identity.clean_merge import Bonds, merge, units_of
from tasks.identity.clean_pairs import matches_above, pairs_above, pairs_within
from tasks.schema.errors import ConfigError


def some_units(seed: int, count: int, width: int = 32) -> np.ndarray:
    raw = np.random.default_rng(seed).standard_normal((count, width))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("block", [7, 64, 4096])
def test_blocks_do_not_decide(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(clean_pairs, "BLOCK_ROWS", block)
    units = some_units(0, 150)
    exact = units.astype(np.float64) @ units.astype(np.float64).T
    first, second = np.nonzero(np.triu(exact, 1) > 0.2)
    found = pairs_above(units, 0.2)
    assert np.array_equal(found.first, first)
    assert np.array_equal(found.second, second)
    assert found.cosine == pytest.approx(exact[first, second], abs=1e-6)


def test_rows_narrow_the_search() -> None:
    units = some_units(1, 80)
    rows = np.array([3, 50, 51])
    whole = pairs_above(units, 0.1)
    touched = np.isin(whole.first, rows) | np.isin(whole.second, rows)
    found = pairs_above(units, 0.1, rows=rows)
    assert np.array_equal(np.stack([found.first, found.second]), np.stack([whole.first, whole.second])[:, touched])


def test_matches_of_two_sets() -> None:
    left, right = some_units(2, 30), some_units(3, 40)
    exact = left.astype(np.float64) @ right.astype(np.float64).T
    found = matches_above(left, right, 0.15)
    assert np.array_equal(np.stack([found.first, found.second], axis=1), np.argwhere(exact > 0.15))


def test_nothing_is_above_one() -> None:
    units = np.repeat(some_units(4, 3), 5, axis=0)
    assert len(pairs_above(units, 1.0)) == 0


def test_a_cosine_that_tells_nobody_apart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_pairs, "MOST_PAIRS", 10)
    with pytest.raises(ConfigError, match="does not fit this model"):
        pairs_above(some_units(5, 20), -1.0)


@pytest.mark.parametrize("cells", [1 << 24, 40])
def test_pairs_within_groups(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(clean_pairs, "_GROUP_CELLS", cells)
    rng = np.random.default_rng(6)
    units, group = some_units(6, 90, 8).astype(np.float16), rng.integers(0, 12, 90)
    phash = rng.integers(0, 4, 90).astype(np.uint64)
    exact = units.astype(np.float64) @ units.astype(np.float64).T
    exact /= np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    near = np.bitwise_count(phash[:, None] ^ phash[None]) <= 0
    for bits, wanted in ((-1, exact > 0.5), (0, (exact > 0.5) | near)):
        found = pairs_within(units, group, 0.5, phash, bits)
        first, second = np.nonzero(np.triu(wanted & (group[:, None] == group[None]), 1))
        assert np.array_equal(found.first, first)
        assert np.array_equal(found.second, second)


def test_batches_hold_every_row_once() -> None:
    group = np.random.default_rng(7).integers(0, 30, 200)
    rows = np.concatenate([rows.ravel() for _, rows in batches_of(group, 64)])
    assert np.array_equal(np.sort(rows), np.arange(200))
    for _, rows in batches_of(group, 64):
        assert (group[rows] == group[rows[:, :1]]).all()


def test_centres_and_likeness_are_those_of_the_sums() -> None:
    rng = np.random.default_rng(8)
    units, norm = some_units(8, 60, 16).astype(np.float16), rng.uniform(1, 30, 60).astype(np.float32)
    identity = rng.integers(0, 9, 60) * 3
    identity[0] = 100
    raw = units.astype(np.float64) * norm[:, None]
    whole = centres(units, norm, identity)
    assert np.array_equal(whole.identity, np.unique(identity))
    near = likeness(units, norm, identity)
    for each, total, faces in zip(whole.identity, whole.sums, whole.faces, strict=True):
        mine = np.flatnonzero(identity == each)
        assert faces == len(mine)
        assert total == pytest.approx(raw[mine].sum(axis=0), rel=1e-4, abs=1e-4)
        for face in mine:
            others = raw[mine].sum(axis=0) - raw[face]
            length = np.linalg.norm(others) * np.linalg.norm(raw[face])
            assert near[face] == pytest.approx(others @ raw[face] / length if len(mine) > 1 else 1, abs=1e-4)


def naive_merge(sums: np.ndarray, photos: np.ndarray, cosine: float) -> set[frozenset[int]]:
    """The best pair of all, again and again, everything computed anew."""
    parts = [({i}, sums[i].astype(np.float64), photos[i] > 0) for i in range(len(sums))]
    while True:
        best, found = cosine, None
        for i, (_, a, seen) in enumerate(parts):
            for j, (_, b, also) in enumerate(parts[:i]):
                if not (seen & also).any():
                    c = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                    if c > best:
                        best, found = c, (j, i)
        if found is None:
            return {frozenset(members) for members, _, _ in parts}
        (x, a, seen), (y, b, also) = parts[found[0]], parts.pop(found[1])
        parts[found[0]] = (x | y, a + b, seen | also)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_after_merging_nobody_is_alike_but_who_shares_a_photo(seed: int, crowds: bool) -> None:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(seed)
    sums = (units_of(some_units(seed, 4, 6))[rng.integers(0, 4, 14)] + rng.standard_normal((14, 6)) * 0.25).astype(
        np.float32
    ) * rng.uniform(1, 5, (14, 1)).astype(np.float32)
    photos = (rng.random((14, 6)) < 0.15 * crowds).astype(np.int32)
    none = np.zeros((0, 2), np.int64)
    sizes = rng.integers(1, 9, 14)
    merged = merge(sums, sizes, Bonds(csr_array(photos), none, none), 0.8, max_component=100)
    found = {frozenset(np.flatnonzero(merged.root == root).tolist()) for root in np.unique(merged.root)}
    alive = sorted(found, key=min)
    totals = [sums[sorted(members)].sum(axis=0) for members in alive]
    for i, a in enumerate(totals):
        for j, b in enumerate(totals[:i]):
            close = a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.8 + 1e-5
            seen = [photos[sorted(members)].any(axis=0) for members in (alive[i], alive[j])]
            assert not close or (seen[0] & seen[1]).any()
    for members in found:
        root = int(merged.root[min(members)])
        assert sizes[root] == max(sizes[i] for i in members)
        assert (photos[sorted(members)].sum(axis=0) <= 1).all()


def _single_component(sums: np.ndarray) -> bool:
    """Greedy over all and greedy by component are the same where there is one component."""
    from scipy.sparse.csgraph import connected_components

    units = units_of(sums)
    return connected_components(units @ units.T > 0.8)[0] == 1


def test_greedy_in_one_component_is_the_naive_way() -> None:
    from scipy.sparse import csr_array

    checked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sums = (some_units(seed, 1, 8) + rng.standard_normal((12, 8)) * 0.22).astype(np.float32)
        photos = (rng.random((12, 5)) < 0.1).astype(np.int32)
        none = np.zeros((0, 2), np.int64)
        if not _single_component(sums):
            continue
        merged = merge(sums, np.ones(12, np.int64), Bonds(csr_array(photos), none, none), 0.8, max_component=100)
        found = {frozenset(np.flatnonzero(merged.root == root).tolist()) for root in np.unique(merged.root)}
        assert found == naive_merge(sums, photos, 0.8)
        checked += 1
    assert checked > 5
