"""Chance that is the same everywhere."""

import numpy as np

from tasks.patches.chance import fraction, shuffled, uniforms

GOLDEN = [0.61713299131956, 0.19624697626257226, 0.10251146624966456]


def test_numbers_are_those_of_every_machine() -> None:
    found = uniforms((0, "avatar", "times"), 3)
    assert found.tolist() == GOLDEN
    assert float(fraction((0, "avatar", "times"))) == GOLDEN[0]


def test_a_number_depends_on_nothing_but_key_and_counter() -> None:
    many = uniforms((7, "a"), 1000)
    assert np.array_equal(uniforms((7, "a"), 10, 900), many[900:910])
    assert not np.array_equal(uniforms((7, "b"), 1000), many)
    assert uniforms((1, "2a"), 1) != uniforms((12, "a"), 1)


def test_numbers_are_spread_evenly() -> None:
    found = uniforms((1, "x"), 20_000)
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found, 10, (0, 1))[0]
    assert np.abs(counts - 2000).max() < 200


def test_shuffling_keeps_everything() -> None:
    order = shuffled((1, "x"), 500)
    assert sorted(order.tolist()) == list(range(500))
    assert order.tolist() != list(range(500))
    assert len(shuffled((1, "x"), 0)) == 0
