"""From scores to probabilities that hold what they say, and the confidence below which a classifier says nothing."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.records import Frozen

BINS: Final = 15
"""Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017."""

LEAST_KEPT: Final = 20
"""Photos; the accuracy of fewer says nothing."""

_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores become `slope * scores + shift`: one slope of at least 0, one shift a class, (K,)."""

    slope: float
    shift: NDArray[np.float64]

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated scores, (N, K), whose softmax are probabilities."""
        return self.slope * scores + self.shift


def fit_calibration(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> Calibration:
    """The slope and shifts of least log loss, on scores of photos that the model was not fitted to.

    Bias-corrected temperature scaling (Alexandari et al., ICML 2020), Platt's sigmoid for two classes: the shifts take
    back what balancing the classes did to their intercepts, the slope what overfitting did to all scores. It has K
    parameters, so that rare classes cannot bend it as they bend an isotonic or a sigmoid of each class, and it leaves a
    linear model linear. As Platt did, we add a photo of no class in particular for each class, so that separable scores
    have a finite slope. Convex: there is one answer.

    Args:
        scores: (N, K), logits of K classes.
        truth: (N,), 0 to K - 1, each there.
    """
    from scipy.optimize import minimize

    count, classes = scores.shape
    share = np.bincount(truth, minlength=classes) / count
    blur = classes / (count + classes)
    target = (1 - blur) * np.eye(classes)[truth] + blur * share
    scale = max(float(np.abs(scores - scores.mean(axis=1, keepdims=True)).mean()), 1e-12)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = parameters[0] / scale * scores + np.concatenate([[0.0], parameters[1:]])
        logs = log_softmax(moved)
        error = (np.exp(logs) - target) / count
        gradient = np.concatenate([[(error * scores).sum() / scale], error.sum(axis=0)[1:]])
        return -float((target * logs).sum()) / count, gradient

    start = np.concatenate([[1.0], np.log(share[1:] / share[0])])
    bounds = [(0.0, None), *[(None, None)] * (classes - 1)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Calibration(float(found.x[0]) / scale, np.concatenate([[0.0], found.x[1:]]))


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, (N, K)."""
    centred = scores - scores.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = centred - np.log(np.exp(centred).sum(axis=1, keepdims=True))
    return logs


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, (N, K)."""
    return np.exp(log_softmax(scores))


class ReliabilityBin(Frozen):
    """Photos with a confidence from `low` to `high`: how many, their mean confidence, and the share that was right."""

    low: float
    high: float
    photos: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Confidence against accuracy in `BINS` bins of equal width; empty ones are left out.

    Args:
        confidence: 0 to 1, (N,).
        right: (N,).
    """
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return tuple(
        ReliabilityBin(
            low=round(bin_ / BINS, _DIGITS),
            high=round((bin_ + 1) / BINS, _DIGITS),
            photos=int((place == bin_).sum()),
            confidence=round(float(confidence[place == bin_].mean()), _DIGITS),
            accuracy=round(float(right[place == bin_].mean()), _DIGITS),
        )
        for bin_ in np.unique(place).tolist()
    )


def calibration_error(bins: tuple[ReliabilityBin, ...]) -> float | None:
    """The expected calibration error: the mean gap of confidence and accuracy, each bin by its photos."""
    photos = sum(each.photos for each in bins)
    gaps = sum(each.photos * abs(each.confidence - each.accuracy) for each in bins)
    return round(gaps / photos, _DIGITS) if photos else None


def abstain_below(confidence: NDArray[np.float64], right: NDArray[np.bool_], wanted: float) -> float | None:
    """The smallest confidence from which the share of right ones reaches `wanted`.

    Returns:
        0 where all photos together reach it; None where no `LEAST_KEPT` of them do.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(falling[1:] < falling[:-1], True)
    reached = np.flatnonzero(last_of_equals & (accuracy >= wanted))
    reached = reached[reached >= LEAST_KEPT - 1]
    if not len(reached):
        return None
    if reached[-1] == len(order) - 1:
        return 0.0
    return float(np.floor(falling[reached[-1]] * 10**_DIGITS) / 10**_DIGITS)
