"""The films of known truth that go through the stages of video patches.

Each is little larger than the patch that is cut from it. From top to bottom of its picture: a number of the frame,
colours (greys of known light where the film is HDR), a grid of one-pixel lines, and fields by chance that move. Number
and colours repeat along the row, so that every patch shows a whole one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.controls.films import (
    BARS,
    HLG,
    PQ,
    SDR,
    SDR_FULL_601,
    Box,
    Planes,
    Signal,
    fields,
    line_grid,
    paint_colours,
    paint_number,
    write_film,
)

SMALLEST: Final = 270
"""Pixels of a patch's side under which there is no room for all that is painted."""
SPARE: Final = 16
"""Pixels by which a film is larger than its patch, where the ground truth leaves room."""
LONGER, SHORTER = 1920, 1080
"""The ground truth is scaled to fit in here. Source: the seed."""
BOXED_WIDTH: Final = 2160
"""Pixels: scaled to the 1920 of the ground truth, 8 to 9."""
FIELD: Final = 64
"""Pixels of a field's side: blocks within it are flat, so that nothing is taken for grain."""
LINES: Final = 24
"""Rows of the line grid at most: lower than a block, which would be taken for grain alone."""
BAR_ROWS: Final = 40
"""Black rows above and below the picture of a film in a letterbox."""

LIGHT: Final = {
    "pq": {195: 37, 327: 98, 450: 184, 509: 215, 573: 235, 674: 251},
    "hlg": {152: 39, 283: 96, 414: 154, 502: 185, 590: 209, 721: 235},
}
"""10-bit luma codes of greys -> 8-bit levels: PQ of 1, 10, 50, 100, 203 and 600 cd/m2, HLG signals of 0.1 to 0.75.
Source: SMPTE ST 2084, ITU-R BT.2100; ffmpeg's zscale and tonemap=mobius with the project's settings."""

BROKEN: Final = "control_broken"


