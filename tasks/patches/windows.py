"""The stage that plans the windows of a piece of a film."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.patches.plan import (
    CategoryPlan,
    CategoryWindows,
    FilmPlan,
    FilmToPlan,
    Wanted,
    crops,
    film_plan,
    frames_of_tries,
    windows_of_piece,
)
from tasks.schema.films import WINDOW_FRAMES, WINDOW_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput

Counts = dict[str, dict[str, int]]


class WindowsConfig(Frozen):
    """Which piece of a film, counted from 0, and what is wanted of the whole film."""

    piece: int = Field(ge=0)
    wanted: Wanted


@dataclass(frozen=True, eq=False)
class PlannedRows:
    """Windows of one category in a piece, ascending: their numbers in the film, formats as `FormatsOfWindows` has them.

    `uv` is (windows, tries, u and v).
    """

    plan: CategoryPlan
    windows: NDArray[np.int64]
    asked: NDArray[np.int64]
    planned: NDArray[np.int64]
    uv: NDArray[np.float64]

    @property
    def category(self) -> CategoryWindows:
        return self.plan.category


@dataclass(frozen=True)
class Windows(Stage):
    """A film's one row to the windows of one of its pieces.

    A window that no format of its category fits is a rejected child; a film that is too short is rejected itself.
    Facts: `wanted` and `planned` windows by category and format, and `redistributed`, by category, from format, to
    format; all of this piece. `film` holds how many windows each category wants of the whole film and gets, and the
    number of pieces.

    Raises:
        ValueError: the film has fewer pieces than `piece` says.
    """

    config: WindowsConfig

    name: ClassVar[str] = "windows"
    version: ClassVar[int] = 1
    fan_out: ClassVar[bool] = True

    @property
    def schema(self) -> pa.Schema:
        return WINDOW_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            for row in batch.to_pylist():
                yield planned_piece(row, self.config)


def pieces_of(row: Mapping[str, Any], wanted: Wanted) -> int:
    """How many pieces the film of a row of `FILM_SCHEMA` has."""
    return film_plan(FilmToPlan.of_row(row), wanted).pieces


def planned_piece(row: Mapping[str, Any], config: WindowsConfig) -> StageOutput:
    """The windows of a piece of the film of a row of `FILM_SCHEMA`.

    Raises:
        ValueError: the film has fewer pieces.
    """
    film, wanted = FilmToPlan.of_row(row), config.wanted
    plan = film_plan(film, wanted)
    if config.piece >= plan.pieces:
        raise ValueError(f"{film.name} has {plan.pieces} pieces, there is no {config.piece}")
    if not plan.windows:
        return StageOutput(WINDOW_SCHEMA.empty_table(), (_too_short(row, film, wanted),), _facts(plan, []))
    first, last = windows_of_piece(plan.windows, plan.pieces, config.piece)
    times = film.times(frames_of_tries(film, wanted, first, last))
    found = [_rows(film, wanted, each, first, last, times.shape[1]) for each in plan.categories]
    table = _table(row, film, found, times, first)
    rejected = tuple(each for rows in found for each in _misfits(row, film, rows))
    if not len(table):
        said = f"none of the formats of {', '.join(rows.category.name for rows in found)} fits into its picture"
        rejected += (Rejection(film.name, Reason.FORMAT_DOES_NOT_FIT, said, source_uri=row["source_uri"]),)
    return StageOutput(table, rejected, _facts(plan, found))


def _rows(film: FilmToPlan, wanted: Wanted, plan: CategoryPlan, first: int, last: int, tries: int) -> PlannedRows:
    """What a category gets of the windows [first, last)."""
    here = slice(*np.searchsorted(plan.windows, (first, last)))
    windows = plan.windows[here]
    uv = crops(film, wanted, plan.category, first, last)[windows - first, :tries]
    return PlannedRows(plan, windows, plan.formats.wanted[here], plan.formats.planned[here], uv)


def _table(
    row: Mapping[str, Any], film: FilmToPlan, found: list[PlannedRows], times: NDArray[np.float64], first: int
) -> pa.Table:
    """The rows of `WINDOW_SCHEMA` of those windows that some format fits, by time."""
    formats = [(each.name, rows.category.name) for rows in found for each in rows.category.formats]
    sizes = [size or (0, 0) for rows in found for size in rows.plan.sizes]
    before = np.cumsum([0, *(len(rows.category.formats) for rows in found)]).tolist()
    planned = [np.where(rows.planned < 0, -1, rows.planned + n) for rows, n in zip(found, before, strict=False)]
    windows, uv = np.concatenate([rows.windows for rows in found]), np.concatenate([rows.uv for rows in found])
    chosen = np.concatenate(planned)
    order = np.flatnonzero(chosen >= 0)
    order = order[np.argsort(windows[order], kind="stable")]
    windows, chosen, uv = windows[order], chosen[order], uv[order]
    names, categories = ([each[side] for each in formats] for side in (0, 1))
    category = [categories[each] for each in chosen.tolist()]
    scaled = np.array(sizes, np.int32).reshape(-1, 2)[chosen]
    columns: dict[str, Any] = {
        "sample_id": [window_id(film.name, *each) for each in zip(windows.tolist(), category, strict=True)],
        "parent_id": [film.name] * len(windows),
        "source_uri": [row["source_uri"]] * len(windows),
        "licence": [row["licence"]] * len(windows),
        "film": [film.name] * len(windows),
        "category": category,
        "format": [names[each] for each in chosen.tolist()],
        "tries": _lists(times[windows - first]),
        "crop_u": _lists(uv[:, :, 0]),
        "crop_v": _lists(uv[:, :, 1]),
        "scaled_width": scaled[:, 0],
        "scaled_height": scaled[:, 1],
    }
    return pa.table(columns, schema=WINDOW_SCHEMA)


def window_id(film: str, window: int, category: str) -> str:
    """The `sample_id` of a window, for one category."""
    return f"{film}/w{window:06d}_{category}"


def _lists(values: NDArray[np.float64]) -> pa.Array:
    """Rows of a matrix as a column of lists."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).ravel()))


