"""Patches with detail are kept, moving or grainy as well; flat, soft, smeared ones and mere grain are named."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.patches.detail import Detailed, Poor, judge_patch
from tasks.schema.rejections import Reason

Picture = NDArray[Any]


def texture(size: tuple[int, int] = (540, 540), seed: int = 0) -> Picture:
    """Sharp-edged shapes of all directions on a soft ground: (h, w, 3), 0 to 255."""
    rng = np.random.default_rng(seed)
    height, width = size
    picture = np.full((height, width, 3), 120, np.uint8)
    for _ in range(height * width // 4000):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(5, 40)), int(rng.integers(5, 40)))
        colour = tuple(int(c) for c in rng.integers(20, 235, 3))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return picture.astype(np.float32)


def cartoon() -> Picture:
    """Flat colours and a few dark lines."""
    picture = np.full((540, 540, 3), (210, 180, 120), np.uint8)
    cv2.circle(picture, (270, 290), 140, (250, 220, 90), -1, cv2.LINE_AA)
    cv2.circle(picture, (270, 290), 140, (20, 20, 20), 4, cv2.LINE_AA)
    cv2.line(picture, (60, 500), (480, 470), (20, 20, 20), 3, cv2.LINE_AA)
    return picture.astype(np.float32)


def judge(picture: Picture, *, step: tuple[int, int] = (0, 0), grain: float = 0.0) -> Detailed | Poor:
    """Judge a picture that moves by `step` (down, right) a frame under fresh grain."""
    rng = np.random.default_rng(1)
    frames = []
    for k in (-1, 0, 1):
        moved = np.roll(picture, (k * step[0], k * step[1]), (0, 1))
        if grain:
            noise = cv2.GaussianBlur(rng.normal(0, 1, picture.shape[:2]), (0, 0), 0.7)
            moved = moved + (noise / noise.std() * grain)[..., None]
        frames.append(np.clip(moved + 0.5, 0, 255).astype(np.uint8))
    return judge_patch(frames[1], (frames[0], frames[2]))


def reason(verdict: Detailed | Poor) -> Reason | None:
    return verdict.reason if isinstance(verdict, Poor) else None


def smear(picture: Picture, length: int) -> Picture:
    return cv2.blur(picture, (length, 1)).astype(np.float32)


@pytest.mark.parametrize("size", [(540, 540), (405, 720), (720, 720), (810, 1440), (1080, 1920)])
def test_every_format(size: tuple[int, int]) -> None:
    picture = texture(size)
    assert reason(judge(picture)) is None
    assert reason(judge(cv2.blur(cv2.blur(picture, (9, 9)), (9, 9)))) is Reason.PATCH_DEFOCUSED


@pytest.mark.parametrize("grain", [0, 3, 6])
def test_grain_hides_neither_detail_nor_its_lack(grain: float) -> None:
    picture = texture()
    assert reason(judge(picture, grain=grain)) is None
    assert reason(judge(cv2.GaussianBlur(picture, (0, 0), 4), grain=grain)) is Reason.PATCH_DEFOCUSED


@pytest.mark.parametrize("step", [(0, 4), (12, 12), (40, 0)])
def test_what_is_sharp_may_move(step: tuple[int, int]) -> None:
    verdict = judge(texture(), step=step)
    assert isinstance(verdict, Detailed), verdict
    assert verdict.motion > 1


@pytest.mark.parametrize("length", [15, 25, 41])
def test_motion_blur(length: int) -> None:
    smeared = smear(texture(), length)
    assert reason(judge(smeared, step=(0, 2 * length))) is Reason.PATCH_MOTION_BLURRED


def test_cartoon() -> None:
    assert reason(judge(cartoon())) is None
    assert reason(judge(cartoon(), step=(0, 5))) is None


def test_flat_and_grain() -> None:
    wall = np.full((540, 540, 3), 120, np.float32) + np.linspace(0, 60, 540, dtype=np.float32)[None, :, None]
    assert reason(judge(wall)) is Reason.PATCH_FLAT
    assert reason(judge(wall, grain=8)) is Reason.PATCH_GRAIN_ONLY
    assert reason(judge(np.zeros((540, 540, 3), np.float32))) is Reason.PATCH_FLAT
    assert reason(judge(np.full((540, 540, 3), 255, np.float32))) is Reason.PATCH_FLAT


def test_bokeh_needs_a_focused_part() -> None:
    soft = cv2.GaussianBlur(texture(), (0, 0), 6)
    assert reason(judge(soft)) is Reason.PATCH_DEFOCUSED
    soft[150:400, 150:400] = texture()[150:400, 150:400]
    assert reason(judge(soft)) is None


def test_one_neighbour_is_enough_none_is_not() -> None:
    picture = texture().astype(np.uint8)
    assert isinstance(judge_patch(picture, [picture]), Detailed)
    with pytest.raises(ValueError, match="neighbours of its size"):
        judge_patch(picture, [])
    with pytest.raises(ValueError, match="neighbours of its size"):
        judge_patch(picture, [picture[:500]])
