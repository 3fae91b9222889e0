"""Prediction-powered shares: right where the classifier is wrong, and never much wider than the labels alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.fashion.powered import powered_shares
from tasks.fashion.shares import Shares, clustered_shares

LABELS = 24


def audited(
    draw: np.random.Generator,
    share: float,
    *,
    count: int = 900,
    labelled: int = 150,
    useful: float = 0.4,
    shows: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities that are far off, as after a shift (labels, columns of their own), a random sample, clusters."""
    cluster = np.arange(count) if not shows else np.arange(count) % shows
    rate = np.full((cluster.max() + 1, LABELS), share)
    if shows:
        rate = draw.beta(share * 19, (1 - share) * 19, rate.shape)
    truth = (draw.random((count, LABELS)) < rate[cluster]).astype(float)
    said = np.clip(draw.normal(0.35 + useful * truth, 0.2), 0, 1)
    seen = np.full_like(truth, np.nan)
    sample = draw.permutation(count)[:labelled]
    seen[sample] = truth[sample]
    return said, seen, cluster


def holds(shares: Shares, truth: float) -> NDArray[np.bool_]:
    return (shares.low <= truth) & (truth <= shares.high)


@pytest.mark.parametrize(
    ("share", "shows"),
    [(0.4, 30), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((0.15, 0), (0.15, 30), (0.4, 0)))],
)
def test_intervals_hold_under_shift_where_uncorrected_ones_fail(share: float, shows: int) -> None:
    draw = np.random.default_rng(5)
    powered, uncorrected, widths = [], [], []
    for _ in range(30):
        said, seen, cluster = audited(draw, share, shows=shows)
        labelled = ~np.isnan(seen[:, 0])
        corrected = powered_shares(said, seen, cluster)
        alone = clustered_shares(seen[labelled] > 0.5, cluster[labelled])
        powered.append(holds(corrected, share))
        uncorrected.append(holds(clustered_shares(said >= 0.5, cluster), share))
        widths.append(np.mean(corrected.high - corrected.low) / np.mean(alone.high - alone.low))
    assert 0.93 < np.mean(powered) < 0.97
    assert np.mean(uncorrected) < 0.5
    assert np.mean(widths) < 0.95


def test_a_useless_classifier_costs_nothing() -> None:
    draw = np.random.default_rng(1)
    widths = []
    for _ in range(20):
        said, seen, cluster = audited(draw, 0.3, useful=0.0)
        labelled = ~np.isnan(seen[:, 0])
        powered = powered_shares(said, seen, cluster)
        alone = clustered_shares(seen[labelled] > 0.5, cluster[labelled])
        widths += ((powered.high - powered.low) / (alone.high - alone.low)).tolist()
    assert np.mean(widths) < 1.02
    assert max(widths) < 1.15


def test_it_is_the_mean_of_the_words_where_they_are_true() -> None:
    draw = np.random.default_rng(2)
    _, seen, cluster = audited(draw, 0.3, count=4000, labelled=80)
    truth = (draw.random(seen.shape) < 0.3).astype(float)
    seen = np.where(np.isnan(seen), np.nan, truth)
    powered = powered_shares(truth, seen, cluster)
    assert powered.share == pytest.approx(truth.mean(0), abs=0.005)
    assert (powered.high - powered.low).mean() < 0.05


def test_all_labelled_or_nothing_learned_is_the_labels_alone() -> None:
    said, seen, cluster = audited(np.random.default_rng(3), 0.3)
    labelled = ~np.isnan(seen[:, 0])
    alone = seen[labelled].mean(0)
    assert powered_shares(said[labelled], seen[labelled], cluster[labelled]).share == pytest.approx(alone)
    assert powered_shares(np.zeros_like(said), seen, cluster).share == pytest.approx(alone)


def test_a_sample_of_one_show_has_no_interval() -> None:
    said, seen, cluster = audited(np.random.default_rng(3), 0.3, shows=30)
    seen[cluster != 4] = np.nan
    shares = powered_shares(said, seen, cluster)
    assert shares.clusters == 1
    assert not np.isnan(shares.share).any()
    assert np.isnan(shares.low).all()
