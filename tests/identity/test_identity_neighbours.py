"""Exact neighbours: against all cosines, with ties, and extended."""

import numpy as np
import pytest
import torch

from tasks.identity import neighbours as module
from tasks.identity.neighbours import Neighbours, extend, nearest
from tasks.schema.errors import ShapeError


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 64)


def vectors(count: int, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def by_all_cosines(rows: np.ndarray, k: int, floor: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    cosines[cosines < floor] = -2
    order = np.lexsort((np.broadcast_to(np.arange(len(rows)), cosines.shape), -cosines.round(6)), axis=1)[:, :k]
    best = np.take_along_axis(cosines, order, 1)
    order[best == -2] = -1
    pad = ((0, 0), (0, k - order.shape[1]))
    return np.pad(order, pad, constant_values=-1), np.pad(best, pad, constant_values=-2)


@pytest.mark.parametrize("count", [1, 2, 5, 64, 65, 700])
@pytest.mark.parametrize("k", [1, 20])
def test_neighbours_are_those_of_all_cosines(count: int, k: int) -> None:
    rows = vectors(count)
    found = nearest(rows, k)
    index, cosine = by_all_cosines(rows, k)
    assert np.array_equal(found.index, index)
    assert np.allclose(found.cosine, cosine, atol=1e-6)
    assert (found.index.dtype, found.cosine.dtype) == (np.int32, np.float32)


def test_no_rows_have_no_neighbours() -> None:
    assert nearest(np.empty((0, 8), np.float16), 3).index.shape == (0, 3)
    assert len(nearest(np.empty((0, 8), np.float16), 3).best) == 0


def test_of_equal_cosines_the_lower_rows_come_first() -> None:
    rows = vectors(500)
    rows[40:340] = rows[7]
    index, _ = by_all_cosines(rows, 20)
    assert np.array_equal(nearest(rows, 20).index, index)


def test_length_and_precision_of_the_input_do_not_matter() -> None:
    half = vectors(300).astype(np.float16)
    found = nearest(half, 10)
    scaled = nearest(half.astype(np.float32) * 8, 10)
    assert np.array_equal(found.index, scaled.index)
    assert np.allclose(found.cosine, scaled.cosine, atol=1e-6)


def test_below_the_floor_nobody_is_a_neighbour() -> None:
    rows = vectors(400)
    found = nearest(rows, 20, floor=0.3)
    index, _ = by_all_cosines(rows, 20, 0.3)
    assert np.array_equal(found.index, index)


@pytest.mark.parametrize("known", [0, 1, 63, 64, 200, 299, 300])
def test_extending_gives_what_computing_all_gives(known: int) -> None:
    rows = vectors(300)
    rows[250:280] = rows[3]
    whole = nearest(rows, 12)
    longer = extend(nearest(rows[:known], 12), rows)
    assert np.array_equal(longer.index, whole.index)
    assert np.array_equal(longer.cosine, whole.cosine)


def test_vectors_beyond_what_stays_in_memory_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = vectors(300).astype(np.float16)
    whole = nearest(rows, 12)
    monkeypatch.setattr(module, "_RESIDENT_BYTES", 0)
    assert np.array_equal(nearest(rows, 12).cosine, whole.cosine)


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 1024)
    rows = vectors(2500, 128)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = nearest(rows)
        torch.set_num_threads(3)
        together = nearest(rows)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(alone.index, together.index)
    assert np.array_equal(alone.cosine, together.cosine)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError):
        Neighbours(np.zeros((3, 2), np.int32), np.zeros((3, 1), np.float32))
    with pytest.raises(ShapeError):
        extend(nearest(vectors(10), 3), vectors(9))


@pytest.mark.gpu
def test_a_gpu_finds_the_same_neighbours() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rows = vectors(3000, 128)
    gpu, cpu = nearest(rows, gpu=True), nearest(rows)
    assert (gpu.index == cpu.index).mean() > 0.999
    assert np.allclose(gpu.cosine, cpu.cosine, atol=1e-5)
