"""People followed through a shot: who is who from detection to detection, and where they are between.

Detect every few frames, `see` each detection in the order of time, then ask a track for its box in any frame:

    tracker = Tracker()
    for frame in range(0, frames, 6):
        tracker.see(frame, people_of(frame))
    box = tracker.tracks[0].boxes_at(np.arange(frames))

A tracker knows one shot; after a cut start another. Nothing here looks at pixels.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.body.oks import similarity
from tasks.body.pose_model import PersonDetections
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import COCO_17, Keypoints
from tasks.schema.records import Frozen

NOBODY: Final = -1
"""The number of a person who is too unsure to begin a track."""

_JOINTS_FOR_OKS: Final = 6
"""Joints that two people must both show before their likeness says more than their boxes do. Our choice."""

_VELOCITY_SHARE: Final = 0.6
"""Of a new velocity, the share that the last step decides; the rest is what was known. Our choice."""

_SMALLEST_RATIO: Final = 0.4
"""Of the shorter to the longer box height, under which two boxes are no one person a moment apart. Our choice."""


class TrackRules(Frozen):
    """How people are told apart.

    `start_score`: of a detection that may begin a track; a less sure one can only continue it. `likeness`, 0 to 1: the
    least mean of box overlap and joint similarity between where a person is expected and where one is seen. `reach`:
    who is left over after that may have moved fast, in `reach_frames` at most this share of the box's height, after a
    longer pause more, up to twice. `forget_after`: frames without the person after which the track ends. Our choices.
    """

    start_score: float = Field(0.5, ge=0, le=1)
    likeness: float = Field(0.25, gt=0, le=1)
    reach: float = Field(0.5, ge=0)
    reach_frames: int = Field(6, ge=1)
    forget_after: int = Field(48, ge=1)


@dataclass(frozen=True, eq=False)
class Track:
    """One person, S times seen.

    Args:
        number: 0 for the first person that appeared, and so on.
        frames: int64, (S,), ascending.
        xyxy: float32, (S, 4), as detected.
        score: float32, (S,).
        index: int64, (S,): which person of the frame's detections.
    """

    number: int
    frames: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]
    index: NDArray[np.int64]

    @property
    def longest_pause(self) -> int:
        """The most frames from one time to the next."""
        return int(np.diff(self.frames).max(initial=0))

    def boxes_at(self, frames: NDArray[np.int64]) -> Boxes:
        """The box in each frame, on straight lines between the times seen; before and after, as the nearest time.

        Returns:
            one box a frame; the score is 0 where the person was not looked for or not seen.
        """
        wanted = np.asarray(frames, np.int64)
        sides = [np.interp(wanted, self.frames, self.xyxy[:, side]) for side in range(4)]
        at = np.searchsorted(self.frames, wanted).clip(0, len(self.frames) - 1)
        score = np.where(self.frames[at] == wanted, self.score[at], np.float32(0))
        return Boxes(np.stack(sides, axis=1).astype(np.float32), score.astype(np.float32))


class Tracker:
    """Gives every detected person of a shot the number of a track.

    Who is who is decided for all people of a frame together, so that the sum of likenesses is the largest: box overlap
    and, where enough joints are seen, joint similarity, both with where the person is expected by now. People who are
    hidden for a while are expected where they were going, and keep their number when they come back in time.
    """

    def __init__(self, rules: TrackRules | None = None) -> None:
        self._rules = rules or TrackRules()
        self._people: list[_Person] = []
        self._last = -1

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Everybody so far, in the order of appearance."""
        return tuple(person.track(number) for number, person in enumerate(self._people))

    def see(self, frame: int, people: PersonDetections) -> NDArray[np.int64]:
        """The track of each person, (P,); `NOBODY` for those too unsure to begin one.

        Args:
            frame: its number; later than all before.
            people: as a `PoseModel` gives them. With another layout than COCO-17 only the boxes count.
        Raises:
            ValueError: the frame is not later.
        """
        if frame <= self._last:
            raise ValueError(f"frames are seen in order: {frame} after {self._last}")
        self._last = frame
        numbers = np.full(len(people), NOBODY, np.int64)
        open_tracks = [n for n, p in enumerate(self._people) if frame - p.frames[-1] <= self._rules.forget_after]
        for track, seen in self._same(frame, open_tracks, people):
            numbers[seen] = track
        for seen in range(len(people)):
            if numbers[seen] != NOBODY or people.boxes.score[seen] < self._rules.start_score:
                continue
            numbers[seen] = len(self._people)
            self._people.append(_Person())
        for seen, number in enumerate(numbers):
            if number != NOBODY:
                self._people[number].add(frame, people, seen)
        return numbers

    def _same(self, frame: int, tracks: list[int], people: PersonDetections) -> list[tuple[int, int]]:
        """Pairs of track and person: first who is alike, then who is near."""
        if not tracks or not len(people):
            return []
        expected = [self._people[n].expected(frame) for n in tracks]
        alike = likeness(
            np.stack([xyxy for xyxy, _ in expected]), _together([joints for _, joints in expected]), people
        )
        pairs = _assigned(alike, self._rules.likeness)
        left = sorted(set(range(len(tracks))).difference(t for t, _ in pairs))
        free = sorted(set(range(len(people))).difference(p for _, p in pairs))
        if left and free:
            last = np.stack([self._people[tracks[t]].xyxy[-1] for t in left])
            paused = np.array([frame - self._people[tracks[t]].frames[-1] for t in left])
            furthest = self._rules.reach * np.clip(paused / self._rules.reach_frames, 1, 2)
            near = nearness(last, people.boxes.xyxy[free], furthest)
            pairs += [(left[t], free[p]) for t, p in _assigned(near, 1e-6)]
        return [(tracks[t], p) for t, p in pairs]


