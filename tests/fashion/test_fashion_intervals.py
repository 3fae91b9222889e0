"""Equal to statsmodels and scipy; and intervals that hold what they promise, by enumeration of all outcomes."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tasks.fashion.intervals import benjamini_hochberg, newcombe, score_test, wilson

DRAW = np.random.default_rng(0)
COUNTS = [
    (0, 9),
    (9, 9),
    (1, 30),
    (7, 30),
    (150, 300),
    (3, 5000),
    *zip(DRAW.integers(0, 90, 30), [90] * 30, strict=True),
]
P_VALUES = np.concatenate([DRAW.random(40), [0.01, 0.01, 1.0, 0.0]])


def test_wilson_and_q_values_are_those_of_scipy() -> None:
    for hits, n in COUNTS:
        theirs = stats.binomtest(int(hits), n).proportion_ci(method="wilson")
        assert wilson(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert benjamini_hochberg(P_VALUES) == pytest.approx(stats.false_discovery_control(P_VALUES), abs=1e-9)


@pytest.mark.slow
def test_all_are_those_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

    for (a, n), (b, m) in itertools.pairwise(COUNTS):
        assert wilson(a / n, n) == pytest.approx(proportion_confint(a, n, method="wilson"), abs=1e-9)
        made = newcombe(a / n, wilson(a / n, n), b / m, wilson(b / m, m))
        assert made == pytest.approx(confint_proportions_2indep(a, n, b, m, method="newcomb"), abs=1e-9)
        assert score_test(a / n, n, b / m, m) == pytest.approx(proportions_ztest([a, b], [n, m])[1], abs=1e-9)
    assert benjamini_hochberg(P_VALUES) == pytest.approx(multipletests(P_VALUES, method="fdr_bh")[1], abs=1e-9)


def test_newcombe_and_the_score_test_as_published() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 is 0.0524 to 0.3339; and the chi-squared test of the table."""
    low, high = newcombe(56 / 70, wilson(56 / 70, 70), 48 / 80, wilson(48 / 80, 80))
    assert (float(low), float(high)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    chi_squared = stats.chi2_contingency([[56, 14], [48, 32]], correction=False)
    assert score_test(56 / 70, 70, 48 / 80, 80) == pytest.approx(chi_squared.pvalue, abs=1e-9)


def test_shares_that_are_all_or_nothing() -> None:
    assert score_test([0, 1], 20, [0, 1], 30).tolist() == [1, 1]
    assert wilson(0, 12)[0] == 0
    assert wilson(1, 12)[1] == 1


def test_what_was_not_tested_has_no_q_value() -> None:
    with_gaps = np.insert(P_VALUES, [0, 20], np.nan)
    q = benjamini_hochberg(with_gaps)
    assert q[~np.isnan(with_gaps)] == pytest.approx(benjamini_hochberg(P_VALUES))
    assert np.isnan(q[np.isnan(with_gaps)]).all()
    assert np.isnan(benjamini_hochberg([np.nan, np.nan])).all()


def wilson_coverage(p: float, n: int) -> float:
    hits = np.arange(n + 1)
    low, high = wilson(hits / n, n)
    return float(stats.binom.pmf(hits, n, p)[(low <= p) & (p <= high)].sum())


def newcombe_coverage(p: float, n: int, q: float, m: int) -> float:
    a, b = np.arange(n + 1)[:, None] / n, np.arange(m + 1)[None] / m
    low, high = newcombe(a, wilson(a, n), b, wilson(b, m))
    chance = stats.binom.pmf(np.arange(n + 1), n, p)[:, None] * stats.binom.pmf(np.arange(m + 1), m, q)
    return float(chance[(low <= p - q) & (p - q <= high)].sum())


def test_wilson_holds_what_it_promises() -> None:
    grid = [wilson_coverage(p, n) for n in (20, 50, 100, 300) for p in np.linspace(0.02, 0.98, 49)]
    assert 0.94 < np.mean(grid) < 0.96
    large = [wilson_coverage(p, n) for n in (300, 1000) for p in np.linspace(0.05, 0.5, 46)]
    assert 0.93 < min(large) <= max(large) < 0.97


def test_newcombe_holds_what_it_promises() -> None:
    shares = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8)
    pairs = list(itertools.product(shares, shares))
    grid = [newcombe_coverage(p, n, q, m) for n, m in ((30, 50), (100, 60)) for p, q in pairs]
    assert 0.94 < np.mean(grid) < 0.96
    pairs = [(p, q) for p, q in pairs if min(p, q) >= 0.05]
    large = [newcombe_coverage(p, 300, q, m) for m in (300, 400) for p, q in pairs if p < q]
    assert 0.93 < min(large) <= max(large) < 0.97
