import numpy as np
import pytest

from tasks.images.decode import decode_rgb
from tasks.images.sheet import contact_sheet, encode_jpeg, encode_png, jpeg_within, thumbnail


def test_every_picture_is_whole_and_in_reading_order() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    pictures = [np.full((40 * n, 90, 3), c, np.uint8) for n, c in enumerate(colours, 1)]
    sheet = contact_sheet(pictures, ["one", "two", "three"], columns=2, tile_px=100)
    assert sheet.dtype == np.uint8
    centres = []
    for picture, colour in zip(pictures, colours, strict=True):
        y, x = np.nonzero((sheet == colour).all(axis=2))
        expected = thumbnail(picture, 100).shape
        assert (np.ptp(y) + 1, np.ptp(x) + 1) == expected[:2]
        centres.append((y.mean() // 120, x.mean() // 110))
    assert centres == [(0, 0), (0, 1), (1, 0)]


def test_labels_are_written_and_long_ones_stay_under_their_tile() -> None:
    black = [np.zeros((50, 50, 3), np.uint8)] * 2
    without = contact_sheet(black, ["", ""], columns=2, tile_px=80)
    sheet = contact_sheet(black, ["ab\nc", "a very long label that does not fit under its tile"], columns=2, tile_px=80)
    written = (sheet != without).any(axis=2)
    assert written[:, :88].any()
    assert written[:, 96:].any()
    assert not written[:, 88:96].any()


def test_a_row_is_as_high_as_its_pictures() -> None:
    wide = contact_sheet([np.zeros((30, 90, 3), np.uint8)] * 4, [""] * 4, columns=2, tile_px=90)
    square = contact_sheet([np.zeros((90, 90, 3), np.uint8)] * 4, [""] * 4, columns=2, tile_px=90)
    assert wide.shape == (square.shape[0] - 2 * 60, square.shape[1], 3)


def test_a_jpeg_gets_worse_then_smaller_until_it_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    sizes = [decode_rgb(jpeg_within(noise, most)).shape[:2] for most in (100_000, 40_000, 10_000, 1_000)]
    assert sizes[0] == sizes[1] == (200, 300)
    assert sizes[1] > sizes[2] > sizes[3]
    assert all(len(jpeg_within(noise, most)) <= most for most in (100_000, 40_000, 10_000, 1_000))
    with pytest.raises(ValueError, match="hold no picture"):
        jpeg_within(noise, 10)


def test_the_empty_sheet() -> None:
    assert contact_sheet([], [], tile_px=64).shape[2] == 3
    with pytest.raises(ValueError, match="zip"):
        contact_sheet([], ["label"])


def test_thumbnails_are_antialiased_and_never_enlarged(photo) -> None:
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(thumbnail(stripes, 30)[2:-2, 2:-2].astype(int) - 128).max() < 12
    assert thumbnail(photo, 1000) is photo
    assert thumbnail(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_encoders(photo) -> None:
    np.testing.assert_array_equal(decode_rgb(encode_png(photo)), photo)
    assert np.abs(decode_rgb(encode_jpeg(photo, 95)).astype(int) - photo).mean() < 2
    assert len(encode_jpeg(photo, 50)) < len(encode_jpeg(photo, 95))