def _misfits(row: Mapping[str, Any], film: FilmToPlan, rows: PlannedRows) -> Iterator[Rejection]:
    left, top, right, bottom = film.content
    for window, asked in zip(rows.windows[rows.planned < 0].tolist(), rows.asked[rows.planned < 0], strict=True):
        wanted = rows.category.formats[asked]
        said = (
            f"{wanted.name} is {wanted.width}x{wanted.height}, the film's picture {right - left}x{bottom - top}, and "
            f"no other format of {rows.category.name} fits either"
        )
        sample_id = window_id(film.name, window, rows.category.name)
        yield Rejection(sample_id, Reason.FORMAT_DOES_NOT_FIT, said, source_uri=row["source_uri"])


def _too_short(row: Mapping[str, Any], film: FilmToPlan, wanted: Wanted) -> Rejection:
    if not any(each.windows for each in wanted.categories):
        said = "no window is wanted of this film: its weights times the windows of a film are less than one half"
        return Rejection(film.name, Reason.OVER_LIMIT, said, 0.0, row["source_uri"])
    said = f"it has {film.frames} frames, and a window has {WINDOW_FRAMES}"
    if film.frames >= WINDOW_FRAMES:
        said += f"; {wanted.skip_start:.0%} at its start and {wanted.skip_end:.0%} at its end are skipped"
    return Rejection(film.name, Reason.FILM_TOO_SHORT, said, float(film.frames), row["source_uri"])


def _facts(plan: FilmPlan, found: list[PlannedRows]) -> dict[str, JsonValue]:
    asked, planned = (
        {rows.category.name: _counted(rows.category, getattr(rows, which)) for rows in found}
        for which in ("asked", "planned")
    )
    whole = {
        each.category.name: {"wanted": each.category.windows, "planned": len(each.windows)} for each in plan.categories
    }
    facts: dict[str, Any] = {
        "wanted": asked,
        "planned": planned,
        "redistributed": {rows.category.name: moved for rows in found if (moved := _moved(rows))},
        "film": {"pieces": plan.pieces, "windows": plan.windows, "categories": whole},
    }
    return facts


def _counted(category: CategoryWindows, formats: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(formats[formats >= 0], minlength=len(category.formats))
    return {each.name: int(count) for each, count in zip(category.formats, counts, strict=True)}


def _moved(rows: PlannedRows) -> Counts:
    """From format, to format, how many windows."""
    names = [each.name for each in rows.category.formats]
    moved: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (asked, planned), count in sorted(
        Counter(zip(rows.asked.tolist(), rows.planned.tolist(), strict=True)).items()
    ):
        if planned not in (asked, -1):
            moved[names[asked]][names[planned]] = count
    return dict(moved)
