"""Which picture each frame of a clip shows."""

from dataclasses import replace
from fractions import Fraction

import pytest

from tasks.dance.grid import first_on_grid, grid_frames, last_shown
from tests.dance.test_dance_videos import FILM


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 25), Fraction(1001, 24_000), Fraction(1, 10**7)]
)
def test_a_picture_is_shown_from_its_frame_on(time_base: Fraction) -> None:
    film = replace(FILM, time_base=time_base, start_pts=700)
    for time in range(0, 3000, 13):
        pts = 700 + round(Fraction(time, 1000) / time_base)
        first = first_on_grid(film, pts)
        assert last_shown(film, first / 24) >= pts
        assert first == 0 or last_shown(film, (first - 1) / 24) < pts


def test_rounded_timestamps_are_forgiven_and_coarse_ones_need_not_be() -> None:
    assert first_on_grid(replace(FILM, time_base=Fraction(1, 1000), start_pts=0), 42) == 1
    assert first_on_grid(replace(FILM, time_base=Fraction(1, 1000), start_pts=0), 43) == 2
    assert last_shown(replace(FILM, time_base=Fraction(1, 25), start_pts=0), 1 / 24) == 1
    assert last_shown(replace(FILM, time_base=Fraction(1, 30), start_pts=0), 1 / 24) == 1
    assert grid_frames(replace(FILM, duration_s=2.0)) == 48
