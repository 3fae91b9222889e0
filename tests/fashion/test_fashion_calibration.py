"""Probabilities hold what they say."""

import numpy as np
import pytest

from tasks.fashion.calibration import (
    LEAST_KEPT,
    abstain_below,
    calibration_error,
    fit_calibration,
    log_softmax,
    reliability,
    softmax,
)


def draws(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and classes drawn with just their probabilities."""
    draw = np.random.default_rng(seed)
    scores = 1.5 * draw.normal(size=(count, classes)) + np.log(np.arange(1, classes + 1))
    truth = (softmax(scores).cumsum(axis=1) < draw.random((count, 1))).sum(axis=1)
    return scores, truth.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_known_distortion_is_taken_back(classes: int) -> None:
    scores, truth = draws(20_000, classes)
    bent = 4 * (scores - np.log(np.arange(1, classes + 1)))
    found = fit_calibration(bent, truth)
    assert found.slope == pytest.approx(0.25, rel=0.05)
    assert np.abs(softmax(found(bent)) - softmax(scores)).mean() < 0.01


def test_no_other_slope_or_shift_is_better() -> None:
    scores, truth = draws(500, 3)
    found = fit_calibration(scores, truth)
    target = (1 - 3 / 503) * np.eye(3)[truth] + 3 / 503 * np.bincount(truth) / 500

    def loss(slope: float, shift: np.ndarray) -> float:
        return -float((target * log_softmax(slope * scores + shift)).sum())

    best = loss(found.slope, found.shift)
    for step in (-1e-2, 1e-2):
        assert loss(found.slope + step, found.shift) > best
        for one in np.eye(3):
            assert loss(found.slope, found.shift + step * one) > best


def test_scores_that_say_nothing_give_the_shares_and_separable_ones_are_finite() -> None:
    draw = np.random.default_rng(0)
    truth = (draw.random(2000) < 0.1).astype(np.int64)
    against = np.stack([truth + draw.normal(size=2000), np.zeros(2000)], axis=1)
    found = fit_calibration(against, truth)
    assert found.slope == 0
    assert softmax(found(against))[:, 1] == pytest.approx(truth.mean(), abs=1e-3)
    apart = fit_calibration(100.0 * np.eye(2)[truth], truth)
    assert np.isfinite(log_softmax(apart(100.0 * np.eye(2)[truth]))).all()


def test_the_calibration_error_is_the_mean_gap() -> None:
    confidence = np.repeat([0.9, 0.5, 1.0], [10, 30, 10])
    right = np.concatenate([np.arange(10) < 8, np.arange(30) < 15, np.arange(10) < 10])
    bins = reliability(confidence, right)
    assert [each.photos for each in bins] == [30, 10, 10]
    assert calibration_error(bins) == pytest.approx((10 * 0.1 + 0 + 0) / 50)
    assert calibration_error(reliability(np.zeros(0), np.zeros(0, np.bool_))) is None


def test_the_threshold_is_the_smallest_confidence_that_is_enough() -> None:
    confidence = np.linspace(0, 0.99, 100)
    right = np.arange(100) >= 40
    assert abstain_below(confidence, right, 0.5) == 0
    threshold = abstain_below(confidence, right, 0.8)
    assert threshold is not None
    kept = confidence >= threshold
    assert right[kept].mean() >= 0.8 > right[confidence >= threshold - 0.011].mean()
    assert abstain_below(confidence, ~right, 0.8) is None
    assert abstain_below(np.ones(LEAST_KEPT - 1), np.ones(LEAST_KEPT - 1, np.bool_), 0.5) is None
    assert abstain_below(np.ones(100), right, 0.8) is None  # equal confidences stay together
