"""What the first bytes of a picture say, read before any decoder is asked: format, empty canvas, bombs."""

import struct
from collections.abc import Iterator

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_format(data: bytes) -> str | None:
    """Pillow's name of the format that the first bytes announce; None: not a picture that we read."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), 128)
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def largest_canvas(data: bytes, format_name: str) -> tuple[int, int] | None:
    """The largest width x height in pixels that the headers of any frame claim; None where only a decoder can tell.

    Covers the formats whose decoders allocate while they open a file or reach further frames: GIF, WebP, PNG, JPEG.
    """
    try:
        return _CANVAS[format_name](data) if format_name in _CANVAS else None
    except (struct.error, IndexError):
        return None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"VP8X":
        return None
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if marker in (0xD9, 0xDA):
            return None
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _gif(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from("<HH", data, 6)
    for left, top, frame_width, frame_height in _gif_frames(data):
        width, height = max(width, left + frame_width), max(height, top + frame_height)
    return width, height


def _gif_frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width, height of every frame, until the file ends or is not understood."""
    at = 13 + _gif_palette_bytes(data[10])
    while at < len(data):
        block = data[at]
        if block == 0x2C:
            if at + 10 > len(data):
                return
            yield struct.unpack_from("<HHHH", data, at + 1)
            at += 11 + _gif_palette_bytes(data[at + 9])
        elif block == 0x21:
            at += 2
        else:
            return
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1


def _gif_palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


_CANVAS = {"GIF": _gif, "JPEG": _jpeg, "PNG": _png, "WEBP": _webp}
