"""The frames of a film in the order shown, from a time on, with the doubtful ones marked."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasks.schema.films import Film
from tasks.shards.watchdog import alive
from tasks.video.container import NoPictureError, open_film
from tasks.video.deinterlace import deinterlaced
from tasks.video.films import film_of_row
from tasks.video.trial import demand_survivors

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

STEPS_BACK_S: Final = (0.0, 2.0, 8.0, 32.0)
"""How much earlier than wanted to seek, one after the other, where a container lands behind the time asked for."""


@dataclass(frozen=True, eq=False)
class FilmFrame:
    """A frame and its time in ticks; `doubtful`: it, what it refers to, or what comes right before it is damaged."""

    pts: int
    frame: "VideoFrame"
    doubtful: bool


def film_frames(film: Film, path: Path, from_pts: int | None = None, threads: int = 1) -> Iterator[FilmFrame]:
    """Frames from the last key frame at or before a time on; the same as in a decode of the whole film.

    Interlaced films come deinterlaced. After something that does not decode all is doubtful up to the next key frame.

    Args:
        film: what probing found out.
        path: where it lies now.
        from_pts: in ticks; None: from the first frame.
        threads: of the decoder; the frames do not depend on it.
    """
    with open_film(path, threads) as (container, stream):
        stream.thread_type = "AUTO"
        packets, first = _from(container, stream, film, from_pts)
        frames = _decoded(packets, stream, first)
        yield from _deinterlaced(frames) if film.interlaced else frames


def demand_decodable(film: Film, path: Path, threads: int = 1) -> None:
    """Let a child process decode all of a film, for which this one may have died.

    Raises:
        ProbeError: no child survives it, or ends in `TRIAL_SECONDS` for each second of the film.
    """
    demand_survivors(decode_all, film, path, threads=threads)


def decode_all(_: bytes, path: str, row: dict[str, Any], threads: int) -> int:
    """Decode all of a film in a child process: how many frames come."""
    import av

    film = Path(path)
    with suppress(av.error.FFmpegError, NoPictureError):
        return sum(1 for _ in film_frames(film_of_row(row, film), film, threads=threads))
    return 0


def _from(
    container: "InputContainer", stream: "VideoStream", film: Film, from_pts: int | None
) -> "tuple[Iterator[Packet[VideoStream] | None], int | None]":
    """Packets from a key frame on, and its time; packets that cannot be read are None."""
    import av

    if from_pts is None or from_pts <= film.start_pts:
        return _packets(container, stream), None
    for step in STEPS_BACK_S:
        target = from_pts - round(step / film.time_base)
        if target <= film.start_pts:
            break
        with suppress(av.error.FFmpegError):
            container.seek(target, stream=stream)
            packets = _packets(container, stream)
            for packet in packets:
                if packet is not None and packet.is_keyframe and packet.pts is not None:
                    if packet.pts <= from_pts:
                        return chain([packet], packets), packet.pts
                    break
    with suppress(av.error.FFmpegError):
        container.seek(film.start_pts - round(STEPS_BACK_S[-1] / film.time_base), stream=stream)
    return _packets(container, stream), None


def _packets(container: "InputContainer", stream: "VideoStream") -> "Iterator[Packet[VideoStream] | None]":
    """Packets up to the end, the flushing one included; None where the container is damaged and ends."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            yield None
            return
        if packet is None:
            return
        yield packet


def _decoded(
    packets: "Iterator[Packet[VideoStream] | None]", stream: "VideoStream", first: int | None
) -> Iterator[FilmFrame]:
    import av

    doubtful, last = False, None
    for packet in packets:
        alive()
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            doubtful = True
            continue
        doubtful = doubtful or packet is None or packet.is_corrupt
        for frame in frames:
            if (
                frame.pts is None
                or (first is not None and frame.pts < first)
                or (last is not None and frame.pts <= last)
            ):
                continue
            last = frame.pts
            broken = frame.is_corrupt
            yield FilmFrame(frame.pts, frame, doubtful or broken)
            doubtful = broken or (doubtful and not frame.key_frame)


def _deinterlaced(frames: Iterator[FilmFrame]) -> Iterator[FilmFrame]:
    """One frame later, when the next one is known."""
    near: list[FilmFrame] = []
    for each in frames:
        near = [*near[-2:], each]
        if len(near) > 1:
            yield _middle(near, len(near) - 2)
    if near:
        yield _middle(near[-2:], len(near[-2:]) - 1)


def _middle(near: list[FilmFrame], index: int) -> FilmFrame:
    chosen = near[index]
    if len({(each.frame.width, each.frame.height, each.frame.format.name) for each in near}) > 1:
        return chosen
    return FilmFrame(chosen.pts, deinterlaced([each.frame for each in near])[index], chosen.doubtful)
