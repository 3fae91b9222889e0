"""Intervals and tests for shares. All functions take arrays that broadcast, and give arrays."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEVEL: Final = 0.95
"""What every interval here promises to hold."""
Z: Final = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(share: ArrayLike, n: ArrayLike) -> tuple[Array, Array]:
    """The 95 % score interval of a share.

    Args:
        share: 0 to 1.
        n: observations behind it, above 0; need not be whole (effective numbers are not).
    Returns:
        low and high. Source: Wilson 1927.
    """
    p, n = np.asarray(share, float), np.asarray(n, float)
    spread = Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    middle, scale = p + Z**2 / (2 * n), 1 + Z**2 / n
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return np.where(p == 0, 0, np.clip(low, 0, 1)), np.where(p == 1, 1, np.clip(high, 0, 1))


def newcombe(
    share_a: ArrayLike,
    interval_a: tuple[ArrayLike, ArrayLike],
    share_b: ArrayLike,
    interval_b: tuple[ArrayLike, ArrayLike],
) -> tuple[Array, Array]:
    """The 95 % interval of `share_a` - `share_b`, independent of each other, from the interval of each.

    Returns:
        low and high. Source: Newcombe 1998, method 10, for Wilson's intervals; Zou and Donner 2008 for others.
    """
    a, b = np.asarray(share_a, float), np.asarray(share_b, float)
    (low_a, high_a), (low_b, high_b) = (
        (np.asarray(low, float), np.asarray(high, float)) for low, high in (interval_a, interval_b)
    )
    return a - b - np.hypot(a - low_a, high_b - b), a - b + np.hypot(high_a - a, b - low_b)


def score_test(share_a: ArrayLike, n_a: ArrayLike, share_b: ArrayLike, n_b: ArrayLike) -> Array:
    """The two-sided p value of "both shares are the same", by the pooled two-proportion score test.

    1 where both shares are 0 or both are 1. Numbers of observations need not be whole.
    """
    from scipy.special import ndtr

    a, n_a, b, n_b = (np.asarray(each, float) for each in (share_a, n_a, share_b, n_b))
    pooled = (a * n_a + b * n_b) / (n_a + n_b)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    z = np.divide(np.abs(a - b), deviation, out=np.zeros_like(deviation), where=deviation != 0)
    return np.asarray(2 * ndtr(-z), float)


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """The q value of each p value, (L,): the smallest false discovery rate at which it counts.

    NaN stays NaN and is no test. Source: Benjamini and Hochberg 1995.
    """
    p = np.asarray(p_values, float)
    q = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raw = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return q