@dataclass(frozen=True, eq=False)
class ControlFilm:
    """A film and what is true of it.

    `width` and `height` are of the upright picture, `bars` black rows above and below within it; `begins` are the first
    frames of its shots; `scaled` is what the picture is scaled to before it is cut.
    """

    name: str
    signal: Signal
    width: int
    height: int
    patch: tuple[int, int]
    frames: int
    begins: tuple[int, ...] = (0,)
    bars: int = 0
    rotation: int = 0
    scaled: tuple[int, int] = (0, 0)

    @property
    def grow(self) -> float:
        """Pixels of the film for one of the patch."""
        return self.width / self.scaled[0]

    @property
    def content(self) -> tuple[int, int, int, int]:
        """The picture without its bars."""
        return 0, self.bars, self.width, self.height - self.bars

    @property
    def light(self) -> dict[int, int]:
        """Luma codes of greys and their levels; empty where the film is SDR."""
        return LIGHT.get(self.name.removeprefix("control_"), {})

    @property
    def period(self) -> int:
        """Columns after which number and colours come again."""
        return int(self.patch[0] * self.grow) // 4 * 2

    def strip(self, number: int) -> tuple[int, int]:
        """Top and bottom of a strip: 0 the number, 1 the colours, 2 the lines; below are the fields."""
        top = self.bars + int((SPARE + 4) * self.grow) // 2 * 2
        high = int(0.14 * self.patch[1] * self.grow) // 2 * 2
        begin = top + number * high
        return begin, begin + (min(high, LINES) if number == 2 else high)

    def box(self, strip: int, crop: Box) -> Box:
        """Where in a patch the first whole number (or its colours) is; `crop` is the patch in the scaled picture."""
        left, top, _, _ = crop
        begin = -(-int(np.ceil(left * self.grow)) // self.period) * self.period
        rows = self.strip(strip)
        across = [x / self.grow - left for x in (begin, begin + self.period)]
        down = [y * self.scaled[1] / self.height - top for y in rows]
        return across[0], down[0], across[1], down[1]

    def shot_of(self, frame: int) -> int:
        return sum(frame >= begin for begin in self.begins) - 1

    def bright(self, frame: int) -> NDArray[np.bool_]:
        """Which pixels of lines and fields are bright, (H, W); what else is there is painted over them."""
        side = FIELD if min(self.patch) > 4 * FIELD else FIELD * 3 // 4
        step = side // 12
        shown = fields(self.width + step * self.frames, self.height, side, self.shot_of(frame))
        picture = shown[:, step * frame : step * frame + self.width].copy()
        top, bottom = self.strip(2)
        picture[top:bottom] = line_grid(self.width, bottom - top)
        return picture

    def levels(self, frame: int) -> tuple[int, int]:
        """Luma codes of dark and bright pixels; a second shot is much darker than the first."""
        if self.light:
            return tuple(list(self.light)[k] for k in (1, 3))  # type: ignore[return-value]
        greys = (40, 110) if self.shot_of(frame) % 2 else (130, 230)
        return tuple(self.signal.codes((grey,) * 3)[0] for grey in greys)  # type: ignore[return-value]

    def luma(self, frame: int) -> NDArray[np.uint16]:
        """The codes of a frame, (H, W), with its number and without its colours."""
        dark, bright = self.levels(frame)
        picture = np.where(self.bright(frame), bright, dark).astype(np.uint16)
        top, bottom = self.strip(0)
        black, white = self.signal.codes((0,) * 3)[0], bright
        for left in range(0, self.width - self.period + 1, self.period):
            paint_number(picture, (left, top, left + self.period, bottom), frame, black, white)
        picture[: self.bars] = picture[self.height - self.bars :] = black
        return picture

    def planes(self, frame: int) -> Planes:
        """A frame, upright."""
        planes = Planes.grey(self.luma(frame), self.signal)
        top, bottom = self.strip(1)
        for left in range(0, self.width - self.period + 1, self.period):
            if self.light:
                edges = np.arange(self.period) * len(self.light) // self.period
                planes.y[top:bottom, left : left + self.period] = np.array(list(self.light))[edges]
            else:
                paint_colours(planes, (left, top, left + self.period, bottom), BARS, self.signal)
        return planes

    def write(self, path: Path, mark: str) -> Path:
        """The film; made where it is not there."""
        return write_film(path, self._stored(), self.signal, mark, rotation=self.rotation)

    def _stored(self) -> Iterator[Planes]:
        return (self.planes(frame).turned(-self.rotation) for frame in range(self.frames))


def control_films(patch: tuple[int, int], *, native: bool) -> Sequence[ControlFilm]:
    """The films for a patch of a size.

    A first one with a cut, one in a letterbox that is scaled where it can be, one turned in full range by the matrix of
    BT.601, and two HDR ones.

    Args:
        patch: width and height.
        native: the picture is not scaled before it is cut.
    """
    limits = (SHORTER, LONGER) if patch[1] > patch[0] else (LONGER, SHORTER)
    width, height = (_spare(side, limit) for side, limit in zip(patch, limits, strict=True))
    small = (width, height)

    def film(name: str, signal: Signal, **other: object) -> ControlFilm:
        given = {"width": width, "height": height, "patch": patch, "frames": 9, "scaled": small} | other
        return ControlFilm(f"control_{name}", signal, **given)  # type: ignore[arg-type]

    return (
        film("plain", SDR, frames=24, begins=(0, 12)),
        film("boxed", SDR, bars=BAR_ROWS, **_boxed(patch, native)),
        film("turned", SDR_FULL_601, rotation=90),
        film("pq", PQ),
        film("hlg", HLG),
    )


def _boxed(patch: tuple[int, int], native: bool) -> dict[str, object]:
    """Sizes of a film in a letterbox: wider than the ground truth, if the patch finds room in it then."""
    width, height = patch
    high = (height + SPARE + 4) * 9 // 8 // 2 * 2 + 2 * BAR_ROWS
    if native or width + SPARE > LONGER or high * 8 > SHORTER * 9:
        size = (width + width % 2, height + height % 2 + 2 * BAR_ROWS)
        return {"width": size[0], "height": size[1], "scaled": size}
    return {"width": BOXED_WIDTH, "height": high, "scaled": (LONGER, round(high * LONGER / BOXED_WIDTH))}


def _spare(side: int, limit: int) -> int:
    """An even side of a film, a little longer than that of its patch, if that is not scaled then."""
    return side + SPARE + side % 2 if side + SPARE < limit else side + side % 2
