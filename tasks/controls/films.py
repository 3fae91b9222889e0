"""Films that are painted to be measured: every code value, every frame's number and every colour in them is known.

Nothing here is taken from the code that reads films: a constant that is wrong there is still right here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.shards.files import disk_errors_explained, temporary

FPS: Final = 24

BARS: Final = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
"""Bars of 75 %, left to right: white, yellow, cyan, green, magenta, red, blue. Source: SMPTE RP 219."""

NUMBER_BITS: Final = 6
"""A film has fewer frames than 2 to this."""

_GREY_LINES: Final = 4
"""Every so many columns of a line grid are bright."""

Codes = NDArray[np.uint16]
Grey = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, right and bottom exclusive."""


@dataclass(frozen=True)
class Signal:
    """How colours become code values: `kr` and `kb` are the matrix's weights, the tags are numbers of ITU-T H.273."""

    bits: int = 8
    full_range: bool = False
    kr: float = 0.2126
    kb: float = 0.0722
    primaries: int = 1
    transfer: int = 1
    matrix: int = 1

    @property
    def pixel_format(self) -> str:
        return "yuv420p" if self.bits == 8 else "yuv420p10le"

    @property
    def neutral(self) -> int:
        """The chroma code of grey."""
        return 1 << (self.bits - 1)

    def codes(self, rgb: Sequence[float]) -> tuple[int, int, int]:
        """Y', Cb, Cr codes of R'G'B', each 0 to 255. Source: ITU-T H.273, equations 8 to 40."""
        r, g, b = (value / 255 for value in rgb)
        luma = self.kr * r + (1 - self.kr - self.kb) * g + self.kb * b
        chroma = (b - luma) / (2 * (1 - self.kb)), (r - luma) / (2 * (1 - self.kr))
        unit = 1 << (self.bits - 8)
        black, span, spread = (0, 255 * unit, 255 * unit) if self.full_range else (16 * unit, 219 * unit, 224 * unit)
        return round(black + span * luma), *(round(self.neutral + spread * each) for each in chroma)  # type: ignore[return-value]

    def level(self, code: float) -> float:
        """What 8-bit level a luma code of a grey is, of a film that is shown as it is."""
        unit = 1 << (self.bits - 8)
        return code / unit if self.full_range else (code / unit - 16) * 255 / 219


SDR: Final = Signal()
SDR_FULL_601: Final = Signal(full_range=True, kr=0.299, kb=0.114, primaries=6, transfer=6, matrix=6)
PQ: Final = Signal(10, kr=0.2627, kb=0.0593, primaries=9, transfer=16, matrix=9)
HLG: Final = Signal(10, kr=0.2627, kb=0.0593, primaries=9, transfer=18, matrix=9)


