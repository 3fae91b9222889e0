"""Where in a film windows are, of which format and with which crops: pure, and the same on every machine.

A film's windows lie in strata of equal length, one each, at a frame by chance. The category that wants most has a patch
from each of them, the others from a part that is spread evenly; each has crops of its own. All chance comes from the
seed, the film's name and the category (see `tasks.patches.chance`), so that no film's plan depends on another film.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.patches.chance import fraction, shuffled, uniforms
from tasks.patches.geometry import Box, GroundTruth, Size, base_size, fitting_size
from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.records import Frozen

Misfit = Literal["larger_scale", "redistribute"]

MOST_REPLACEMENTS: Final = 10
"""Source: the seed."""

REACH_S: Final = 12.0
"""A replacement lies at most so long after the window it replaces: two or three shots, of 4 to 5 s in the mean."""

UHD_PIXELS: Final = 3840 * 2160
PASS_S: Final = 0.27
WINDOW_S: Final = 0.30
PATCH_S: Final = 0.16
"""CPU seconds: to pass a second of UHD film (only its reference frames are decoded), to decode a window in it, and to
cut, tonemap and save a patch. A fit to windows of 40 Mb/s HEVC, GOP 36 to 120: 1.15 s each at 25 a minute, 0.80 s at
58, 0.55 s at 180."""

SKIPPABLE_S: Final = 5.0
"""Film that has to be passed for a window at most; what lies between windows farther apart is jumped over."""

Frames = NDArray[np.int64]


class FormatShare(Frozen):
    """A format as planning knows it, and its part of a category's windows."""

    name: str
    width: int
    height: int
    share: float


class CategoryWindows(Frozen):
    """How many windows a category wants from a film, in which formats."""

    name: str
    windows: int = Field(ge=0)
    formats: tuple[FormatShare, ...]


class Wanted(Frozen):
    """What is wanted of one film.

    `skip_start` and `skip_end` are parts of the film without windows. `misfit` says what becomes of windows whose
    format does not fit into the film at the size of the ground truth: cut at a larger scale, or given to the formats of
    the category that fit. Where no larger scale helps they are given to those as well. `piece_s`: CPU seconds of work
    that make a piece.
    """

    seed: int
    ground_truth: GroundTruth
    misfit: Misfit
    replacements: int = Field(ge=0, le=MOST_REPLACEMENTS)
    skip_start: float = Field(ge=0, lt=1)
    skip_end: float = Field(ge=0, lt=1)
    piece_s: float = Field(gt=0)
    categories: tuple[CategoryWindows, ...]


@dataclass(frozen=True)
class FilmToPlan:
    """What planning wants to know about a film: sizes in pixels, `frames` by its length and mean rate."""

    name: str
    width: int
    height: int
    content: Box
    fps: Fraction
    frames: int

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """From a row of `FILM_SCHEMA`."""
        fps = Fraction(*row["fps"])
        left, top, right, bottom = row["content"]
        return cls(
            name=row["sample_id"],
            width=row["width"],
            height=row["height"],
            content=(left, top, right, bottom),
            fps=fps,
            frames=round(row["duration_s"] * fps),
        )

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.width, self.height

    def times(self, frames: Frames) -> NDArray[np.float64]:
        """Seconds from the first frame, half a frame before those given: the first frame from there on is meant."""
        return np.maximum(2 * frames - 1, 0) * self.fps.denominator / (2 * self.fps.numerator)


@dataclass(frozen=True, eq=False)
class FormatsOfWindows:
    """Indices into a category's formats, one for each of its windows: the wanted one, and the one to cut or -1."""

    wanted: NDArray[np.int64]
    planned: NDArray[np.int64]


def largest_remainder(total: int, weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Shares of a total by weight, which add up to it; what rounding down leaves goes to the largest remainders."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(sorted(exact), key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def windows_of_categories(windows_per_film: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Windows that each category wants from a film: so many times its weight, rounded to the same sum."""
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}
    total = int(windows_per_film * sum(exact.values()) + Fraction(1, 2))
    return largest_remainder(total, exact)


