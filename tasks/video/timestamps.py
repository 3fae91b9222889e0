"""The timestamps of a film's packets: all of them, or those of stretches where the file is large."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tasks.video.container import is_raw
from tasks.video.timing import Pace, pace

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.container import InputContainer

WHOLE_BYTES: Final = 1 << 30
"""Films up to this size are read packet by packet; of larger ones `PLACES` stretches, and the end."""
PLACES: Final = 8
PLACE_PACKETS: Final = 256
REORDER: Final = 32
"""Packets: twice the most that H.264 and HEVC reorder; so many timestamps at the end of a stretch may have holes."""

END_TOLERANCE_S: Final = Fraction(2)
END_TOLERANCE_SHARE: Final = Fraction(1, 10)
"""How much earlier than announced a film may end: where the stream states its own length, and where only the file
does, whose sound or subtitles may go on."""


class UntimedError(Exception):
    """Frames do not say when they are shown."""


class CutOffError(Exception):
    """A film ends long before the end that it announces: seconds, from its first frame."""

    def __init__(self, ends: float, announced: float) -> None:
        super().__init__(ends, announced)
        self.ends = ends
        self.announced = announced


@dataclass(frozen=True)
class Timestamps:
    """`start` is the pts of the first frame, `end` when the last one ends; `frames` counted, or reckoned if large.

    `pace` is None where there are fewer than two frames.
    """

    start: int
    end: int
    frames: int
    pace: Pace | None


def read_timestamps(container: "InputContainer", stream: "VideoStream", size_bytes: int) -> Timestamps:
    """Look at a film's packets, decoding nothing; the container stands anywhere afterwards.

    Raises:
        UntimedError: it is a bare stream, or some packets have no timestamps.
        CutOffError: it was copied in part.
    """
    time_base = stream.time_base
    if is_raw(container) or not time_base:
        raise UntimedError
    whole = size_bytes <= WHOLE_BYTES
    found = [_run(container, stream)] if whole else _stretches(container, stream, time_base)
    runs = [run for run in found if run]
    if not runs:
        return Timestamps(0, 0, 0, None)
    paced = pace(runs, time_base)
    start, last = min(run[0] for run in runs), max(run[-1] for run in runs)
    if paced is None:
        return Timestamps(start, last, 1, None)
    end = last + round(1 / (paced.fps * time_base))
    _demand_whole(container, stream, time_base, start, end)
    frames = len(runs[0]) if whole else round((end - start) * time_base * paced.fps)
    return Timestamps(start, end, frames, paced)


def picture_packets(container: "InputContainer", stream: "VideoStream") -> "Iterator[Packet[VideoStream]]":
    """Packets that are shown, until the file ends or its container is damaged; what came before counts."""
    import av

    with suppress(av.error.FFmpegError):
        yield from (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)


def seek(container: "InputContainer", stream: "VideoStream", pts: int) -> None:
    """Go to the key frame before, or stay where the container cannot."""
    import av

    with suppress(av.error.FFmpegError):
        container.seek(pts, stream=stream)


def _run(container: "InputContainer", stream: "VideoStream", most: int | None = None) -> list[int]:
    """Ascending timestamps from here on; of at most `most` packets, without those that may have holes between them."""
    known: list[int] = []
    for packet in picture_packets(container, stream):
        if packet.pts is None:
            raise UntimedError
        known.append(packet.pts)
        if len(known) == most:
            return sorted(known)[:-REORDER]
    return sorted(known)


def _stretches(container: "InputContainer", stream: "VideoStream", time_base: Fraction) -> list[list[int]]:
    """Runs of timestamps of a large film: evenly spaced ones, the first at the beginning, and the end."""
    runs = [_run(container, stream, PLACE_PACKETS)]
    announced = _announced(container, stream, time_base)
    begin = runs[0][0] if runs[0] else 0
    length = round(announced[0] / time_base) if announced else 0
    for number in range(1, PLACES):
        seek(container, stream, begin + number * length // PLACES)
        runs.append(_run(container, stream, PLACE_PACKETS))
    seek(container, stream, begin + length)
    return [*runs, _run(container, stream)]


def _announced(
    container: "InputContainer", stream: "VideoStream", time_base: Fraction
) -> tuple[Fraction, Fraction] | None:
    """The length that headers state and how much may be missing from it, in seconds.

    Matroska states when it ends, counted from 0 and not from its first frame.
    """
    if stream.duration:
        return stream.duration * time_base, END_TOLERANCE_S
    late = max(0, stream.start_time or 0) * time_base if "matroska" in container.format.name else Fraction(0)
    own = _clock(stream.metadata.get("DURATION", ""))
    if own:
        return own - late, END_TOLERANCE_S
    if not container.duration:
        return None
    length = Fraction(container.duration, 1_000_000) - late
    return length, max(END_TOLERANCE_S, length * END_TOLERANCE_SHARE)


def _clock(told: str) -> Fraction | None:
    """Seconds of `01:02:03.456000000`, the tag that Matroska writers give each stream."""
    parts = told.split(":")
    if len(parts) != 3:
        return None
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _demand_whole(
    container: "InputContainer", stream: "VideoStream", time_base: Fraction, start: int, end: int
) -> None:
    announced = _announced(container, stream, time_base)
    if announced is None:
        return
    length, tolerance = announced
    read = (end - start) * time_base
    if read < length - tolerance:
        raise CutOffError(float(read), float(length))
