"""One pass over a video: its shots, and the people in them every few frames. Nothing is read twice."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.pose_model import PersonDetections, PoseModel
from tasks.dance.film_pass import film_frames
from tasks.dance.grid import first_on_grid, grid_frames
from tasks.schema.boxes import Boxes
from tasks.schema.clips import CLIP_FPS
from tasks.schema.films import Film
from tasks.schema.keypoints import Keypoints
from tasks.schema.rejections import Reason
from tasks.video.convert import Converter
from tasks.video.shots import ShotFinder, ShotRules, Stretch

if TYPE_CHECKING:
    from av import VideoFrame

LOOK_SIDE: Final = 640
"""Pixels of the longer side of what a pose model is shown: what those that find people see."""
BATCH: Final = 8
"""Pictures a call of the model; batched equals single, so that it decides speed alone."""
BATCHES_AHEAD: Final = 2
MOST_PEOPLE: Final = 16
"""The largest of a picture that are followed."""
LONGEST_STILL_S: Final = 0.5
"""A picture that is shown for longer is no dance: the video stands still, or lacks frames."""
_HELD: Final = 6
"""Pictures kept until it is known whether a shot ends among them."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A stretch of the grid (`CLIP_FPS` frames a second), and who was seen in it: frame -> people."""

    stretch: Stretch
    people: dict[int, PersonDetections]