@dataclass(frozen=True, eq=False)
class Planes:
    """A frame as code values: luma (H, W) and both chroma planes (H/2, W/2), H and W even."""

    y: Codes
    u: Codes
    v: Codes

    @classmethod
    def grey(cls, luma: Codes, signal: Signal) -> "Planes":
        """A frame without colours."""
        half = (luma.shape[0] // 2, luma.shape[1] // 2)
        return cls(luma, *(np.full(half, signal.neutral, np.uint16) for _ in range(2)))

    def turned(self, clockwise: int) -> "Planes":
        """The frame turned by so many degrees."""
        return Planes(*(np.ascontiguousarray(np.rot90(plane, -clockwise // 90)) for plane in (self.y, self.u, self.v)))


def paint_colours(
    planes: Planes, box: tuple[int, int, int, int], colours: Sequence[Sequence[int]], signal: Signal
) -> None:
    """Bars of equal width from left to right; the corners of the box are even."""
    left, top, right, bottom = box
    edges = [left + (right - left) * k // len(colours) // 2 * 2 for k in range(len(colours) + 1)]
    for (begin, end), colour in zip(pairwise(edges), colours, strict=True):
        y, u, v = signal.codes(colour)
        planes.y[top:bottom, begin:end] = y
        planes.u[top // 2 : bottom // 2, begin // 2 : end // 2] = u
        planes.v[top // 2 : bottom // 2, begin // 2 : end // 2] = v


def number_blocks(number: int) -> list[bool]:
    """Bright or dark blocks that say a number: a bright one, the bits of its Gray code, a dark one.

    From a number to the next a single block changes, so that frames of a film differ little by it.
    """
    gray = number ^ (number >> 1)
    return [True, *(bool(gray >> bit & 1) for bit in reversed(range(NUMBER_BITS))), False]


def paint_number(luma: Codes, box: tuple[int, int, int, int], number: int, dark: int, bright: int) -> None:
    """The blocks of a number, along the longer side of the box."""
    left, top, right, bottom = box
    shown = np.where(number_blocks(number), bright, dark).astype(luma.dtype)
    part = luma[top:bottom, left:right]
    down = part.shape[0] > part.shape[1]
    along = np.arange(part.shape[0] if down else part.shape[1]) * len(shown) // max(part.shape)
    part[:] = shown[along][:, None] if down else shown[along][None, :]


def read_number(grey: Grey, box: Box) -> int:
    """The number that was painted where `box` is now; -1 where there is none to be read."""
    left, top, right, bottom = box
    count, down = NUMBER_BITS + 2, bottom - top > right - left
    seen = []
    for k in range(count):
        begin, end = (k + 0.3) / count, (k + 0.7) / count
        if down:
            part = top + (bottom - top) * begin, top + (bottom - top) * end, left, right
        else:
            part = top, bottom, left + (right - left) * begin, left + (right - left) * end
        seen.append(mean_inside(grey, (part[2], part[0], part[3], part[1]), 0.3 if down else 0.0, 0.0 if down else 0.3))
    bright, *bits, dark = seen
    if not all(np.isfinite(seen)) or bright - dark < 32:
        return -1
    gray = sum(1 << n for n, each in enumerate(reversed(bits)) if each > (bright + dark) / 2)
    number = 0
    while gray:
        number, gray = number ^ gray, gray >> 1
    return number


def mean_inside(picture: Grey, box: Box, across: float = 0.0, down: float = 0.0) -> float:
    """Mean of (H, W) in a box without a share of its sides at each end, at least one pixel; NaN outside."""
    left, top, right, bottom = box
    spare_x, spare_y = across * (right - left), down * (bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    columns = slice(*sorted((int(np.ceil(left + spare_x)), int(right - spare_x))))
    rows = slice(*sorted((int(np.ceil(top + spare_y)), int(bottom - spare_y))))
    columns = columns if columns.stop > columns.start else slice(int(x), int(x) + 1)
    rows = rows if rows.stop > rows.start else slice(int(y), int(y) + 1)
    if columns.start < 0 or rows.start < 0:
        return float("nan")
    part = picture[rows, columns]
    return float(part.mean()) if part.size else float("nan")


def fields(width: int, height: int, side: int, seed: int) -> NDArray[np.bool_]:
    """Bright and dark squares by chance, (height, width): sharp edges everywhere, alike at no other place."""
    chance = np.random.default_rng(seed).random((-(-height // side), -(-width // side))) < 0.5
    return np.asarray(np.kron(chance, np.ones((side, side), np.bool_))[:height, :width])


def line_grid(width: int, height: int) -> NDArray[np.bool_]:
    """Bright lines one pixel wide, (height, width)."""
    return np.broadcast_to(np.arange(width) % _GREY_LINES == 0, (height, width)).copy()


def write_film(
    path: Path,
    frames: Iterable[Planes],
    signal: Signal,
    mark: str,
    *,
    rotation: int = 0,
    sound: NDArray[np.float32] | None = None,
    sound_rate: int = 48_000,
) -> Path:
    """Encode frames without loss (H.264 with B-frames, `FPS` a second), unless the film is there.

    Args:
        path: an .mp4, or a .mov where there is sound.
        mark: stands in the file, so that films of different marks have different bytes.
        rotation: tag for the player, degrees clockwise.
        sound: mono samples, -1 to 1, the first with the first frame; kept as PCM.
    Raises:
        StoreError: the disk is full, or cannot be written.
    """
    import av

    if path.exists():
        return path
    written = temporary(path.parent)
    try:
        with disk_errors_explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(written), "w", format=path.suffix[1:]) as container:
                container.metadata["comment"] = mark
                _encode(container, iter(frames), signal, rotation, sound, sound_rate)
            written.replace(path)
    finally:
        written.unlink(missing_ok=True)
    return path


def _encode(
    container: Any, frames: Any, signal: Signal, rotation: int, sound: NDArray[np.float32] | None, rate: int
) -> None:
    first = next(frames)
    options = {"qp": "0", "preset": "ultrafast", "bf": "2", "g": "12", "threads": "1"}
    video = container.add_stream("libx264", rate=FPS, options=options)
    video.height, video.width = first.y.shape
    video.pix_fmt = signal.pixel_format
    context = video.codec_context
    context.color_primaries, context.color_trc = signal.primaries, signal.transfer
    context.colorspace, context.color_range = signal.matrix, 2 if signal.full_range else 1
    if rotation:
        video.set_display_rotation(-rotation)
    audio = None if sound is None else container.add_stream("pcm_s16le", rate=rate, layout="mono")
    for number, planes in enumerate(_chained(first, frames)):
        container.mux(video.encode(_frame(planes, signal, number)))
    container.mux(video.encode(None))
    if audio is not None and sound is not None:
        for packet in _sound_packets(audio, sound, rate):
            container.mux(packet)


def _chained(first: Planes, rest: Iterable[Planes]) -> Iterable[Planes]:
    yield first
    yield from rest


def _frame(planes: Planes, signal: Signal, number: int) -> Any:
    import av

    height, width = planes.y.shape
    frame = av.VideoFrame(width, height, signal.pixel_format)
    dtype = np.uint8 if signal.bits == 8 else np.uint16
    for plane, codes in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        rows = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        rows[:, : codes.shape[1]] = codes
        plane.update(rows.tobytes())
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    frame.colorspace, frame.color_range = signal.matrix, 2 if signal.full_range else 1
    return frame


def _sound_packets(stream: Any, sound: NDArray[np.float32], rate: int) -> Iterable[Any]:
    import av

    codes = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    for at in range(0, len(codes), 4096):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(codes[None, at : at + 4096]), format="s16", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
        yield from stream.encode(frame)
    yield from stream.encode(None)
