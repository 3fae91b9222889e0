"""Whether seven frames show one steady scene: no cut, flash, fade, black, standstill or repeated frame among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import Field

from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.forms import Form
from tasks.schema.rejections import Reason

Luma = NDArray[np.uint8]
Levels = NDArray[np.floating]

LONG_SIDE = 80
"""Pixels of the longer side at which movement is looked for."""
BLOCK = 8
REACH = 4
"""A block is looked for this many pixels around its place: 5 % of the picture's longer side."""
LEVELS = np.linspace(0.02, 0.98, 25)
"""The quantiles that describe a frame's brightness."""


class StabilityRules(Form):
    """What counts as one steady scene; tuned on the trailer of Sintel, checked on other films."""

    difference_limit: float = Field(
        45.0,
        title="Largest difference",
        gt=0,
        le=255,
        description="Mean absolute difference of any two neighbours and of first and last thumbnail (0 to 255).",
    )
    forgive_movement: bool = Field(
        True,
        title="Forgive movement",
        description="Only what is left of a difference after blocks were moved counts against that limit.",
    )
    novelty_limit: float = Field(
        0.4,
        title="Cut: new picture",
        gt=0,
        le=1,
        description="Share of a frame that is not found in the one before, beyond the calmest pair of the window.",
    )
    shot_limit: float = Field(
        27.0, title="Cut: shot detector", gt=0, description="PySceneDetect's content score; 27 is its own threshold."
    )
    shot_novelty: float = Field(
        0.3, title="Cut: detector's witness", ge=0, le=1, description="The detector counts from this novelty on."
    )
    fade_level: float = Field(
        0.08, title="Fade: change of level", gt=0, le=1, description="Share of the brightness that fades in a window."
    )
    dissolve_share: float = Field(
        0.35, title="Dissolve: change", gt=0, le=1, description="Share of the last frame not found in the first."
    )
    dissolve_evenness: float = Field(
        2.0,
        title="Dissolve: evenness",
        gt=0,
        description="That share over the middle frame's distance from the mean of first and last.",
    )
    black_share: float = Field(
        0.98, title="Black: share", gt=0, le=1, description="Of a frame's pixels; as in ffmpeg's blackdetect."
    )
    black_level: float = Field(
        0.1, title="Black: level", gt=0, lt=1, description="Of full brightness; as in ffmpeg's blackdetect."
    )
    static_difference: float = Field(
        0.05, title="Static: difference", ge=0, description="Below it (0 to 255) two frames count as the same."
    )
    repeat_share: float = Field(
        0.08, title="Repeated frame", ge=0, lt=1, description="Of the window's usual difference; less is a repeat."
    )


@dataclass(frozen=True)
class Stable:
    """A window that may be used; differences and shot score as they are recorded, 0 to 255, and the novelty, 0 to 1."""

    first_last_difference: float
    largest_difference: float
    shot_score: float
    novelty: float


@dataclass(frozen=True)
class Unstable:
    """A window that may not be used, with a sentence for a person and the value that decided."""

    reason: Reason
    detail: str
    score: float


