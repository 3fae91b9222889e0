"""A decoded frame's luma and chroma as arrays of code values."""

import re
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

Codes = NDArray[np.uint8] | NDArray[np.uint16]
Box = tuple[int, int, int, int]
Size = tuple[int, int]

_HALVED: Final = {
    "yuv420p": (1, 1), "yuvj420p": (1, 1), "yuv422p": (0, 1), "yuvj422p": (0, 1), "yuv444p": (0, 0), "yuvj444p": (0, 0),
    "gray": (0, 0), "nv12": (1, 1), "p010": (1, 1), "p012": (1, 1), "p016": (1, 1),
}  # fmt: skip
"""Formats that are read as they are, without bits and byte order: whether rows and columns of chroma are halved."""
_COMMON: Final = "yuv444p12le"
"""What swscale makes of all other formats; only those of more than 12 bits lose by it."""


@dataclass(frozen=True)
class Window:
    """A part of a frame, flat, for the compiled loops.

    Attributes:
        luma: uint16, rows of `stride` values of which the first `size[0]` belong to the part.
        u: uint16, chroma alike, rows of `chroma_stride` values; empty for grey frames.
        v: as `u`.
        origin: column and row of the frame where the part begins, both even.
        size: width and height of luma.
        chroma_size: width and height of chroma.
    """

    luma: NDArray[np.uint16]
    u: NDArray[np.uint16]
    v: NDArray[np.uint16]
    stride: int
    chroma_stride: int
    origin: tuple[int, int]
    size: Size
    chroma_size: Size


@dataclass(frozen=True)
class Planes:
    """Code values of a frame.

    Attributes:
        arrays: luma (height, width or more) and, but for grey frames, both chroma planes alike.
        size: width and height of luma.
        halved: whether rows and columns of chroma are halved (1) or not (0).
        bits: of a code value.
        unit: what a code value of 1 is in the arrays.
        full_range: the format says so.
        rgb: the colours were RGB and came here by BT.709's matrix, in full range.
    """

    arrays: tuple[Codes, ...]
    size: Size
    halved: tuple[int, int]
    bits: int
    unit: int = 1
    full_range: bool = False
    rgb: bool = False

    @property
    def chroma_size(self) -> Size:
        """Width and height of chroma, 0 and 0 for grey frames."""
        rows, columns = self.halved
        return ((self.size[0] + columns) >> columns, (self.size[1] + rows) >> rows) if len(self.arrays) > 1 else (0, 0)

    def views(self) -> list[Codes]:
        """Luma and, where there is any, chroma without padding."""
        sizes = (self.size, self.chroma_size, self.chroma_size)
        return [plane[: size[1], : size[0]] for plane, size in zip(self.arrays, sizes, strict=False)]

    def window(self, box: Box) -> Window:
        """What is needed for the luma samples in `box`, bounded to the frame: those and the chroma around them.

        The frame's own memory where that can be used, else a copy of the part.
        """
        left, top = (max(0, edge - 2) & ~1 for edge in box[:2])
        right, bottom = (min(self.size[axis], box[2 + axis] + 2) for axis in (0, 1))
        luma, stride = _flat(self.arrays[0], (left, top, right, bottom))
        rows, columns = self.halved
        part = (left >> columns, top >> rows, (right + columns) >> columns, (bottom + rows) >> rows)
        chroma = [_flat(plane, part) for plane in self.arrays[1:]] or [(luma[:0], 0)] * 2
        return Window(
            luma=luma,
            u=chroma[0][0],
            v=chroma[1][0],
            stride=stride,
            chroma_stride=chroma[0][1],
            origin=(left, top),
            size=(right - left, bottom - top),
            chroma_size=(part[2] - part[0], part[3] - part[1]) if len(self.arrays) > 1 else (0, 0),
        )


def read_planes(frame: av.VideoFrame) -> Planes:
    """The frame's own memory where its format is a common one."""
    rgb = bool(frame.format.is_rgb)
    kind = _kind(frame.format.name)
    if kind not in _HALVED:
        frame, kind = _reformatted(frame, rgb), "yuv444p"
    bits = int(frame.format.components[0].bits)
    arrays = [_array(plane, bits) for plane in frame.planes]
    if len(arrays) == 2:
        arrays[1:] = [arrays[1][:, 0::2], arrays[1][:, 1::2]]
    return Planes(
        arrays=tuple(arrays),
        size=(frame.width, frame.height),
        halved=_HALVED[kind],
        bits=bits,
        unit=1 << (16 - bits) if kind.startswith("p01") else 1,
        full_range=kind.startswith("yuvj") or rgb,
        rgb=rgb,
    )


def _kind(name: str) -> str:
    """`yuv420p10le` -> `yuv420p`; names in big-endian order stay as they are."""
    if name.startswith("p01"):
        return name.removesuffix("le")
    return re.sub(r"^(yuv4\d\dp|gray)(9|1[0-6])le$", r"\1", name)


def _array(plane: VideoPlane, bits: int) -> Codes:
    memory = memoryview(plane)
    codes: Codes = np.frombuffer(memory, np.uint16) if bits > 8 else np.frombuffer(memory, np.uint8)
    stride = plane.line_size // codes.itemsize
    return codes[: stride * plane.height].reshape(plane.height, stride)


def _flat(plane: Codes, box: Box) -> tuple[NDArray[np.uint16], int]:
    """The part of a plane as rows behind one another, and what lies between their beginnings."""
    left, top, right, bottom = box
    own = plane.dtype == np.uint16 and plane.flags.c_contiguous
    part = plane[top:bottom] if own else plane[top:bottom, left:right]
    flat = part.astype(np.uint16, copy=not own).reshape(-1)[left if own else 0 :]
    stride = part.shape[1]
    flat.flags.writeable = False
    return flat, stride


def _reformatted(frame: av.VideoFrame, rgb: bool) -> av.VideoFrame:
    if rgb:
        return frame.reformat(format=_COMMON, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG)
    return frame.reformat(format=_COMMON)
