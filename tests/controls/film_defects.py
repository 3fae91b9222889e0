"""Defects of the code that reads and cuts films, to be planted; each takes the real function and gives a wrong one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import PropertyMock, patch

import numpy as np

from tasks.body import wholebody
from tasks.body.rtmw import WholebodyPoses
from tasks.schema.films import Transfer
from tasks.schema.keypoints import COCO_17
from tasks.video import convert

Plant = Callable[[], AbstractContextManager[None]]
Real = Callable[..., Any]


def instead(target: str, wrong: Callable[[Any], Any]) -> Plant:
    """Plant: the function at `target` is what `wrong` makes of it."""

    @contextmanager
    def planted() -> Iterator[None]:
        module, _, name = target.rpartition(".")
        real = _found(module, name)
        convert._recipe.cache_clear()
        try:
            with patch(target, wrong(real)):
                yield
        finally:
            convert._recipe.cache_clear()

    return planted


def _found(module: str, name: str) -> Any:
    return getattr(resolve_name(module), name)


def entry(target: str, key: Any, value: Any) -> Plant:
    """Plant: another entry in a dictionary."""

    @contextmanager
    def planted() -> Iterator[None]:
        module, _, name = target.rpartition(".")
        convert._recipe.cache_clear()
        try:
            with patch.dict(_found(module, name), {key: value}):
                yield
        finally:
            convert._recipe.cache_clear()

    return planted


@contextmanager
def pq_is_sdr() -> Iterator[None]:
    with patch("tasks.video.colour_tags.ColourTags.kind", new_callable=PropertyMock, return_value=Transfer.SDR):
        yield


def beside(crop: Real) -> Real:
    """The crop one pixel to the left, where there is one."""

    def wrong(self: Any, frame: Any, scaled: Any, xyxy: tuple[int, int, int, int]) -> Any:
        left, top, right, bottom = xyxy
        return crop(self, frame, scaled, (left - 1, top, right - 1, bottom) if left else (1, top, right + 1, bottom))

    return wrong


def later(window: Real) -> Real:
    return lambda self, time_s: window(self, time_s + 1 / 24)


def backwards(window: Real) -> Real:
    def wrong(self: Any, time_s: float) -> Any:
        frames = window(self, time_s)
        return replace(frames, frames=frames.frames[::-1])

    return wrong


def last_lost(table: Real) -> Real:
    def wrong(*given: Any) -> Any:
        rows = table(*given)
        return rows.slice(0, len(rows) - 1) if len(rows) > 1 else rows

    return wrong


def doubled(stacks: Real) -> Real:
    return lambda pictures: stacks([*pictures[:5], pictures[4], pictures[6]])


def last_clip_lost(process: Real) -> Real:
    def wrong(self: Any, batches: Any) -> Iterator[Any]:
        outputs = list(process(self, batches))
        last = max(n for n, each in enumerate(outputs) if len(each.kept))
        outputs[last] = replace(outputs[last], kept=outputs[last].kept.slice(0, 0))
        yield from outputs

    return wrong


def sound_late(read: Real) -> Real:
    return lambda self, start, count: read(self, start - 2000, count)


def exchanged_chroma(frame: Real) -> Real:
    return lambda planes: frame((planes[0], planes[2], planes[1]))


def square_beside(cut: Real) -> Real:
    return lambda self, frame, centre, side: cut(self, frame, (centre[0] + 1, centre[1]), side)


def next_picture(last_shown: Real) -> Real:
    return lambda film, time_s: last_shown(film, time_s + 1 / 24)


def order(change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """Plant: the joints of a model are taken for others."""
    sources = wholebody._SOURCES[COCO_17.name]
    return entry("tasks.body.wholebody._SOURCES", COCO_17.name, change(sources.copy()))


def sides(sources: np.ndarray) -> np.ndarray:
    """Left and right of OpenPose's order exchanged."""
    mirror = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
    sources[:18] = sources[:18][mirror]
    return sources


def coco_order(sources: np.ndarray) -> np.ndarray:
    """COCO's 17 joints one after the other, without a neck between."""
    sources[:18] = [*range(17), -1]
    return sources


def poses(change: Callable[[WholebodyPoses], WholebodyPoses]) -> Plant:
    def wrong(poses: Real) -> Real:
        return lambda self, frames, xyxy: change(poses(self, frames, xyxy))

    return instead("tasks.dance.dancer_models.SeenDancer.poses", wrong)


def _rows(poses: WholebodyPoses, order: Any) -> WholebodyPoses:
    points = poses.keypoints
    changed = replace(points, xy=points.xy[order].copy(), confidence=points.confidence[order].copy())
    return WholebodyPoses(changed, poses.raw_score[order].copy())


def reversed_poses(poses: WholebodyPoses) -> WholebodyPoses:
    return _rows(poses, np.arange(len(poses))[::-1])


def zeroed(table: Real) -> Real:
    def wrong(row: Any, poses: WholebodyPoses, produced: Any, model: str) -> Any:
        import pyarrow as pa

        made = table(row, poses, produced, model)
        zeros = pa.array([[0.0] * poses.keypoints.confidence.size], made.schema.field("confidence").type)
        return made.set_column(made.schema.get_field_index("confidence"), made.schema.field("confidence"), zeros)

    return wrong


def reference_beside(row: Real) -> Real:
    def wrong(self: Any, *given: Any) -> Any:
        made = row(self, *given)
        return {**made, "reference_frame": max(0, made["reference_frame"] - 1) or 1}

    return wrong


def slipped(features: Real) -> Real:
    def wrong(*given: Any) -> Any:
        found = features(*given)
        return replace(found, values=np.roll(found.values, 1, axis=0))

    return wrong


def wrong_rate(blocks: Real) -> Real:
    """Sound at 22,050 samples a second, taken for 24,000."""

    def wrong(path: Path) -> Iterator[Any]:
        for block in blocks(path):
            at = np.linspace(0, len(block) - 1, len(block) * 147 // 160)
            yield np.interp(at, np.arange(len(block)), block).astype(np.float32)

    return wrong


def rolled(chroma: Real) -> Real:
    return lambda *given: np.roll(chroma(*given), 1, axis=1)


def halved(tempo: Real) -> Real:
    return lambda times: tempo(times) / 2
