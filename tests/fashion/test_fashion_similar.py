"""Nearest looks of the other source, against a plain computation."""

import numpy as np
import pytest

from tasks.fashion import similar
from tasks.fashion.similar import Looks, most_similar
from tasks.schema.errors import ShapeError

FAR = np.uint64(0x0123456789ABCDEF)


def looks(count: int, seed: int, shift: float = 0.0, width: int = 6) -> Looks:
    draw = np.random.default_rng(seed)
    embeddings = (draw.normal(size=(count, width)) + shift).astype(np.float32)
    return Looks(embeddings, draw.integers(0, 1 << 63, count).astype(np.uint64))


def plain(own: Looks, others: Looks, k: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    units = []
    for each in (own, others):
        centre = each.embeddings.astype(np.float64).mean(axis=0)
        units.append((each.embeddings - centre) / np.linalg.norm(each.embeddings - centre, axis=1, keepdims=True))
    cosines = units[0] @ units[1].T
    apart = np.bitwise_count(own.phash[:, None] ^ others.phash[None])
    cosines[apart <= bits] = -2
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(cosines, order, axis=1)
    return np.where(best > -2, order, -1), best


def test_the_nearest_are_those_of_a_plain_computation(monkeypatch):
    monkeypatch.setattr(similar, "_ROWS", 7)
    monkeypatch.setattr(similar, "_TILE", 5)
    own, others = looks(23, 0, 5.0), looks(31, 1, -2.0)
    others.phash[3] = own.phash[11] ^ np.uint64(0b111)
    found = most_similar(own, others, 4, same_photo_bits=3)
    index, cosine = plain(own, others, 4, 3)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.similarity, cosine, rtol=0, atol=1e-6)
    assert 3 not in found.index[11]


def test_what_all_photos_of_a_source_share_does_not_decide():
    signal = looks(40, 2)
    stage = Looks(signal.embeddings + np.float32(30), signal.phash)
    street = Looks(signal.embeddings[::-1].copy(), signal.phash ^ FAR)
    found = most_similar(stage, street, 1)
    assert (found.index[:, 0] == np.arange(40)[::-1]).mean() == 1


def test_equal_looks_come_in_order_and_too_few_leave_places_empty():
    own = looks(3, 4)
    others = Looks(np.repeat(looks(1, 5).embeddings, 4, axis=0), np.arange(4, dtype=np.uint64) << np.uint64(40))
    found = most_similar(own, others, 6)
    np.testing.assert_array_equal(found.index, np.tile([0, 1, 2, 3, -1, -1], (3, 1)))
    assert (found.similarity[:, 4:] == -2).all()


@pytest.mark.parametrize(("own", "others"), [(0, 3), (3, 0), (1, 3), (1, 1)])
def test_small_sources(own, others):
    found = most_similar(looks(own, 6), looks(others, 7), 2)
    assert found.index.shape == (own, 2)
    assert (found.index[:, 0] >= 0).all() == (others > 0 or own == 0)
    assert np.isfinite(found.similarity).all()


def test_photos_all_alike_are_like_nothing():
    alike = Looks(np.ones((3, 4), np.float32), np.zeros(3, np.uint64))
    found = most_similar(alike, Looks(alike.embeddings, ~alike.phash), 2)
    np.testing.assert_array_equal(found.similarity, 0)


def test_widths_have_to_be_equal():
    with pytest.raises(ShapeError, match="6 and 5"):
        most_similar(looks(2, 0), looks(2, 0, width=5), 1)
