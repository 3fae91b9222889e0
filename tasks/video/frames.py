"""Seven consecutive frames of a film from a time on, each decoded once where times ascend.

The same time gives the same frames, byte for byte those of a decode of the whole film, in whatever order times are
asked for. Left out is only what cannot change them: groups of pictures that no window needs, what is decoded after a
window's last frame, and, in codecs where that is safe, pictures that no other refers to.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tasks.schema.films import WINDOW_FRAMES, Film
from tasks.schema.rejections import Reason, RefusedError
from tasks.shards.watchdog import alive
from tasks.video.deinterlace import deinterlaced
from tasks.video.packets import PacketsAhead
from tasks.video.timing import gap_tolerance

if TYPE_CHECKING:
    from types import TracebackType

    from av import Packet, VideoFrame, VideoStream

NONREF_CODECS: Final = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
"""Decoders in which leaving out pictures that no other refers to was measured to leave all others as they are."""

SEEK_S: Final = 10.0
"""Farther ahead than this a seek is cheaper than reading on; the largest usual GOP lasts so long."""
STEPS_BACK_S: Final = (0.0, 2.0, 8.0, 32.0)
"""How much earlier than wanted to seek, one after the other, where a container lands behind the time asked for."""
KEYS_BACK: Final = 2
"""Key frames to go back where one does not bring out all that is shown after it."""
KEPT_FRAMES: Final = 12
NEIGHBOUR_FRAMES: Final = 2.5
"""A frame this many gaps away is no neighbour that helps to deinterlace."""
WINDOW_TIMEOUT_S: Final = 300.0


class WindowError(RefusedError):
    """A window that cannot be had."""


@dataclass(frozen=True)
class Frames:
    """Consecutive frames as decoded, in the order shown; `times_s` in seconds from the film's first frame."""

    pts: tuple[int, ...]
    times_s: tuple[float, ...]
    frames: "tuple[VideoFrame, ...]"


@dataclass(frozen=True)
class _Wanted:
    """Times of a window's frames, and of all that must be decoded for them."""

    shown: list[int]
    decoded: list[int]


class _DoubtfulError(Exception):
    """Something did not decode on the way; what came out may show it."""


class _NotShownError(Exception):
    """Packets went in without complaint, and no frame of their time came out."""

    def __init__(self, pts: Iterable[int]) -> None:
        self.pts = frozenset(pts)
        super().__init__(self.pts)


