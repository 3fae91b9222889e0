"""Which clips share a song: landmarks of the spectrum (pairs of peaks), compared at every shift.

Pairs of peaks outlive re-encoding, gain and noise; a different excerpt of the same recording has the same pairs at one
constant shift in time, which chance does not give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tasks.music.groups import Groups
from tasks.music.sound import SAMPLE_RATE, Samples, cut
from tasks.schema.errors import ShapeError

HOP = 400
"""60 frames a second."""
WINDOW = 2048
LOWEST_BIN, HIGHEST_BIN = 20, 450
"""230 Hz to 5.3 kHz: what every encoder keeps; the strokes of a drum machine below would be alike in many songs."""
PEAK_BINS, PEAK_FRAMES = 10, 8
"""A peak is the strongest this far around."""
PEAKS_A_SECOND = 30
FAINT = 1e-4
"""Peaks below this share of the clip's strongest are noise of the encoder."""
NEAREST, FARTHEST = 4, 64
"""Frames from a peak to those it is paired with."""
FAN_BINS = 120
FAN = 6
BLOCK_FRAMES = 2048
SLACK = 1
"""Frames that the shifts of common pairs may differ: excerpts do not begin on our frames."""
LEAST_SCORE = 1.6
"""Common pairs at one shift times their share of the overlap's pairs: at most 0.93 in 231 pairs of other songs, from
2.5 in 141 pairs of re-encoded, quieter excerpts and halves."""
LEAST_COMMON = 2
"""What `LEAST_SCORE` takes at the very least, since no share is more than 1."""