@dataclass
class _Person:
    """What is known of one track."""

    frames: list[int] = field(default_factory=list)
    xyxy: list[NDArray[np.float32]] = field(default_factory=list)
    score: list[np.float32] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    joints: list[Keypoints] = field(default_factory=list)
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def add(self, frame: int, people: PersonDetections, seen: int) -> None:
        xyxy = people.boxes.xyxy[seen]
        if self.frames:
            step = (_centres(xyxy) - _centres(self.xyxy[-1])) / (frame - self.frames[-1])
            known = self.velocity if len(self.frames) > 1 else step
            self.velocity = _VELOCITY_SHARE * step + (1 - _VELOCITY_SHARE) * known
        self.frames.append(frame)
        self.xyxy.append(xyxy)
        self.score.append(people.boxes.score[seen])
        self.index.append(seen)
        self.joints = [people.keypoints.person(seen)]

    def expected(self, frame: int) -> tuple[NDArray[np.float32], Keypoints]:
        """Box and joints moved on by the velocity, for at most half a box: dancers turn back."""
        xyxy = self.xyxy[-1]
        move = self.velocity * (frame - self.frames[-1])
        furthest = float(np.hypot(*(xyxy[2:] - xyxy[:2]))) / 2
        move *= min(1.0, furthest / max(float(np.hypot(*move)), 1e-9))
        (last,) = self.joints
        joints = Keypoints.from_arrays(last.layout, last.xy + move, last.confidence)
        return (xyxy + np.tile(move, 2)).astype(np.float32), joints

    def track(self, number: int) -> Track:
        return Track(
            number,
            np.array(self.frames, np.int64),
            np.stack(self.xyxy).astype(np.float32),
            np.array(self.score, np.float32),
            np.array(self.index, np.int64),
        )


def likeness(xyxy: NDArray[np.float32], joints: Keypoints, people: PersonDetections) -> NDArray[np.float64]:
    """How alike T expected people and P seen ones are, (T, P), 0 to 1.

    The mean of box overlap and object keypoint similarity; the overlap alone for pairs that do not share six joints, or
    of another layout than COCO-17.
    """
    iou = overlaps(xyxy, people.boxes.xyxy)
    if joints.layout != COCO_17 or people.keypoints.layout != COCO_17:
        return iou
    area = np.prod((xyxy[:, 2:] - xyxy[:, :2]).clip(1), axis=1)
    oks = similarity(joints, area, people.keypoints)
    shared = joints.present.astype(int) @ people.keypoints.present.astype(int).T
    return np.where(shared >= _JOINTS_FOR_OKS, (iou + oks) / 2, iou)


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of every first box with every second: (N, 4) and (M, 4) to (N, M)."""
    a, b = first.astype(float)[:, None], second.astype(float)[None]
    size = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0)
    shared = size.prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9), np.float64)


def nearness(
    first: NDArray[np.float32], second: NDArray[np.float32], furthest: NDArray[np.floating]
) -> NDArray[np.float64]:
    """1 where centres agree, 0 from `furthest` (N,) heights of the first box on, or where heights differ too much."""
    height_a, height_b = (np.maximum(box[:, 3] - box[:, 1], 1e-9).astype(float) for box in (first, second))
    apart = np.linalg.norm(_centres(first)[:, None] - _centres(second)[None], axis=2)
    near = 1 - apart / np.maximum(furthest * height_a, 1e-9)[:, None]
    ratio = np.minimum(height_a[:, None], height_b[None]) / np.maximum(height_a[:, None], height_b[None])
    return np.where(ratio >= _SMALLEST_RATIO, near.clip(0), 0.0)


def smoothed_boxes(xyxy: NDArray[np.float32], sigma: float = 3.0) -> NDArray[np.float32]:
    """Boxes of consecutive frames without their jitter: centres and sizes under a Gaussian, symmetric in time.

    Args:
        xyxy: float32, (F, 4), one person, no frame missing.
        sigma: frames; 0: as they are.
    Returns:
        float32, (F, 4). At the ends the Gaussian is cut off, not mirrored, so nothing is invented there.
    """
    if sigma <= 0 or len(xyxy) < 2:
        return xyxy.copy()
    reach = min(int(np.ceil(3 * sigma)), len(xyxy) - 1)
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    boxes = xyxy.astype(float)
    values = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2], axis=1)
    inside = np.convolve(np.ones(len(xyxy)), weights)[reach : reach + len(xyxy)]
    smooth = np.stack([np.convolve(v, weights)[reach : reach + len(xyxy)] / inside for v in values.T], axis=1)
    return np.concatenate([smooth[:, :2] - smooth[:, 2:], smooth[:, :2] + smooth[:, 2:]], axis=1).astype(np.float32)


def _assigned(value: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pairs of row and column with the largest sum of values, each at least `least`."""
    from scipy.optimize import linear_sum_assignment

    counted = np.where(value >= least, value, 0.0)
    rows, columns = linear_sum_assignment(counted, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if counted[r, c] > 0]


def _centres(xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    """(..., 4) to (..., 2)."""
    return np.asarray((xyxy[..., :2].astype(float) + xyxy[..., 2:]) / 2, np.float64)


def _together(people: list[Keypoints]) -> Keypoints:
    layouts = {person.layout.name: person.layout for person in people}
    layout = next(iter(layouts.values()))
    return Keypoints(layout, np.concatenate([p.xy for p in people]), np.concatenate([p.confidence for p in people]))