class WindowReader:
    """Reads windows of a film; a context manager, for one thread.

    Keeps the frames of the last window, so that overlapping windows share what was decoded; `decoded` counts frames.

    Args:
        film: what probing found out.
        path: where it lies now.
        threads: of the decoder; the frames do not depend on it.
        timeout_s: after so long a window is given up, looked at between packets. Native code is not interrupted inside
            one: against a decoder that never returns helps `tasks.shards.watchdog`.
    """

    def __init__(self, film: Film, path: Path, *, threads: int = 1, timeout_s: float = WINDOW_TIMEOUT_S) -> None:
        self.decoded = 0
        self._film, self._timeout_s = film, timeout_s
        self._packets = PacketsAhead(path, threads)
        self._skips = film.codec in NONREF_CODECS and not film.interlaced
        self._margin = math.ceil(NEIGHBOUR_FRAMES / film.fps / film.time_base) if film.interlaced else 0
        self._stride = self._ticks(SEEK_S)
        self._kept: dict[int, VideoFrame] = {}
        self._inside: set[int] = set()
        self._lost = True
        self._deadline = math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._kept.clear()
        self._packets.__exit__(kind, error, trace)

    def window(self, time_s: float) -> Frames:
        """The frames from the first one at or after `time_s`, which counts from the film's first frame.

        Raises:
            WindowError: they cannot be decoded, the film ends before, their gaps differ, or it takes too long.
            SourceError: the film is not there any more.
        """
        self._deadline = time.monotonic() + self._timeout_s
        target = self._film.start_pts + self._ticks(time_s)
        while True:
            try:
                return self._read_on(target) or self._read_afresh(target)
            except _NotShownError as missing:
                self._packets.hide(missing.pts)
                self._lost = True

    def _read_on(self, target: int) -> Frames | None:
        """From where the last window left the decoder; None where that leads nowhere, or something is wrong."""
        if not self._reaches(target):
            return None
        try:
            return self._decode(self._look_ahead(target))
        except (_DoubtfulError, _NotShownError):
            return None

    def _read_afresh(self, target: int) -> Frames:
        """From a key frame; what is wrong then depends on the film alone, not on what was read before.

        Raises:
            _NotShownError: there is nothing wrong, but packets that show nothing.
            WindowError: the window cannot be had.
        """
        steps = tuple(map(self._ticks, STEPS_BACK_S))
        self._packets.start_before(target - self._margin, steps)
        missing: _NotShownError | None = None
        for keys_back in range(KEYS_BACK + 1):
            if keys_back and not self._packets.step_back(steps):
                break
            self._lost = False
            try:
                frames = self._decode(self._look_ahead(target, from_last_key=not keys_back))
            except _DoubtfulError:
                missing = None
            except _NotShownError as error:
                missing = error
            else:
                if frames is not None:
                    return frames
        if missing:
            raise missing
        told = "it or what it refers to is damaged"
        raise WindowError(Reason.FRAMES_UNREADABLE, f"The window at {self._seconds(target):.3f} s: {told}.")

    def _reaches(self, target: int) -> bool:
        """Whether to read on from where the decoder stands."""
        origin, newest = self._packets.origin, self._packets.newest
        if self._lost or origin is None or newest is None:
            return False
        return origin <= target - self._margin and target - newest <= self._stride

    def _look_ahead(self, target: int, *, from_last_key: bool = True) -> _Wanted:
        """Read packets until it is known which frames the window has."""
        first = target - self._margin
        more = WINDOW_FRAMES + (math.ceil(NEIGHBOUR_FRAMES) + 1 if self._film.interlaced else 0)
        while (known := self._packets.look_ahead(first, more, from_last_key=from_last_key)) is None:
            self._decode_early()
        before = [pts for pts in known if pts < target][-1:]
        rest = [pts for pts in known if pts >= target]
        shown, after = rest[:WINDOW_FRAMES], rest[WINDOW_FRAMES : WINDOW_FRAMES + 1] if self._margin else []
        at = self._seconds(target)
        if len(shown) < WINDOW_FRAMES:
            self._packets.demand_file()
            if self._packets.damaged:
                raise WindowError(Reason.FRAMES_UNREADABLE, f"The file is damaged soon after {at:.3f} s.")
            raise WindowError(Reason.FRAMES_TOO_FEW, f"The film has {len(shown)} frames from {at:.3f} s on.")
        self._demand_equal_gaps(shown, at)
        near = [pts for pts in after if pts - shown[-1] <= self._margin]
        since_key = target - max(self._packets.origin or 0, self._film.start_pts)
        if since_key > self._stride:
            self._stride = 2 * since_key  # in GOPs as long as these, a seek lands behind what was decoded already
        return _Wanted(shown, [*before, *shown, *near])

    def _demand_equal_gaps(self, shown: list[int], at: float) -> None:
        gaps = [later - earlier for earlier, later in pairwise(shown)]
        uneven = max(gaps) - min(gaps)
        if uneven > gap_tolerance(self._film.time_base) or 2 * uneven > min(gaps):
            told = ", ".join(f"{float(gap * self._film.time_base * 1000):.1f}" for gap in gaps)
            raise WindowError(Reason.FRAME_GAPS_UNEQUAL, f"Gaps of the frames from {at:.3f} s on: {told} ms.")

    def _decode(self, wanted: _Wanted) -> Frames | None:
        """The window's frames; None: some were passed already, and are kept no more."""
        first, last = wanted.decoded[0], wanted.decoded[-1]
        if self._packets.jumped:
            self._packets.stream.codec_context.flush_buffers()
            self._inside.clear()
        self._kept = {pts: frame for pts, frame in self._kept.items() if pts >= first}
        missing = set(wanted.decoded).difference(self._kept)
        unsent = {pts for pts in missing if self._packets.can_decode(pts)}
        if not missing.issubset(unsent | self._inside):
            return None
        found = {pts: self._kept[pts] for pts in wanted.decoded if pts in self._kept}
        while missing:
            # before decoding a key frame just to push out what is ready, the decoder is emptied
            packet = None if not unsent and self._packets.key_is_next else self._next()
            skip = packet is not None and packet.pts is not None and packet.pts < first
            frames = self._send(packet, skip=skip, doubt=bool(unsent))
            if packet is None:
                self._lost = not self._packets.start_here()
            elif packet.pts is not None and not skip:
                unsent.discard(packet.pts)
                self._inside.add(packet.pts)
            late = packet is None
            for frame in frames:
                pts = frame.pts
                if pts is None or pts < first:
                    continue
                self._keep(pts, frame)
                self._inside.discard(pts)
                if pts in missing:
                    missing.discard(pts)
                    found[pts] = frame
                late = late or pts > last
            if missing and not unsent and late:
                raise _NotShownError(missing)
        return self._frames(wanted, found)

    def _keep(self, pts: int, frame: "VideoFrame") -> None:
        self._kept[pts] = frame
        while len(self._kept) > KEPT_FRAMES:
            del self._kept[min(self._kept)]

    def _frames(self, wanted: _Wanted, found: "dict[int, VideoFrame]") -> Frames:
        frames = [found[pts] for pts in wanted.decoded]
        if self._film.interlaced:
            begin = wanted.decoded.index(wanted.shown[0])
            frames = deinterlaced(frames)[begin : begin + WINDOW_FRAMES]
        return Frames(tuple(wanted.shown), tuple(map(self._seconds, wanted.shown)), tuple(frames))

    def _decode_early(self) -> None:
        """Decode the older half of the waiting packets: no key frame follows them soon."""
        if self._packets.jumped:
            self._packets.stream.codec_context.flush_buffers()
            self._inside.clear()
        for _ in range(len(self._packets.waiting) // 2):
            self._send(self._next(), skip=True, doubt=True)

    def _next(self) -> "Packet[VideoStream] | None":
        """The next packet that can be decoded."""
        while (packet := self._packets.take()) is not None:
            # shown before the key frame it follows: it may refer to what was left out
            if packet.pts is None or packet.pts >= self._packets.start:
                return packet
        return None

    def _send(self, packet: "Packet[VideoStream] | None", *, skip: bool, doubt: bool) -> "list[VideoFrame]":
        """Decode one packet, or what is left in the decoder.

        Raises:
            _DoubtfulError: it is damaged, and `doubt` says that others wait for it.
            WindowError: the time is up.
        """
        import av

        alive()
        if time.monotonic() > self._deadline:
            self._lost = True
            raise WindowError(Reason.DECODER_TIMED_OUT, f"The window did not decode within {self._timeout_s:g} s.")
        codec = self._packets.stream.codec_context
        codec.skip_frame = "NONREF" if skip and self._skips else "DEFAULT"
        try:
            frames = codec.decode(packet)
        except av.error.FFmpegError as error:
            self._lost = True
            if doubt:
                raise _DoubtfulError from error
            return []
        self.decoded += len(frames)
        if any(frame.is_corrupt for frame in frames) or (packet is not None and packet.is_corrupt):
            self._lost = True
            raise _DoubtfulError
        return frames

    def _ticks(self, seconds: float) -> int:
        """The first tick at or after; what floats lose in a thousandth of a tick does not count."""
        return math.ceil(seconds / self._film.time_base - 1e-3)

    def _seconds(self, pts: int) -> float:
        return float((pts - self._film.start_pts) * self._film.time_base)
