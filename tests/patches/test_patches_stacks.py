"""Low resolution is Pillow's bicubic to the bit, and stacks hold the frames that they say."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.patches.formats import FORMATS
from tasks.patches.stacks import low_resolution, stacks
from tasks.schema.errors import ShapeError

TABLE = {
    "small_540": ((180, 180), (180, 900), (180, 1260)),
    "medium_169": ((240, 135), (240, 675), (240, 945)),
    "large_720": ((240, 240), (240, 1200), (240, 1680)),
    "xlarge_1440": ((480, 270), (480, 1350), (480, 1890)),
    "fullhd_1920": ((640, 360), (640, 1800), (640, 2520)),
}
"""LR, 5-stack and 7-stack, W x H."""


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def edges(height: int, width: int) -> NDArray[np.uint8]:
    """Black and white only, so that the kernel overshoots on both sides."""
    return (noise(height, width, 1) // 128 * 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(3, 3), (3, 30), (6, 6), (9, 15), (15, 9), (12, 12), (27, 48), (405, 720)])
@pytest.mark.parametrize("made", [noise, edges])
def test_low_resolution_is_pillows_bicubic(size: tuple[int, int], made: type) -> None:
    picture = made(*size)
    low = Image.fromarray(picture).resize((size[1] // 3, size[0] // 3), Image.Resampling.BICUBIC)
    assert np.array_equal(low_resolution(picture), np.asarray(low))


def test_views_of_larger_pictures_are_fine() -> None:
    picture = noise(60, 90)
    assert np.array_equal(low_resolution(picture[6:48, 9:81]), low_resolution(picture[6:48, 9:81].copy()))


@pytest.mark.parametrize("name", FORMATS)
def test_sizes_are_those_of_the_table(name: str) -> None:
    width, height = FORMATS[name].size
    made = stacks([np.full((height, width, 3), n, np.uint8) for n in range(7)])
    low, five, seven = TABLE[name]
    assert made.gt.shape == (height, width, 3)
    assert made.lr.shape[1:3] == low[::-1]
    assert made.lr5.shape[:2] == five[::-1]
    assert made.lr7.shape[:2] == seven[::-1]


def test_tiles_are_frames_in_order() -> None:
    frames = [noise(27, 48, seed) for seed in range(7)]
    made = stacks(frames)
    assert np.array_equal(made.gt, frames[3])
    for tile, frame in enumerate(frames):
        assert np.array_equal(made.lr7[9 * tile : 9 * tile + 9], low_resolution(frame))
    for tile, frame in enumerate(frames[1:6]):
        assert np.array_equal(made.lr5[9 * tile : 9 * tile + 9], low_resolution(frame))
    middle = low_resolution(made.gt)
    assert np.array_equal(middle, made.lr5[2 * 9 : 3 * 9])
    assert np.array_equal(middle, made.lr7[3 * 9 : 4 * 9])


@pytest.mark.parametrize(
    "picture",
    [np.zeros((540, 541, 3), np.uint8), np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)],
)
def test_other_shapes_are_refused(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError):
        low_resolution(picture)


def test_a_window_has_seven_frames_of_one_size() -> None:
    with pytest.raises(ShapeError):
        stacks([noise(9, 9)] * 6)
    with pytest.raises(ShapeError):
        stacks([noise(9, 9)] * 6 + [noise(9, 12)])
