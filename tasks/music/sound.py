"""Mono sound at 24 kHz: held in memory or in a file, read in pieces."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError

SAMPLE_RATE = 24000
"""Samples a second."""
HOP = 1000
"""Samples a row: exactly one frame of a 24 fps video."""
ROWS_PER_SECOND = 24

Floats = NDArray[np.float32]


class Samples(Protocol):
    """Mono float32 samples at 24 kHz that can be cut: a NumPy array, a memory map, a `SoundFile`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Floats: ...


@dataclass(frozen=True)
class SoundFile:
    """Raw little-endian float32 samples in a file; a slice reads just that part, so long sound needs no memory."""

    path: Path

    def __len__(self) -> int:
        return self.path.stat().st_size // 4

    def __getitem__(self, part: slice) -> Floats:
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("sound is read in one piece, without steps")
        return np.fromfile(self.path, dtype="<f4", count=max(stop - start, 0), offset=4 * start)


def write_sound(blocks: Iterable[Floats], path: Path) -> SoundFile:
    """Write what a decoder gives, block after block, and return it as sound that can be cut.

    Args:
        blocks: Mono float32 samples (n,) at 24 kHz.
        path: The file to write; overwritten.
    """
    with path.open("wb") as file:
        for block in blocks:
            _checked(block).astype("<f4", copy=False).tofile(file)
    return SoundFile(path)


def cut(samples: Samples, start: int, stop: int, end: int | None = None) -> Floats:
    """Samples [start, stop), zeros where there is no sound.

    Args:
        samples: Mono float32 at 24 kHz.
        start: First sample, may lie before the sound.
        stop: One past the last, may lie behind the sound.
        end: The sound counts as over here, if it is longer.

    Raises:
        ShapeError: Not one channel of float32.
    """
    length = len(samples) if end is None else min(len(samples), end)
    inside = _checked(samples[min(max(start, 0), length) : max(min(stop, length), 0)])
    if start >= 0 and stop <= length:
        return inside
    out = np.zeros(stop - start, np.float32)
    out[max(-start, 0) : max(-start, 0) + len(inside)] = inside
    return out


def _checked(block: Floats) -> Floats:
    if block.ndim != 1 or block.dtype != np.float32:
        raise ShapeError(f"sound is one channel of float32 samples (n,), not {block.dtype} {block.shape}")
    return block
