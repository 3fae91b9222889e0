"""Bars: found on any bit depth, never because it is dark, and turned with the picture."""

import numpy as np
import pytest

from tasks.video.letterbox import Bars, upright_box

WIDTH, HEIGHT = 160, 90
BLACK = {8: 16, 10: 64, 12: 256}


def frame(box=(0, 11, 160, 79), level=0.5, bit_depth=8, seed=0) -> np.ndarray:
    """A textured picture inside `box`, `level` of the way from black to white."""
    black, top = BLACK[bit_depth], (1 << bit_depth) - 1
    left, upper, right, lower = box
    texture = np.random.default_rng(seed).uniform(0.6, 1.4, (lower - upper, right - left))
    luma = np.full((HEIGHT, WIDTH), black, np.uint8 if bit_depth == 8 else np.uint16)
    luma[upper:lower, left:right] = np.clip(black + level * (top - black) * texture, 0, top)
    return luma


def content(*frames: np.ndarray, bit_depth=8, full_range=False):
    bars = Bars(WIDTH, HEIGHT)
    for each in frames:
        bars.at(each, bit_depth, full_range=full_range)
    return bars.content()


@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_bars_are_found_on_any_bit_depth(bit_depth):
    assert content(frame(bit_depth=bit_depth), bit_depth=bit_depth) == (0, 11, 160, 79)


def test_bars_at_the_sides():
    assert content(frame((20, 0, 140, 90))) == (20, 0, 140, 90)


def test_bars_all_around():
    assert content(frame((20, 11, 140, 79))) == (20, 11, 140, 79)


def test_dark_scenes_do_not_shrink_the_picture():
    night = frame((60, 40, 100, 60), level=0.1)
    stars = frame((0, 11, 160, 79), level=0.01)
    stars[30, 10] = stars[50, 150] = 235

    assert content(night, stars, frame(), night, stars) == (0, 11, 160, 79)
    assert content(night, frame((0, 11, 80, 79)), frame((80, 11, 160, 79))) == (0, 11, 160, 79)


def test_a_film_that_is_black_throughout_has_no_bars():
    assert content(np.full((HEIGHT, WIDTH), 16, np.uint8)) == (0, 0, 160, 90)


def test_noise_and_a_logo_in_the_bars_are_no_picture():
    noisy = frame()
    noisy[:11] = np.random.default_rng(1).integers(14, 20, (11, WIDTH))
    noisy[84:88, 4:10] = 235

    assert content(noisy) == (0, 11, 160, 79)


def test_what_an_encoder_leaves_between_bar_and_picture_is_no_picture():
    soft = frame()
    soft[9:11] = 16 + (soft[11].astype(int) - 16) // 3
    soft[79:82] = 30

    assert content(soft) == (0, 11, 160, 79)


def test_full_range_black_is_zero():
    luma = frame()
    dark = np.where(luma == 16, 0, 14).astype(np.uint8)

    assert content(dark, full_range=True) == (0, 11, 160, 79)
    assert content(dark) == (0, 0, 160, 90)


@pytest.mark.parametrize(
    ("rotation", "upright", "expected"),
    [
        (0, (160, 90), (8, 12, 158, 78)),
        (90, (90, 160), (12, 8, 78, 158)),
        (180, (160, 90), (2, 12, 152, 78)),
        (270, (90, 160), (12, 2, 78, 152)),
    ],
)
def test_boxes_turn_with_the_picture_and_go_inward_to_even(rotation, upright, expected):
    assert upright_box((7, 11, 159, 79), (160, 90), rotation, upright) == expected


def test_sides_without_a_bar_stay_at_the_edge_of_an_odd_picture():
    assert upright_box((0, 0, 161, 91), (161, 91), 0, (161, 91)) == (0, 0, 161, 91)


def test_boxes_follow_square_pixels():
    assert upright_box((0, 72, 720, 504), (720, 576), 0, (720, 404)) == (0, 52, 720, 352)


def test_a_box_too_small_to_be_even_is_the_whole_picture():
    assert upright_box((5, 5, 6, 6), (160, 90), 0, (160, 90)) == (0, 0, 160, 90)
