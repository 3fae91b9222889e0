"""Smoothing on curves that are known: less jitter, no lag where none is due, nothing where nothing was."""

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.body.smooth import Smoothing, runs, smoothed
from tasks.schema.keypoints import COCO_17, Keypoints

FPS = 24.0
METHODS = ("savgol", "one_euro")


def a_dance(frames: int = 96, noise: float = 0.0, seed: int = 0) -> Keypoints:
    """Every joint on a circle of its own, one turn in two seconds."""
    angle = 2 * np.pi * np.arange(frames)[:, None] / (2 * FPS) + np.arange(17)
    xy = 256 + 60 * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    jitter = np.random.default_rng(seed).normal(0, noise, xy.shape) if noise else 0
    return Keypoints.from_arrays(COCO_17, xy + jitter, np.full((frames, 17), 0.9))


def error(a: Keypoints, b: Keypoints) -> float:
    return float(np.nanmean(np.linalg.norm(a.xy - b.xy, axis=2)))


def jitter(k: Keypoints) -> float:
    return float(np.nanmean(np.linalg.norm(np.diff(k.xy, n=2, axis=0), axis=2)))


@pytest.mark.parametrize("method", METHODS)
def test_jitter_goes(method):
    noisy = a_dance(noise=3)
    smooth = smoothed(noisy, FPS, Smoothing(method=method))
    assert jitter(smooth) < 0.5 * jitter(noisy)
    np.testing.assert_array_equal(smooth.confidence, noisy.confidence)


def test_savgol_comes_nearer_to_the_truth_and_does_not_lag():
    truth, noisy = a_dance(), a_dance(noise=3)
    assert error(smoothed(noisy, FPS, Smoothing(method="savgol")), truth) < 0.75 * error(noisy, truth)
    assert error(smoothed(truth, FPS, Smoothing(method="savgol")), truth) < 0.2


@pytest.mark.parametrize(("window", "order"), [(5, 2), (7, 3), (11, 4)])
def test_polynomials_of_the_order_stay_as_they_are_to_the_ends(window, order):
    places = np.polynomial.polynomial.polyval(np.linspace(-1, 1, 30), np.arange(1.0, order + 2))
    xy = np.broadcast_to(100 * places[:, None, None], (30, 17, 2))
    curve = Keypoints.from_arrays(COCO_17, xy, np.ones((30, 17)))
    smooth = smoothed(curve, FPS, Smoothing(method="savgol", window=window, order=order))
    np.testing.assert_allclose(smooth.xy, curve.xy, atol=0.01)


def test_one_euro_looks_back_only():
    noisy = a_dance(noise=3)
    changed = noisy.xy.copy()
    changed[50:] += 100
    later = Keypoints.from_arrays(COCO_17, changed, noisy.confidence)
    rules = Smoothing(method="one_euro")
    np.testing.assert_array_equal(smoothed(later, FPS, rules).xy[:50], smoothed(noisy, FPS, rules).xy[:50])


def test_beta_lets_fast_joints_through():
    truth = a_dance()
    slow, fast = (error(smoothed(truth, FPS, Smoothing(method="one_euro", beta=b)), truth) for b in (0.0, 0.05))
    assert fast < 0.5 * slow


@pytest.mark.parametrize("method", METHODS)
def test_gaps_stay_gaps_and_part_what_lies_around(method):
    dance = a_dance(noise=2)
    confidence = dance.confidence.copy()
    confidence[40:44, 3] = 0
    gapped = Keypoints.from_arrays(COCO_17, dance.xy, confidence)
    smooth = smoothed(gapped, FPS, Smoothing(method=method))
    np.testing.assert_array_equal(smooth.present, gapped.present)
    assert np.isnan(smooth.xy[40:44, 3]).all()
    before = Keypoints(COCO_17, gapped.xy[:40].copy(), gapped.confidence[:40].copy())
    np.testing.assert_array_equal(smoothed(before, FPS, Smoothing(method=method)).xy[:, 3], smooth.xy[:40, 3])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
def test_short_runs(method, frames):
    dance = a_dance(frames)
    smooth = smoothed(dance, FPS, Smoothing(method=method))
    assert np.isfinite(smooth.xy).all()
    np.testing.assert_allclose(smooth.xy[0], dance.xy[0], atol=2)


def test_none_is_the_same_and_nobody_is_nobody():
    dance = a_dance(5, noise=1)
    assert smoothed(dance, FPS, Smoothing()) is dance
    nobody = Keypoints.from_arrays(COCO_17, np.zeros((4, 17, 2)), np.zeros((4, 17)))
    assert not smoothed(nobody, FPS, Smoothing(method="savgol")).present.any()


def test_runs():
    assert runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 2), (3, 4), (6, 7)]
    assert runs(np.zeros(3, bool)) == []


@pytest.mark.parametrize("options", [{"window": 6}, {"window": 3, "order": 3}])
def test_windows_that_do_not_fit_are_refused(options):
    with pytest.raises(ValidationError, match="must be odd"):
        Smoothing(method="savgol", **options)
