"""From shots and dancers to pieces of a video: which seconds become clips, and why the others do not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tasks.schema.clips import CLIP_FPS
from tasks.schema.forms import Form
from tasks.schema.rejections import Reason

SHORTEST_VIDEO_S = 1.0
"""Seconds; a shorter video gives no clip. Source: the seed."""


class PieceRules(Form):
    """How long clips are."""

    shortest_s: float = Field(
        3.0, title="Shortest clip", ge=SHORTEST_VIDEO_S, le=600, description="Seconds. A shorter video gives one clip."
    )
    longest_s: float = Field(10.0, title="Longest clip", ge=SHORTEST_VIDEO_S, le=600, description="Seconds.")

    @model_validator(mode="after")
    def _in_order(self) -> "PieceRules":
        if self.shortest_s > self.longest_s:
            raise ValueError("The shortest clip must not be longer than the longest one.")
        return self

    @property
    def longest(self) -> int:
        """Frames."""
        return max(1, math.floor(self.longest_s * CLIP_FPS + 1e-6))

    def shortest(self, video_frames: int) -> int:
        """Frames of the shortest clip of a video: of one that is shorter, a second."""
        wanted = math.ceil(self.shortest_s * CLIP_FPS - 1e-6)
        return min(wanted, self.longest) if video_frames >= wanted else math.ceil(SHORTEST_VIDEO_S * CLIP_FPS)


@dataclass(frozen=True, order=True)
class Piece:
    """Frames `first` to before `end` of the video's grid with one person, `dancer` by rank, 0 for the main one."""

    first: int
    end: int
    dancer: int = 0
    person: int = 0

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class LeftOut:
    """Frames `first` to before `end` that are in no clip."""

    first: int
    end: int
    reason: Reason
    detail: str

    @property
    def seconds(self) -> float:
        return (self.end - self.first) / CLIP_FPS


def cut_run(first: int, end: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    """Pieces of a run of frames, equal to within a frame and as few as possible; what does not fit is left at its end.

    Args:
        first: of the run.
        end: of the run, exclusive.
        shortest: frames of a piece, at least.
        longest: frames of a piece, at most.
    """
    length = end - first
    if length < shortest:
        return []
    pieces = math.ceil(length / longest)
    if length // pieces < shortest:  # between two multiples of the longest piece: leave the rest
        pieces = length // shortest
        length = min(length, pieces * longest)
    borders = [first + round(n * length / pieces) for n in range(pieces + 1)]
    return list(pairwise(borders))


def pieces_of(
    runs: Sequence[Sequence[tuple[int, int]]], shortest: int, longest: int, *, everybody: bool
) -> list[Piece]:
    """Pieces of one shot, in the order of time.

    Args:
        runs: of each dancer, the main one first: where he is there all the time.
        shortest: frames of a piece, at least.
        longest: frames of a piece, at most.
        everybody: each dancer gets his own pieces; else a dancer gets the time that those before him left free, so that
            no two pieces overlap.
    """
    taken: list[Piece] = []
    for person, spans in enumerate(runs):
        for span in spans:
            free = [span] if everybody else without(span, [(p.first, p.end) for p in taken])
            for first, end in free:
                cut = cut_run(first, end, shortest, longest)
                taken += [Piece(*each, person if everybody else 0, person) for each in cut]
    return sorted(taken)


def without(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of a span of frames that no other covers."""
    parts, begin = [], span[0]
    for first, end in sorted(others):
        if end <= begin or first >= span[1]:
            continue
        if first > begin:
            parts.append((begin, first))
        begin = max(begin, end)
    if begin < span[1]:
        parts.append((begin, span[1]))
    return parts


def covered(first: int, end: int, spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which of the frames `first` to before `end` lie in one of the spans."""
    marks = np.zeros(end - first, np.bool_)
    for begin, stop in spans:
        marks[max(begin - first, 0) : max(stop - first, 0)] = True
    return marks


def runs_of(marks: NDArray[np.bool_], first: int) -> list[tuple[int, int]]:
    """Where frames are marked, as spans; the first mark is of the frame `first`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    return [(first + int(begin), first + int(end)) for begin, end in edges.reshape(-1, 2)]
