"""Where windows are: counts, bounds, and what does not change with what."""

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.patches.plan import (
    CategoryWindows,
    FilmToPlan,
    FormatShare,
    Wanted,
    first_frames,
    formats_of_windows,
    frames_of_tries,
    largest_remainder,
    piece_count,
    planned_windows,
    sizes_of_formats,
    spread,
    window_count,
    windows_of_categories,
    windows_of_category,
    windows_of_piece,
)
from tasks.schema.films import WINDOW_FRAMES
from tests.patches.planned_films import film, wanted

SHARES = st.lists(st.integers(1, 100), min_size=1, max_size=6)
PLANS = st.builds(
    lambda name, frames, fps, windows, seed, replacements, skips, piece_s: (
        FilmToPlan(name, 1920, 1080, (0, 0, 1920, 1080), fps, frames),
        wanted(
            windows=windows,
            seed=seed,
            replacements=replacements,
            skip_start=skips[0],
            skip_end=skips[1],
            piece_s=piece_s,
        ),
    ),
    name=st.sampled_from(["avatar", "shrek"]),
    frames=st.integers(0, 5000),
    fps=st.sampled_from([Fraction(24), Fraction(24_000, 1001), Fraction(50), Fraction(1, 2)]),
    windows=st.integers(1, 900),
    seed=st.integers(0, 3),
    replacements=st.integers(0, 10),
    skips=st.tuples(st.floats(0, 0.49), st.floats(0, 0.49)),
    piece_s=st.sampled_from([1.0, 10.0, 60.0]),
)


FRAMES = [[8360, 8367, 8376], [12963, 12970, 12979], [20167, 20174, 20183]]
FORMATS = [2, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 2, 0, 1, 2, 2]


def tries_of_pieces(plan: FilmToPlan, goal: Wanted) -> list[np.ndarray]:
    total, pieces = window_count(plan, goal), piece_count(plan, goal)
    return [frames_of_tries(plan, goal, *windows_of_piece(total, pieces, n)) for n in range(pieces)]


@given(st.integers(0, 10_000), SHARES)
@settings(deadline=None)
def test_largest_remainder_adds_up_and_is_close(total: int, weights: list[int]) -> None:
    named = {str(n): Fraction(weight, 7) for n, weight in enumerate(weights)}
    counts = largest_remainder(total, named)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        assert abs(count - total * named[name] / sum(named.values())) < 1


@given(st.integers(0, 5000), SHARES, st.integers(0, 2**53 - 1))
@settings(deadline=None)
def test_a_spread_adds_up_and_is_close(total: int, weights: list[int], offset: int) -> None:
    shares = [weight / 100 for weight in weights]
    counts = spread(total, shares, Fraction(offset, 2**53))
    assert sum(counts) == total
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - Fraction(total * weight, sum(weights))) < 1


def test_windows_of_a_film_are_its_weights() -> None:
    assert windows_of_categories(3000, {"general": 0.3, "space": 0.4, "toon": 0.3}) == {
        "general": 900,
        "space": 1200,
        "toon": 900,
    }
    assert windows_of_categories(10, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 4, "b": 3, "c": 3}
    assert windows_of_categories(3000, {"general": 0.1}) == {"general": 300}
    assert windows_of_categories(100, {"general": 1.0, "space": 1.0}) == {"general": 100, "space": 100}


@given(PLANS)
@settings(max_examples=40, deadline=None)
def test_windows_lie_in_the_film_and_pieces_follow_each_other(plan: tuple[FilmToPlan, Wanted]) -> None:
    each, goal = plan
    start, end = first_frames(each, goal)
    total = window_count(each, goal)
    if not total:
        assert piece_count(each, goal) == 1
        return
    pieces = tries_of_pieces(each, goal)
    firsts = np.concatenate([tries[:, 0] for tries in pieces])
    assert len(firsts) == total
    assert (np.diff(firsts) > 0).all()
    before = start - 1
    for tries in pieces:
        assert tries.min() > before
        assert tries.max() < end <= each.frames - WINDOW_FRAMES + 1
        assert all(len(set(row)) == len(row) for row in tries.tolist())
        assert tries.shape[1] <= goal.replacements + 1
        before = tries.max()
    sizes = {len(tries) for tries in pieces}
    assert max(sizes) - min(sizes) <= 1


