import hashlib
import io
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.images.decode import MAX_PIXELS, DecodeError, decode, decode_rgb
from tasks.schema.rejections import Reason

FORMATS = [
    ("JPEG", {"quality": 97, "subsampling": 0}, 3),
    ("JPEG", {"quality": 97, "subsampling": 0, "progressive": True}, 3),
    ("PNG", {}, 0),
    ("WEBP", {"lossless": True}, 0),
    ("TIFF", {}, 0),
    ("TIFF", {"compression": "tiff_lzw"}, 0),
    ("BMP", {}, 0),
    ("PPM", {}, 0),
    ("AVIF", {"quality": 95, "subsampling": "4:4:4", "speed": 10}, 3),
    ("HEIF", {"quality": 95}, 6),
    ("JPEG2000", {}, 0),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(FORMATS)]


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    if format_name == "HEIF":
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(image).save(stream, **options)
        return stream.getvalue()
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def refusal(data: bytes, **options: int) -> Reason:
    with pytest.raises(DecodeError) as refused:
        decode_rgb(data, **options)
    assert refused.value.detail
    return refused.value.reason


@pytest.mark.parametrize(("format_name", "options", "tolerance"), FORMATS, ids=IDS)
def test_formats(format_name: str, options: dict, tolerance: int, photo) -> None:
    data = encoded(Image.fromarray(photo), format_name, **options)
    pixels, facts = decode(data)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert np.abs(pixels.astype(int) - photo).mean() <= tolerance
    assert (facts.width, facts.height, facts.format, facts.mode) == (480, 320, format_name, "RGB")
    assert (facts.exif_orientation, facts.encoded_bytes) == (1, len(data))
    assert facts.sha256 == hashlib.sha256(data).hexdigest()


STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
"""Orientation -> how an upright picture is stored under it (EXIF 2.3, tag 274)."""


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(orientation: int, format_name: str, photo) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 97}, "AVIF": {"quality": 95, "speed": 10}}.get(
        format_name, {}
    )
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](photo)))
    pixels, facts = decode(encoded(stored, format_name, exif=exif, **options))
    assert pixels.shape == photo.shape
    assert np.abs(pixels.astype(int) - photo).mean() < 4
    assert (facts.width, facts.height, facts.exif_orientation) == (480, 320, orientation)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_impossible_orientations_are_ignored(value: int, photo) -> None:
    exif = Image.Exif()
    exif[274] = value
    pixels, facts = decode(encoded(Image.fromarray(photo), "PNG", exif=exif))
    np.testing.assert_array_equal(pixels, photo)
    assert facts.exif_orientation == 1


def test_broken_exif_is_ignored(photo) -> None:
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff\x01\x12"
    assert decode(encoded(Image.fromarray(photo), "JPEG", exif=exif))[1].exif_orientation == 1


def test_the_first_frame_counts(photo) -> None:
    frames = [Image.fromarray(photo), Image.new("RGB", (480, 320), "red")]
    for format_name, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {})):
        data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:], **options)
        pixels, facts = decode(data)
        assert np.abs(pixels.astype(int) - photo).mean() < 8
        assert facts.format == format_name


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claiming_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(999)))
        + _chunk(b"IEND", b"")
    )


def test_bombs_are_refused_before_pixels_are_allocated() -> None:
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0)
    webp = b"RIFF\xff\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\xff\xff\x00"
    tracemalloc.start()
    for bomb in (claiming_png(60_000, 60_000), bmp, webp, b"P6\n50000 50000\n255\n"):
        assert refusal(bomb) is Reason.IMAGE_BOMB
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_lower_cap_makes_pictures_too_large_but_no_bombs(photo) -> None:
    data = encoded(Image.fromarray(photo), "JPEG")
    assert decode_rgb(data, max_pixels=480 * 320).shape == (320, 480, 3)
    assert refusal(data, max_pixels=480 * 320 - 1) is Reason.IMAGE_TOO_LARGE
    assert refusal(claiming_png(60_000, 60_000), max_pixels=10**12) is Reason.IMAGE_BOMB
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS


def test_no_picture_at_all() -> None:
    assert refusal(b"") is Reason.IMAGE_MISSING
    assert refusal(claiming_png(0, 5)) is Reason.IMAGE_EMPTY
    assert refusal(b"GIF89a" + bytes(20)) is Reason.IMAGE_EMPTY
    for other in (
        b"<html>",
        b"%PDF-1.7",
        b"\x00",
        b"plain text that goes on",
        b"%!PS-Adobe",
        b"\x00\x00\x00\x18ftypmp42",
    ):
        assert refusal(other) is Reason.IMAGE_FORMAT_UNSUPPORTED


@pytest.mark.parametrize(("format_name", "options", "_"), FORMATS, ids=IDS)
def test_cut_pictures_are_never_filled_up(format_name: str, options: dict, _: int, photo) -> None:
    data = encoded(Image.fromarray(photo), format_name, **options)
    reasons = {refusal(data[: int(len(data) * share)]) for share in (0.02, 0.3, 0.6, 0.9, 0.999)}
    assert reasons <= {Reason.IMAGE_TRUNCATED, Reason.IMAGE_UNREADABLE}
    if format_name in ("JPEG", "PNG", "WEBP", "BMP", "PPM", "HEIF"):
        assert reasons == {Reason.IMAGE_TRUNCATED}


def test_details_are_the_same_in_every_run() -> None:
    for data in (b"\x89PNG\r\n\x1a\n" + b"x" * 50, b"II*\x00" + b"\xff" * 40, b"\xff\xd8\xff" + b"y" * 40):
        with pytest.raises(DecodeError) as refused:
            decode_rgb(data)
        assert " at 0x" not in refused.value.detail


def test_threads_decode_without_a_warning(photo) -> None:
    """The whole suite turns warnings into errors; these bytes make Pillow warn."""
    corrupt_exif = encoded(Image.fromarray(photo), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x05\x01")
    with ThreadPoolExecutor(4) as pool:
        shapes = {pixels.shape for pixels in pool.map(decode_rgb, [corrupt_exif] * 24)}
    assert shapes == {(320, 480, 3)}


SMALL = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 17, 3), np.uint8))
TURNED = Image.Exif()
TURNED[274] = 6
VALID = {
    "jpeg": encoded(SMALL, "JPEG", exif=TURNED),
    "progressive": encoded(SMALL, "JPEG", progressive=True),
    "png": encoded(SMALL, "PNG"),
    "palette": encoded(SMALL.quantize(16), "PNG", transparency=3),
    "webp": encoded(SMALL, "WEBP"),
    "gif": encoded(SMALL, "GIF"),
}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(VALID)),
    keep=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
)
def test_whatever_the_bytes_only_decode_errors(name: str, keep: float, flips: list[tuple[float, int]]) -> None:
    data = bytearray(VALID[name])
    for place, value in flips:
        data[int(place * len(data))] = value
    with suppress(DecodeError):
        pixels = decode_rgb(bytes(data[: round(keep * len(data))]))
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
