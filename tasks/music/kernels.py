"""The compiled inner loop of beat tracking; imported where it is needed."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False
# numba infers the types from the arrays it is called with

from typing import Any

import numpy as np
from numba import njit

NO_BEAT_BEFORE = 255


def _compiled(function: Any) -> Any:
    """Compiled on first use, kept on disk where numba finds a folder to write to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to keep it in
        return njit(nogil=True)(function)


@_compiled
def _said(says, offsets, frame):
    total = np.float32(0)
    for phase in range(offsets.size):
        at = frame + offsets[phase]
        if at < says.shape[0]:
            total += says[at, phase]
    return total


@_compiled
def best_beats(gain, says, offsets, lengths, prior, cost, reach):
    """The row of beats with the highest sum of `gain`, `says` and `prior` less the cost of tempo changes; it may begin
    and end anywhere, so that silence before and after the music has no beats.

    Args:
        gain: (frames,) float64: what a beat at each frame is worth.
        says: (frames, phases) float32: what each frame says for a beat of which it is that phase.
        offsets: (phases, tempi) int64: frames from a beat to its phases.
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
            value += gain[t] + prior[k] + _said(says, offsets[:, k], t)
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
