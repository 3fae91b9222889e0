"""Where shots begin and end."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.schema.rejections import Reason
from tasks.video.shots import ShotFinder, Stretch


def texture(seed: int, shape: tuple[int, int] = (90, 160)) -> np.ndarray:
    """A colourful picture, float, larger than what is shown of it."""
    rng = np.random.default_rng(seed)
    picture = np.full((shape[0] + 60, shape[1] + 60, 3), 110.0)
    for cells in (3, 6, 12, 24):
        small = rng.normal(0, 60 / cells**0.4, (cells, 2 * cells, 3))
        picture += cv2.resize(small, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255)


def shot(seed: int, frames: int, speed: float = 1.0) -> list[np.ndarray]:
    """A picture that moves slowly, with something in front of it that moves fast."""
    wide, shown = texture(seed), []
    for n in range(frames):
        at = round(n * speed) % 60
        picture = wide[at // 2 : at // 2 + 90, at : at + 160].copy()
        x, y = round(60 + 50 * np.sin(n / 4)), round(40 + 20 * np.cos(n / 3))
        cv2.rectangle(picture, (x, y), (x + 25, y + 40), (230, 40, 60), -1)
        shown.append(picture)
    return shown


def stretches(pictures: Sequence[np.ndarray], numbers: Sequence[int] | None = None) -> list[Stretch]:
    finder, found = ShotFinder(), []
    numbers = numbers if numbers is not None else range(len(pictures))
    for number, picture in zip(numbers, pictures, strict=True):
        found += finder.see(number, picture.clip(0, 255).astype(np.uint8))
    return [*found, *finder.end(numbers[-1] + 1)]


def starts(found: Sequence[Stretch]) -> list[int]:
    assert found[0].first == 0
    assert all(a.end == b.first for a, b in pairwise(found))
    return [each.first for each in found if each.steady][1:]


@pytest.mark.parametrize("seed", range(3))
def test_cuts_are_found_at_their_frame(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(8, 30, 5)
    pictures = [p for n, length in enumerate(lengths) for p in shot(10 * seed + n, int(length))]
    assert starts(stretches(pictures)) == np.cumsum(lengths)[:-1].tolist()


@pytest.mark.parametrize("speed", [0.0, 1.0, 3.0])
def test_movement_is_no_cut(speed: float) -> None:
    assert stretches(shot(3, 20, speed)) == [Stretch(0, 20)]


def test_a_flash_is_no_cut() -> None:
    pictures = shot(5, 60)
    for n in (20, 21, 40):
        pictures[n] = pictures[n] * 0.2 + 200
    assert starts(stretches(pictures)) == []


def test_fades_and_dissolves_and_black_are_no_shots() -> None:
    first, second, third = shot(6, 40), shot(7, 60, 0.1), shot(9, 60, 0.1)
    for n in range(20):
        first[20 + n] = first[20 + n] * (1 - n / 19)
    mixed = [a * (1 - w) + b * w for a, b, w in zip(second[40:], third[:20], np.linspace(0, 1, 20), strict=True)]
    pictures = [*first, *[np.zeros((90, 160, 3))] * 12, *second[:40], *mixed, *third[20:]]
    found = stretches(pictures)
    starts(found)
    unsteady = np.zeros(len(pictures), bool)
    for each in found:
        unsteady[each.first : each.end] = not each.steady
    assert unsteady[26:52].mean() >= 0.8
    assert unsteady[97:107].mean() >= 0.8
    assert not unsteady[:12].any()
    assert not unsteady[60:84].any()
    assert {each.reason for each in found} <= {None, Reason.SCENE_FADE, Reason.SCENE_BLACK}


def test_numbers_may_have_gaps() -> None:
    pictures = [*shot(1, 20), *shot(2, 20)]
    found = stretches(pictures, [3 * n for n in range(40)])
    assert found == [Stretch(0, 60), Stretch(60, 118)]
    with pytest.raises(ValueError, match="in order"):
        stretches(pictures[:2], [1, 1])


@pytest.mark.parametrize("frames", [1, 2, 6, 7, 8])
def test_few_frames_are_one_shot(frames: int) -> None:
    assert stretches(shot(4, frames)) == [Stretch(0, frames)]


def test_the_newest_cut_is_told_while_its_pictures_are_at_hand() -> None:
    finder = ShotFinder()
    told = {}
    for n, picture in enumerate([*shot(1, 20), *shot(2, 20)]):
        finder.see(n, picture.astype(np.uint8))
        if finder.newest_cut is not None:
            told[n] = finder.newest_cut
    assert told == {23: 20}


@pytest.mark.real
@pytest.mark.parametrize("name", ["bikes_640x272_10s_cuts.mp4", "sintel_480p_30s_cuts.mp4", "bigbuckbunny_720p_5s.mp4"])
def test_known_cuts_of_real_films(real_data: Path, name: str) -> None:
    lines = (real_data / "film" / "scene_cuts.csv").read_text().splitlines()[1:]
    cuts = {int(line.split(",")[1]) for line in lines if line.startswith(name) and line.split(",")[1]}
    finder, found, frames = ShotFinder(), [], 0
    with av.open(str(real_data / "film" / name)) as film:
        for frame in film.decode(video=0):
            small = frame.reformat(width=160, height=160 * frame.height // frame.width, format="rgb24")
            found += finder.see(frames, small.to_ndarray())
            frames += 1
    found += finder.end(frames)
    edges = {each.first for each in found[1:]}
    unsteady = {n for each in found if not each.steady for n in range(each.first, each.end + 1)}
    assert cuts <= edges | unsteady, sorted(cuts - edges - unsteady)
    invented = {each.first for each in found[1:] if each.steady} - cuts - unsteady
    assert len(invented) <= len(cuts) // 4, sorted(invented)
