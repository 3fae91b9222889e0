"""Shares of clustered photos: Wilson's where nothing is clustered, and honest where much is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.fashion.intervals import newcombe, score_test, wilson
from tasks.fashion.shares import Shares, clustered_shares, difference


def shows(
    draw: np.random.Generator, count: int, share: float, alike: float, *, equal: bool, labels: int = 40
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Photos of shows, (N, labels) and (N,); `alike`: their intra-cluster correlation."""
    sizes = np.full(count, 20) if equal else np.maximum(1, np.rint(draw.lognormal(2.6, 0.8, count))).astype(int)
    rate = np.full((count, labels), share)
    if alike:
        rate = draw.beta(share * (1 - alike) / alike, (1 - share) * (1 - alike) / alike, (count, labels))
    cluster = np.repeat(np.arange(count), sizes)
    return draw.random((len(cluster), labels)) < rate[cluster], cluster


def holds(shares: Shares, truth: float) -> NDArray[np.bool_]:
    return (shares.low <= truth) & (truth <= shares.high)


def test_without_clusters_it_is_wilson_and_newcombe() -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.random((n, 4)) < [0.0, 0.1, 0.5, 1.0] for n in (80, 120))
    left, right = (clustered_shares(each, np.arange(len(each))) for each in (a, b))
    exact = [wilson(each.mean(0), len(each)) for each in (a, b)]
    assert left.share == pytest.approx(a.mean(0))
    assert (left.low, left.high) == (pytest.approx(exact[0][0], abs=1e-9), pytest.approx(exact[0][1], abs=1e-9))
    gap = difference(left, right)
    low, high = newcombe(a.mean(0), exact[0], b.mean(0), exact[1])
    assert (gap.low, gap.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert gap.p_value == pytest.approx(score_test(a.mean(0), 80, b.mean(0), 120), abs=1e-9)


def test_what_is_the_same_in_a_show_counts_once() -> None:
    draw = np.random.default_rng(0)
    once = draw.random((40, 3)) < 0.3
    many = clustered_shares(np.repeat(once, 25, axis=0), np.repeat(np.arange(40), 25))
    single = clustered_shares(once, np.arange(40))
    assert many.share == pytest.approx(single.share)
    assert many.high - many.low == pytest.approx(single.high - single.low, rel=0.05)
    assert (many.n, many.clusters, single.n) == (1000, 40, 40)


def test_the_order_of_photos_and_the_names_of_clusters_do_not_matter() -> None:
    words, cluster = shows(np.random.default_rng(1), 9, 0.3, 0.1, equal=False)
    order = np.random.default_rng(2).permutation(len(words))
    one, two = clustered_shares(words, cluster), clustered_shares(words[order], 1000 - 7 * cluster[order])
    assert two.low == pytest.approx(one.low)
    assert two.high == pytest.approx(one.high)


def test_a_label_that_nothing_shows_is_as_clustered_as_the_others() -> None:
    words, cluster = shows(np.random.default_rng(1), 20, 0.3, 0.2, equal=True, labels=5)
    words[:, 0] = False
    shares = clustered_shares(words, cluster)
    assert shares.low[0] == 0
    assert shares.effective_n[0] == pytest.approx(np.median(shares.effective_n[1:]))
    alone = clustered_shares(words[:, :1], cluster)
    assert alone.effective_n[0] <= 20


def test_one_cluster_has_a_share_and_no_interval() -> None:
    shares = clustered_shares(np.array([[True], [False]]), np.array([3, 3]))
    assert shares.share.tolist() == [0.5]
    assert np.isnan([shares.low, shares.high, difference(shares, shares).p_value]).all()


def coverage(draw: np.random.Generator, count: int, share: float, alike: float, *, equal: bool, rounds: int) -> float:
    """Each round shares its cluster sizes between forty labels."""
    found = [clustered_shares(*shows(draw, count, share, alike, equal=equal)) for _ in range(rounds)]
    return float(np.mean([holds(each, share) for each in found]))


def test_intervals_of_few_shows_hold_what_they_promise() -> None:
    draw = np.random.default_rng(0)
    points = [(20, s, a, e) for s in (0.1, 0.3) for a in (0.0, 0.05) for e in (True, False)]
    found = [coverage(draw, n, s, a, equal=e, rounds=50) for n, s, a, e in points]
    assert 0.94 < np.mean(found) < 0.96
    assert 0.93 < min(found) <= max(found) < 0.97


@pytest.mark.slow
def test_intervals_of_few_shows_hold_what_they_promise_widely() -> None:
    draw = np.random.default_rng(1)
    points = [
        (n, s, a, e)
        for n in (6, 8, 12, 20, 50)
        for s in (0.1, 0.25, 0.5)
        for a in (0.0, 0.05, 0.2)
        for e in (True, False)
    ]
    found = np.array([coverage(draw, n, s, a, equal=e, rounds=60) for n, s, a, e in points])
    assert 0.945 < found.mean() < 0.96
    assert ((found > 0.93) & (found < 0.97)).mean() > 0.9
    assert found.min() > 0.91


@pytest.mark.slow
def test_differences_of_few_shows_hold_what_they_promise() -> None:
    draw = np.random.default_rng(2)
    found = []
    for count, left, right in ((8, 0.1, 0.3), (12, 0.25, 0.25), (30, 0.5, 0.35)):
        rounds = []
        for _ in range(60):
            runway = clustered_shares(*shows(draw, count, left, 0.05, equal=False))
            street, alone = shows(draw, 200, right, 0.0, equal=True)
            gap = difference(runway, clustered_shares(street[:400], np.arange(400) + alone[0]))
            rounds.append((gap.low <= left - right) & (left - right <= gap.high))
        found.append(np.mean(rounds))
    assert 0.93 < min(found) <= max(found) < 0.97
