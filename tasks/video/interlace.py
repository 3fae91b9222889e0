"""Whether frames hold two moments each: by the stream's tag, and where there is none by looking at lines."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

UNTAGGED: Final = 0
PROGRESSIVE: Final = 1
"""ffmpeg's AVFieldOrder; all above is interlaced in some order."""

INTERLACED_ROWS: Final = 1088
"""Standards with more rows than 1080i know no interlaced pictures. Source: BT.2020, BT.2100. 1088: 1080 as coded."""

COMBED_SHARE: Final = 0.2
"""Telecine combs 2 frames in 5, interlaced video all that move."""


def combed(frames: Iterable["VideoFrame"]) -> bool:
    """Whether ffmpeg's idet (decision over several frames) finds more than 1 frame in 5 combed, of those it can judge.

    Args:
        frames: of one size and format; runs of consecutive ones.
    """
    from av.filter import Graph

    graph: Graph | None = None
    told: dict[str, str] = {}
    for frame in frames:
        if graph is None:
            graph = Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(source, graph.add("idet"), graph.add("buffersink")).configure()
        graph.vpush(frame)
        told = _pulled(graph) or told
    tff, bff, progressive = (
        float(told.get(f"lavfi.idet.multiple.{kind}", "0")) for kind in ("tff", "bff", "progressive")
    )
    judged = tff + bff + progressive
    return judged > 0 and tff + bff > COMBED_SHARE * judged


def _pulled(graph: "Graph") -> dict[str, str] | None:
    """What the filter wrote on the last frame that it let go, counts from the beginning; None: it let go none."""
    import av

    told = None
    while True:
        try:
            told = graph.vpull().metadata
        except (av.error.BlockingIOError, av.error.EOFError):
            return told
