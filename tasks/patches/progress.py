"""The numbers of a build of patches: how far it and its films are, and what it has got of what it wants."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tasks.patches.build_plan import Counts, FilmPlan, flat
from tasks.schema.records import Frozen

RATE_S = 300.0
LONG_RATE_S = 1800.0
RATE_PIECES = 8
"""The rate is that of the last five minutes, or of the last thirty where fewer than eight pieces ended in those."""

PAUSE_S = 900.0
"""A longer silence between two pieces, each about a minute of work, is a pause between runs and nobody's time."""

FilmState = Literal["waiting", "running", "finished", "rejected"]
BuildState = Literal["running", "stopped", "finished"]


@dataclass(frozen=True)
class Finished:
    """A piece that is done: what became of its windows, bytes written into the tree, and when (Unix time)."""

    film: str
    windows: int
    kept: Counts
    rejected: dict[str, int]
    written_bytes: int
    at: float


@dataclass
class Tally:
    """Finished pieces added up."""

    pieces: int = 0
    windows: int = 0
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    written_bytes: int = 0
    last_at: float = 0.0

    def add(self, piece: Finished) -> None:
        self.join(
            Tally(1, piece.windows, Counter(flat(piece.kept)), Counter(piece.rejected), piece.written_bytes, piece.at)
        )

    def join(self, other: "Tally") -> None:
        self.pieces += other.pieces
        self.windows += other.windows
        self.kept.update(other.kept)
        self.rejected.update(other.rejected)
        self.written_bytes += other.written_bytes
        self.last_at = max(self.last_at, other.last_at)


class FilmProgress(Frozen):
    """How far a film is; `success` is the share of its finished windows that were kept, None before the first.

    `seconds` is its share of the time that the build took: the time from each finished piece to the next, whatever its
    film, counts for the film of the latter; with several pieces at once that is fair over many pieces, not for one.
    `last_at` is when its last piece was done, Unix time, 0 before the first.
    """

    film: str
    state: FilmState
    pieces: int
    pieces_done: int
    windows: int
    windows_done: int
    kept: int
    success: float | None
    rejected: dict[str, int]
    written_bytes: int
    seconds: float
    last_at: float
    reason: str = ""
    detail: str = ""


class FormatProgress(Frozen):
    """A format of a category: windows wanted, planned and kept; shares are of the category, 0 to 1.

    `share_kept` is None while nothing of the category is kept.
    """

    category: str
    format: str
    wanted: int
    planned: int
    kept: int
    share_wanted: float
    share_kept: float | None

    @property
    def points_off(self) -> float | None:
        """Kept share less wanted share, in percentage points."""
        return None if self.share_kept is None else 100 * (self.share_kept - self.share_wanted)


class CategoryProgress(Frozen):
    """A category: windows that the configuration asks for, planned and kept; shares are of all categories, 0 to 1."""

    category: str
    asked: int
    planned: int
    kept: int
    share_asked: float
    share_kept: float | None


class BuildProgress(Frozen):
    """A build at a moment. `rate` is in windows a minute, None where nothing ended lately; `eta_s` in seconds.

    `elapsed_s` runs from the start of the last run to now, or to its last piece where it is finished or stopped;
    `redistributed` counts windows that are planned in another format than they were wanted in.
    """

    state: BuildState
    config: str
    created_at: datetime
    elapsed_s: float
    pieces: int
    pieces_done: int
    windows: int
    windows_done: int
    kept: int
    success: float | None
    written_bytes: int
    rate: float | None
    eta_s: float | None
    redistributed: int
    rejected: dict[str, int]
    categories: tuple[CategoryProgress, ...]
    formats: tuple[FormatProgress, ...]
    films: tuple[FilmProgress, ...]


def film_progress(plan: FilmPlan, windows: int, done: Tally, seconds: float) -> FilmProgress:
    """How far a film is. `windows`: those planned in its pieces."""
    if plan.reason:
        state: FilmState = "rejected"
    elif done.pieces == len(plan.pieces):
        state = "finished"
    else:
        state = "running" if done.pieces else "waiting"
    kept = done.kept.total()
    return FilmProgress(
        film=plan.film,
        state=state,
        pieces=len(plan.pieces),
        pieces_done=done.pieces,
        windows=windows,
        windows_done=done.windows,
        kept=kept,
        success=kept / done.windows if done.windows else None,
        rejected=dict(done.rejected.most_common()),
        written_bytes=done.written_bytes,
        seconds=seconds,
        last_at=done.last_at,
        reason=plan.reason,
        detail=plan.detail,
    )


def format_progress(
    shares: Mapping[str, Mapping[str, float]],
    wanted: Mapping[tuple[str, str], int],
    planned: Mapping[tuple[str, str], int],
    kept: Mapping[tuple[str, str], int],
) -> tuple[FormatProgress, ...]:
    """Every format of every category, in the order of `shares`; what occurs in the numbers alone comes last."""
    named = [(category, name) for category, formats in shares.items() for name in formats]
    order = list(dict.fromkeys([*named, *sorted({*wanted, *planned, *kept})]))
    of_category = _by_category(kept)
    return tuple(
        FormatProgress(
            category=category,
            format=name,
            wanted=wanted.get((category, name), 0),
            planned=planned.get((category, name), 0),
            kept=kept.get((category, name), 0),
            share_wanted=shares.get(category, {}).get(name, 0.0),
            share_kept=kept.get((category, name), 0) / of_category[category] if of_category[category] else None,
        )
        for category, name in order
    )


def category_progress(
    names: Sequence[str],
    asked: Mapping[str, int],
    planned: Mapping[tuple[str, str], int],
    kept: Mapping[tuple[str, str], int],
) -> tuple[CategoryProgress, ...]:
    """Every category, in the order of `names`."""
    asked_of_all, kept_of_all = sum(asked.values()), sum(kept.values())
    planned_of, kept_of = _by_category(planned), _by_category(kept)
    return tuple(
        CategoryProgress(
            category=name,
            asked=asked.get(name, 0),
            planned=planned_of[name],
            kept=kept_of[name],
            share_asked=asked.get(name, 0) / asked_of_all if asked_of_all else 0.0,
            share_kept=kept_of[name] / kept_of_all if kept_of_all else None,
        )
        for name in dict.fromkeys([*names, *asked])
    )


def windows_per_minute(ends: Sequence[tuple[float, int]], since: float, now: float) -> float | None:
    """The rate at which windows were done lately.

    Args:
        ends: (Unix time, windows) of finished pieces, ascending.
        since: start of the run; what was finished before does not count.
        now: Unix time.
    """
    for span in (RATE_S, LONG_RATE_S):
        start = max(since, now - span)
        recent = ends[bisect_left(ends, (start, 0)) :]
        if len(recent) >= RATE_PIECES or start == since:
            break
    done = sum(windows for _, windows in recent)
    return 60 * done / (now - start) if done and now > start else None


def time_shares(ends: Iterable[tuple[float, str]], since: float) -> dict[str, float]:
    """Seconds of a build by film (see `FilmProgress`).

    Args:
        ends: (Unix time, film) of finished pieces, ascending.
        since: start of the last run.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    before = 0.0
    for at, film in ends:
        begun = max(before, since) if at >= since else before
        if at - begun <= PAUSE_S:
            seconds[film] += at - begun
        before = at
    return dict(seconds)


def _by_category(counts: Mapping[tuple[str, str], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (category, _), n in counts.items():
        found[category] += n
    return found
