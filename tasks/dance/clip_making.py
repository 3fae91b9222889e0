"""A clip under way: pictures chosen by time, squares cut from them, encoding beside the caller's work."""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasks.dance.encode import ClipEncoder
from tasks.dance.grid import last_shown
from tasks.schema.clips import CLIP_FPS
from tasks.schema.films import Film
from tasks.schema.rejections import Reason

if TYPE_CHECKING:
    from av import VideoFrame

FRAMES_BEHIND: Final = 32
"""Squares that wait for the encoder: 13 MB of 512 x 512."""

Square = Callable[[tuple[float, float], float], "VideoFrame"]
"""Cuts a square, by its centre and side, from the picture that is shown."""


@dataclass(frozen=True)
class Unmade:
    """Why a clip is not made."""

    reason: Reason
    detail: str
    score: float | None = None


class ClipMaking:
    """Takes the pictures of a video in order until the clip is complete.

    `repeated` counts frames that show the same picture as the one before.

    Args:
        row: of `CLIP_SCHEMA`.
        film: what probing found out.
        encoder: of the clip, the sound already in it.
    """

    def __init__(self, row: Mapping[str, Any], film: Film, encoder: ClipEncoder) -> None:
        self.repeated = 0
        self.unmade: Unmade | None = None
        self._frames: int = row["frames"]
        self._start_s: float = row["start_s"]
        self._centres, self._sides = row["crop_centre_xy"], row["crop_side"]
        self._film = film
        self._next = 0
        self._encoder = encoder
        self._lane = ThreadPoolExecutor(1, "clip")
        self._waiting: deque[Future[None]] = deque()
        self._made: Future[bytes] | None = None

    @property
    def complete(self) -> bool:
        """Whether no more pictures are wanted."""
        return self._next == self._frames or self.unmade is not None

    @property
    def made(self) -> bool:
        """Whether `result` has not to wait."""
        return self._made is not None and self._made.done()

    def show(self, square: Square, until: int | None, *, doubtful: bool) -> None:
        """Take the picture that is shown before the tick `until` (None: for ever) for all frames that want it."""
        shown = 0
        while not self.complete:
            time_s = self._start_s + self._next / CLIP_FPS
            if until is not None and last_shown(self._film, time_s) >= until:
                break
            if doubtful:
                told = f"The pictures at {time_s:.2f} s, or pictures that they refer to, are damaged."
                self.give_up(Unmade(Reason.FRAMES_UNREADABLE, told, time_s))
                return
            n = self._next
            picture = square((self._centres[2 * n], self._centres[2 * n + 1]), self._sides[n])
            if len(self._waiting) >= FRAMES_BEHIND:
                self._waiting.popleft().result()
            self._waiting.append(self._lane.submit(self._encoder.add, picture))
            self._next += 1
            self.repeated += shown > 0
            shown += 1
        if self._next == self._frames and self._made is None:
            self._made = self._lane.submit(self._encoder.finish)
            self._lane.shutdown(wait=False)

    def end(self) -> None:
        """The video is over."""
        if not self.complete:
            told = f"The video has pictures for {self._next} of the clip's {self._frames} frames."
            self.give_up(Unmade(Reason.FRAMES_TOO_FEW, told, float(self._next)))

    def give_up(self, why: Unmade) -> None:
        """Leave the clip; what was encoded is dropped."""
        self.unmade = why
        self._lane.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()

    def result(self) -> bytes:
        """The clip's bytes; waits for the encoder."""
        if self._made is None:
            raise RuntimeError("the clip is not complete")
        while self._waiting:
            self._waiting.popleft().result()
        return self._made.result()

    def close(self) -> None:
        """Stop what still runs."""
        self._lane.shutdown(wait=True, cancel_futures=True)
