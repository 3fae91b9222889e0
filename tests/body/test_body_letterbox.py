"""Letterboxes are those that the networks were trained on, and points come back to where they were."""

import numpy as np
import pytest

from tasks.body.letterbox import GREY, fit_of, letterboxed

SIZES = [(640, 640), (427, 640), (640, 421), (1000, 750), (33, 31), (1, 3000), (3000, 1), (480, 639), (720, 1281)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [32, None])
def test_sides_are_as_wanted_and_the_picture_is_in_the_middle(size, stride):
    picture = np.full((*size, 3), 200, np.uint8)
    boxed, fit = letterboxed(picture, 640, stride)
    assert max(boxed.shape[:2]) == 640
    assert all(n % 32 == 0 for n in boxed.shape[:2]) if stride else boxed.shape == (640, 640, 3)
    assert boxed.flags.c_contiguous
    shown = (boxed != GREY).all(axis=2)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert (columns[0], rows[0]) == (fit.left, fit.top)
    assert 0 <= boxed.shape[0] - 1 - rows[-1] - fit.top <= 1
    assert 0 <= boxed.shape[1] - 1 - columns[-1] - fit.left <= 1
    assert fit == fit_of(*size, 640, stride)
    np.testing.assert_allclose(fit.back(np.array([[columns[0], rows[0]]], np.float32)), [[0, 0]], atol=1e-4)
    corner = np.array([[columns[-1] + 1, rows[-1] + 1]], np.float32)
    np.testing.assert_allclose(fit.back(corner), [[size[1], size[0]]], rtol=1e-4)


def test_a_point_comes_back_to_its_pixel():
    picture = np.zeros((300, 200, 3), np.uint8)
    picture[120:122, 90:92] = 255
    boxed, fit = letterboxed(picture, 640)
    weight = np.clip(boxed[..., 0].astype(float) - GREY, 0, None)
    weight[:, : fit.left + 1] = weight[:, -fit.left - 1 :] = 0
    y, x = np.mgrid[:640, :640]
    centre = np.array([(weight * x).sum(), (weight * y).sum()], np.float32) / np.float32(weight.sum())
    np.testing.assert_allclose(fit.back_centres(centre), [90.5, 120.5], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_pixel_for_pixel_ultralytics(size):
    from tasks.body.yolo import _import_ultralytics, _letterboxed, _untouched_process

    with _untouched_process():
        _import_ultralytics()
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(letterboxed(picture, 640, 32)[0], _letterboxed(picture))
