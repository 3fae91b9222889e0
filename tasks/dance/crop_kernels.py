"""Compiled loops that scale a part of a plane."""

from collections.abc import Callable
from math import ceil, floor
from typing import Any, Final

import numpy as np
from numba import njit

BLOCK: Final = 32
"""Rows that go through the columns together."""
ROWS_AT_ONCE: Final = 4
"""Taps of rows are fastest in groups of this many."""

SUPPORT: Final = 2.0
"""Half the width of the cubic kernel, in samples of whichever picture is coarser."""
CUBIC: Final = -0.5
"""Catmull and Rom's cubic, the one of MATLAB and Pillow."""


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled once a machine, or once a process where there is no folder to keep it in."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@_compiled
def _cubic(away):  # type: ignore[no-untyped-def]
    if away < 1:
        return ((CUBIC + 2) * away - (CUBIC + 3)) * away**2 + 1
    if away < SUPPORT:
        return CUBIC * (((away - 5) * away + 8) * away - 4)
    return 0.0


@_compiled
def taps(begin, step, count, length, group):  # type: ignore[no-untyped-def]
    """What samples of an axis each of `count` positions is made of: where taps begin, and their weights (count, taps).

    Positions are `begin + n * step`; the middle of the axis' first sample is at 0.5, and it has `length` samples. All
    taps lie inside it, and come in groups of so many where there is room. Weights add up to the share of the position
    that lies inside: to 1, but to less at its ends.
    """
    stretch = max(abs(step), 1e-9)
    wide = max(stretch, 1.0)
    many = min(group * ceil((2 * SUPPORT * wide + 1) / group), length)
    first = np.empty(count, np.int64)
    weights = np.zeros((count, many), np.float32)
    exact = np.empty(many)
    for n in range(count):
        position = begin + n * step
        first[n] = min(max(floor(position - SUPPORT * wide), 0), length - many)
        inside = min(position + stretch / 2, length) - max(position - stretch / 2, 0.0)
        if inside <= 0:
            continue
        total = 0.0
        for tap in range(many):
            exact[tap] = _cubic(abs(first[n] + tap + 0.5 - position) / wide)
            total += exact[tap]
        for tap in range(many):
            weights[n, tap] = exact[tap] * inside / stretch / total
    return first, weights


@_compiled
def _sum(a, b, c, d, weights, out, begin):  # type: ignore[no-untyped-def]
    """`out` = (or +=, unless `begin`) four lines by their weights."""
    p, q, r, s = weights[0], weights[1], weights[2], weights[3]
    if begin:
        for x in range(out.shape[0]):
            out[x] = p * np.float32(a[x]) + q * np.float32(b[x]) + r * np.float32(c[x]) + s * np.float32(d[x])
    else:
        for x in range(out.shape[0]):
            out[x] += p * np.float32(a[x]) + q * np.float32(b[x]) + r * np.float32(c[x]) + s * np.float32(d[x])


@_compiled
def _sum_one(a, weight, out, begin):  # type: ignore[no-untyped-def]
    """As `_sum`, of one line."""
    if begin:
        out[:] = np.float32(0)
    for x in range(out.shape[0]):
        out[x] += weight * np.float32(a[x])


@_compiled
def _add(line, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] += weight * line[x]


@_compiled
def _sum_rows(plane, stride, weights, out):  # type: ignore[no-untyped-def]
    """`out` = rows that lie `stride` values from one to the next, by their weights."""
    count = out.shape[0]
    grouped = weights.shape[0] - weights.shape[0] % 4
    for tap in range(0, grouped, 4):
        at = tap * stride
        _sum(
            plane[at : at + count],
            plane[at + stride : at + stride + count],
            plane[at + 2 * stride : at + 2 * stride + count],
            plane[at + 3 * stride : at + 3 * stride + count],
            weights[tap : tap + 4],
            out,
            tap == 0,
        )
    for tap in range(grouped, weights.shape[0]):
        _sum_one(plane[tap * stride : tap * stride + count], weights[tap], out, tap == 0)


@_compiled
def scaled(plane, stride, rows, row_weights, columns, column_weights, level, out):  # type: ignore[no-untyped-def]
    """`out` (height, width), uint8: weighted sums of rows and columns of `plane`, uint8, `stride` values a row.

    `rows` and `columns` with their weights are `taps`; `level`: what is black in the plane, what is black in `out`, and
    the factor between. Weights that do not add up to 1 fade to black.
    """
    height, width = out.shape
    left = columns.min()
    count = columns.max() + column_weights.shape[1] - left
    dark, black, gain = level[0], level[1], level[2]
    lines = np.zeros((BLOCK, count), np.float32)
    turned = np.empty((count, BLOCK), np.float32)
    sums = np.empty(BLOCK, np.float32)
    for top in range(0, height, BLOCK):
        some = min(BLOCK, height - top)
        for n in range(some):
            weights = row_weights[top + n]
            _sum_rows(plane[rows[top + n] * stride + left :], stride, weights, lines[n])
            lines[n] -= weights.sum() * dark
        for x in range(count):
            for n in range(BLOCK):
                turned[x, n] = lines[n, x]
        for x in range(width):
            sums[:] = np.float32(0)
            for tap in range(column_weights.shape[1]):
                _add(turned[columns[x] - left + tap], column_weights[x, tap], sums)
            for n in range(some):
                value = sums[n] * gain + black
                out[top + n, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))
