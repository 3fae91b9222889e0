"""A film's packets in decoding order, read ahead far enough to know which frames follow a time."""

import os
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tasks.schema.errors import SourceError
from tasks.shards.watchdog import alive
from tasks.video.container import NoPictureError, open_film

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from av import Packet, VideoStream
    from av.container import InputContainer

REORDER: Final = 17
"""A frame is decoded at most 16 frames before those that are shown earlier. Source: H.264 and H.265, level limits."""

WAITING_BYTES: Final = 128 << 20
"""Beyond this, waiting packets are better decoded early; only GOPs of more than 10 s at 100 Mb/s come there."""

BEGINNING: Final = -(1 << 62)
"""The `origin` of packets read from the film's first one: some may be shown before it."""


class PacketsAhead:
    """Packets that were read and not yet taken, and the times of all that were read since a key frame.

    `origin` is the pts of the key frame at which the run of packets starts, None before it was read: what is shown at
    or after it stands in `times` (ascending, each once) once it was read, taken or not. `start` is that of the key
    frame at which decoding starts; `jumped` tells that a decoder has to start afresh there, with the next packet.
    `ended`: the film has no more, or its container is damaged (`damaged`) and nothing can be read on.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path, self._threads = path, threads
        self._hidden: set[int] = set()
        self._open = ExitStack()
        self._container: InputContainer
        self._source: Iterator[Packet[VideoStream]]
        self.stream: VideoStream
        self.waiting: deque[Packet[VideoStream]] = deque()
        self.times: list[int] = []
        self.origin: int | None = None
        self.start = BEGINNING
        self.jumped = True
        self.ended = False
        self.damaged = False
        self._open_again()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self.waiting.clear()
        self._open.close()

    def start_before(self, pts: int, steps_back: Iterable[int]) -> None:
        """Start at a key frame at or before a time, by seeking to it, or so much earlier; else at the beginning."""
        for step in steps_back:
            self._seek(pts - step)
            if self.read() and self.origin is not None and self.origin <= pts:
                return
        self._seek(None)

    def step_back(self, steps_back: Iterable[int]) -> bool:
        """Start at the key frame before this one; False where that is the film's first."""
        if self.origin is None or self.origin == BEGINNING:
            return False
        self.start_before(self.origin - 1, steps_back)
        return True

    def demand_file(self) -> None:
        """Look whether the file is still there: a disk that is gone says nothing about the film.

        Raises:
            SourceError: it is not.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                file.read(1)
        except OSError as error:
            told = f"{self._path} cannot be read any more ({error.strerror}): is its disk mounted? Run again."
            raise SourceError(told) from error

    @property
    def key_is_next(self) -> bool:
        """Whether a key frame is the next to be taken."""
        return (bool(self.waiting) or self.read()) and self.waiting[0].is_keyframe and self.waiting[0].pts is not None

    @property
    def newest(self) -> int | None:
        """The latest time read."""
        return self.times[-1] if self.times else None

    def look_ahead(self, pts: int, frames: int, *, from_last_key: bool = True) -> list[int] | None:
        """The times of the first frames at or after one, fewer than asked for at the end of the film.

        Everything before the last key frame from which all of them can be decoded is left out, where `from_last_key`.
        None: so many packets are waiting that some should be taken first.
        """
        while len(self.times) - bisect_left(self.times, pts) < frames + REORDER and self.read():
            last = self.waiting[-1]
            if from_last_key and last.is_keyframe and last.pts is not None and last.pts <= pts:
                self._leave_out(len(self.waiting) - 1)
            elif self._waiting_bytes > WAITING_BYTES and len(self.waiting) > 4 * REORDER:
                return None
        known = self.times[bisect_left(self.times, pts) :][:frames]
        if known and from_last_key:
            keys = [n for n, p in enumerate(self.waiting) if p.is_keyframe and p.pts is not None and p.pts <= known[0]]
            if keys:
                self._leave_out(keys[-1])
        return known

    def hide(self, pts: Collection[int]) -> None:
        """Take out times at which nothing is shown, now and whenever they are read again."""
        self._hidden.update(pts)
        self.times = [each for each in self.times if each not in self._hidden]

    def read(self) -> bool:
        """Read one more packet; False at the end."""
        import av

        while not self.ended:
            alive()
            try:
                packet = next(self._source, None)
            except av.error.FFmpegError:
                self.demand_file()
                self.damaged = True
                packet = None
            if packet is None or not packet.size:
                self.ended = True
            elif self.origin is not None or (packet.is_keyframe and packet.pts is not None):
                self._append(packet)
                return True
        return False

    def take(self) -> "Packet[VideoStream] | None":
        """The next packet to decode; None at the end of the film."""
        if not self.waiting and not self.read():
            return None
        self.jumped = False
        packet = self.waiting.popleft()
        self._waiting_bytes -= packet.size
        return packet

    def start_here(self) -> bool:
        """Let decoding start with the next packet; False where it is no key frame."""
        pts = self.waiting[0].pts if self.key_is_next else None
        if pts is None:
            return False
        self.start, self.jumped = pts, True
        return True

    def can_decode(self, pts: int) -> bool:
        """Whether what is shown at a time waits to be taken, and was not shut out by a fresh start."""
        return pts >= self.start and any(packet.pts == pts for packet in self.waiting)

    def _append(self, packet: "Packet[VideoStream]") -> None:
        self.waiting.append(packet)
        self._waiting_bytes += packet.size
        pts = packet.pts
        if self.origin is None:
            self.origin = self.start = BEGINNING if self._from_beginning or pts is None else pts
        if pts is None or packet.is_discard or pts in self._hidden or (self.origin is not None and pts < self.origin):
            return
        place = bisect_left(self.times, pts)
        if place == len(self.times) or self.times[place] != pts:
            insort(self.times, pts)

    def _leave_out(self, packets: int) -> None:
        """Start at a waiting key frame; what is shown before it is unknown from now on."""
        for _ in range(packets):
            self._waiting_bytes -= self.waiting.popleft().size
        if packets and self.start_here():
            self.origin = self.start
            del self.times[: bisect_left(self.times, self.start)]

    def _seek(self, pts: int | None) -> None:
        """Go where the container takes us for a time; None, or where it cannot seek: to the beginning."""
        import av

        if pts is not None:
            with suppress(av.error.FFmpegError):
                self._container.seek(pts, stream=self.stream)
                self._start(from_beginning=False)
                return
        self.waiting.clear()
        self._open.close()
        self._open_again()

    def _open_again(self) -> None:
        import av

        try:
            self._container, self.stream = self._open.enter_context(open_film(self._path, self._threads))
        except (av.error.FFmpegError, NoPictureError) as error:
            self.demand_file()
            raise SourceError(f"{self._path} does not open as the film that it was: {error}") from error
        self.stream.codec_context.options = {"err_detect": "explode"}  # else HEVC passes over damaged slices in silence
        self._start(from_beginning=True)

    def _start(self, *, from_beginning: bool) -> None:
        self._from_beginning = from_beginning
        self._source = iter(self._container.demux(self.stream))
        self._waiting_bytes = 0
        self.waiting.clear()
        self.times = []
        self.origin, self.start, self.jumped = None, BEGINNING, True
        self.ended = self.damaged = False
