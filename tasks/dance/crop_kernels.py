"""Compiled loops that scale a part of a plane."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit

BLOCK: Final = 16
"""Rows that go through the columns together."""


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled once a machine, or once a process where there is no folder to keep it in."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@_compiled
def _sum_rows(a, b, c, d, weights, first, out, begin):  # type: ignore[no-untyped-def]
    """`out` = (or +=, unless `begin`) four rows by their weights."""
    p, q, r, s = weights[first], weights[first + 1], weights[first + 2], weights[first + 3]
    if begin:
        for x in range(out.shape[0]):
            out[x] = p * np.float32(a[x]) + q * np.float32(b[x]) + r * np.float32(c[x]) + s * np.float32(d[x])
    else:
        for x in range(out.shape[0]):
            out[x] += p * np.float32(a[x]) + q * np.float32(b[x]) + r * np.float32(c[x]) + s * np.float32(d[x])


@_compiled
def _sum_row(a, weight, out, begin):  # type: ignore[no-untyped-def]
    """As `_sum_rows`, of one row."""
    if begin:
        out[:] = np.float32(0)
    for x in range(out.shape[0]):
        out[x] += weight * np.float32(a[x])


@_compiled
def _add(row, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] += weight * row[x]


@_compiled
def scaled(plane, stride, rows, row_weights, columns, column_weights, level, out):  # type: ignore[no-untyped-def]
    """`out` (height, width), uint8: weighted sums of rows and columns of `plane`, uint8, `stride` values a row.

    `rows` and `columns` are where the taps begin, (height,) and (width,), so that all taps lie inside the plane.
    `level`: what is black in the plane, what is black in `out`, and the
    factor between. Weights that do not add up to 1 fade to black.
    """
    height, width = out.shape
    row_taps, column_taps = row_weights.shape[1], column_weights.shape[1]
    left = columns.min()
    count = columns.max() + column_taps - left
    dark, black, gain = level[0], level[1], level[2]
    line = np.empty(count, np.float32)
    turned = np.zeros((count, BLOCK), np.float32)
    sums = np.empty(BLOCK, np.float32)
    for top in range(0, height, BLOCK):
        lines = min(BLOCK, height - top)
        for n in range(lines):
            first = rows[top + n]
            weights = row_weights[top + n]
            grouped = row_taps - row_taps % 4
            for tap in range(0, grouped, 4):
                at = (first + tap) * stride + left
                _sum_rows(
                    plane[at : at + count],
                    plane[at + stride : at + stride + count],
                    plane[at + 2 * stride : at + 2 * stride + count],
                    plane[at + 3 * stride : at + 3 * stride + count],
                    weights,
                    tap,
                    line,
                    tap == 0,
                )
            for tap in range(grouped, row_taps):
                at = (first + tap) * stride + left
                _sum_row(plane[at : at + count], weights[tap], line, tap == 0)
            total = np.float32(0)
            for tap in range(row_taps):
                total += weights[tap]
            lift = total * dark
            for x in range(count):
                turned[x, n] = line[x] - lift
        for x in range(width):
            sums[:] = np.float32(0)
            first = columns[x] - left
            for tap in range(column_taps):
                _add(turned[first + tap], column_weights[x, tap], sums)
            for n in range(lines):
                value = sums[n] * gain + black
                out[top + n, x] = np.uint8(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))
