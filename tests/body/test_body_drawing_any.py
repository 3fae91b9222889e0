"""Whatever a picture shows, reading it as a drawing gives people or nobody, soon."""

import time

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.body.drawing import PALETTE
from tasks.body.drawing_dots import MOST_DOTS, find_dots
from tasks.body.drawing_pixels import Pixels
from tasks.body.keypoints import found_in_drawing
from tasks.body.read_drawing import read_openpose_drawing
from tasks.schema.keypoints import OPENPOSE_18

COLOURS = st.sampled_from([(0, 0, 0), (255, 255, 255), *PALETTE]) | st.tuples(*[st.integers(0, 255)] * 3)
PLACES = st.tuples(st.integers(-20, 220), st.integers(-20, 220))
STROKES = st.lists(st.tuples(st.booleans(), COLOURS, PLACES, PLACES, st.integers(1, 12)), max_size=40)
SIZES = st.tuples(st.integers(1, 200), st.integers(1, 200))


def painted(size: tuple[int, int], ground: tuple[int, int, int], strokes: list) -> NDArray[np.uint8]:
    picture = np.full((*size, 3), ground, np.uint8)
    for is_dot, colour, start, end, width in strokes:
        if is_dot:
            cv2.circle(picture, start, width, colour, -1, cv2.LINE_AA)
        else:
            cv2.line(picture, start, end, colour, width, cv2.LINE_AA)
    return picture


def demand_people_inside(picture: NDArray[np.uint8]) -> None:
    people = read_openpose_drawing(picture)
    assert people.xy.shape[1:] == (len(OPENPOSE_18), 2)
    seen = people.present
    assert seen.any(axis=1).all()
    assert np.isfinite(people.xy[seen]).all()
    assert ((people.xy[seen] > -0.5) & (people.xy[seen] < np.array(picture.shape[1::-1]) - 0.5)).all()
    assert ((people.confidence >= 0) & (people.confidence <= 1)).all()


@given(SIZES, COLOURS, STROKES)
@settings(max_examples=25, deadline=5000)
def test_strokes_and_dots_of_any_colour(size: tuple[int, int], ground: tuple[int, int, int], strokes: list) -> None:
    demand_people_inside(painted(size, ground, strokes))


@given(SIZES, st.integers(0, 2**32), st.floats(0, 1), st.booleans())
@settings(max_examples=15, deadline=5000)
def test_noise(size: tuple[int, int], seed: int, share: float, of_palette: bool) -> None:
    rng = np.random.default_rng(seed)
    noise = np.array(PALETTE, np.uint8)[rng.integers(len(PALETTE), size=size)]
    if not of_palette:
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
    demand_people_inside(np.where(rng.random((*size, 1)) < share, noise, np.uint8(0)))


def test_more_dots_than_people_have_are_no_drawing() -> None:
    side = 28
    assert side * side > MOST_DOTS
    picture = np.zeros((16 * side, 16 * side, 3), np.uint8)
    for n in range(side * side):
        cv2.circle(picture, (8 + 16 * (n % side), 8 + 16 * (n // side)), 4, PALETTE[n % len(PALETTE)], -1)
    began = time.process_time()
    outcome = found_in_drawing(bytes(cv2.imencode(".png", picture[..., ::-1])[1]), *picture.shape[:2], min_joints=1)
    assert time.process_time() - began < 5
    assert outcome.reason == "drawing_unreadable"
    pixels = Pixels.of(picture[: 16 * 4])
    assert pixels is not None
    assert len(find_dots(pixels).joint) == 4 * side  # each circle counts
