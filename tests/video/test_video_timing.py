"""Rate and evenness of films, from timestamps as containers round them."""

from fractions import Fraction

import pytest

from tasks.video.timing import COMMON_RATES, pace

MILLISECONDS = Fraction(1, 1000)
MPEG = Fraction(1, 90000)


def rounded(rate: Fraction, time_base: Fraction, frames: int = 100) -> list[int]:
    return [round(number / rate / time_base) for number in range(frames)]


@pytest.mark.parametrize("rate", COMMON_RATES)
@pytest.mark.parametrize("time_base", [MILLISECONDS, MPEG, Fraction(1, 24000)])
def test_common_rates_are_exact_whatever_the_clock(rate, time_base):
    found = pace([rounded(rate, time_base, 5000)], time_base)

    assert found is not None
    assert (found.fps, found.vfr) == (rate, False)


def test_milliseconds_copied_to_a_finer_clock_are_even():
    copied = [90 * pts for pts in rounded(Fraction(24000, 1001), MILLISECONDS)]
    found = pace([copied], MPEG)

    assert found is not None
    assert (found.fps, found.vfr) == (Fraction(24000, 1001), False)


def test_uncommon_rates_stay_as_measured():
    found = pace([rounded(Fraction(12), MPEG)], MPEG)

    assert found is not None
    assert found.fps == 12


def test_one_dropped_frame_in_a_long_film_neither_slows_it_down_nor_makes_it_uneven():
    times = rounded(Fraction(25), MPEG, 1000)
    del times[500]
    found = pace([times], MPEG)

    assert found is not None
    assert (found.fps, found.vfr) == (25, False)


def test_gaps_that_differ_are_a_variable_rate_with_its_average():
    found = pace([[0, 3000, 6000, 12000, 15000, 24000]], MPEG)

    assert found is not None
    assert (found.fps, found.vfr) == (Fraction(5 * 90000, 24000), True)


def test_gaps_between_stretches_do_not_count():
    found = pace([rounded(Fraction(24), MPEG, 50), [pts + 9_000_000 for pts in rounded(Fraction(24), MPEG, 50)]], MPEG)

    assert found is not None
    assert (found.fps, found.vfr) == (24, False)


@pytest.mark.parametrize("runs", [[], [[0]], [[5, 5]]])
def test_nothing_is_said_of_less_than_two_moments(runs):
    assert pace(runs, MPEG) is None
