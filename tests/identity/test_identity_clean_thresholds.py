"""Declared rates: what they become, and whether they hold."""

import numpy as np
import pytest

from tasks.identity.clean_thresholds import (
    Rates,
    law_of_outsiders,
    law_of_pictures,
    law_of_strangers,
    resolve,
)


def units(rng: np.random.Generator, count: int, width: int = 128) -> np.ndarray:
    raw = rng.standard_normal((count, width))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def test_strangers_come_above_as_often_as_was_declared() -> None:
    law = law_of_strangers(units(np.random.default_rng(0), 1500))
    assert law is not None
    others = units(np.random.default_rng(1), 2000)
    cosines = (others @ others.T)[np.triu_indices(2000, 1)]
    for rate in (1e-2, 1e-3, 1e-4):
        assert (cosines > law.above(rate)).mean() == pytest.approx(rate, rel=0.25)


def test_pieces_of_one_person_do_not_move_the_law() -> None:
    rng = np.random.default_rng(2)
    whole = units(rng, 300)
    pieces = whole[:60] + 0.03 * rng.standard_normal((60, 128)).astype(np.float32)
    clean, broken = law_of_strangers(whole), law_of_strangers(np.concatenate([whole, pieces]))
    assert clean is not None
    assert broken is not None
    assert broken.above(1e-6) == pytest.approx(clean.above(1e-6), abs=0.02)


def test_collapsed_identities_move_it_little() -> None:
    rng = np.random.default_rng(3)
    whole = units(rng, 900)
    junk = units(rng, 1) + 0.04 * rng.standard_normal((100, 128)).astype(np.float32)
    junk = (junk / np.linalg.norm(junk, axis=1, keepdims=True)).astype(np.float32)
    clean, dirty = law_of_strangers(whole), law_of_strangers(np.concatenate([whole, junk]))
    assert clean is not None
    assert dirty is not None
    assert clean.above(1e-6) < dirty.above(1e-6) < clean.above(1e-6) + 0.06


def test_few_identities_have_no_law() -> None:
    rng = np.random.default_rng(4)
    assert law_of_strangers(units(rng, 9)) is None
    assert law_of_outsiders(units(rng, 4), units(rng, 4)) is None
    assert law_of_outsiders(units(rng, 9), units(rng, 5)) is not None
    assert law_of_pictures(units(rng, 10).astype(np.float16), np.repeat(np.arange(5), 2)) is None
    nobody = resolve(Rates(), None, None, None, others=3, outside=0)
    assert (nobody.merge, nobody.ambiguous, nobody.validation, nobody.duplicate) == (1.0, 1.0, 1.0, 1.0)


def test_copies_do_not_move_the_law_of_pictures() -> None:
    rng = np.random.default_rng(5)
    centre = np.repeat(units(rng, 200), 6, axis=0)
    faces = centre + 0.07 * rng.standard_normal(centre.shape)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    identity = np.repeat(np.arange(200), 6)
    copied = faces.copy()
    copied[1::6] = faces[::6] + 1e-3
    plain, with_copies = (law_of_pictures(each.astype(np.float16), identity) for each in (faces, copied))
    assert plain is not None
    assert with_copies is not None
    assert with_copies.above(1e-4) == pytest.approx(plain.above(1e-4), abs=0.02)
    alike = np.einsum("ij,ij->i", faces[::6], faces[1::6])
    assert alike.max() < plain.above(1e-4) < 0.95


def test_a_larger_set_needs_a_higher_cosine() -> None:
    law = law_of_strangers(units(np.random.default_rng(6), 500))
    small, large = (resolve(Rates(), law, None, None, others=n, outside=0) for n in (100, 100_000))
    assert small.ambiguous < small.merge < large.merge
    assert large.ambiguous < large.merge


def test_the_law_is_of_the_rows_alone() -> None:
    some = units(np.random.default_rng(7), 1200)
    assert law_of_strangers(some) == law_of_strangers(some.copy())
