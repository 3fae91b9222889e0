"""How well beats were found: the usual F-measure, and whether a miss is one of the octave."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TOLERANCE_S = 0.07

Times = NDArray[np.float64]


def f_measure(known: Times, found: Times) -> float:
    """Share of beats that were found and of found ones that are beats, each used once; 70 ms either way."""
    hits, i, j = 0, 0, 0
    while i < len(known) and j < len(found):
        late = found[j] - known[i]
        if abs(late) <= TOLERANCE_S:
            hits, i, j = hits + 1, i + 1, j + 1
        elif late < 0:
            j += 1
        else:
            i += 1
    return 2 * hits / max(len(known) + len(found), 1)


def is_octave_error(known: Times, found: Times) -> bool:
    """Right moments at twice or half the tempo."""
    middles = (known[1:] + known[:-1]) / 2
    double = np.sort(np.concatenate([known, middles]))
    others = (double, known[::2], known[1::2])
    return f_measure(known, found) < 0.9 <= max(f_measure(each, found) for each in others)


def report(scores: Iterable[tuple[Times, Times]]) -> tuple[float, int]:
    """Mean F-measure and the number of octave errors."""
    pairs = list(scores)
    return float(np.mean([f_measure(*pair) for pair in pairs])), sum(is_octave_error(*pair) for pair in pairs)
