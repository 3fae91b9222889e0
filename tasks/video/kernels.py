"""Compiled inner loops of the conversion from film frames to RGB; imported where the first picture is made.

They release the interpreter lock, share nothing and never reorder sums, so that a pixel is the same number in whichever
thread, crop or vector lane it is computed. Curves are polynomials, because look-ups do not run in vector lanes.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# numba infers the types from the arrays it is called with

from functools import partial
from typing import Any

import numpy as np
from numba import njit

BLOCK = 64
"""Rows that are resampled horizontally at once, where columns do not repeat."""


def _compiled(function: Any) -> Any:
    """Compiled on first use, kept on disk where numba finds a folder to write to."""
    compiled = partial(njit, nogil=True, error_model="numpy", fastmath={"contract"})
    try:
        return compiled(cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        return compiled()(function)


@_compiled
def _blend(plane, first, second, weight, scale, offset, out):
    """`out` = scale * ((1 - weight) * row at `first` + weight * row at `second`) + offset."""
    count = out.shape[0]
    a = plane[first : first + count]
    b = plane[second : second + count]
    rest = np.float32(1) - weight
    for x in range(count):
        out[x] = (np.float32(a[x]) * rest + np.float32(b[x]) * weight) * scale + offset


@_compiled
def _spread(half, even, odd, out):
    """Twice as many columns: `half` holds one neighbour more at each end; `even`, `odd`: weights of the farther."""
    keep_even = np.float32(1) - even
    keep_odd = np.float32(1) - odd
    for x in range(out.shape[0] // 2):
        out[2 * x] = half[x + 1] * keep_even + half[x] * even
        out[2 * x + 1] = half[x + 1] * keep_odd + half[x + 2] * odd


@_compiled
def _signal(luma, u, v, k, red, green, blue):
    """R'G'B' from luma codes and centred chroma: luma's scale and offset, then the matrix's four entries for chroma."""
    scale, offset, red_v, green_u, green_v, blue_u = k[0], k[1], k[2], k[3], k[4], k[5]
    for x in range(red.shape[0]):
        y = np.float32(luma[x]) * scale + offset
        red[x] = y + red_v * v[x]
        green[x] = y + green_u * u[x] + green_v * v[x]
        blue[x] = y + blue_u * u[x]


@_compiled
def _to_light(values, k):
    """In place, from signals bounded to 0 to 1: squares of two polynomials of the seventh degree that share a joint."""
    a0, a1, a2, a3, a4, a5, a6, a7 = k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
    b0, b1, b2, b3, b4, b5, b6, b7 = k[9], k[10], k[11], k[12], k[13], k[14], k[15], k[16]
    joint, low, top = k[0], np.float32(0), np.float32(1)
    for x in range(values.shape[0]):
        s = min(max(values[x], low), top)
        a = ((((((a7 * s + a6) * s + a5) * s + a4) * s + a3) * s + a2) * s + a1) * s + a0
        b = ((((((b7 * s + b6) * s + b5) * s + b4) * s + b3) * s + b2) * s + b1) * s + b0
        root = a if s < joint else b
        values[x] = root * root