def judge_window(thumbnails: Sequence[NDArray[np.uint8]], rules: StabilityRules | None = None) -> Stable | Unstable:
    """Judge seven consecutive frames.

    Args:
        thumbnails: Seven tonemapped RGB pictures (h, w, 3), uint8, of one size, at least 16 pixels a side, in order of
            presentation; about 160 pixels wide and without letterbox.
        rules: Limits; the defaults if None.

    Raises:
        ValueError: Not seven pictures of one size.
    """
    rules = rules or StabilityRules()
    if len(thumbnails) != WINDOW_FRAMES or len({t.shape for t in thumbnails}) != 1 or thumbnails[0].ndim != 3:
        raise ValueError(f"a window is {WINDOW_FRAMES} RGB thumbnails of one size")
    plain = [_difference(a, b) for a, b in pairwise(thumbnails)]
    first_last = _difference(thumbnails[0], thumbnails[-1])
    small = [_small(t) for t in thumbnails]
    luma = [cv2.cvtColor(s, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) for s in small]
    black = [_black_share(frame, rules.black_level) for frame in luma]
    if min(black) >= rules.black_share:
        return Unstable(Reason.SCENE_BLACK, "All seven frames are black.", min(black))
    usual = sorted(plain)[-2]
    if usual < rules.static_difference:
        return Unstable(Reason.SCENE_STATIC, "Nothing moves: the frames are the same picture.", usual)
    pairs = [_match(a, b) for a, b in pairwise(luma)]
    repeats = [difference < rules.repeat_share * usual for difference in plain]
    novelty = _novelty(pairs, repeats)
    shots = shot_scores(small)
    if cut := _cut(novelty, shots, luma, rules):
        return cut
    ends = _match(luma[0], luma[-1])
    if fade := _fade(luma, ends, rules):
        return fade
    if any(repeats):
        at = repeats.index(True)
        return Unstable(Reason.SCENE_STATIC, f"Frame {at + 1} repeats frame {at} while others move.", plain[at])
    left = (
        [*(p.left for p in pairs), _far_match(luma[0], luma[-1]).left]
        if rules.forgive_movement
        else [*plain, first_last]
    )
    if max(left) >= rules.difference_limit:
        where = (
            "First and last frame" if left[-1] == max(left) else f"Frames {np.argmax(left)} and {np.argmax(left) + 1}"
        )
        return Unstable(Reason.SCENE_UNSTABLE, f"{where} differ by {max(left):.1f} levels on average.", max(left))
    if max(black) >= rules.black_share:
        return Unstable(Reason.SCENE_BLACK, f"Frame {np.argmax(black)} of the window is black.", max(black))
    return Stable(first_last, max(plain), max(shots), max(novelty))


def shot_scores(frames: Sequence[NDArray[np.uint8]]) -> list[float]:
    """PySceneDetect's content score of every frame but the first: the mean change in hue, saturation and lightness."""
    from scenedetect import ContentDetector, FrameTimecode, StatsManager

    detector, stats = ContentDetector(), StatsManager()
    detector.stats_manager = stats
    times = [FrameTimecode(index, 25.0) for index in range(len(frames))]
    for time, frame in zip(times, frames, strict=True):
        detector.process_frame(time, np.ascontiguousarray(frame[..., ::-1]))
    return [float(stats.get_metrics(time, [ContentDetector.FRAME_SCORE_KEY])[0]) for time in times[1:]]


@dataclass(frozen=True)
class _Match:
    """How well the blocks of one frame are found near their places in another: mean absolute differences, 0 to 255.

    `left` is that of the best places, `usual` the mean over all places that were tried.
    """

    left: float
    usual: float

    @property
    def lost(self) -> float:
        """Share that movement does not explain; one level of noise is forgiven."""
        return self.left / (self.usual + 1)


