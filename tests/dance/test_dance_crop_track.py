"""The square that follows a dancer."""

import numpy as np
import pytest

from tasks.dance.crop_track import CropRules, above, calm_above, crop_track, needed_boxes, slowed, smoothed
from tasks.schema.clips import CLIP_FPS

WIDE, TALL = (0, 0, 1920, 1080), (0, 0, 1080, 1920)


def dancing(frames: int, content: tuple[int, int, int, int], seed: int, jitter: float = 4.0) -> np.ndarray:
    """A body that walks to and fro, stretches its arms and trembles as detections do."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / CLIP_FPS
    width, height = content[2] - content[0], content[3] - content[1]
    x = content[0] + width * (0.5 + 0.25 * np.sin(2 * np.pi * t / rng.uniform(3, 6)))
    y = content[1] + height * (0.55 + 0.05 * np.sin(2 * np.pi * t * 2))
    half_w = 0.08 * height * (1.5 + np.sin(2 * np.pi * t * rng.uniform(0.5, 2)))
    half_h = 0.32 * height * (1 + 0.1 * np.sin(2 * np.pi * t))
    boxes = np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=1)
    return boxes + rng.normal(0, jitter, boxes.shape)


@pytest.mark.parametrize("content", [WIDE, TALL, (240, 0, 1680, 1080)])
@pytest.mark.parametrize("seed", range(6))
def test_the_body_with_its_margin_is_always_inside(content: tuple[int, int, int, int], seed: int) -> None:
    body = dancing(240, content, seed)
    squares = crop_track(body, content, CropRules()).xyxy
    needed = needed_boxes(body, content, CropRules().margin)
    assert (squares[:, :2] <= needed[:, :2] + 0.01).all()
    assert (squares[:, 2:] >= needed[:, 2:] - 0.01).all()


@pytest.mark.parametrize("seed", range(6))
def test_pan_and_zoom_are_slow_and_do_not_tremble(seed: int) -> None:
    rules = CropRules()
    body = dancing(240, WIDE, seed, jitter=12)
    crop = crop_track(body, WIDE, rules)
    step = np.diff(crop.centre_xy.astype(float), axis=0)
    assert np.abs(step).max() <= rules.pan_speed * np.median(crop.side) / CLIP_FPS * 1.25
    assert np.abs(np.diff(crop.side)).max() <= rules.zoom_speed * np.median(crop.side) / CLIP_FPS + 0.01
    trembles = np.abs(np.diff(crop.centre_xy.astype(float), 2, axis=0)).mean()
    assert trembles < 0.05 * np.abs(np.diff((body[:, :2] + body[:, 2:]) / 2, 2, axis=0)).mean()


def test_there_is_no_lag() -> None:
    t = np.arange(240)
    x = 960 + 300 * np.sin(2 * np.pi * t / 120)
    body = np.stack([x - 100, np.full(240, 300.0), x + 100, np.full(240, 800.0)], axis=1)
    centre = crop_track(body, WIDE, CropRules()).centre_xy[:, 0]
    lags = [np.corrcoef(x[20:220], np.roll(centre, shift)[20:220])[0, 1] for shift in range(-10, 11)]
    assert int(np.argmax(lags)) - 10 == 0
    forwards, backwards = (crop_track(b, WIDE, CropRules()) for b in (body, body[::-1]))
    np.testing.assert_allclose(forwards.centre_xy, backwards.centre_xy[::-1], atol=1e-3)
    np.testing.assert_allclose(forwards.side, backwards.side[::-1], atol=1e-3)


def test_a_still_dancer_gets_a_still_square() -> None:
    crop = crop_track(np.tile([800.0, 200, 1100, 900], (100, 1)), WIDE, CropRules())
    assert np.ptp(crop.side) < 1e-3
    assert np.ptp(crop.centre_xy, axis=0).max() < 1e-3
    np.testing.assert_allclose(crop.side[0], 700 * 1.2, atol=0.01)


def test_the_square_leaves_the_picture_only_where_it_must() -> None:
    low = crop_track(np.tile([20.0, 500, 320, 1075], (60, 1)), WIDE, CropRules()).xyxy
    assert low.min() >= -0.01
    assert low[:, 3].max() <= 1080.01
    tall = crop_track(np.tile([100.0, 100, 900, 1800], (60, 1)), TALL, CropRules())
    assert (tall.side > 1080).all()
    assert (tall.xyxy[:, 0] < 0).all()
    assert (tall.xyxy[:, 2] > 1080).all()
    assert tall.xyxy[:, 1].min() >= -0.01


def test_small_people_are_not_blown_up_without_limit() -> None:
    crop = crop_track(np.tile([900.0, 500, 930, 580], (30, 1)), WIDE, CropRules(smallest_side=300))
    np.testing.assert_allclose(crop.side, 300)


def test_letterbox_shows_the_whole_picture_all_the_time() -> None:
    crop = crop_track(dancing(24, WIDE, 0), (0, 140, 1920, 940), CropRules(mode="letterbox"))
    assert crop.kind == "letterbox"
    assert (crop.side == 1920).all()
    assert (crop.centre_xy == (960, 540)).all()


@pytest.mark.parametrize("frames", [1, 2, 3, 10])
def test_few_frames_are_enough(frames: int) -> None:
    crop = crop_track(dancing(frames, WIDE, 1), WIDE, CropRules(smooth_s=3))
    assert crop.centre_xy.shape == (frames, 2)
    assert np.isfinite(crop.side).all()
    with pytest.raises(ValueError, match="no frame"):
        crop_track(np.zeros((0, 4)), WIDE, CropRules())


def test_lines_over_values() -> None:
    values = np.random.default_rng(0).normal(0, 10, 200).cumsum()
    line = above(values, 3)
    assert (line >= values - 1e-9).all()
    assert np.abs(np.diff(line)).max() <= 3 + 1e-9
    calm = calm_above(values, 3, 6.0)
    assert (calm >= values - 1e-9).all()
    assert np.abs(np.diff(calm)).max() <= 3 + 1e-9
    assert np.abs(np.diff(slowed(values, 3))).max() <= 3 + 1e-9
    np.testing.assert_allclose(slowed(np.arange(50.0), 3), np.arange(50.0))
    np.testing.assert_allclose(smoothed(np.arange(50.0), 4), np.arange(50.0), atol=1e-9)