@_compiled
def _tone(red, green, blue, k):
    """In place: a matrix to the other gamut, then the Möbius curve on the largest component."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
    knee, a, b, c = k[9], k[10], k[11], k[12]
    least = np.float32(1e-6)
    one = np.float32(1)
    for x in range(red.shape[0]):
        r = m00 * red[x] + m01 * green[x] + m02 * blue[x]
        g = m10 * red[x] + m11 * green[x] + m12 * blue[x]
        bl = m20 * red[x] + m21 * green[x] + m22 * blue[x]
        peak = max(r, g, bl, least)
        gain = c * (peak + a) / ((peak + b) * peak)
        gain = one if peak <= knee else gain
        red[x] = r * gain
        green[x] = g * gain
        blue[x] = bl * gain


@_compiled
def _to_levels(values, k):
    """In place, to whole levels: a polynomial of the sixth degree of the fourth root of light bounded to 0 to 1."""
    k0, k1, k2, k3, k4, k5, k6 = k[0], k[1], k[2], k[3], k[4], k[5], k[6]
    low, top, half = np.float32(0), np.float32(1), np.float32(0.5)
    for x in range(values.shape[0]):
        root = np.sqrt(np.sqrt(min(max(values[x], low), top)))
        level = (((((k6 * root + k5) * root + k4) * root + k3) * root + k2) * root + k1) * root + k0
        values[x] = np.float32(np.int32(level + half))


@_compiled
def _rounded(values):
    """To whole levels, in place."""
    low, top, half = np.float32(0), np.float32(255), np.float32(0.5)
    for x in range(values.shape[0]):
        values[x] = np.float32(np.int32(min(max(values[x], low), top) + half))


@_compiled
def _combine(a, b, c, d, weights, first, out, begin):
    """`out` = (or +=, unless `begin`) four rows by their weights."""
    p, q, r, s = weights[first], weights[first + 1], weights[first + 2], weights[first + 3]
    if begin:
        for x in range(out.shape[0]):
            out[x] = p * a[x] + q * b[x] + r * c[x] + s * d[x]
    else:
        for x in range(out.shape[0]):
            out[x] = out[x] + p * a[x] + q * b[x] + r * c[x] + s * d[x]


@_compiled
def _halve(row, weights, out):
    """Every second column of `row` with the eleven that follow it, by twelve weights; summed as in `_combine`."""
    a, b, c, d, e, f = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    g, h, i, j, k, m = weights[6], weights[7], weights[8], weights[9], weights[10], weights[11]
    for x in range(out.shape[0]):
        at = 2 * x
        total = a * row[at] + b * row[at + 1] + c * row[at + 2] + d * row[at + 3] + e * row[at + 4] + f * row[at + 5]
        total = total + g * row[at + 6] + h * row[at + 7] + i * row[at + 8] + j * row[at + 9] + k * row[at + 10]
        out[x] = total + m * row[at + 11]


@_compiled
def _interleave(red, green, blue, out):
    """Whole levels in float32 to a row of pixels, red, green, blue, red and so on."""
    at = 0
    for x in range(red.shape[0]):
        out[at] = np.uint8(np.int32(red[x]))
        out[at + 1] = np.uint8(np.int32(green[x]))
        out[at + 2] = np.uint8(np.int32(blue[x]))
        at += 3


@_compiled
def _resample_columns(block, lines, first, weights, out):
    """`out` (lines, 3 * width), uint8, from `block` (lines, 3 * count): each column its own weights.

    The block is turned on its side, so that the loop over taps runs along memory.
    """
    width, taps = weights.shape
    count = block.shape[1] // 3
    turned = np.empty((count, lines), np.float32)
    sums = np.empty(lines, np.float32)
    for channel in range(3):
        for x in range(count):
            for line in range(lines):
                turned[x, line] = block[line, channel * count + x]
        for x in range(width):
            for tap in range(0, taps, 4):
                p, q, r, s = weights[x, tap], weights[x, tap + 1], weights[x, tap + 2], weights[x, tap + 3]
                a = first[x] + tap
                if tap == 0:
                    for i in range(lines):
                        sums[i] = p * turned[a, i] + q * turned[a + 1, i] + r * turned[a + 2, i] + s * turned[a + 3, i]
                else:
                    for i in range(lines):
                        total = sums[i] + p * turned[a, i] + q * turned[a + 1, i]
                        sums[i] = total + r * turned[a + 2, i] + s * turned[a + 3, i]
            _rounded(sums)
            for line in range(lines):
                out[line, 3 * x + channel] = np.uint8(np.int32(sums[line]))


@_compiled
def _go_on(values, before, inside):
    """The outermost of the `inside` values that lie behind the first `before` go on to both ends."""
    for x in range(before):
        values[x] = values[before]
    for x in range(before + inside, values.shape[0]):
        values[x] = values[before + inside - 1]


@_compiled
def _chroma(plane, stride, rows, columns, y, left, siting, levels, half, out):
    """One plane's chroma at row `y` and the columns from `left` on, an even one, at luma resolution.

    `siting`: halved rows and columns (0 or 1 each), then the weight of the farther sample in even rows, odd rows, even
    columns and odd columns; beyond the borders the outermost samples go on.
    """
    row, other, weight = y, y, np.float32(0)
    if siting[0] == 1:
        row = y // 2
        other = min(max(row + (1 if y % 2 else -1), 0), rows - 1)
        weight = siting[3] if y % 2 else siting[2]
    first = row * stride
    second = other * stride
    scale, offset = levels[0], levels[1]
    if siting[1] == 0:
        _blend(plane, first + left, second + left, weight, scale, offset, out)
        return
    begin = left // 2 - 1
    skipped = max(-begin, 0)
    count = min(begin + half.shape[0], columns) - (begin + skipped)
    _blend(
        plane, first + begin + skipped, second + begin + skipped, weight, scale, offset, half[skipped : skipped + count]
    )
    _go_on(half, skipped, count)
    _spread(half, siting[4], siting[5], out)


@_compiled
def _picture_row(
    luma, u, v, layout, siting, chroma, signal, light, tone, level, y, left, count, work, half, red, green, blue
):
    """Row `y` of the picture, `count` columns from `left` on (even): whole levels as float32."""
    stride, chroma_stride, chroma_columns, chroma_rows = layout
    if chroma_rows:
        _chroma(u, chroma_stride, chroma_rows, chroma_columns, y, left, siting, chroma, half, work[0])
        _chroma(v, chroma_stride, chroma_rows, chroma_columns, y, left, siting, chroma, half, work[1])
    begin = y * stride + left
    _signal(luma[begin : begin + count], work[0], work[1], signal, red, green, blue)
    if light.shape[0] == 0:
        _rounded(red)
        _rounded(green)
        _rounded(blue)
        return
    _to_light(red, light)
    _to_light(green, light)
    _to_light(blue, light)
    _tone(red, green, blue, tone)
    _to_levels(red, level)
    _to_levels(green, level)
    _to_levels(blue, level)


@_compiled
def whole(luma, u, v, layout, siting, chroma, signal, light, tone, level, top, left, out):
    """`out` (height, 3 * width), uint8: the picture without scaling, from row `top` and the even column `left` on."""
    height, width = out.shape[0], out.shape[1] // 3
    work = np.zeros((2, width + width % 2), np.float32)
    half = np.empty(work.shape[1] // 2 + 2, np.float32)
    row = np.empty((3, width), np.float32)
    red, green, blue = row[0], row[1], row[2]
    for y in range(height):
        _picture_row(
            luma, u, v, layout, siting, chroma, signal, light, tone, level,
            top + y, left, width, work, half, red, green, blue,
        )  # fmt: skip
        _interleave(red, green, blue, out[y])


@_compiled
def scaled(
    luma, u, v, layout, siting, chroma, signal, light, tone, level,
    size, rows, row_weights, left, columns, column_weights, halving, out,
):  # fmt: skip
    """`out` (height, 3 * width), uint8: rows and columns of it are weighted sums of the picture's rows and columns.

    Args:
        size: width and height of the picture, whose outermost rows and columns go on beyond it.
        rows: (height,), int32, ascending: the first row of the picture for each of the output.
        row_weights: (height, taps), float32, taps a multiple of four.
        left: an even column of the picture, where `columns`, for the columns what `rows` are for the rows, count from.
        halving: the columns are every second one, all with the same twelve weights.
    """
    height, width = out.shape[0], out.shape[1] // 3
    taps = row_weights.shape[1]
    count = columns[width - 1] + column_weights.shape[1]
    before = max(-left, 0)
    inside = min(left + count, size[0]) - (left + before)
    work = np.zeros((2, inside + inside % 2), np.float32)
    half = np.empty(work.shape[1] // 2 + 2, np.float32)
    ring = np.empty((taps, 3 * count), np.float32)
    block = np.empty((BLOCK, 3 * count), np.float32)
    sums = np.empty((3, width), np.float32)
    done = rows[0]
    for top in range(0, height, BLOCK):
        lines = min(BLOCK, height - top)
        for line in range(lines):
            wanted = rows[top + line]
            done = max(done, wanted)
            while done < wanted + taps:
                row = ring[done % taps]
                _picture_row(
                    luma, u, v, layout, siting, chroma, signal, light, tone, level,
                    min(max(done, 0), size[1] - 1), left + before, inside, work, half,
                    row[before : before + inside],
                    row[count + before : count + before + inside],
                    row[2 * count + before : 2 * count + before + inside],
                )  # fmt: skip
                for channel in range(3):
                    begin = channel * count
                    _go_on(row[begin : begin + count], before, inside)
                done += 1
            for tap in range(0, taps, 4):
                at = wanted + tap
                _combine(
                    ring[at % taps], ring[(at + 1) % taps], ring[(at + 2) % taps], ring[(at + 3) % taps],
                    row_weights[top + line], tap, block[line], tap == 0,
                )  # fmt: skip
            if halving:
                for channel in range(3):
                    begin = channel * count + columns[0]
                    _halve(block[line, begin : (channel + 1) * count], column_weights[0], sums[channel])
                    _rounded(sums[channel])
                _interleave(sums[0], sums[1], sums[2], out[top + line])
        if not halving:
            _resample_columns(block, lines, columns, column_weights, out[top : top + lines])
