"""Lanczos as swscale computes it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.video.resample import lanczos
from tests.video.reference_chain import EXACT, noise_frame, psnr, reference


@pytest.mark.parametrize(("source", "target"), [(3840, 1920), (4096, 1920), (1080, 1080), (480, 720), (7, 3), (3, 5)])
def test_weights(source: int, target: int) -> None:
    taps = lanczos(source, target)
    assert taps.weight.sum(axis=1) == pytest.approx(np.ones(target), abs=1e-6)
    assert taps.weight.shape[1] % 4 == 0
    assert np.all(np.diff(taps.first) >= 0)
    assert lanczos(source, target) is taps, "kept"


def test_halving_is_told_apart() -> None:
    assert lanczos(3840, 1920).halving
    assert lanczos(3840, 1920).between(300, 840).halving
    assert not lanczos(3840, 1936).halving
    assert not lanczos(1920, 1920).halving
    assert not lanczos(1920, 640).halving


@pytest.mark.parametrize("size", [(240, 136), (301, 100), (481, 273), (160, 90)], ids=str)
def test_swscale_makes_the_same(size: tuple[int, int]) -> None:
    frame = noise_frame("gbrp", 480, 272)
    picture = reference(frame)
    scaled = reference(frame, f"scale={size[0]}:{size[1]}:flags={EXACT}")
    assert psnr(_scaled(picture, *size), scaled) > 58


def _scaled(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    values = picture.astype(np.float64)
    for axis, target in ((0, height), (1, width)):
        taps = lanczos(values.shape[axis], target)
        index = taps.first[:, None] + np.arange(taps.weight.shape[1])
        rows = np.moveaxis(values, axis, 0)
        rows = rows[np.clip(index, 0, len(rows) - 1)]
        values = np.moveaxis(np.einsum("ij,ij...->i...", taps.weight, rows), 0, axis)
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
