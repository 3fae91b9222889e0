"""PNG files hold their pixels, for every reader, in the same bytes each time."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.patches.png import PngRules, deflate_build, encode_png, png_size
from tasks.schema.errors import ConfigError, ShapeError

RULES = [PngRules(), PngRules(level=0), PngRules(level=3), PngRules(deflate="zlib"), PngRules(deflate="zlib", level=9)]


def picture(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 3, y * 2, x + y], -1)
    return np.asarray(smooth + np.random.default_rng(0).integers(0, 9, (height, width, 3)), np.uint8)


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (135, 240)])
def test_readers_see_the_pixels(rules: PngRules, size: tuple[int, int]) -> None:
    rgb = picture(*size)
    data = encode_png(rgb, rules)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "RGB"
        assert np.array_equal(np.asarray(opened), rgb)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    assert np.array_equal(decoded, rgb)
    assert png_size(data) == size[::-1]
    assert encode_png(np.asfortranarray(rgb), rules) == data


def test_smaller_than_opencvs() -> None:
    rgb = np.asarray(cv2.GaussianBlur(picture(405, 720), (0, 0), 2), np.uint8)
    plain = cv2.imencode(".png", rgb)[1]
    assert len(encode_png(rgb, PngRules())) < len(plain)


def test_what_decides_the_bytes_is_told() -> None:
    assert list(deflate_build(PngRules())) == ["isal"]
    assert list(deflate_build(PngRules(deflate="zlib"))) == ["zlib"]


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"png\.level"):
        deflate_build(PngRules(level=9))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError):
        encode_png(np.zeros((4, 4), np.uint8), PngRules())
    with pytest.raises(ShapeError):
        encode_png(np.zeros((0, 4, 3), np.uint8), PngRules())


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + bytes(30), bytes(40)])
def test_other_files_have_no_size(data: bytes) -> None:
    assert png_size(data) is None
