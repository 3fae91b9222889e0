"""A decoded frame's luma and chroma as flat arrays."""

import re
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint16]

_HALVED: Final = {
    "yuv420p": (1, 1), "yuvj420p": (1, 1), "yuv422p": (0, 1), "yuvj422p": (0, 1), "yuv444p": (0, 0), "yuvj444p": (0, 0),
    "gray": (0, 0), "nv12": (1, 1), "p010": (1, 1), "p012": (1, 1), "p016": (1, 1),
}  # fmt: skip
"""Formats that are read as they are, without their bits and byte order: whether rows and columns of chroma are halved."""
_COMMON: Final = "yuv444p12le"
"""What swscale makes of all other formats: no format loses by it but RGB of more than 12 bits."""


@dataclass(frozen=True)
class Planes:
    """Code values of a frame.

    Attributes:
        luma: all rows with their padding, `stride` values each, read-only.
        u: chroma alike, `chroma_stride` values a row; empty for grey frames.
        v: as `u`.
        size: width and height of luma.
        halved: whether rows and columns of chroma are halved (1) or not (0).
        bits: of a code value.
        unit: what a code value of 1 is in the arrays.
        full_range: the format says so.
        rgb: the colours were RGB and came here by BT.709's matrix, in full range.
    """

    luma: Codes
    u: Codes
    v: Codes
    stride: int
    chroma_stride: int
    size: tuple[int, int]
    halved: tuple[int, int]
    bits: int
    unit: int = 1
    full_range: bool = False
    rgb: bool = False

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Width and height of chroma, 0 and 0 for grey frames."""
        if not self.u.size:
            return 0, 0
        rows, columns = self.halved
        return (self.size[0] + columns) >> columns, (self.size[1] + rows) >> rows

    def views(self) -> list[Codes]:
        """Luma and, where there is any, chroma as (height, width)."""
        found = [_rows(self.luma, self.stride, self.size)]
        if self.u.size:
            found += [_rows(plane, self.chroma_stride, self.chroma_size) for plane in (self.u, self.v)]
        return found


def read_planes(frame: av.VideoFrame) -> Planes:
    """The frame's own memory where its format allows."""
    name = frame.format.name
    kind = re.sub(r"(?<=[vpy])(9|1[0-6])?(le)?$", "", name) if not name.startswith(("p01", "nv")) else name[:4]
    rgb = bool(frame.format.is_rgb)
    if kind not in _HALVED:
        frame, kind = _reformatted(frame, rgb), "yuv444p"
    bits = frame.format.components[0].bits
    flat = [_flat(plane, bits) for plane in frame.planes]
    stride = frame.planes[0].line_size // flat[0].itemsize
    nothing = flat[0][:0]
    chroma_stride = 0
    u = v = nothing
    if len(flat) == 2:
        u, v = (np.ascontiguousarray(flat[1][first::2]) for first in (0, 1))
        chroma_stride = frame.planes[1].line_size // flat[1].itemsize // 2
    elif len(flat) == 3:
        u, v = flat[1:]
        chroma_stride = frame.planes[1].line_size // flat[1].itemsize
    for plane in (u, v):
        plane.flags.writeable = False
    return Planes(
        luma=flat[0],
        u=u,
        v=v,
        stride=stride,
        chroma_stride=chroma_stride,
        size=(frame.width, frame.height),
        halved=_HALVED[kind],
        bits=bits,
        unit=1 << (16 - bits) if kind.startswith("p01") else 1,
        full_range=kind.startswith("yuvj") or rgb,
        rgb=rgb,
    )


def _flat(plane: VideoPlane, bits: int) -> Codes:
    codes: Codes = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8)
    codes.flags.writeable = False
    return codes


def _rows(plane: Codes, stride: int, size: tuple[int, int]) -> Codes:
    return plane[: stride * size[1]].reshape(size[1], stride)[:, : size[0]]


def _reformatted(frame: av.VideoFrame, rgb: bool) -> av.VideoFrame:
    from av.video.reformatter import ColorRange, Colorspace

    if rgb:
        return frame.reformat(format=_COMMON, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG)
    return frame.reformat(format=_COMMON)