@dataclass(frozen=True)
class Fingerprint:
    """Landmarks of a clip: hashes (n,) uint32, ascending, with their frames (n,) int32; and the frames of the clip."""

    hashes: NDArray[np.uint32]
    frames: NDArray[np.int32]
    length: int

    def to_bytes(self) -> bytes:
        """Little-endian: the length as int32, then all hashes, then all frames."""
        length = self.length.to_bytes(4, "little")
        return length + self.hashes.astype("<u4").tobytes() + self.frames.astype("<i4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` made.

        Raises:
            ShapeError: the bytes are no fingerprint.
        """
        if len(data) % 8 != 4:
            raise ShapeError(f"{len(data)} bytes are no fingerprint")
        hashes, frames = np.split(np.frombuffer(data, "<u4", offset=4), 2)
        return cls(hashes.astype(np.uint32), frames.view("<i4").astype(np.int32), int.from_bytes(data[:4], "little"))


@dataclass(frozen=True)
class Likeness:
    """What two fingerprints have in common.

    Attributes:
        common: Pairs of peaks in common at the best shift.
        share: Of the pairs that the shorter list has within the overlap.
        shift_s: Seconds by which the second clip starts later in the song than the first.
        same_song: Enough in common: `common` times `share` reaches `LEAST_SCORE`.
    """

    common: int
    share: float
    shift_s: float
    same_song: bool


def fingerprint(samples: Samples) -> Fingerprint:
    """Find the landmarks of a clip.

    Args:
        samples: Mono float32 at 24 kHz.
    """
    length = len(samples) // HOP + 1
    found = [_peaks(samples, start, min(start + BLOCK_FRAMES, length)) for start in range(0, length, BLOCK_FRAMES)]
    frames, bins, strength = (np.concatenate(each) for each in zip(*found, strict=True))
    kept = _strongest(frames, strength)
    hashes, at = _pairs(frames[kept], bins[kept])
    order = np.lexsort((at, hashes))
    return Fingerprint(hashes[order], at[order].astype(np.int32), length)


def compare(first: Fingerprint, second: Fingerprint) -> Likeness:
    """What two clips have in common, at the shift where it is most."""
    left = np.searchsorted(second.hashes, first.hashes, side="left")
    count = np.searchsorted(second.hashes, first.hashes, side="right") - left
    total = int(count.sum())
    if not total:
        return Likeness(0, 0.0, 0.0, same_song=False)
    mine = np.repeat(np.arange(len(first.hashes)), count)
    theirs = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + np.repeat(left, count)
    shifts = first.frames[mine] - second.frames[theirs]
    lowest = int(shifts.min())
    votes = np.bincount(shifts - lowest)
    votes = np.convolve(votes, np.ones(2 * SLACK + 1, np.int64), "same")
    shift = int(votes.argmax()) + lowest
    matching = np.abs(shifts - shift) <= SLACK
    common = min(len(np.unique(mine[matching])), len(np.unique(theirs[matching])))
    pairs = min(_within(first, shift, second.length + shift), _within(second, -shift, first.length - shift))
    share = common / pairs if pairs else 0.0
    return Likeness(common, share, shift * HOP / SAMPLE_RATE, common * share >= LEAST_SCORE)


def songs(clips: Sequence[Fingerprint], known: Sequence[int] = ()) -> list[int]:
    """A group number for each clip: clips that share a song, directly or through others, have the same number.

    Only pairs with a few landmarks in common at one shift are compared, found in an index of all landmarks; pairs that
    are in one group by then are not compared again. Time grows with the landmarks that clips share.

    Args:
        clips: their fingerprints.
        known: a number for each clip: clips with the same one are known to share a song; empty: nothing is known.
    """
    group = Groups(len(clips))
    group.join_equal(known)
    if clips:
        hashes = np.concatenate([clip.hashes for clip in clips])
        order = np.argsort(hashes, kind="stable")
        index = _Index(
            hashes[order],
            np.repeat(np.arange(len(clips)), [len(clip.hashes) for clip in clips])[order],
            np.concatenate([clip.frames for clip in clips])[order],
        )
        for clip in range(1, len(clips)):
            for other in index.alike(clips[clip], clip):
                if group.of(clip) != group.of(other) and compare(clips[clip], clips[other]).same_song:
                    group.join(clip, other)
    return [group.of(clip) for clip in range(len(clips))]


@dataclass(frozen=True, eq=False)
class _Index:
    """Landmarks of all clips by their hashes, ascending, those of one hash in the order of clips; (n,) each."""

    hashes: NDArray[np.uint32]
    clips: NDArray[np.int64]
    frames: NDArray[np.int32]

    def alike(self, clip: Fingerprint, before: int) -> list[int]:
        """Clips before a number that have `LEAST_COMMON` landmarks of a clip at one shift, the most alike first."""
        left = np.searchsorted(self.hashes, clip.hashes, side="left")
        count = np.searchsorted(self.hashes, clip.hashes, side="right") - left
        place = np.arange(count.sum()) + np.repeat(left - (np.cumsum(count) - count), count)
        shifts = (np.repeat(clip.frames, count) - self.frames[place]).astype(np.int64)
        others = self.clips[place]
        earlier = others < before
        keys, votes = np.unique((others[earlier] << 32) + (shifts[earlier] + (1 << 31)), return_counts=True)
        near = votes.copy()
        for step in range(1, SLACK + 1):
            follows = np.searchsorted(keys, keys + step)
            there = np.flatnonzero(follows < len(keys))
            there = there[keys[follows[there]] == keys[there] + step]
            near[there] += votes[follows[there]]
            near[follows[there]] += votes[there]
        most = near >= LEAST_COMMON
        found, row = np.unique(keys[most] >> 32, return_inverse=True)
        best = np.zeros(len(found), np.int64)
        np.maximum.at(best, row, near[most])
        return [int(other) for other in found[np.argsort(-best, kind="stable")]]


def _peaks(samples: Samples, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    from scipy import fft
    from scipy.ndimage import maximum_filter
    from scipy.signal import get_window

    first, last = start - PEAK_FRAMES, stop + PEAK_FRAMES
    sound = cut(samples, first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2)
    window = get_window("hann", WINDOW).astype(np.float32)
    spectra = fft.rfft(sliding_window_view(sound, WINDOW)[::HOP] * window)[:, LOWEST_BIN:HIGHEST_BIN]
    power = spectra.real**2 + spectra.imag**2
    strongest = maximum_filter(power, (2 * PEAK_FRAMES + 1, 2 * PEAK_BINS + 1), mode="constant")
    inner = slice(PEAK_FRAMES, PEAK_FRAMES + stop - start)
    frames, bins = np.nonzero((power[inner] == strongest[inner]) & (power[inner] > 0))
    return frames + start, bins, power[inner][frames, bins]


def _strongest(frames: NDArray[np.int64], strength: NDArray[np.float32]) -> NDArray[np.int64]:
    """The strongest of each second, in order of time; each second by itself, so that an excerpt keeps the same."""
    second = frames * HOP // SAMPLE_RATE
    order = np.lexsort((-strength, second))
    rank = np.arange(len(order)) - np.searchsorted(second[order], second[order])
    loud = strength[order] > FAINT * strength.max(initial=0)
    return np.sort(order[(rank < PEAKS_A_SECOND) & loud])


def _pairs(frames: NDArray[np.int64], bins: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes of pairs (bin, bin, distance) and the frame of the first; each peak with the next ones nearby in pitch."""
    made: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    used = np.zeros(len(frames), np.int64)
    begin = np.searchsorted(frames, frames + NEAREST)
    for step in range(PEAKS_A_SECOND * 2):
        other = begin + step
        ok = other < len(frames)
        mine, theirs = np.flatnonzero(ok), other[ok]
        apart = frames[theirs] - frames[mine]
        near = (apart <= FARTHEST) & (np.abs(bins[theirs] - bins[mine]) <= FAN_BINS) & (used[mine] < FAN)
        mine, theirs, apart = mine[near], theirs[near], apart[near]
        used[mine] += 1
        made.append(((bins[mine] << 18) | (bins[theirs] << 8) | apart, frames[mine]))
    hashes, at = (np.concatenate(each) for each in zip(*made, strict=True))
    return hashes.astype(np.uint32), at


def _within(clip: Fingerprint, start: int, stop: int) -> int:
    return int(((clip.frames >= start) & (clip.frames < stop)).sum())
