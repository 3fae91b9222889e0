"""Parts of the sound of a video or of a sound file, sample for sample those of the whole."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np

from tasks.music.sound import SAMPLE_RATE
from tasks.music.sound_track import Floats, sound_blocks


@dataclass(frozen=True, eq=False)
class SoundPart:
    """`samples`, with zeros where there is no sound: `before` so many at the beginning, `after` at the end."""

    samples: Floats
    before: int
    after: int


class SoundReader:
    """Reads parts of a sound whose starts ascend, decoding once; a context manager, for one thread.

    Parts may overlap; what lies before the last start is forgotten, and a part that lies farther back is read from the
    beginning again. Every part is sample for sample that of the whole sound.

    Args:
        path: a video or a sound file.
        rate: samples a second.
        channels: 1 or 2.
    """

    def __init__(self, path: Path, rate: int = SAMPLE_RATE, channels: int = 1) -> None:
        self.rate = rate
        self._path, self._channels = path, channels
        self._first = self._next = 0
        self._kept: list[Floats] = []
        self._blocks = sound_blocks(path, rate, channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()
        self._kept.clear()

    def read(self, start: int, count: int) -> SoundPart:
        """`count` samples from the sample `start` on, counted from the sound's first one; it may lie outside.

        Raises:
            SoundError: the file does not open, or holds no sound.
        """
        if max(start, 0) < self._first:
            self._restart()
        while self._kept and self._first + len(self._kept[0]) <= start:
            self._first += len(self._kept.pop(0))
        while self._next < start + count and (block := next(self._blocks, None)) is not None:
            self._next += len(block)
            if self._next <= start:
                self._first = self._next
            else:
                self._kept.append(block)
        shape = (count,) if self._channels == 1 else (count, self._channels)
        out = np.zeros(shape, np.float32)
        at = self._first
        for block in self._kept:
            low, high = max(at, start), min(at + len(block), start + count)
            if low < high:
                out[low - start : high - start] = block[low - at : high - at]
            at += len(block)
        before = min(max(-start, 0), count)
        return SoundPart(out, before, min(max(start + count - self._next, 0), count - before))

    def _restart(self) -> None:
        self._blocks.close()
        self._blocks = sound_blocks(self._path, self.rate, self._channels)
        self._kept.clear()
        self._first = self._next = 0


def read_sound(path: Path, start_s: float, duration_s: float, rate: int = SAMPLE_RATE) -> Floats:
    """A part of a sound as (n,) float32, mono, with zeros beyond its ends: sample for sample that of the whole.

    It decodes from the beginning (some hundred times faster than it sounds): for many parts use `SoundReader`, for all
    of it `sound_blocks`.

    Args:
        path: a video or a sound file.
        start_s: from the sound's first sample on; it may be negative.
        duration_s: of the part.
        rate: samples a second.
    Raises:
        SoundError: the file does not open, or holds no sound.
    """
    with SoundReader(path, rate) as reader:
        return reader.read(round(start_s * rate), ceil(duration_s * rate - 1e-6)).samples