def spread(total: int, shares: Sequence[float], offset: Fraction) -> list[int]:
    """A total in parts by share: each within one of its exact part, and that in the mean over many offsets.

    A film with few windows would always round the same way otherwise, and a dataset of many such films with it.

    Args:
        offset: from 0 to below 1, by chance.
    """
    whole = sum(Fraction(str(share)) for share in shares)
    reached, counts = Fraction(0), []
    for share in shares:
        before, reached = reached, reached + total * Fraction(str(share)) / whole
        counts.append(int(reached + offset) - int(before + offset))
    return counts


def first_frames(film: FilmToPlan, wanted: Wanted) -> tuple[int, int]:
    """The frames, right exclusive, at which windows may begin; empty where the film is too short."""
    start = int(film.frames * wanted.skip_start)
    end = film.frames - int(film.frames * wanted.skip_end) - WINDOW_FRAMES + 1
    return start, max(start, end)


def window_count(film: FilmToPlan, wanted: Wanted) -> int:
    """Windows of the film: those of the category that wants most, but no two from the same frame on."""
    start, end = first_frames(film, wanted)
    return min(max((each.windows for each in wanted.categories), default=0), end - start)


def planned_windows(film: FilmToPlan, wanted: Wanted, category: CategoryWindows) -> int:
    """Windows that a category gets."""
    return min(category.windows, window_count(film, wanted))


def piece_count(film: FilmToPlan, wanted: Wanted) -> int:
    """Pieces of about `piece_s` CPU seconds; one at least, also of a film that is too short."""
    windows = window_count(film, wanted)
    start, end = first_frames(film, wanted)
    passed_s = min(float((end - start) / film.fps), windows * SKIPPABLE_S)
    patches = sum(planned_windows(film, wanted, each) for each in wanted.categories)
    decoding_s = (PASS_S * passed_s + WINDOW_S * windows) * film.width * film.height / UHD_PIXELS
    return max(1, min(round((decoding_s + PATCH_S * patches) / wanted.piece_s), windows))


def windows_of_piece(windows: int, pieces: int, piece: int) -> tuple[int, int]:
    """The windows of a piece, right exclusive: consecutive in time, all pieces alike but for one."""
    return piece * windows // pieces, (piece + 1) * windows // pieces


def frames_of_tries(film: FilmToPlan, wanted: Wanted, first: int, last: int) -> Frames:
    """The first frame of each try of the windows [first, last), a piece; int64 (windows, tries), a row's all differ.

    The replacements of a window follow it in growing steps up to the end of the next stratum: its own length apart at
    least, `REACH_S` away at most. What would lie beyond the piece starts again at its beginning.
    """
    start, end = first_frames(film, wanted)
    total = window_count(film, wanted)
    edges = start + np.arange(first, last + 2, dtype=np.int64) * (end - start) // total
    begin, room = edges[0], edges[-2] - edges[0]
    firsts = _one_of_each(edges[:-1], uniforms((wanted.seed, film.name, "times"), last - first, first))
    replacements = min(wanted.replacements, int(room) - 1)
    farthest = np.maximum(edges[2:] - 1 - firsts, replacements * WINDOW_FRAMES)
    reach = np.minimum(farthest, min(int(REACH_S * film.fps), int(room) - 1))
    after = _steps(np.maximum(reach, replacements), replacements)
    frames: Frames = begin + (firsts[:, None] + after - begin) % room
    return frames


def _one_of_each(edges: Frames, chance: NDArray[np.float64]) -> Frames:
    """A number from each of the strata [edge, next edge), none of them empty."""
    drawn: Frames = edges[:-1] + (chance * np.diff(edges)).astype(np.int64)
    return np.minimum(drawn, edges[1:] - 1)


