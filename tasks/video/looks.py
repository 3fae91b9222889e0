"""Frames looked at all over a film: what they say about colours, and where their picture lies."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import numpy as np

from tasks.video.colour_tags import ColourTags
from tasks.video.interlace import INTERLACED_ROWS, PROGRESSIVE, UNTAGGED, combed
from tasks.video.letterbox import Bars, Luma
from tasks.video.timestamps import Timestamps, picture_packets, seek

if TYPE_CHECKING:
    from av import Packet, VideoCodecContext, VideoFrame, VideoStream
    from av.container import InputContainer

LOOKS: Final = 24
"""Key frames looked at, spread evenly over the film."""
FEW_LOOKS: Final = 8
"""A film with fewer key frames is decoded behind each of them, and one frame in every `LOOK_STEP` looked at."""
LOOK_STEP: Final = 8
LOOKED_THROUGH: Final = 240
"""Frames of 1080p that may be decoded for this; fewer of larger ones."""
HD_PIXELS: Final = 1920 * 1080
IDET_RUNS: Final = 3
IDET_FRAMES: Final = 40
PACKETS_PER_LOOK: Final = 2000
"""Packets read for one picture before it is given up; a GOP of 30 s has 1800 at 60 frames a second."""
BEFORE_START_S: Final = 10
"""Transport streams seek by decoding time: asked for their first frame, they go on behind it."""

FULL_RANGE: Final = 2
"""ffmpeg's AVCOL_RANGE_JPEG."""


@dataclass
class Looked:
    """`first` is the first frame that decoded; `tags` are the different ones, in the order met."""

    first: "VideoFrame | None" = None
    tags: list[ColourTags] = field(default_factory=list)
    bars: Bars | None = None
    sizes: set[tuple[int, int]] = field(default_factory=set)
    dolby_vision: bool = False

    def at(self, frame: "VideoFrame") -> None:
        """Take note of one frame."""
        self.first = self.first or frame
        self.sizes.add((frame.width, frame.height))
        tags = colour_tags(frame)
        if tags not in self.tags:
            self.tags.append(tags)
        self.dolby_vision = self.dolby_vision or _has_dolby_vision(frame)
        luma, bit_depth, full_range = _luma(frame)
        self.bars = self.bars or Bars(frame.width, frame.height)
        if len(self.sizes) == 1:
            self.bars.at(luma, bit_depth, full_range=full_range)


def look(container: "InputContainer", stream: "VideoStream", times: Timestamps) -> Looked:
    """Look at key frames all over a film, and at more where there are few; frames that do not decode are left out."""
    looked = Looked()
    seen: set[int] = set()
    stream.codec_context.skip_frame = "NONKEY"
    for pts in _spread(times.start, times.end, LOOKS):
        frame = _key_frame(container, stream, pts, seen)
        if frame is not None:
            looked.at(frame)
    stream.codec_context.skip_frame = "DEFAULT"
    if len(seen) < FEW_LOOKS:
        for frame in islice(_stretches(container, stream, times, sorted(seen), _budget(stream)), 0, None, LOOK_STEP):
            looked.at(frame)
    return looked


def is_interlaced(container: "InputContainer", stream: "VideoStream", times: Timestamps) -> bool:
    """By the stream's tag; where there is none, by what the decoder says of its frames, or by their lines."""
    order = stream.codec_context.field_order
    if order != UNTAGGED:
        return bool(order != PROGRESSIVE)
    if stream.codec_context.height > INTERLACED_ROWS:
        return False
    places = _spread(times.start, times.end, IDET_RUNS)
    told = Counter[bool]()

    def counted() -> "Iterator[VideoFrame]":
        for frame in _stretches(container, stream, times, places, IDET_RUNS * IDET_FRAMES):
            told[frame.interlaced_frame] += 1
            yield frame

    seen = combed(counted())
    return seen or told[True] > told[False]


def colour_tags(tagged: "VideoFrame | VideoCodecContext") -> ColourTags:
    """The tags of a frame, or those that a codec was opened with."""
    full_range = tagged.color_range == FULL_RANGE or (tagged.format is not None and tagged.format.name[:4] == "yuvj")
    return ColourTags.of_codes(tagged.color_trc, tagged.color_primaries, tagged.colorspace, full_range=full_range)


def _spread(start: int, end: int, places: int) -> list[int]:
    """Middles of as many equal parts."""
    return [start + (end - start) * (2 * number + 1) // (2 * places) for number in range(places)]


def _key_frame(container: "InputContainer", stream: "VideoStream", pts: int, seen: set[int]) -> "VideoFrame | None":
    """The key frame at or before, unless its timestamp is in `seen`, where it is added."""
    seek(container, stream, pts)
    for packet in islice(picture_packets(container, stream), PACKETS_PER_LOOK):
        if not packet.is_keyframe or packet.pts is None:
            continue
        if packet.pts in seen:
            return None
        seen.add(packet.pts)
        frames = chain(_decoded(stream, packet), _decoded(stream, None))
        return next(frames, None)
    return None


def _budget(stream: "VideoStream") -> int:
    context = stream.codec_context
    return min(LOOKED_THROUGH, LOOKED_THROUGH * HD_PIXELS // (context.width * context.height))


def _stretches(
    container: "InputContainer", stream: "VideoStream", times: Timestamps, places: Sequence[int], frames: int
) -> "Iterator[VideoFrame]":
    """So many frames in all, consecutive ones behind each place; from the beginning where a film is hardly longer."""
    if times.frames < 2 * frames or not places:
        places = [times.start - round(BEFORE_START_S / (stream.time_base or 1))]
    for place in places:
        seek(container, stream, place)
        yield from islice(_frames(container, stream), frames // len(places))


def _frames(container: "InputContainer", stream: "VideoStream") -> "Iterator[VideoFrame]":
    for packet in picture_packets(container, stream):
        yield from _decoded(stream, packet)
    yield from _decoded(stream, None)


def _decoded(stream: "VideoStream", packet: "Packet[VideoStream] | None") -> "Iterator[VideoFrame]":
    """Whole frames that a packet, or the end of the film, brings out; none where it is damaged."""
    import av

    frames: list[VideoFrame] = []
    with suppress(av.error.FFmpegError):
        frames = stream.codec_context.decode(packet)
    yield from (frame for frame in frames if not frame.is_corrupt and frame.pts is not None)


def _has_dolby_vision(frame: "VideoFrame") -> bool:
    with suppress(ValueError):  # side data that PyAV does not know yet
        return any(frame.side_data.get(name) is not None for name in ("DOVI_METADATA", "DOVI_RPU_BUFFER"))
    return False


def _luma(frame: "VideoFrame") -> tuple[Luma, int, bool]:
    """Brightness as (height, width) code values, their bits, and whether they span the full range."""
    layout = frame.format
    first, *others = layout.components
    plain = layout.name.startswith(("yuv", "gray", "nv1", "nv2")) and not layout.is_big_endian
    if not plain or any(other.plane == first.plane for other in others):
        frame = frame.reformat(format="yuv444p")
        return _plane(frame, np.uint8), 8, False
    kind = np.uint8 if first.bits <= 8 else np.uint16
    return _plane(frame, kind), first.bits, colour_tags(frame).full_range


def _plane(frame: "VideoFrame", kind: type[np.uint8 | np.uint16]) -> Luma:
    plane = frame.planes[0]
    values: Luma = np.frombuffer(memoryview(plane), np.dtype(kind))
    return values.reshape(plane.height, plane.line_size // values.itemsize)[:, : plane.width]
