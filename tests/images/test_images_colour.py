import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tasks.images.decode import DecodeError, decode_rgb
from tasks.schema.rejections import Reason


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def rgb_profile(primaries: list[tuple[float, float, float]], gamma: float) -> bytes:
    """A minimal ICC v2 matrix profile: D50 XYZ of red, green, blue, one gamma."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": text, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642) + fixed(1.0) + fixed(0.8249)}
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ " + bytes(4) + b"".join(fixed(v) for v in xyz)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI", size, bytes(4), 0x02100000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


ADOBE_RGB = rgb_profile([(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)], 2.2)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled(format_name: str) -> None:
    wide = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    decoded = decode_rgb(encoded(Image.fromarray(wide), format_name))
    np.testing.assert_allclose(decoded[..., 0], wide / 257, atol=0.51)
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("maxval", [1023, 65535])
def test_pgm_is_scaled_by_its_own_white(maxval: int) -> None:
    samples = np.array([[0, maxval // 2, maxval]], ">u2")
    decoded = decode_rgb(b"P5\n3 1\n%d\n" % maxval + samples.tobytes())
    np.testing.assert_allclose(decoded[0, :, 0], [0, 127.5, 255], atol=1)


def test_samples_without_a_white_are_refused() -> None:
    for samples in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(DecodeError, match="no defined white") as refused:
            decode_rgb(encoded(Image.fromarray(samples), "TIFF"))
        assert refused.value.reason is Reason.IMAGE_FORMAT_UNSUPPORTED


def test_alpha_lies_on_white(photo) -> None:
    alpha = np.tile(np.linspace(0, 255, 480).astype(np.uint8), (320, 1))
    expected = photo * (alpha / 255)[..., None] + 255 * (1 - alpha / 255)[..., None]
    rgba = Image.fromarray(np.dstack([photo, alpha]))
    for format_name, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        np.testing.assert_allclose(decode_rgb(encoded(rgba, format_name, **options)), expected, atol=1)
    grey = decode_rgb(encoded(rgba.convert("LA"), "PNG"))
    assert (grey[:, 0] == 255).all()
    assert (grey == grey[..., :1]).all()


def test_transparent_colours_lie_on_white(photo) -> None:
    two = np.zeros((8, 8, 3), np.uint8)
    two[:, 4:] = (10, 200, 30)
    image = Image.fromarray(two)
    for variant in (
        encoded(image, "PNG", transparency=(10, 200, 30)),
        encoded(image.quantize(2), "PNG", transparency=image.quantize(2).getpixel((7, 0))),
        encoded(image.quantize(2), "GIF", transparency=image.quantize(2).getpixel((7, 0))),
        encoded(Image.fromarray(two[..., 1].astype(np.uint16) * 257), "PNG", transparency=200 * 257),
    ):
        assert (decode_rgb(variant)[:, 4:] == 255).all()
        assert (decode_rgb(variant)[:, :4] == 0).all()


def test_cmyk_has_the_colours_of_the_rgb_it_came_from(photo) -> None:
    cmyk = Image.fromarray(photo).convert("CMYK")
    for format_name, options in (("JPEG", {"quality": 98, "subsampling": 0}), ("TIFF", {})):
        decoded = decode_rgb(encoded(cmyk, format_name, **options))
        assert np.abs(decoded.astype(int) - photo).mean() < 2


def test_lab() -> None:
    lab = Image.merge(
        "LAB", [Image.new("L", (2, 2), v) for v in (138, 209, 198)]
    )  # sRGB red in D50 Lab: 54.3 80.8 69.9
    np.testing.assert_allclose(decode_rgb(encoded(lab, "TIFF"))[0, 0], [255, 0, 0], atol=6)


def test_a_wide_profile_is_converted() -> None:
    """Adobe RGB (1998) of 0.5, 0.8, 0.5 is the sRGB 70, 205, 123 (its defining matrices, gamma 563/256)."""
    image = Image.new("RGB", (4, 4), (128, 204, 128))
    decoded = decode_rgb(encoded(image, "PNG", icc_profile=ADOBE_RGB))
    linear = (np.array([128, 204, 128]) / 255) ** 2.2
    to_xyz = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
    srgb_to_xyz = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    srgb = np.linalg.solve(srgb_to_xyz, to_xyz @ linear).clip(0, 1)
    expected = np.where(srgb <= 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(decoded[0, 0], expected, atol=2)
    assert abs(int(decoded[0, 0, 0]) - 128) > 20


def test_srgb_profiles_change_nothing(photo) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(decode_rgb(encoded(Image.fromarray(photo), "PNG", icc_profile=profile)), photo)


@pytest.mark.parametrize("profile", [b"no profile", ADOBE_RGB[:200], ADOBE_RGB.replace(b"RGB XYZ ", b"CMYKXYZ ")])
def test_unusable_profiles_are_ignored(profile: bytes, photo) -> None:
    np.testing.assert_array_equal(decode_rgb(encoded(Image.fromarray(photo), "PNG", icc_profile=profile)), photo)


def test_alpha_and_profile_together() -> None:
    image = Image.new("RGBA", (2, 2), (128, 204, 128, 255))
    image.putpixel((0, 0), (128, 204, 128, 0))
    decoded = decode_rgb(encoded(image, "PNG", icc_profile=ADOBE_RGB))
    opaque = decode_rgb(encoded(image.convert("RGB"), "PNG", icc_profile=ADOBE_RGB))
    assert (decoded[0, 0] == 255).all()
    np.testing.assert_array_equal(decoded[1], opaque[1])
