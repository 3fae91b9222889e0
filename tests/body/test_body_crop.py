"""Where pixels and points go when people are cut out of photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.body.crop import bundle_picture, content_box, padded_box, person_crop
from tasks.schema.errors import ShapeError


def spot(width: int, height: int, x: float, y: float, sigma: float = 6.0) -> np.ndarray:
    """Dark, round and soft on light grey, its centre between pixels."""
    across = np.arange(width)[None] - x
    down = np.arange(height)[:, None] - y
    grey = 250 - 240 * np.exp(-(across**2 + down**2) / (2 * sigma**2))
    return np.repeat(np.rint(grey)[..., None], 3, axis=2).astype(np.uint8)


def centre_of(picture: np.ndarray) -> np.ndarray:
    weight = np.clip(240 - picture[..., 0].astype(float), 0, None)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("crop", "side"),
    [
        ((100, 50, 400, 450), 384),
        ((100, 50, 400, 450), 200),
        ((130, 90, 290, 250), 384),
        ((131, 97, 234, 250), 384),
        ((131, 97, 234, 250), 96),
        ((0, 100, 500, 233), 384),
    ],
)
def test_points_go_where_their_pixels_go(crop, side):
    at = np.array([180.3, 160.6])
    photo = spot(500, 500, *at)
    made = bundle_picture(photo, crop, side)
    assert made.picture.shape == (side, side, 3)
    scale = made.scale[0]
    inside = made.picture.copy()
    inside[inside > 249] = 250
    np.testing.assert_allclose(centre_of(inside), made.to_bundle(at), atol=max(0.06, 0.06 * scale))


def test_the_longest_side_fills_the_square_and_the_rest_is_white_on_both_sides():
    photo = np.full((300, 200, 3), 10, np.uint8)
    made = bundle_picture(photo, (0, 0, 100, 300), 384)
    dark = (made.picture == 10).all(axis=2)
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 383)
    assert (columns[0], columns[-1]) == (128, 255)
    assert (made.picture[~dark] == 255).all()
    np.testing.assert_allclose(made.scale, [1.28, 1.28])
    np.testing.assert_allclose(made.to_bundle(np.array([[-0.5, -0.5], [99.5, 299.5]])), [[127.5, -0.5], [255.5, 383.5]])


def test_a_crop_of_that_size_keeps_its_pixels():
    photo = np.random.default_rng(0).integers(0, 256, (400, 500, 3), np.uint8)
    made = bundle_picture(photo, (7, 5, 391, 389), 384)
    np.testing.assert_array_equal(made.picture, photo[5:389, 7:391])
    np.testing.assert_allclose(made.to_bundle(np.array([7.0, 5.0])), [0, 0])


def test_making_smaller_takes_in_all_pixels():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    small = bundle_picture(stripes, (0, 0, 800, 800), 96).picture
    assert np.abs(small[:, 2:-2].astype(int) - 127).max() <= 10, "no moire"


def test_nothing_outside_of_the_crop_shines_through():
    photo = np.full((300, 300, 3), 255, np.uint8)
    photo[100:200, 100:200] = 40
    made = bundle_picture(photo, (100, 100, 200, 200), 384)
    assert (made.picture == 40).all()


def test_what_is_not_visible_is_minus_one():
    made = bundle_picture(np.zeros((100, 100, 3), np.uint8), (0, 0, 100, 100), 50)
    points = np.array([[10, 10], [np.nan, np.nan], [20, 20]], np.float32)
    moved = made.to_bundle(points, np.array([True, False, False]))
    np.testing.assert_allclose(moved[1:], -1)
    assert moved.dtype == np.float32
    assert np.isnan(made.to_bundle(points)[1]).all()


@pytest.mark.parametrize(
    "crop",
    [(0, 0, 0, 10), (5, 5, 4, 10), (-1, 0, 10, 10), (0, 0, 10, 101), (0.5, 0, 10, 10), (0, 0, np.nan, 10), (0, 0, 10)],
)
def test_what_is_no_crop_is_refused(crop):
    photo = np.zeros((100, 100, 3), np.uint8)
    for cut in (lambda: person_crop(photo, crop), lambda: bundle_picture(photo, crop, 384)):
        with pytest.raises(ShapeError, match="crop"):
            cut()


def test_a_crop_is_a_view_of_the_photo():
    photo = np.arange(300, dtype=np.uint8).repeat(3).reshape(10, 30, 3)
    assert np.shares_memory(person_crop(photo, [2.0, 1.0, 9.0, 8.0]), photo)
    np.testing.assert_array_equal(person_crop(photo, [2.0, 1.0, 9.0, 8.0]), photo[1:8, 2:9])


side = st.integers(1, 700)
edge = st.floats(-800, 1500, width=32)


@given(
    st.tuples(edge, edge, edge, edge), st.floats(0, 1), st.tuples(st.integers(0, 300), st.integers(0, 300), side, side)
)
def test_padded_boxes_are_whole_inside_and_not_smaller_than_they_must_be(corners, pad, frame):
    xyxy = np.array([*sorted(corners[::2]), *sorted(corners[1::2])], np.float32)[[0, 2, 1, 3]]
    within = (frame[0], frame[1], frame[0] + frame[2], frame[1] + frame[3])
    left, top, right, bottom = padded_box(xyxy, pad, within)
    assert within[0] <= left <= right <= within[2]
    assert within[1] <= top <= bottom <= within[3]
    clipped = np.clip(xyxy.astype(float), [*within[:2]] * 2, [*within[2:]] * 2)
    assert left <= clipped[0]
    assert top <= clipped[1]
    assert right >= clipped[2]
    assert bottom >= clipped[3]


def test_five_percent_a_side():
    assert padded_box(np.array([100, 100, 200, 300], np.float32), 0.05, (0, 0, 640, 640)) == (95, 90, 205, 310)
    assert padded_box(np.array([0, 0, 639, 640], np.float32), 0.05, (0, 100, 640, 500)) == (0, 100, 640, 500)
    assert padded_box(np.array([0, 0, 50, 50], np.float32), 0.05, (0, 100, 640, 500)) == (0, 100, 53, 100)


def test_content_is_whole_pixels_of_the_picture():
    assert content_box([0.0, 106.0, 640.0, 533.0], 640, 640) == (0, 106, 640, 533)
    assert content_box([-3.0, 0.0, 700.0, 640.0], 640, 640) == (0, 0, 640, 640)
    assert content_box([500.0, 0.0, 100.0, 640.0], 640, 640)[0::2] == (500, 500)
