import struct

import pytest

from tasks.images.headers import largest_canvas, picture_format


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WEBP"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1heic", "HEIF"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", None),
        (b"P5\n2 2\n255\n", "PPM"),
        (b"PK\x03\x04", None),
        (b"<svg xmlns=", None),
        (b"%!PS-Adobe-3.0", None),
        (b"", None),
    ],
)
def test_first_bytes(data: bytes, name: str | None) -> None:
    assert picture_format(data) == name


def test_canvases() -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 70_000, 3)
    assert largest_canvas(png, "PNG") == (70_000, 3)
    webp = b"RIFF\xff\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\xff\xff\xff" + b"\x01\x00\x00"
    assert largest_canvas(webp, "WEBP") == (1 << 24, 2)
    frame = b"\xff\xc2\x00\x0b\x08" + struct.pack(">HH", 7, 9) + b"\x01\x01\x11\x00"
    assert largest_canvas(b"\xff\xd8\xff\xe0\x00\x04ab" + frame, "JPEG") == (9, 7)
    assert largest_canvas(b"\xff\xd8\xff\xe0\x00\x04ab" + frame[:6], "JPEG") is None
    assert largest_canvas(b"BM", "BMP") is None


def test_a_gif_is_as_large_as_its_largest_frame() -> None:
    screen = b"GIF89a" + struct.pack("<HH", 10, 10) + b"\x80\x00\x00" + bytes(6)
    frames = [b"\x2c" + struct.pack("<HHHH", left, 0, 20, 30) + b"\x00\x02" + b"\x03abc\x00" for left in (0, 50_000)]
    comment = b"\x21\xfe\x02hi\x00"
    assert largest_canvas(screen + comment + frames[0] + b"\x3b", "GIF") == (20, 30)
    assert largest_canvas(screen + frames[0] + comment + frames[1] + b"\x3b", "GIF") == (50_020, 30)
    assert largest_canvas(screen + frames[0] + comment + frames[1][:4], "GIF") == (20, 30)
