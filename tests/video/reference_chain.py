"""Frames made of noise, and ffmpeg's own conversion of a whole frame, which crops have to agree with."""

import re
import subprocess
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from tasks.schema.films import Film, Transfer
from tasks.video.ffmpeg import ffmpeg_exe

TO_709 = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=10,"
    "zscale=t=bt709:m=gbr,format=gbrp"
)
TO_RGB = "zscale=m=gbr,format=gbrp"
WIDE_TO_RGB = "zscale=p=bt709:t=bt709:m=gbr,format=gbrp"
EXACT = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


def tags(film: Film, chroma_location: str = "left") -> str:
    """The film's colours as a `setparams` filter."""
    curve = {Transfer.PQ: "smpte2084", Transfer.HLG: "arib-std-b67", Transfer.SDR: "bt709"}[film.transfer]
    span = "pc" if film.full_range else "tv"
    return (
        f"setparams=range={span}:color_primaries={film.primaries}:color_trc={curve}:colorspace={film.matrix}"
        f":chroma_location={chroma_location}"
    )


def film_of(
    frame: av.VideoFrame,
    transfer: Transfer = Transfer.SDR,
    *,
    primaries: str = "bt709",
    matrix: str = "bt709",
    full_range: bool = False,
    rotation: int = 0,
    size: tuple[int, int] | None = None,
    content: tuple[int, int, int, int] | None = None,
) -> Film:
    """What probing would say about a film of such frames; `size` is the upright one."""
    width, height = size or ((frame.width, frame.height) if rotation % 180 == 0 else (frame.height, frame.width))
    return Film(
        path="film.mkv", digest="0", size_bytes=1, codec="hevc", width=width, height=height, coded_width=frame.width,
        coded_height=frame.height, rotation=rotation, content=content or (0, 0, width, height), fps=Fraction(24),
        time_base=Fraction(1, 24), start_pts=0, duration_s=1.0, bit_depth=frame.format.components[0].bits,
        transfer=transfer, primaries=primaries, matrix=matrix, full_range=full_range, interlaced=False, vfr=False,
    )  # fmt: skip


def noise_frame(pixel_format: str, width: int, height: int, seed: int = 7, brightest: float = 0.7) -> av.VideoFrame:
    """Clouds with fine noise in all planes, within what limited range allows."""
    rng = np.random.default_rng(seed)
    frame = av.VideoFrame(width, height, pixel_format)
    bits = frame.format.components[0].bits
    shift = 16 - bits if pixel_format.startswith("p01") else 0
    for index, plane in enumerate(frame.planes):
        pairs = 2 if index and len(frame.planes) == 2 else 1
        values = np.empty((plane.height, plane.width * pairs))
        for part in range(pairs):
            values[:, part::pairs] = _clouds(plane.width, plane.height, rng)
        levels = 16 + 219 * brightest * values if index == 0 else 128 + 120 * (values - 0.5)
        codes = np.round(levels * 2 ** (bits - 8)).astype(np.uint16) << shift
        dtype = np.dtype(np.uint16 if bits > 8 else np.uint8)
        if pixel_format.endswith("be"):
            dtype = dtype.newbyteorder(">")
        rows = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
        rows[:, : codes.shape[1]] = codes
        plane.update(rows.tobytes())
    return frame


def reference(frame: av.VideoFrame, *filters: str) -> NDArray[np.uint8]:
    """RGB (height, width, 3) by the filters from the whole frame."""
    command = [
        *(str(ffmpeg_exe()), "-v", "error", "-f", "rawvideo", "-pix_fmt", frame.format.name.replace("yuvj", "yuv")),
        *("-s", f"{frame.width}x{frame.height}", "-i", "-", "-vf", ",".join((*filters, "format=rgb24"))),
        *("-f", "image2pipe", "-c:v", "ppm", "-"),
    ]
    run = subprocess.run(command, input=_packed(frame), capture_output=True, check=False)
    assert not run.returncode, run.stderr.decode()
    header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", run.stdout)
    assert header
    width, height = int(header[1]), int(header[2])
    return np.frombuffer(run.stdout, np.uint8, offset=header.end()).reshape(height, width, 3)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Decibels, 99 where the pictures are the same."""
    assert a.shape == b.shape
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 10 * np.log10(255**2 / error) if error else 99.0


def _packed(frame: av.VideoFrame) -> bytes:
    bytes_each = 2 if frame.format.components[0].bits > 8 else 1
    parts = []
    for index, plane in enumerate(frame.planes):
        pairs = 2 if index and len(frame.planes) == 2 else 1
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        parts.append(rows[: plane.height, : plane.width * bytes_each * pairs].tobytes())
    return b"".join(parts)


def _clouds(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float64]:
    total = np.zeros((height, width))
    for cell, strength in ((64, 0.55), (12, 0.3), (3, 0.15)):
        coarse = rng.random((height // cell + 2, width // cell + 2))
        y, x = np.arange(height) / cell, np.arange(width) / cell
        top, left = y.astype(int), x.astype(int)
        down, right = (y - top)[:, None], x - left
        upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
        lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
        total += strength * (upper * (1 - down) + lower * down)
    return total
