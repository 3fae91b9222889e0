"""Whole pictures out of frames that hold two moments each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av import VideoFrame

NEIGHBOURS: Final = 1
"""Frames before and after one that bwdif looks at."""


def deinterlaced(frames: "Sequence[VideoFrame]") -> "list[VideoFrame]":
    """The frames with both fields at the time of the first one, by ffmpeg's bwdif: as many, of the same pts.

    The first and the last one are only as in a whole film where the film begins and ends with them.

    Args:
        frames: consecutive ones of one size and format.
    """
    import av
    from av.filter import Graph

    first = frames[0]
    graph = Graph()
    source = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=first.time_base)
    bwdif = graph.add("bwdif", mode="send_frame", parity="auto", deint="all")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    done: list[VideoFrame] = []
    for frame in (*frames, None):
        graph.vpush(frame)
        while True:
            try:
                done.append(graph.vpull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
    if len(done) != len(frames):
        raise RuntimeError(f"bwdif made {len(done)} of {len(frames)} frames")
    for before, after in zip(frames, done, strict=True):
        after.pts = before.pts
        if before.time_base is not None:
            after.time_base = before.time_base
    return done
