"""The dance video of known truth that goes through the stages of music to pose.

Two shots of a rendered dancer who glides along, then black while the music goes on. Beside each dancer stand the number
of the frame and a column of colours; clicks sound on frames that are known, over a tone for each shot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.controls.films import BARS, FPS, SDR, Planes, paint_number, write_film
from tasks.controls.pictures import person
from tasks.controls.sounds import clicks_over_tones
from tasks.schema.keypoints import OPENPOSE_18

NAME: Final = "control_dance"
SILENT: Final = "control_silent"

SHOT_FRAMES: Final = 24
DANCERS: Final = (181, 307)
"""Rendered people of the series of controls, one a shot: standing, seen from the front, with all joints."""
SPEED: Final = (4, -4)
"""Pixels a frame that each glides, of a video that is `SMALLEST` high."""
FRAMES: Final = 120
TONES: Final = ("A", "D", "E")
"""Of both shots and of the black that follows."""
CLICK_EVERY: Final = 12
"""Frames from one click to the next: 120 a minute."""
FIRST_CLICK: Final = 6
SMALLEST: Final = 320
"""Pixels of the video's height, at least."""
OF_HEIGHT: Final = 0.7
"""A dancer's height, at least, as a share of the picture's."""

_NUMBER, _COLOURS = (0.15, 0.22), (0.8, 0.9)
"""Columns of the picture of a dancer that are painted over, from and to, as shares of its side."""
_ROWS: Final = (0.2, 0.85)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DanceFilm:
    """A video of a height in pixels, divisible by 16, and what is true of it."""

    side: int

    @classmethod
    def of_dancers(cls, smallest_height: int) -> "DanceFilm":
        """With dancers who are higher than the smallest that count."""
        return cls(-(-max(SMALLEST, round(smallest_height / OF_HEIGHT)) // 16) * 16)

    @property
    def width(self) -> int:
        return self.side * 3 // 2 // 2 * 2

    @property
    def clicks(self) -> list[int]:
        """Frames on which it clicks."""
        return list(range(FIRST_CLICK, FRAMES, CLICK_EVERY))

    def left(self, frame: int) -> int:
        """Where the picture of the dancer begins, in pixels of the video."""
        shot, within = divmod(frame, SHOT_FRAMES)
        moved = SPEED[shot] * within * self.side // SMALLEST
        return (moved if SPEED[shot] > 0 else self.width - self.side + moved) // 2 * 2

    def speed(self, shot: int) -> float:
        """Pixels a frame that the dancer goes."""
        return SPEED[shot] * self.side / SMALLEST

    def joints(self, frame: int) -> dict[str, tuple[float, float]]:
        """Where the dancer's joints are in the video, by name, in pixels counted from the middle of the first."""
        known = person(DANCERS[frame // SHOT_FRAMES], self.side).keypoints.xy[0]
        left = self.left(frame)
        return {name: (float(x) + left, float(y)) for name, (x, y) in zip(OPENPOSE_18.joints, known, strict=True)}

    def number_box(self, frame: int) -> tuple[int, int, int, int]:
        """Where the number is, in pixels of the video."""
        return self._column(_NUMBER, frame)

    def colour_box(self, frame: int, colour: int) -> tuple[float, float, float, float]:
        """Where a colour is."""
        left, top, right, bottom = self._column(_COLOURS, frame)
        high = (bottom - top) / len(BARS)
        return left, top + colour * high, right, top + (colour + 1) * high

    def picture(self, frame: int) -> Picture:
        """RGB of a frame, with its colours and without its number."""
        shown = np.full(
            (self.side, self.width, 3), (200, 60)[frame // SHOT_FRAMES] if frame < self.danced else 0, np.uint8
        )
        if frame >= self.danced:
            return shown
        left = self.left(frame)
        shown[:, left : left + self.side] = person(DANCERS[frame // SHOT_FRAMES], self.side).photo
        for k, colour in enumerate(BARS):
            x, y, right, bottom = (round(edge) for edge in self.colour_box(frame, k))
            shown[y:bottom, x:right] = colour
        return shown

    @property
    def danced(self) -> int:
        """Frames with a dancer."""
        return SHOT_FRAMES * len(DANCERS)

    def planes(self, frame: int) -> Planes:
        """A frame as code values."""
        planes = _planes(self.picture(frame))
        if frame < self.danced:
            paint_number(planes.y, self.number_box(frame), frame, 16, 235)
            left, top, right, bottom = (edge // 2 for edge in self.number_box(frame))
            planes.u[top:bottom, left:right] = planes.v[top:bottom, left:right] = SDR.neutral
        return planes

    def sound(self) -> NDArray[np.float32]:
        """Clicks and tones, from the first frame to the last."""
        begins = [SHOT_FRAMES * k / FPS for k in range(len(TONES))]
        clicks = [frame / FPS for frame in self.clicks]
        return clicks_over_tones(FRAMES / FPS, clicks, list(zip(begins, TONES, strict=True)))

    def write(self, path: Path, mark: str, *, sounding: bool = True) -> Path:
        """The video; made where it is not there."""
        return write_film(path, self._frames(), SDR, mark, sound=self.sound() if sounding else None)

    def _frames(self) -> Iterator[Planes]:
        black = self.planes(self.danced)
        for frame in range(FRAMES):
            yield self.planes(frame) if frame < self.danced else black

    def _column(self, span: tuple[float, float], frame: int) -> tuple[int, int, int, int]:
        left = self.left(frame)
        across = [left + round(share * self.side) // 2 * 2 for share in span]
        down = [round(share * self.side) // 2 * 2 for share in _ROWS]
        return across[0], down[0], across[1], down[1]


def _planes(rgb: Picture) -> Planes:
    """A picture as codes of `SDR`, chroma at the left of its two columns and in the middle of its two rows."""
    r, g, b = (rgb[..., k].astype(np.float32) / 255 for k in range(3))
    y = SDR.kr * r + (1 - SDR.kr - SDR.kb) * g + SDR.kb * b
    chroma = (b - y) / (2 * (1 - SDR.kb)), (r - y) / (2 * (1 - SDR.kr))
    halves = (np.round(128 + 224 * (each[::2, ::2] + each[1::2, ::2]) / 2) for each in chroma)
    return Planes(np.round(16 + 219 * y).astype(np.uint16), *(half.astype(np.uint16) for half in halves))
