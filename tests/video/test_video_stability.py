"""Steady scenes are kept; cuts, flashes, fades, black, standstill and repeated frames are named."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.schema.rejections import Reason
from tasks.video.stability import StabilityRules, Stable, Unstable, judge_window, shot_scores

Frames = NDArray[Any]


def shot(seed: int, *, speed: float = 2.0, size: tuple[int, int] = (90, 160), frames: int = 7) -> Frames:
    """Coloured blobs that drift `speed` pixels a frame: (frames, h, w, 3), 0 to 255."""
    rng = np.random.default_rng(seed)
    height, width = size
    wide = rng.normal(0, 1, (height, width + 80, 3)).astype(np.float32)
    blobs = np.sum([cv2.GaussianBlur(wide, (0, 0), s) * s * 40 for s in (1.5, 4.0, 12.0)], axis=0)
    scene = blobs + rng.uniform(90, 160, 3)
    moves = [np.array([[1, 0, -speed * k - 20], [0, 1, 0]], np.float64) for k in range(frames)]
    return np.clip(np.stack([cv2.warpAffine(scene, m, (width, height)) for m in moves]), 0, 255)


def judge(frames: Frames, rules: StabilityRules | None = None) -> Stable | Unstable:
    return judge_window([np.clip(f + 0.5, 0, 255).astype(np.uint8) for f in frames], rules)


def reason(frames: Frames) -> Reason | None:
    verdict = judge(frames)
    return verdict.reason if isinstance(verdict, Unstable) else None


@pytest.mark.parametrize("speed", [0.3, 2.0, 6.0])
@pytest.mark.parametrize("size", [(90, 160), (68, 160), (284, 160)])
def test_movement_is_steady(speed: float, size: tuple[int, int]) -> None:
    verdict = judge(shot(1, speed=speed, size=size))
    assert isinstance(verdict, Stable), verdict
    assert 0 < verdict.largest_difference <= verdict.first_last_difference + 1


@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_grain_on_a_calm_shot_is_steady(gain: float) -> None:
    grain = np.random.default_rng(0).normal(0, 4, (7, 90, 160, 3))
    assert reason(np.clip(shot(2, speed=0.0) * gain, 0, 255) + grain) is None


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_a_cut_anywhere(at: int, gain: float) -> None:
    verdict = judge(np.concatenate([shot(3)[:at], shot(4, speed=5)[at:]]) * gain)
    assert isinstance(verdict, Unstable)
    assert verdict.reason is Reason.SCENE_CUT
    assert verdict.detail == f"A new picture begins with frame {at}."
    assert 0.4 <= verdict.score <= 1


def test_cuts_to_and_from_black() -> None:
    film = shot(5)
    film[4:] = 0
    assert reason(film) is Reason.SCENE_CUT
    assert reason(film[::-1]) is Reason.SCENE_CUT


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash(length: int) -> None:
    film = shot(6)
    film[3 : 3 + length] = film[3 : 3 + length] * 1.5 + 60
    assert reason(film) is Reason.SCENE_UNSTABLE


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("length", [12, 24])
@pytest.mark.parametrize("backwards", [False, True])
def test_fades(colour: int, length: int, backwards: bool) -> None:
    weight = ((2 + np.arange(7)) / length)[:, None, None, None]
    film = shot(7, speed=1) * (1 - weight) + colour * weight
    assert reason(film[::-1] if backwards else film) is Reason.SCENE_FADE


@pytest.mark.parametrize("length", [8, 16])
def test_dissolves(length: int) -> None:
    weight = ((1 + np.arange(7)) / length)[:, None, None, None]
    assert reason(shot(8, speed=0.5) * (1 - weight) + shot(9, speed=0.5) * weight) is Reason.SCENE_FADE


def test_black() -> None:
    assert reason(np.random.default_rng(0).uniform(0, 12, (7, 90, 160, 3))) is Reason.SCENE_BLACK


def test_standstill_and_repeated_frames() -> None:
    film = shot(10)
    assert reason(np.repeat(film[:1], 7, axis=0)) is Reason.SCENE_STATIC
    assert reason(film[[0, 1, 1, 2, 3, 4, 5]]) is Reason.SCENE_STATIC
    assert reason(film[[0, 0, 1, 1, 1, 2, 2]]) is Reason.SCENE_STATIC


def test_the_limit_on_plain_differences_can_be_had() -> None:
    film = shot(11, speed=6)
    plain = judge(film)
    assert isinstance(plain, Stable)
    limit = plain.first_last_difference - 1
    assert isinstance(judge(film, StabilityRules(difference_limit=limit)), Stable)
    strict = judge(film, StabilityRules(difference_limit=limit, forgive_movement=False))
    assert isinstance(strict, Unstable)
    assert strict.reason is Reason.SCENE_UNSTABLE
    assert strict.score == pytest.approx(plain.first_last_difference)


def test_shot_scores_are_the_mean_change_in_hue_saturation_and_value() -> None:
    frames = [f.astype(np.uint8) for f in shot(12, speed=4)[:2]]
    hsv = [cv2.cvtColor(f, cv2.COLOR_RGB2HSV).astype(float) for f in frames]
    assert shot_scores(frames) == pytest.approx([np.abs(hsv[0] - hsv[1]).mean()])


def test_what_is_not_a_window() -> None:
    frames = [f.astype(np.uint8) for f in shot(13)]
    with pytest.raises(ValueError, match="7 RGB thumbnails"):
        judge_window(frames[:6])
    with pytest.raises(ValueError, match="of one size"):
        judge_window([*frames[:6], frames[6][:40]])
