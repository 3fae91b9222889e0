"""The resized picture and its border, against img2dataset's own resizer."""

import io
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.download.prepare import content_box, exif_json, prepare
from tasks.download.upstream import submodule
from tasks.images.decode import DecodeError, decode_rgb
from tests.download.url_server import jpeg

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that the child process keeps to itself

OPTIONS: dict[str, Any] = {
    "resize_mode": "border",
    "jpeg_quality": 95,
    "max_pixels": 10**8,
    "min_side_px": 1,
}
SIZES = [
    (640, 640),
    (641, 640),
    (639, 640),
    (300, 200),
    (201, 300),
    (1000, 333),
    (7, 640),
    (1280, 3),
    (99, 100),
    (50, 51),
]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("image_px", [640, 333])
def test_the_content_box_is_where_the_pixels_are(size: tuple[int, int], image_px: int) -> None:
    black = bytes(cv2.imencode(".png", np.zeros((size[1], size[0], 3), np.uint8))[1])
    told = prepare(black, image_px=image_px, **OPTIONS)
    grey = decode_rgb(b64decode(told["jpeg"])).mean(axis=2)
    rows, columns = np.where((grey < 128).any(axis=1))[0], np.where((grey < 128).any(axis=0))[0]
    assert told["content"] == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert (told["width"], told["height"]) == (image_px, image_px)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(300, 200), (640, 480), (1400, 900)])
def test_an_upright_rgb_photo_is_byte_for_byte_what_img2dataset_makes(size: tuple[int, int]) -> None:
    data = jpeg(3, *size)
    theirs = submodule("resizer").Resizer(640, "border", False, encode_quality=95)(io.BytesIO(data))
    ours = prepare(data, image_px=640, **OPTIONS)
    assert b64decode(ours["jpeg"]) == theirs[0]
    assert (ours["width"], ours["height"], ours["original_width"], ours["original_height"]) == theirs[1:5]


@pytest.mark.slow
def test_submodules_leave_the_package_whole() -> None:
    submodule("resizer")
    import img2dataset

    assert callable(img2dataset.download)


@pytest.mark.slow
@pytest.mark.real
def test_real_photos_and_bad_inputs(real_data: Path) -> None:
    made, refused = 0, 0
    for path in sorted([*(real_data / "badinputs").iterdir(), *list((real_data / "people").rglob("*.jpg"))[:10]]):
        try:
            told = prepare(path.read_bytes(), image_px=320, **OPTIONS)
        except DecodeError:
            refused += 1
            continue
        with Image.open(io.BytesIO(b64decode(told["jpeg"]))) as image:
            assert (image.size, image.mode) == ((320, 320), "RGB")
        made += 1
    assert made > 20
    assert refused > 5


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ((640, 640), [0, 0, 640, 640]),
        ((300, 200), [0, 106, 640, 533]),
        ((200, 300), [106, 0, 533, 640]),
        ((5000, 1), [0, 319, 640, 320]),
    ],
)
def test_content_boxes(original: tuple[int, int], expected: list[int]) -> None:
    assert content_box(*original, 640, 640, 640) == expected


def tagged(**tags: object) -> Iterator[bytes]:
    exif = Image.Exif()
    for number, value in tags.items():
        exif[int(number[1:], 16)] = value
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=exif)
    yield stream.getvalue()


def test_exif_leaves_out_who_and_where() -> None:
    (data,) = tagged(x010F="Maker", x8298="Somebody's right", xA430="Owner", xA431="Serial 1")
    told = json.loads(exif_json(data) or "")
    assert told["Image Make"] == "Maker"
    assert told["Image Copyright"] == "Somebody's right"
    assert not [name for name in told if "Owner" in name or "Serial" in name]


def test_no_exif_is_none() -> None:
    assert exif_json(jpeg(1)) is None
    assert exif_json(b"\xff\xd8\xff\xe1\x00\x20Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff" + bytes(20)) is None
