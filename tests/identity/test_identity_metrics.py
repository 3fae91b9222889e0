"""Pairs and BCubed, against their definitions."""

import numpy as np
import pytest

from tasks.identity.metrics import bcubed, pairwise
from tasks.schema.errors import ShapeError


def by_definition(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float, float]:
    same = truth[:, None] == truth
    linked = found[:, None] == found
    upper = np.triu(np.ones(same.shape, bool), 1)
    right = (same & linked & upper).sum()
    return (
        right / (linked & upper).sum(),
        right / (same & upper).sum(),
        float(((same & linked).sum(1) / linked.sum(1)).mean()),
        float(((same & linked).sum(1) / same.sum(1)).mean()),
    )


def test_agreement_is_as_defined() -> None:
    rng = np.random.default_rng(3)
    truth, found = rng.integers(0, 9, 120), rng.integers(0, 14, 120)
    pair, cubed = pairwise(truth, found), bcubed(truth, found)
    assert (pair.precision, pair.recall, cubed.precision, cubed.recall) == pytest.approx(by_definition(truth, found))
    assert pair.f == pytest.approx(2 * pair.precision * pair.recall / (pair.precision + pair.recall))


def test_minus_one_is_alone() -> None:
    truth = np.array([0, 0, 1, 1])
    assert pairwise(truth, np.array([5, 5, -1, -1])).precision == 1
    assert pairwise(truth, np.array([5, 5, -1, -1])).recall == 0.5
    assert bcubed(truth, np.array([-1, -1, -1, -1])).recall == 0.5


def test_nothing_agrees_with_nothing() -> None:
    nothing = np.empty(0, np.int64)
    assert (pairwise(nothing, nothing).f, bcubed(nothing, nothing).f) == (1, 1)
    with pytest.raises(ShapeError):
        pairwise(nothing, np.zeros(1, np.int64))