@given(PLANS)
@settings(max_examples=40, deadline=None)
def test_categories_share_the_windows(plan: tuple[FilmToPlan, Wanted]) -> None:
    each, goal = plan
    total = window_count(each, goal)
    for category in goal.categories:
        found = windows_of_category(each, goal, category)
        assert len(found) == planned_windows(each, goal, category) == min(category.windows, total)
        assert (np.diff(found) > 0).all()
        assert set(found.tolist()) <= set(range(total))
        if len(found):
            assert np.diff(found).max(initial=0) <= 2 * -(-total // len(found))
        counts = Counter(formats_of_windows(each, goal, category).wanted.tolist())
        for index, share in enumerate(category.formats):
            assert abs(counts[index] - len(found) * share.share) < 1 + 1e-6


def test_the_most_wanted_category_has_all_windows() -> None:
    goal = wanted({"general": 0.6, "toon": 0.4}, 1000)
    assert window_count(film(), goal) == 600
    assert windows_of_category(film(), goal, goal.categories[0]).tolist() == list(range(600))


def test_a_long_film_has_windows_everywhere_but_at_its_ends() -> None:
    goal = wanted({"general": 1.0}, 3000, piece_s=3600)
    firsts = frames_of_tries(film(), goal, 0, 3000)[:, 0]
    frames = 7200 * 24
    assert firsts[0] >= frames * 0.02
    assert firsts[-1] < frames * 0.94
    counts = np.histogram(firsts, 10, (frames * 0.02, frames * 0.94))[0]
    assert counts.min() >= 299


def test_replacements_follow_in_growing_steps() -> None:
    goal = wanted({"general": 1.0}, 100)
    tries = frames_of_tries(film(), goal, 0, 100)
    steps = np.diff(tries[:90], axis=1)
    assert steps.min() >= WINDOW_FRAMES
    assert (np.diff(steps, axis=1) >= -1).all()
    assert (tries[:90, -1] - tries[:90, 0]).max() <= 12 * 24
    dense = frames_of_tries(film(), wanted({"general": 1.0}, 3000), 0, 70)
    assert (np.diff(dense[:40], axis=1) >= WINDOW_FRAMES).all()


def test_times_lead_to_their_frame_in_any_time_base() -> None:
    for fps in ([24_000, 1001], [25, 1], [60_000, 1001], [24, 1]):
        each = film(fps=fps)
        frames = np.arange(0, 200_000, 37)
        times = each.times(frames)
        exact = frames * fps[1] / fps[0]
        for base in (1000, 90_000):
            pts = np.round(exact * base) / base
            before = np.round((frames - 1) * fps[1] / fps[0] * base) / base
            assert (pts >= times).all()
            assert (before < times)[1:].all()


def test_plans_are_those_of_every_machine() -> None:
    goal = wanted(windows=40)
    assert frames_of_tries(film(), goal, 0, 3)[:, :3].tolist() == FRAMES
    formats = formats_of_windows(film(), goal, goal.categories[0])
    assert formats.wanted.tolist() == FORMATS


def test_pieces_are_a_minute_of_work_and_smaller_films_have_larger_ones() -> None:
    goal = wanted()
    uhd, full_hd = piece_count(film(), goal), piece_count(film(width=1920, height=1080), goal)
    assert 35 <= uhd <= 60
    assert 10 <= full_hd <= uhd / 2
    assert piece_count(film(), wanted({"general": 1.0}, 100)) == 3
    assert piece_count(film(duration_s=5.0), goal) == 1


def test_many_small_films_follow_the_distribution_together() -> None:
    goal = wanted({"general": 1.0}, 3)
    counted: Counter[int] = Counter()
    for n in range(600):
        counted.update(formats_of_windows(film(sample_id=f"f{n}"), goal, goal.categories[0]).wanted.tolist())
    for index, each in enumerate(goal.categories[0].formats):
        assert abs(counted[index] / 1800 - each.share) < 0.02


@pytest.mark.parametrize("other", [{"name": "shrek"}, {"seed": 1}])
def test_other_films_and_seeds_have_other_plans(other: dict[str, Any]) -> None:
    goal, again = wanted(), wanted(seed=other.get("seed", 0))
    same, changed = film(), film(sample_id=other.get("name", "avatar"))
    assert not np.array_equal(frames_of_tries(same, goal, 0, 60), frames_of_tries(changed, again, 0, 60))


SCOPE = [0, 277, 3840, 1883]


@pytest.mark.parametrize(
    ("misfits", "content", "sizes"),
    [
        ("larger_scale", None, [(1920, 1080)] * 3),
        ("larger_scale", SCOPE, [(1920, 1080), (1938, 1090), (2583, 1453)]),
        ("redistribute", SCOPE, [(1920, 1080), None, None]),
    ],
)
def test_formats_that_do_not_fit(misfits: str, content: list[int] | None, sizes: list[tuple[int, int] | None]) -> None:
    goal = wanted({"space": 1.0}, misfits=misfits)
    found = sizes_of_formats(film(content=content), goal, goal.categories[0])
    for size, about in zip(found, sizes, strict=True):
        assert (size is None) == (about is None)
        if size and about:
            assert abs(size[0] - about[0]) <= 2
            assert abs(size[1] - about[1]) <= 2


def test_what_does_not_fit_goes_to_what_fits_by_share() -> None:
    shares = (("a", 540, 540, 0.3), ("b", 720, 405, 0.1), ("c", 720, 720, 0.6))
    formats = tuple(FormatShare(name=n, width=w, height=h, share=s) for n, w, h, s in shares)
    category = CategoryWindows(name="x", windows=1000, formats=formats)
    goal = wanted().model_copy(update={"categories": (category,)})
    found = formats_of_windows(film(width=720, height=576), goal, category)
    assert Counter(found.wanted.tolist()) == {0: 300, 1: 100, 2: 600}
    assert Counter(found.planned.tolist()) == {0: 750, 1: 250}
    assert (found.planned[found.wanted < 2] == found.wanted[found.wanted < 2]).all()
    none = formats_of_windows(film(width=320, height=240), goal, category)
    assert set(none.planned.tolist()) == {-1}


def test_native_ground_truth_is_cut_from_the_film_as_it_is() -> None:
    goal = wanted(ground_truth="native")
    assert set(sizes_of_formats(film(), goal, goal.categories[1])) == {(3840, 2160)}
