"""Where the shots of a whole video begin and end, found in one pass over thumbnails, with what lies between them."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.forms import Form
from tasks.schema.rejections import Reason
from tasks.video.stability import StabilityRules, Stable, Unstable, judge_window

if TYPE_CHECKING:
    from scenedetect import AdaptiveDetector, ContentDetector

Thumbnail = NDArray[np.uint8]

DELAY: Final = 2 * WINDOW_FRAMES
"""Frames that have to be seen after one before it is decided to which stretch that one belongs."""

_HALF: Final = WINDOW_FRAMES // 2
_FADE_STEP: Final = WINDOW_FRAMES - 1
"""Fades are looked for in windows that follow each other."""

_STEP_SHARE: Final = 0.5
"""Of the largest change from picture to picture in a window; a cut with less is a shadow of another one."""

_FADE_STRIDES: Final = (1, 2)
"""Of the seven pictures that are looked at: fades and dissolves of up to about a second show in one of them."""

_BETWEEN_SHOTS: Final = (Reason.SCENE_FADE, Reason.SCENE_BLACK)
_BLACK: Final = Unstable(Reason.SCENE_BLACK, "The picture is black.", 1.0)
_BOUNDARIES: Final = (Reason.SCENE_CUT, *_BETWEEN_SHOTS)


class ShotRules(Form):
    """What ends a shot. PySceneDetect proposes, the measures of `tasks.video.stability` decide."""

    content: float = Field(
        27.0,
        title="Cut: content",
        gt=0,
        le=255,
        description="Content score from which PySceneDetect proposes a cut; 27 is its own threshold.",
    )
    adaptive_ratio: float = Field(
        2.0,
        title="Cut: ratio",
        gt=1,
        description="A score this many times that of its neighbours is proposed too. PySceneDetect's own is 3.",
    )
    adaptive_least: float = Field(
        10.0, title="Cut: least content", ge=0, le=255, description="Content score that such a proposal needs."
    )
    still_difference: float = Field(
        6.0,
        title="Fade: least difference",
        ge=0,
        le=255,
        description="Mean difference of two thumbnails six or twelve frames apart, under which no fade is looked for.",
    )


@dataclass(frozen=True)
class Stretch:
    """Frames from `first` to before `end`.

    `reason` is None for a shot; else it says why this is none, and `detail` is a sentence for a person.
    """

    first: int
    end: int
    reason: Reason | None = None
    detail: str = ""

    @property
    def steady(self) -> bool:
        return self.reason is None

    def __len__(self) -> int:
        return self.end - self.first


class ShotFinder:
    """Takes thumbnails in order and gives stretches as soon as they are complete; they follow each other without gaps.

    Holds the last few thumbnails, whatever the length of the video. A cut is proposed by PySceneDetect's content and
    adaptive detectors; it counts where the seven frames around it show a new picture, and not where they show a flash
    or a movement. Fades, dissolves and black pictures are stretches of their own.

    `newest_cut`: the frame that begins a new shot, if the last picture seen made that known; three pictures late.
    """

    def __init__(self, rules: ShotRules | None = None) -> None:
        self._rules = rules or ShotRules()
        self._detectors = _detectors(self._rules)
        self._limits = StabilityRules()
        self._recent: deque[Thumbnail] = deque(maxlen=DELAY)
        self._places: deque[int] = deque(maxlen=2 * DELAY)
        self._seen = 0
        self._last = -1
        self._proposed: list[int] = []
        self._cuts: set[int] = set()
        self._between: dict[int, Unstable] = {}
        self._open: Stretch | None = None
        self.newest_cut: int | None = None

    def see(self, frame: int, thumbnail: Thumbnail) -> tuple[Stretch, ...]:
        """The next picture, and the stretches that are complete by now.

        Args:
            frame: its number; later than all before. Numbers left out show the picture before them.
            thumbnail: RGB uint8, (h, w, 3), about 160 pixels long, all of one size.
        Raises:
            ValueError: the frame is not later.
        """
        if frame <= self._last:
            raise ValueError(f"frames are seen in order: {frame} after {self._last}")
        self._last = frame
        number = self._seen
        self._seen += 1
        self._recent.append(thumbnail)
        self._places.append(frame)
        self._proposed += self._proposals(number, thumbnail)
        self._decide(number)
        if _is_black(thumbnail, self._limits):
            self._between[number] = _BLACK
        self._look_for_fade(number)
        if number < DELAY:
            return ()
        settled = number - DELAY
        return self._settle(settled, self._place(settled + 1))

    def end(self, frames: int) -> tuple[Stretch, ...]:
        """The stretches that are left.

        Args:
            frames: of the video; its last picture is shown until there.
        """
        done: list[Stretch] = []
        self._decide(self._seen + WINDOW_FRAMES)
        for number in range(max(0, self._seen - DELAY), self._seen):
            last = number == self._seen - 1
            done += self._settle(number, frames if last else self._place(number + 1))
        if self._open is not None:
            done.append(self._open)
            self._open = None
        return tuple(done)

    def _proposals(self, number: int, thumbnail: Thumbnail) -> list[int]:
        from scenedetect import FrameTimecode

        small = _at_least(thumbnail)
        picture = np.ascontiguousarray(small[..., ::-1])
        time = FrameTimecode(number, 25.0)
        found = {cut.frame_num for each in self._detectors for cut in each.process_frame(time, picture)}
        return sorted(cut for cut in found if cut is not None and cut not in self._proposed)

    def _decide(self, newest: int) -> None:
        """Judge proposals whose windows are complete."""
        self.newest_cut = None
        while self._proposed and min(self._proposed) + _HALF <= newest:
            number = min(self._proposed)
            self._proposed.remove(number)
            if number > 0 and self._is_boundary(number):
                self._cuts.add(number)
                self.newest_cut = self._place(number)

    def _is_boundary(self, number: int) -> bool:
        oldest = self._seen - len(self._recent)
        first = min(max(number - _HALF, oldest), self._seen - WINDOW_FRAMES)
        if first < oldest:
            return True  # a video of fewer frames than a window has
        steps = [
            _difference(self._recent[first - oldest + n], self._recent[first - oldest + n + 1])
            for n in range(WINDOW_FRAMES - 1)
        ]
        if steps[number - first - 1] < _STEP_SHARE * max(steps):
            return False  # what changes in this window changes elsewhere
        judged = self._judged(first - oldest)
        return isinstance(judged, Unstable) and judged.reason in _BOUNDARIES

    def _look_for_fade(self, number: int) -> None:
        for step in _FADE_STRIDES:
            covers = step * (WINDOW_FRAMES - 1) + 1
            if len(self._recent) < covers or number % (step * _FADE_STEP):
                return
            start = len(self._recent) - covers
            if _difference(self._recent[start], self._recent[-1]) < self._rules.still_difference:
                continue
            judged = self._judged(start, step)
            if isinstance(judged, Unstable) and judged.reason in _BETWEEN_SHOTS:
                for each in range(number - covers + 1, number + 1):
                    self._between.setdefault(each, judged)
                return

    def _judged(self, start: int, step: int = 1) -> Stable | Unstable:
        window = [self._recent[start + n * step] for n in range(WINDOW_FRAMES)]
        return judge_window(window, self._limits)

    def _place(self, number: int) -> int:
        return self._places[number - self._seen]

    def _settle(self, number: int, end: int) -> tuple[Stretch, ...]:
        """Add one picture, shown until before `end`, to its stretch."""
        unsteady = self._between.pop(number, None)
        reason, detail = (unsteady.reason, unsteady.detail) if unsteady else (None, "")
        cut = number in self._cuts
        self._cuts.discard(number)
        before = self._open
        if before is not None and before.reason == reason and not (cut and reason is None):
            self._open = Stretch(before.first, end, reason, before.detail)
            return ()
        self._open = Stretch(before.end if before else 0, end, reason, detail)
        return (before,) if before else ()


def _is_black(thumbnail: Thumbnail, limits: StabilityRules) -> bool:
    luma = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)
    return float((luma < limits.black_level * 255).mean()) >= limits.black_share


def _difference(a: Thumbnail, b: Thumbnail) -> float:
    return float(cv2.absdiff(a, b).mean())


def _detectors(rules: ShotRules) -> "tuple[ContentDetector, AdaptiveDetector]":
    from scenedetect import AdaptiveDetector, ContentDetector

    return (
        ContentDetector(threshold=rules.content, min_scene_len=0),
        AdaptiveDetector(
            adaptive_threshold=rules.adaptive_ratio, min_scene_len=1, min_content_val=rules.adaptive_least
        ),
    )


def _at_least(thumbnail: Thumbnail) -> Thumbnail:
    """Detectors of shots see 80 pixels: noise and small movements are gone there."""
    height, width = thumbnail.shape[:2]
    scale = min(1.0, 80 / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)