def _match(a: Luma, b: Luma, block: int = BLOCK) -> _Match:
    height, width = a.shape
    padded = cv2.copyMakeBorder(b, REACH, REACH, REACH, REACH, cv2.BORDER_REPLICATE)
    places = sliding_window_view(padded, (height, width)).reshape(-1, width)
    apart = cv2.absdiff(places, np.tile(a, (len(places) // height, 1)))
    columns = apart.reshape(-1, height // block, block, width).sum(2, dtype=np.uint16)
    blocks = columns.reshape(len(places) // height, -1, block).sum(2, dtype=np.uint16) / block**2
    return _Match(float(blocks.min(0).mean()), float(blocks.mean()))


def _far_match(a: Luma, b: Luma) -> _Match:
    """The same at half the size, so that blocks are looked for twice as far: for frames that are not neighbours."""
    height, width = (side // 2 for side in a.shape)
    halves = [cv2.resize(x, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False) for x in (a, b)]
    return _match(halves[0], halves[1], BLOCK // 2)


def _novelty(pairs: Sequence[_Match], repeats: Sequence[bool]) -> list[float]:
    """What each frame shows that its predecessor did not, beyond what grain and movement cost the calmest pair."""
    calm = min(p.left for p, repeat in zip(pairs, repeats, strict=True) if not repeat)
    return [max(0.0, p.left - calm) / (max(0.0, p.usual - calm) + 1) for p in pairs]


def _cut(
    novelty: Sequence[float], shots: Sequence[float], luma: Sequence[Luma], rules: StabilityRules
) -> Unstable | None:
    new = [
        n >= rules.novelty_limit or (s >= rules.shot_limit and n >= rules.shot_novelty)
        for n, s in zip(novelty, shots, strict=True)
    ]
    if not any(new):
        return None
    first, last = new.index(True), len(new) - 1 - new[::-1].index(True)
    score = max(novelty)
    if last > first and _match(luma[first], luma[last + 1]).lost < rules.novelty_limit:
        return Unstable(
            Reason.SCENE_UNSTABLE, f"A flash: the picture changes at frame {first + 1} and comes back.", score
        )
    return Unstable(Reason.SCENE_CUT, f"A new picture begins with frame {int(np.argmax(novelty)) + 1}.", score)


def _fade(luma: Sequence[Luma], ends: _Match, rules: StabilityRules) -> Unstable | None:
    """Fades move all levels steadily and evenly; in a dissolve the middle frame is the mean of first and last."""
    if ends.lost >= rules.dissolve_share:
        evenness = ends.lost / _bend(luma[0], luma[3], luma[6])
        if evenness >= rules.dissolve_evenness:
            return Unstable(Reason.SCENE_FADE, f"One picture dissolves into another ({ends.lost:.0%}).", ends.lost)
    levels = np.quantile(np.stack(luma).reshape(len(luma), -1), LEVELS, axis=1).T
    for first, last in ((0, 6), (0, 4), (2, 6)):
        part = levels[first : last + 1]
        change = _level_change(part)
        bend = _bend(luma[first], luma[(first + last) // 2], luma[last])
        if change >= rules.fade_level and _is_fade(part, change, bend):
            return Unstable(Reason.SCENE_FADE, f"The brightness fades by {change:.0%}.", change)
    return None


def _level_change(levels: Levels) -> float:
    return float(np.abs(levels[-1] - levels[0]).mean() / (max(levels[0].mean(), levels[-1].mean()) + 1))


def _is_fade(levels: Levels, change: float, bend: float) -> bool:
    """Steady: no way is made twice. Even: pixels change alike (small bend), or levels are scaled alike."""
    steps = np.abs(np.diff(levels, axis=0)).mean(1)
    way = float(np.abs(levels[-1] - levels[0]).mean())
    steady = way / (float(steps.sum()) + 0.1)
    if steady >= 0.9 and bend <= 0.3:
        return True
    centred = levels[0] - levels[0].mean()
    spread = float((centred**2).sum())
    if steady < 0.95 or spread == 0 or float(steps.min()) * len(steps) < 0.3 * way:
        return False
    slope = float((centred * levels[-1]).sum()) / spread
    if abs(1 - slope) < change / 2:
        return False
    scaled = levels[-1].mean() + slope * centred
    return float(np.abs(scaled - levels[-1]).mean()) <= 0.2 * way


def _bend(first: Luma, middle: Luma, last: Luma) -> float:
    """How far the middle frame is from the mean of first and last, as a share of their distance."""
    away = float(np.abs(middle - (first.astype(np.float32) + last) / 2).mean())
    return away / (_difference(first, last) + 0.5)


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(a, b).mean())


def _black_share(frame: Luma, level: float) -> float:
    return float((frame < level * 255).mean())


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most `LONG_SIDE` pixels long, sides divisible by the block."""
    height, width = picture.shape[:2]
    scale = LONG_SIDE / max(height, width)
    size = tuple(max(2 * BLOCK, round(side * scale / BLOCK) * BLOCK) for side in (width, height))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
