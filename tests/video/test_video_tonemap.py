"""Curves and matrices against the numbers of their standards."""

from collections.abc import Callable

import numpy as np
import pytest

from tasks.video.tonemap import (
    LUMA_WEIGHTS,
    Floats,
    display_to_light,
    gamut_matrix,
    hlg_to_light,
    level_polynomial,
    light_polynomials,
    light_to_display,
    mobius,
    pq_to_light,
    tonemap,
    yuv_to_rgb,
)


def test_pq() -> None:
    """Source: BT.2408, table 1: 58 % is 203 cd/m2, 75 % is 983; ST 2084: 1 is 10,000."""
    light = pq_to_light(np.array([-0.1, 0.0, 0.5807, 0.75, 1.0]))
    assert light == pytest.approx([0, 0, 2.03, 9.83, 100], rel=0.005, abs=1e-9)


def test_hlg() -> None:
    """Source: BT.2408: 75 % is 203 cd/m2 on a display of 1,000."""
    assert hlg_to_light(np.array([-0.1, 0.0, 0.75, 1.0])) == pytest.approx([0, 0, 2.03, 10], rel=0.005, abs=1e-9)
    steps = hlg_to_light(np.array([0.5 - 1e-9, 0.5 + 1e-9]))
    assert steps[0] == pytest.approx(steps[1], rel=1e-6)


def test_display_curve_is_its_own_inverse() -> None:
    signal = np.linspace(0, 1, 256)
    assert light_to_display(display_to_light(signal)) == pytest.approx(signal)
    assert light_to_display(np.array([-1.0, 2.0])).tolist() == [0.0, 1.0]


def test_mobius() -> None:
    assert mobius(np.array([0.0, 0.1, 0.3, 10.0])) == pytest.approx([0.0, 0.1, 0.3, 1.0])
    light = np.linspace(0, 12, 5000)
    mapped = mobius(light)
    assert np.all(np.diff(mapped) > 0)
    slopes = np.diff(mapped) / np.diff(light)
    assert np.abs(np.diff(slopes)).max() < 0.02, "smooth at the knee"


def test_tonemap_keeps_the_hue() -> None:
    colours = np.array([[4.0, 2.0, 1.0], [0.1, 0.2, 0.05], [0.0, 0.0, 0.0]])
    mapped = tonemap(colours)
    assert mapped[0] == pytest.approx(mobius(np.array([4.0]))[0] * np.array([1, 0.5, 0.25]))
    assert mapped[1:] == pytest.approx(colours[1:])


def test_gamut_matrix() -> None:
    """Source: BT.2087, the inverse of table 2."""
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert gamut_matrix("bt2020", "bt709") == pytest.approx(np.array(expected), abs=1e-4)
    assert gamut_matrix("p3", "bt709").sum(axis=1) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("to_light", "joint"), [(pq_to_light, 0.2), (hlg_to_light, 0.5), (display_to_light, 0.2)])
def test_polynomials_stand_for_the_curves(to_light: Callable[[Floats], Floats], joint: float) -> None:
    signal = np.linspace(0, 1, 20_001)
    wanted = 255 * light_to_display(mobius(to_light(signal)))
    numbers = light_polynomials(to_light, joint)
    below, above = (np.polyval(numbers[part][::-1], signal) for part in (slice(1, 9), slice(9, None)))
    light = mobius(np.where(signal < numbers[0], below, above) ** 2)
    levels = np.polyval(level_polynomial()[::-1], np.clip(light, 0, 1) ** 0.25)
    assert np.abs(levels - wanted).max() < 0.3


@pytest.mark.parametrize("matrix", list(LUMA_WEIGHTS))
def test_yuv_to_rgb_inverts_the_definition(matrix: str) -> None:
    kr, kb = LUMA_WEIGHTS[matrix]
    colours = np.random.default_rng(1).random((50, 3))
    luma = colours @ [kr, 1 - kr - kb, kb]
    yuv = np.stack([luma, (colours[:, 2] - luma) / (2 * (1 - kb)), (colours[:, 0] - luma) / (2 * (1 - kr))], axis=1)
    assert yuv @ yuv_to_rgb(matrix).T == pytest.approx(colours)
