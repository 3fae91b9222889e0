"""Films and sounds of known truth: what is painted is there, and can be read."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tasks.controls.films import BARS, NUMBER_BITS, PQ, SDR, SDR_FULL_601, paint_number, read_number
from tasks.controls.m2p_video import FRAMES, SHOT_FRAMES, DanceFilm
from tasks.controls.patches_films import ControlFilm, control_films
from tasks.controls.sounds import RATE, clicks_of, clicks_over_tones


def test_numbers_are_read_after_they_were_shrunk() -> None:
    for number in range(1 << NUMBER_BITS):
        luma = np.full((60, 200), 90, np.uint16)
        paint_number(luma, (10, 12, 145, 30), number, 16, 230)
        assert read_number(luma.astype(float), (10, 12, 145, 30)) == number
        small = np.asarray(Image.fromarray(luma.astype(np.uint8)).resize((66, 20), Image.Resampling.BICUBIC), float)
        assert read_number(small, (10 / 3, 4, 145 / 3, 10)) == number
    assert read_number(np.full((60, 200), 90.0), (10, 12, 145, 30)) == -1


def test_codes_of_bars_are_those_of_the_standard() -> None:
    assert [SDR.codes(colour) for colour in BARS][:3] == [(180, 128, 128), (168, 44, 136), (145, 147, 44)]
    assert SDR_FULL_601.codes((255, 255, 255)) == (255, 128, 128)
    assert PQ.codes((0, 0, 0)) == (64, 512, 512)


@pytest.fixture(scope="module")
def films() -> tuple[ControlFilm, ...]:
    return tuple(control_films((270, 270), native=False))


def test_a_film_holds_the_codes_that_were_painted(films: tuple[ControlFilm, ...], tmp_path: Path) -> None:
    for film in (films[0], films[2], films[3]):
        path = film.write(tmp_path / f"{film.name}.mp4", "one")
        with av.open(str(path)) as container:
            assert container.metadata["comment"] == "one"
            stored = list(container.decode(video=0))
        assert len(stored) == film.frames
        for number in (0, film.frames - 1):
            wanted = film.planes(number).turned(-film.rotation).y
            dtype = np.uint8 if film.signal.bits == 8 else np.uint16
            plane = stored[number].planes[0]
            rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
            assert np.array_equal(rows[:, : plane.width], wanted)


def test_marks_and_nothing_else_tell_films_apart(films: tuple[ControlFilm, ...], tmp_path: Path) -> None:
    film = films[3]
    one, again, other = (film.write(tmp_path / name / "film.mp4", name[:3]) for name in ("one", "one_more", "two"))
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("patch", [(270, 270), (720, 405), (540, 960), (1920, 1080)])
def test_every_patch_shows_a_whole_number(patch: tuple[int, int]) -> None:
    for film in control_films(patch, native=False):
        left, top, right, bottom = film.content
        assert (right - left) / film.grow >= patch[0]
        assert (bottom - top) * film.scaled[1] / film.height >= patch[1]
        lefts = range(0, film.scaled[0] - patch[0] + 1, 4)
        boxes = [film.box(0, (x, film.bars / film.grow, x + patch[0], 0)) for x in lefts]
        assert all(box[0] >= 0 and box[2] <= patch[0] + 1 for box in boxes)


def test_clicks_are_found_where_they_were_put() -> None:
    times = [0.25, 0.75 + 1 / 3 / RATE, 1.5]
    sound = clicks_over_tones(2.0, times, [(0.0, "A"), (1.0, "D")])
    assert np.allclose(clicks_of(sound, 10.0), np.array(times) + 10, atol=1 / RATE)
    spectrum = np.abs(np.fft.rfft(sound[: RATE // 5]))
    assert int(spectrum.argmax()) * 5 in (220, 440, 880)


def test_the_dancer_stands_where_the_truth_says() -> None:
    film = DanceFilm.of_dancers(160)
    for frame in (0, SHOT_FRAMES - 1, SHOT_FRAMES, 2 * SHOT_FRAMES - 1):
        places = np.array(list(film.joints(frame).values()))
        assert (places >= 0).all()
        assert (places < [film.width, film.side]).all()
        assert read_number(film.planes(frame).y.astype(float), film.number_box(frame)) == frame
    assert not film.picture(FRAMES - 1).any()
    assert DanceFilm.of_dancers(600).side >= 600 / 0.72
