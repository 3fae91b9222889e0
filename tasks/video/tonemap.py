"""Curves and matrices that turn film signals into Rec. 709 pictures, as zimg (ffmpeg's zscale) and tonemap define them.

Light is relative to a white of 100 cd/m2 (`npl=100`). Arrays are float64 of any shape; colours have three components in
the last axis where a function says so.
"""

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WHITE = 100.0
"""cd/m2 of linear 1.0. Source: the seed's `npl=100`."""

PQ_PEAK = 10_000.0
"""cd/m2 of a PQ signal of 1. Source: SMPTE ST 2084."""

HLG_PEAK = 1_000.0
"""cd/m2 of an HLG signal of 1: the nominal display of BT.2100, as in zimg."""

HLG_GAMMA = 1.2
"""Exponent of HLG's display at 1,000 cd/m2 (BT.2100). zscale applies it to each component, not to their luminance."""

DISPLAY_GAMMA = 2.4
"""BT.1886: zimg's display-referred reading of the transfers bt709, smpte170m and bt2020."""

MOBIUS_PEAK = 10.0
"""Light that becomes white, in units of `WHITE`. Source: the pinned chain, `peak=10`."""

MOBIUS_KNEE = 0.3
"""Below it the Möbius curve is the identity. Source: ffmpeg's default for tonemap=mobius."""

LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "bt601": (0.299, 0.114),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
"""Kr and Kb of the matrices. Source: ITU-T H.273, table 4."""

PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""xy of red, green and blue, each with D65 as white. Source: ITU-T H.273, table 2."""

D65 = (0.3127, 0.3290)
"""xy of the white. Source: ITU-T H.273, table 2."""


def pq_to_light(signal: Floats) -> Floats:
    """The EOTF of SMPTE ST 2084, `signal` 0 to 1; beneath 0 there is no light."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = np.maximum(signal, 0.0) ** (1 / m2)
    light: Floats = (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)
    return light * (PQ_PEAK / WHITE)


def hlg_to_light(signal: Floats) -> Floats:
    """The inverse OETF of ARIB STD-B67 (BT.2100, table 5), then the display's gamma."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bounded = np.maximum(signal, 0.0)
    scene = np.where(bounded <= 0.5, bounded**2 / 3, (np.exp((bounded - c) / a) + b) / 12)
    light: Floats = scene**HLG_GAMMA * (HLG_PEAK / WHITE)
    return light


def display_to_light(signal: Floats) -> Floats:
    """The EOTF of BT.1886 with a black of zero."""
    light: Floats = np.maximum(signal, 0.0) ** DISPLAY_GAMMA
    return light


def light_to_display(light: Floats) -> Floats:
    """The inverse of `display_to_light`, bounded to 0 to 1."""
    signal: Floats = np.clip(light, 0.0, 1.0) ** (1 / DISPLAY_GAMMA)
    return signal


def light_polynomials(to_light: Callable[[Floats], Floats], joint: float) -> Floats:
    """The joint, then twice eight coefficients, lowest first: polynomials below and above it whose squares are light.

    Least squares of what the error makes of the tonemapped levels: off by less than 0.25 of 255 levels for the curves
    here with their joints.
    """
    below, above = _root_polynomial(to_light, 0.0, joint), _root_polynomial(to_light, joint, 1.0)
    return np.concatenate([[joint], below, above])


def level_polynomial() -> Floats:
    """Seven coefficients, lowest first, of the polynomial from light's fourth root to levels of 0 to 255.

    Off by less than 0.15 levels.
    """
    return _powers(Chebyshev.interpolate(lambda root: 255 * light_to_display(root**4), 6, domain=[0, 1]))


def yuv_to_rgb(matrix: str) -> Floats:
    """The 3x3 matrix from Y', Cb, Cr (Y' 0 to 1, chroma -0.5 to 0.5) to R'G'B'; `matrix` is a key of `LUMA_WEIGHTS`."""
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    return np.array(
        [
            [1.0, 0.0, 2 * (1 - kr)],
            [1.0, -2 * kb * (1 - kb) / kg, -2 * kr * (1 - kr) / kg],
            [1.0, 2 * (1 - kb), 0.0],
        ]
    )


def gamut_matrix(source: str, target: str) -> Floats:
    """The 3x3 matrix from linear RGB of one gamut to another's (both with D65); keys of `PRIMARIES`."""
    return np.asarray(np.linalg.solve(_rgb_to_xyz(target), _rgb_to_xyz(source)))


def mobius_coefficients(peak: float = MOBIUS_PEAK, knee: float = MOBIUS_KNEE) -> tuple[float, float, float]:
    """a, b and the gain c of `c * (x + a) / (x + b)`: smooth at the knee, 1 at the peak. Source: ffmpeg's tonemap."""
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    return a, b, (b * b + 2 * b * knee + knee * knee) / (b - a)


def mobius(light: Floats, peak: float = MOBIUS_PEAK, knee: float = MOBIUS_KNEE) -> Floats:
    """The Möbius curve: the identity up to the knee, from there on towards 1 at the peak."""
    a, b, gain = mobius_coefficients(peak, knee)
    return np.where(light <= knee, light, gain * (light + a) / (np.maximum(light, knee) + b))


def tonemap(light: Floats) -> Floats:
    """Colours with the largest component sent through `mobius` and the others scaled with it (`desat=0`)."""
    largest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    mapped: Floats = light * (mobius(largest) / largest)
    return mapped


def _root_polynomial(to_light: Callable[[Floats], Floats], begin: float, end: float) -> Floats:
    position = (1 - np.cos(np.pi * (np.arange(3000) + 0.5) / 3000)) / 2
    signal = begin + (end - begin) * (position if begin else position**2)
    root = np.sqrt(to_light(signal))
    step = 1e-5
    slope = 255 * (_shown((root + step) ** 2) - _shown(root**2)) / step
    return _powers(Chebyshev.fit(signal, root, 7, domain=[begin, end], w=np.maximum(slope, 1.0)))


def _shown(light: Floats) -> Floats:
    return light_to_display(mobius(light))


def _powers(series: Chebyshev) -> Floats:
    return np.asarray(series.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef)


def _rgb_to_xyz(name: str) -> Floats:
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in PRIMARIES[name]]).T
    x, y = D65
    white = np.array([x / y, 1.0, (1 - x - y) / y])
    return np.asarray(columns * np.linalg.solve(columns, white))
