"""How large a film is scaled, and where in it patches lie."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.patches.geometry import base_size, fits, fitting_size, patch_box, scaled_content

SIDES = st.integers(48, 4320)


@pytest.mark.parametrize(
    ("film", "base"),
    [
        ((3840, 2160), (1920, 1080)),
        ((4096, 2160), (1920, 1013)),
        ((2160, 3840), (1080, 1920)),
        ((2160, 2160), (1080, 1080)),
        ((1920, 804), (1920, 804)),
        ((720, 576), (720, 576)),
        ((7680, 4320), (1920, 1080)),
        ((3840, 1600), (1920, 800)),
        ((1080, 1920), (1080, 1920)),
    ],
)
def test_a_picture_is_scaled_into_full_hd_and_never_enlarged(film: tuple[int, int], base: tuple[int, int]) -> None:
    assert base_size(film, "1080p") == base
    assert base_size(film, "native") == film


def test_a_letterboxed_film_is_cut_at_a_larger_scale() -> None:
    film, content = (3840, 2160), (0, 277, 3840, 1883)
    base = base_size(film, "1080p")
    left, top, right, bottom = scaled_content(film, content, base)
    assert (right - left, bottom - top) == (1920, 802)
    for patch, rows in (((1440, 810), 1090), ((1920, 1080), 1453)):
        scaled = fitting_size(film, content, base, patch)
        assert scaled is not None
        assert abs(scaled[1] - rows) <= 2
        assert fits(film, content, scaled, patch)
        assert not fits(film, content, (scaled[0] - 1, round(2160 * (scaled[0] - 1) / 3840)), patch)


def test_a_small_film_is_never_enlarged() -> None:
    assert fitting_size((720, 576), (0, 0, 720, 576), (720, 576), (720, 405)) == (720, 576)
    assert fitting_size((720, 576), (0, 0, 720, 576), (720, 576), (720, 720)) is None


@given(SIDES, SIDES, st.tuples(SIDES, SIDES), st.tuples(*[st.floats(0, 0.4)] * 4), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_patches_lie_in_the_picture(
    width: int, height: int, patch: tuple[int, int], bars: tuple[float, ...], u: float, v: float
) -> None:
    film = width, height
    content = (
        int(bars[0] * width),
        int(bars[1] * height),
        width - int(bars[2] * width),
        height - int(bars[3] * height),
    )
    base = base_size(film, "1080p")
    assert base[0] <= width
    assert base[1] <= height
    scaled = fitting_size(film, content, base, patch)
    if scaled is None:
        assert not fits(film, content, film, patch)
    assume(scaled is not None)
    assert scaled is not None
    assert base[0] <= scaled[0] <= width
    assert abs(scaled[0] * height - scaled[1] * width) <= max(width, height)
    left, top, right, bottom = scaled_content(film, content, scaled)
    x0, y0, x1, y1 = patch_box(film, content, scaled, patch, u, v)
    assert (x1 - x0, y1 - y0) == patch
    assert left <= x0
    assert x1 <= right
    assert top <= y0
    assert y1 <= bottom
    assert patch_box(film, content, scaled, patch, 0, 0)[:2] == (left, top)
    assert patch_box(film, content, scaled, patch, 1, 1)[2:] == (right, bottom)