@dataclass
class Counts:
    """What a pass over a video took: frames decoded, pictures on the grid, looks for people."""

    decoded: int = 0
    shown: int = 0
    looks: int = 0


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture that the grid shows from frame `first` to before `end`."""

    first: int
    end: int
    frame: "VideoFrame"


def shown_frames(film: Film, path: Path, counts: Counts, threads: int = 1) -> Iterator[Shown]:
    """What the grid shows, in order: at any time the last picture that began. What it never shows is dropped.

    Damaged pictures are left out; where pictures are missing for long, so are frames of the grid.
    """
    last: tuple[int, VideoFrame] | None = None
    for each in film_frames(film, path, threads=threads):
        counts.decoded += 1
        if each.doubtful:
            continue
        first = first_on_grid(film, each.pts)
        if last and first > last[0]:
            yield Shown(last[0], _shown_until(film, last[0], first), last[1])
        last = (first, each.frame)
    if last:
        yield Shown(last[0], _shown_until(film, last[0], max(grid_frames(film), last[0] + 1)), last[1])


def _shown_until(film: Film, first: int, following: int) -> int:
    """Where a picture ends on the grid: where the next one begins, or after its usual time where that is far away."""
    usual = math.ceil(CLIP_FPS / film.fps)
    longest = max(math.ceil(LONGEST_STILL_S * CLIP_FPS), 2 * usual)
    return following if following - first <= longest else first + usual


class Looking:
    """Looks for people in pictures of a video, in batches, beside the caller's work.

    Args:
        film: whose frames they are.
        model: that sees people.
        converter: makes pictures of frames.
    """

    def __init__(self, film: Film, model: PoseModel, converter: Converter) -> None:
        self._film, self._model, self._converter = film, model, converter
        left, top, right, bottom = film.content
        shrink = min(1.0, LOOK_SIDE / max(right - left, bottom - top))
        self._scaled = (max(1, round(film.width * shrink)), max(1, round(film.height * shrink)))
        across, down = self._scaled[0] / film.width, self._scaled[1] / film.height
        self._box = (
            *(math.floor(left * across), math.floor(top * down)),
            *(max(1, math.floor(right * across)), max(1, math.floor(bottom * down))),
        )
        self._waiting: list[tuple[int, NDArray[np.uint8]]] = []
        self._running: deque[tuple[list[int], Future[list[PersonDetections]]]] = deque()
        self._pool = ThreadPoolExecutor(1, "looking")
        self._looked: set[int] = set()
        self._people: dict[int, PersonDetections] = {}

    def look(self, frame: int, picture: "VideoFrame") -> bool:
        """Ask who is in a picture; False: that was asked before."""
        if frame in self._looked:
            return False
        self._looked.add(frame)
        self._waiting.append((frame, self._converter.crop(picture, self._scaled, self._box)))
        if len(self._waiting) == BATCH:
            self._submit()
        return True

    def seen(self, end: int) -> dict[int, PersonDetections]:
        """Who was seen before the frame `end`, in the order of time; forgotten afterwards."""
        if any(frame < end for frame, _ in self._waiting):
            self._submit()
        while any(min(frames) < end for frames, _ in self._running):
            self._join()
        frames = sorted(frame for frame in self._people if frame < end)
        self._looked = {frame for frame in self._looked if frame >= end}
        return {frame: self._people.pop(frame) for frame in frames}

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        while len(self._running) >= BATCHES_AHEAD:
            self._join()
        frames, pictures = [f for f, _ in self._waiting], [p for _, p in self._waiting]
        self._waiting = []
        self._running.append((frames, self._pool.submit(self._model.detect, pictures)))

    def _join(self) -> None:
        frames, found = self._running.popleft()
        for frame, people in zip(frames, found.result(), strict=True):
            self._people[frame] = self._in_video(people)

    def _in_video(self, people: PersonDetections) -> PersonDetections:
        """The largest people, in pixels of the upright video."""
        largest = np.sort(np.argsort(-people.boxes.area, kind="stable")[:MOST_PEOPLE])
        film = self._film
        scale = np.array([self._scaled[0] / film.width, self._scaled[1] / film.height], np.float32)
        origin = np.array(self._box[:2], np.float32)
        xyxy = (people.boxes.xyxy[largest] + np.tile(origin, 2)) / np.tile(scale, 2)
        # points count from the centre of the first pixel, boxes from its edge
        xy = (people.keypoints.xy[largest] + np.float32(0.5) + origin) / scale - np.float32(0.5)
        return PersonDetections(
            Boxes(xyxy.astype(np.float32), people.boxes.score[largest].copy()),
            Keypoints(people.keypoints.layout, xy.astype(np.float32), people.keypoints.confidence[largest].copy()),
        )


def look_through(
    film: Film, path: Path, model: PoseModel, rules: ShotRules, every: int, counts: Counts, threads: int = 1
) -> Iterator[Seen]:
    """Stretches of a video from its first frame to its last, without gaps, each when it is complete.

    People are looked for on every `every`-th frame of the grid, and on both sides of each cut. A stretch without
    pictures has the reason `FRAMES_UNREADABLE`.

    Args:
        film: what probing found out about it.
        path: where it lies now.
        model: that sees people.
        rules: what ends a shot.
        every: frames of the grid between two looks.
        counts: of what was done, filled in on the way.
        threads: of the decoder; the result does not depend on it.
    """
    converter = Converter(film)
    finder = ShotFinder(rules)
    held: deque[Shown] = deque(maxlen=_HELD)
    holes: deque[tuple[int, int]] = deque()
    due, end = 0, 0
    with closing(Looking(film, model, converter)) as looking:
        for shown in shown_frames(film, path, counts, threads):
            if shown.first > end:
                holes.append((end, shown.first))
            end = shown.end
            counts.shown += 1
            held.append(shown)
            done = finder.see(shown.first, converter.thumbnail(shown.frame))
            if due < shown.end:
                counts.looks += looking.look(shown.first, shown.frame)
                due = (shown.end - 1) // every * every + every
            if finder.newest_cut is not None:
                counts.looks += _look_beside(finder.newest_cut, held, looking)
            for stretch in done:
                yield from _with_people(stretch, holes, looking)
        if held:
            counts.looks += looking.look(held[-1].first, held[-1].frame)
        total = max(grid_frames(film), end)
        if end < total:
            holes.append((end, total))
        for stretch in finder.end(total) if held else ():
            yield from _with_people(stretch, holes, looking)


def _look_beside(cut: int, held: deque[Shown], looking: Looking) -> int:
    """Look at the last picture of a shot and at the first one of the next, if they are still there."""
    at = next((n for n, shown in enumerate(held) if shown.first == cut), None)
    if at is None:
        return 0
    return sum(looking.look(shown.first, shown.frame) for shown in list(held)[max(0, at - 1) : at + 1])


def _with_people(stretch: Stretch, holes: deque[tuple[int, int]], looking: Looking) -> Iterator[Seen]:
    """A stretch without the holes in it, and the holes."""
    begin = stretch.first
    while holes and holes[0][0] < stretch.end:
        first, end = holes.popleft()
        first = max(first, begin)
        if first > begin:
            yield Seen(Stretch(begin, first, stretch.reason, stretch.detail), looking.seen(first))
        seconds = (end - first) / CLIP_FPS
        told = f"The video has no new picture for {seconds:.2f} s."
        stop = min(end, stretch.end)
        if stop > first:
            yield Seen(Stretch(first, stop, Reason.FRAMES_UNREADABLE, told), {})
        if end > stretch.end:
            holes.appendleft((stretch.end, end))
        begin = stop
    if begin < stretch.end:
        yield Seen(Stretch(begin, stretch.end, stretch.reason, stretch.detail), looking.seen(stretch.end))
