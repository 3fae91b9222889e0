"""Who dances: the people of a shot that clips are about, the main one first."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.schema.clips import CLIP_FPS
from tasks.schema.forms import Form

Who = Literal["main", "all"]


class DancerRules(Form):
    """Who counts as a dancer."""

    who: Who = Field(
        "main",
        title="Dancers",
        description="main: at any time the largest person who stays; all: everybody of his size, as separate samples.",
    )
    smallest_height: int = Field(
        160,
        title="Smallest height",
        ge=16,
        le=4096,
        description="Pixels of the video. Smaller people are no dancers: a clip of them would be blown up too much.",
    )
    beside_main: float = Field(
        0.5,
        title="Beside the main dancer",
        ge=0,
        le=1,
        description="A person under this share of the main dancer's size is an onlooker.",
    )
    longest_pause_s: float = Field(
        0.5,
        title="Longest pause",
        gt=0,
        le=5,
        description="Seconds that a dancer may be unseen (hidden, turned, blurred) without being lost.",
    )
    least_score: float = Field(
        0.5, title="Least score", ge=0, le=1, description="Median detection score of a dancer over the shot."
    )


@dataclass(frozen=True, eq=False)
class Person:
    """One tracked person of a shot.

    Args:
        number: of the track.
        frames: int64, (S,), ascending: where it was detected.
        xyxy: float32, (S, 4): the box, as detected, in pixels of the upright video.
        body_xyxy: float32, (S, 4): the box and the joints that were seen surely.
        score: float32, (S,).
    """

    number: int
    frames: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    body_xyxy: NDArray[np.float32]
    score: NDArray[np.float32]

    @property
    def size(self) -> float:
        """Median root of the box's area, pixels."""
        return float(np.median(np.sqrt((self.xyxy[:, 2:] - self.xyxy[:, :2]).astype(float).prod(axis=1))))

    @property
    def height(self) -> float:
        """Median height of the box, pixels."""
        return float(np.median(self.xyxy[:, 3] - self.xyxy[:, 1]))


@dataclass(frozen=True, eq=False)
class Dancers:
    """The dancers of a shot, the main one first, and the others; `small` are those of them who are only too small."""

    dancers: tuple[Person, ...]
    small: tuple[Person, ...]
    others: tuple[Person, ...]


def dancers_of(people: tuple[Person, ...], frames: int, rules: DancerRules) -> Dancers:
    """Who of a shot's people dances.

    The main dancer is the one with the largest sum of sizes over the looks at the shot: size times persistence. Equal
    ones: the one further left, then the one who came first.

    Args:
        people: tracks of the shot.
        frames: looks at the shot, so that a person seen in half of them counts half.
        rules: who counts.
    """
    large = [p for p in people if p.height >= rules.smallest_height]
    sure = [p for p in large if float(np.median(p.score)) >= rules.least_score]
    ranked = sorted(sure, key=lambda p: (-round(prominence(p, frames), 6), float(p.xyxy[0, 0]), p.number))
    near = [p for p in ranked if p.size >= rules.beside_main * ranked[0].size]
    chosen = {p.number for p in near}
    small = tuple(p for p in people if p.height < rules.smallest_height)
    taken = chosen | {p.number for p in small}
    return Dancers(tuple(near), small, tuple(p for p in people if p.number not in taken))


def prominence(person: Person, frames: int) -> float:
    """Mean size over all looks at the shot, 0 where the person was not seen; pixels."""
    sizes = np.sqrt((person.xyxy[:, 2:] - person.xyxy[:, :2]).astype(float).prod(axis=1))
    return float(sizes.sum() / max(frames, 1))


def presence(person: Person, first: int, end: int, every: int, rules: DancerRules) -> list[tuple[int, int]]:
    """Runs of frames (first, end), end exclusive, in which a person is there all the time.

    Args:
        first: of the shot.
        end: of the shot, exclusive; the person may be there up to `every` frames before it was first seen and after it
            was last seen only where the shot begins or ends there.
        every: frames between two looks.
        rules: how long a person may be unseen.
    """
    longest = max(every, round(rules.longest_pause_s * CLIP_FPS))
    breaks = np.flatnonzero(np.diff(person.frames) > longest)
    starts = [0, *(breaks + 1).tolist()]
    ends = [*breaks.tolist(), len(person.frames) - 1]
    runs = []
    for start, last in zip(starts, ends, strict=True):
        begin, stop = int(person.frames[start]), int(person.frames[last]) + 1
        begin = first if begin - first < every else begin
        stop = end if end - stop < every else stop
        runs.append((begin, stop))
    return runs


def body_between(person: Person, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """The box that holds the body in each frame, (T, 4): between two looks what both of them need."""
    at = np.searchsorted(person.frames, frames, side="right") - 1
    before = at.clip(0, len(person.frames) - 1)
    exact = person.frames[before] == frames
    after = np.where(exact, before, (at + 1).clip(0, len(person.frames) - 1))
    low = np.minimum(person.body_xyxy[before, :2], person.body_xyxy[after, :2])
    high = np.maximum(person.body_xyxy[before, 2:], person.body_xyxy[after, 2:])
    return np.concatenate([low, high], axis=1).astype(np.float32)
