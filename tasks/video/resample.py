"""Lanczos as ffmpeg's swscale scales pictures with `flags=lanczos`: antialiased, three lobes, borders that go on."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

LOBES = 3
"""Source: swscale's default for Lanczos."""

GROUP = 4
"""Taps come in groups of this many, the last ones with a weight of zero."""


@dataclass(frozen=True)
class Taps:
    """What each position of an axis is made of.

    Attributes:
        first: (positions,), int32, ascending: where in the source the taps begin, before its start or so close to its
            end that they reach beyond it where the outermost samples have to go on.
        weight: (positions, taps), float32; each position's weights add up to 1.
    """

    first: NDArray[np.int32]
    weight: NDArray[np.float32]

    def between(self, begin: int, end: int) -> "Taps":
        """Positions `begin` to `end` (exclusive)."""
        return Taps(self.first[begin:end], self.weight[begin:end])

    @property
    def reach(self) -> tuple[int, int]:
        """The first position of the source, which may lie before its start, and the end of the last one."""
        return int(self.first[0]), int(self.first[-1]) + self.weight.shape[1]

    @property
    def halving(self) -> bool:
        """Whether all positions have the same twelve weights, two samples apart."""
        steady = bool(np.all(np.diff(self.first) == 2) and np.all(self.weight == self.weight[0]))
        return steady and self.weight.shape[1] == 12


@lru_cache(maxsize=64)
def lanczos(source: int, target: int) -> Taps:
    """The taps that make `target` positions out of `source`.

    The step is a 16.16 fixed-point number, as in swscale, and shrinking widens the kernel by the same factor.
    """
    step = ((source << 16) + target // 2) // target / (1 << 16)
    stretch = max(source / target, 1.0)
    count = GROUP * ceil(2 * LOBES * stretch / GROUP)
    centre = (np.arange(target) + 0.5) * step - 0.5
    first = np.floor(centre - LOBES * stretch).astype(np.int64) + 1
    distance = np.abs(first[:, None] + np.arange(count) - centre[:, None]) / stretch
    weight = np.where(distance < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    taps = Taps(first.astype(np.int32), weight.astype(np.float32))
    taps.first.flags.writeable = False
    taps.weight.flags.writeable = False
    return taps
