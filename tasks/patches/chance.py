"""Chance that is the same on every machine, in every version of every library: a number each from a key and a counter.

The numbers of a key are the output stream of BLAKE3, so the n-th of them depends on nothing but the key and n.
"""

from fractions import Fraction
from typing import Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

_BYTES: Final = 8
_BITS: Final = 53
"""What a float64 between 0 and 1 can tell apart."""

Key = tuple[str | int, ...]


def uniforms(key: Key, count: int, first: int = 0) -> NDArray[np.float64]:
    """Numbers [first, first + count) of a key, each in [0, 1), float64 (count,)."""
    return np.ldexp(_integers(key, count, first).astype(np.float64), -_BITS)


def fraction(key: Key) -> Fraction:
    """The first number of a key, exactly."""
    return Fraction(int(_integers(key, 1, 0)[0]), 1 << _BITS)


def shuffled(key: Key, count: int) -> NDArray[np.intp]:
    """The numbers 0 to count - 1 in an order by chance, intp (count,)."""
    return np.argsort(_integers(key, count, 0), kind="stable")


def _integers(key: Key, count: int, first: int) -> NDArray[np.int64]:
    named = "".join(f"{len(str(part))}:{part}" for part in key)
    stream = blake3(named.encode()).digest(length=_BYTES * count, seek=_BYTES * first) if count else b""
    return (np.frombuffer(stream, "<u8") >> np.uint64(64 - _BITS)).astype(np.int64)
