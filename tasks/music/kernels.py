"""Compiled inner loops; imported where the first one is needed."""

from typing import Any

import numpy as np
from numba import njit

LANES = 64
"""Columns worked on at once: the sorted windows of so many fit into the nearest cache."""
MEDIAN = 31
NO_BEAT_BEFORE = 255


def _compiled(function: Any) -> Any:
    """Compiled on first use, kept on disk where numba finds a folder to write to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to keep it in
        return njit(nogil=True)(function)


@_compiled
def _sort(window, width):  # type: ignore[no-untyped-def]
    """Sort the first `width` columns between the sentinels, by odd and even exchanges."""
    for step in range(MEDIAN):
        for i in range(1 + step % 2, MEDIAN, 2):
            for c in range(width):
                low, high = window[i, c], window[i + 1, c]
                window[i, c] = min(low, high)
                window[i + 1, c] = max(low, high)


@_compiled
def _exchange(window, gone, new, before):  # type: ignore[no-untyped-def]
    """Take `gone` out of each sorted column and put `new` in; `before` is scratch."""
    width = gone.size
    before[:] = -np.inf
    for i in range(1, MEDIAN + 1):
        here, after = window[i], window[i + 1]
        for c in range(width):
            left = here[c] if here[c] < gone[c] else after[c]
            here[c] = max(before[c], min(left, new[c]))
            before[c] = left


@_compiled
def running_median(values, out):  # type: ignore[no-untyped-def]
    """Medians of 31 down each column: `values` (n + 30, columns) float32, finite, to `out` (n, columns).

    The window of a column stays sorted: taking one value out and putting one in is two comparisons a place, without a
    branch, and so many columns run side by side.
    """
    rows, columns = out.shape
    middle = MEDIAN // 2 + 1
    window = np.empty((MEDIAN + 2, LANES), np.float32)
    before = np.empty(LANES, np.float32)
    for begin in range(0, columns, LANES):
        width = min(LANES, columns - begin)
        part = slice(begin, begin + width)
        window[0] = -np.inf
        window[1 : MEDIAN + 1, :width] = values[:MEDIAN, part]
        window[MEDIAN + 1] = np.inf
        _sort(window, width)
        out[0, part] = window[middle, :width]
        for row in range(1, rows):
            _exchange(window, values[row - 1, part], values[row - 1 + MEDIAN, part], before)
            out[row, part] = window[middle, :width]


@_compiled
def best_beats(gain, lengths, prior, cost, reach):  # type: ignore[no-untyped-def]
    """The row of beats with the highest sum of `gain` and `prior` less the cost of tempo changes; it may begin and end
    anywhere, so that silence before and after the music has no beats.

    Args:
        gain: (frames,) float64: what a beat at each frame is worth.
        lengths: (tempi,) int64 ascending: frames from a beat to the next.
        prior: (tempi,) float64, added at each beat.
        cost: (tempi, tempi) float64: of going from one tempo to the next.
        reach: Tempi up and down that one beat may change.

    Returns:
        Frames of the beats, ascending.
    """
    frames, tempi = gain.size, lengths.size
    ring = lengths[-1] + 1
    best = np.full((ring, tempi), -np.inf)
    back = np.full((frames, tempi), NO_BEAT_BEFORE, np.uint8)
    arriving = np.empty(tempi)
    score, frame, tempo = -np.inf, -1, 0
    for t in range(frames):
        for k in range(tempi):
            since = t - lengths[k]
            arriving[k] = best[since % ring, k] if since >= 0 else -np.inf
        for k in range(tempi):
            value = 0.0
            origin = NO_BEAT_BEFORE
            for j in range(max(0, k - reach), min(tempi, k + reach + 1)):
                other = arriving[j] - cost[j, k]
                if other > value:
                    value, origin = other, j
            value += gain[t] + prior[k]
            best[t % ring, k] = value
            back[t, k] = origin
            if value > score:
                score, frame, tempo = value, t, k
    path = np.empty(frames // lengths[0] + 2, np.int64)
    count = 0
    while frame >= 0:
        path[count] = frame
        count += 1
        origin = back[frame, tempo]
        if origin == NO_BEAT_BEFORE:
            break
        frame -= lengths[origin]
        tempo = origin
    return path[:count][::-1].copy()