def _steps(reach: Frames, replacements: int) -> Frames:
    """0, then so many growing numbers up to `reach`, which is as large as their count at least; (windows, 1 + n)."""
    order = np.arange(replacements + 1, dtype=np.int64)
    if not replacements:
        return np.zeros((len(reach), 1), np.int64)
    even = np.minimum(reach // replacements, WINDOW_FRAMES)[:, None]
    left = reach[:, None] - even * replacements
    steepness = max(replacements - 1, 1) ** 2
    return even * order + np.where(even == WINDOW_FRAMES, left * np.maximum(order - 1, 0) ** 2 // steepness, 0)


def windows_of_category(film: FilmToPlan, wanted: Wanted, category: CategoryWindows) -> NDArray[np.int64]:
    """Which of the film's windows a category has, ascending, spread evenly; int64 (windows of the category,)."""
    total, count = window_count(film, wanted), planned_windows(film, wanted, category)
    if not count:
        return np.zeros(0, np.int64)
    edges = np.arange(count + 1, dtype=np.int64) * total // count
    chance = uniforms((wanted.seed, film.name, category.name, "windows"), count)
    return _one_of_each(edges, chance)


def sizes_of_formats(film: FilmToPlan, wanted: Wanted, category: CategoryWindows) -> tuple[Size | None, ...]:
    """What the film is scaled to for each format of a category; None where the format is not to be cut from it."""
    base = base_size(film.size, wanted.ground_truth)
    found = (fitting_size(film.size, film.content, base, (each.width, each.height)) for each in category.formats)
    return tuple(None if wanted.misfit == "redistribute" and size != base else size for size in found)


def formats_of_windows(film: FilmToPlan, wanted: Wanted, category: CategoryWindows) -> FormatsOfWindows:
    """The formats of all windows of a category, in the order of `windows_of_category`; by shares, then shuffled."""
    count = planned_windows(film, wanted, category)
    key = (wanted.seed, film.name, category.name)
    shares = [each.share for each in category.formats]
    counts = spread(count, shares, fraction((*key, "formats")))
    asked = np.repeat(np.arange(len(shares)), counts)[shuffled((*key, "order"), count)]
    fitting = [index for index, size in enumerate(sizes_of_formats(film, wanted, category)) if size is not None]
    planned = asked.copy()
    for index in range(len(shares)):
        if index in fitting:
            continue
        places = np.flatnonzero(asked == index)
        instead = -np.ones(len(places), np.int64)
        if fitting:
            again = (*key, category.formats[index].name)
            parts = spread(len(places), [shares[each] for each in fitting], fraction((*again, "formats")))
            instead = np.repeat(np.array(fitting), parts)[shuffled((*again, "order"), len(places))]
        planned[places] = instead
    return FormatsOfWindows(asked, planned)


def crops(film: FilmToPlan, wanted: Wanted, category: CategoryWindows, first: int, last: int) -> NDArray[np.float64]:
    """Where in the picture the patches of the windows [first, last) lie; float64 (windows, most tries, u and v)."""
    each = 2 * (MOST_REPLACEMENTS + 1)
    numbers = uniforms((wanted.seed, film.name, category.name, "crops"), (last - first) * each, first * each)
    return numbers.reshape(last - first, MOST_REPLACEMENTS + 1, 2)


@dataclass(frozen=True, eq=False)
class CategoryPlan:
    """What a category gets of a film: numbers of windows, ascending, their formats, and what is scaled to what."""

    category: CategoryWindows
    windows: NDArray[np.int64]
    formats: FormatsOfWindows
    sizes: tuple[Size | None, ...]


@dataclass(frozen=True, eq=False)
class FilmPlan:
    """What all pieces of a film have in common: its windows, its pieces and what each category gets."""

    windows: int
    pieces: int
    categories: tuple[CategoryPlan, ...]


@lru_cache(maxsize=16)
def film_plan(film: FilmToPlan, wanted: Wanted) -> FilmPlan:
    """The plan of a film; remembered, because its pieces ask one after the other."""
    categories = tuple(
        CategoryPlan(
            each,
            windows_of_category(film, wanted, each),
            formats_of_windows(film, wanted, each),
            sizes_of_formats(film, wanted, each),
        )
        for each in wanted.categories
    )
    return FilmPlan(window_count(film, wanted), piece_count(film, wanted), categories)
