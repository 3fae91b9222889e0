"""When the frames of a film are shown: rate, even or uneven gaps, from timestamps alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Final

COMMON_RATES: Final = tuple(
    Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "120")
)
"""Frames a second of cinema, broadcast and cameras. Source: BT.2020, table 2, with 24 to 30 of the systems before."""

JITTER_S: Final = Fraction(1, 1000)
"""Matroska counts in milliseconds, and what is copied from there to another container keeps its rounding."""

UNEVEN_SHARE: Final = 0.01
"""A dropped frame here and there does not make a film one of variable rate; its windows are judged one by one."""


@dataclass(frozen=True)
class Pace:
    """`fps`: the average rate, exact where it is a common one; `vfr`: more than 1 gap in 100 differs."""

    fps: Fraction
    vfr: bool


def gap_tolerance(time_base: Fraction) -> int:
    """Ticks by which equal gaps may differ because timestamps are rounded: at least one, about 1 ms."""
    return max(1, round(JITTER_S / time_base))


def pace(runs: Sequence[Sequence[int]], time_base: Fraction) -> Pace | None:
    """Rate and evenness of runs of timestamps, each ascending and without holes; None: fewer than two frames.

    Args:
        runs: pts of consecutive frames in `time_base`.
    """
    gaps = [later - earlier for run in runs for earlier, later in pairwise(run)]
    span = sum(gaps) * time_base
    if span <= 0:
        return None
    usual, tolerance = median_low(gaps), gap_tolerance(time_base)
    uneven = sum(abs(gap - usual) > tolerance for gap in gaps)
    vfr = uneven > UNEVEN_SHARE * len(gaps)
    measured = Fraction(len(gaps)) / span
    if vfr:
        return Pace(measured, vfr=True)
    # a hole in the timestamps must not slow the film down: without it, every gap is a usual one
    steady = [gap for gap in gaps if abs(gap - usual) <= tolerance]
    measured = Fraction(len(steady)) / (sum(steady) * time_base)
    return Pace(_common(measured, len(steady), time_base), vfr=False)


def _common(measured: Fraction, gaps: int, time_base: Fraction) -> Fraction:
    """The nearest common rate, if rounding of the first and the last timestamp explains the difference."""
    nearest = min(COMMON_RATES, key=lambda rate: abs(rate - measured))
    explained = gap_tolerance(time_base) * time_base
    return nearest if abs(gaps / measured - gaps / nearest) <= explained else measured
