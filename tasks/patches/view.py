"""A build of patches as a terminal shows it: for any width, and for any height or none."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from rich import box
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tasks.machine.load import Load
from tasks.patches.progress import BuildProgress, FilmProgress
from tasks.watching.machine_panel import machine_line, machine_panel
from tasks.watching.words import duration, size

GOOD_SUCCESS = 0.85
POOR_SUCCESS = 0.5
"""Share of the windows kept: green from the first on, red under the second. Source of the first: the seed, 85-95 %."""

POINTS_OFF = 2.0
"""A share further from the wanted one, in percentage points, is pointed out."""

WIDE = 110
"""Columns from which on two tables stand side by side."""

MOST_REASONS = 6
FEWEST_FILMS = 3
_TABLE_LINES = 4
"""Of a table beside its rows: title, head, rule, and an empty one."""

_STATES = {
    "running": ("●", "green"),
    "stopped": ("■", "yellow"),
    "finished": ("✔", "green"),
    "waiting": ("·", "dim"),
    "rejected": ("✘", "red"),
}
_FIRST = {"running": 0, "rejected": 2, "waiting": 3, "finished": 1}


class BuildView:
    """A build, drawn to fit the console it is printed on, once for each size of it.

    Args:
        spare: lines of the console to leave free; None: take as many as there are to say, all films among them.
    """

    def __init__(self, progress: BuildProgress, load: Load | None, spare: int | None = None) -> None:
        self._progress, self._load, self._spare = progress, load, spare
        self._drawn: dict[ConsoleDimensions, list[list[Segment]]] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.size not in self._drawn:
            free = options.update(no_wrap=None, overflow=None, height=None, markup=False, highlight=False)
            height = None if self._spare is None else max(1, options.size.height - self._spare)
            self._drawn = {options.size: console.render_lines(self._layout(console, free, height), free)[:height]}
        for number, line in enumerate(self._drawn[options.size]):
            if number:
                yield Segment.line()
            yield from line
        yield Segment.line()

    def _layout(self, console: Console, options: ConsoleOptions, height: int | None) -> Group:
        """Everything, or what fits into so many lines: first the machine goes, then reasons, then formats."""
        progress = self._progress
        head, machine = _head(progress), [] if self._load is None else [machine_panel(self._load)]
        beside = [_formats(progress), *([_rejects(progress)] if progress.rejected else [])]
        if height is None:
            return Group(head, _films(progress, None), *beside, *machine)

        def lines(parts: Sequence[RenderableType], width: int = options.max_width) -> int:
            return sum(len(console.render_lines(part, options.update_width(width))) for part in parts)

        wide = options.max_width >= WIDE
        least = 0 if wide else FEWEST_FILMS + _TABLE_LINES
        width = options.max_width // 2 - 1 if wide else options.max_width
        room = height - lines([head])
        needed = max(lines([_formats(progress, brief=True)], width) + least, _TABLE_LINES + FEWEST_FILMS)
        if machine and lines(machine) + needed > room:
            machine = [machine_line(self._load)] if self._load is not None and needed < room else []
        room -= lines(machine)
        choices = [beside, beside[:1], [_formats(progress, brief=True)], []]
        beside = next(parts for parts in choices if lines(parts, width) + least <= room or not parts)
        if not wide:
            return Group(head, _films(progress, room - lines(beside) - _TABLE_LINES), *beside, *machine)
        grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(_films(progress, room - _TABLE_LINES), Group(*beside))
        return Group(head, grid, *machine)


def summary_line(progress: BuildProgress) -> str:
    """A build in one line, for logs."""
    parts = [
        f"{progress.pieces_done} of {progress.pieces} pieces",
        f"{progress.windows_done:,} of {progress.windows:,} windows",
        f"{progress.kept:,} kept" + (f" ({progress.success:.0%})" if progress.success is not None else ""),
    ]
    if progress.rate is not None and progress.state == "running":
        parts.append(f"{progress.rate:,.0f} windows a minute")
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    return " · ".join(parts)


def _head(progress: BuildProgress, zone: tzinfo | None = None) -> RenderableType:
    sign, colour = _STATES[progress.state]
    done = progress.windows_done / progress.windows if progress.windows else float(progress.pieces_done)
    first = Table.grid(expand=True, padding=(0, 1))
    first.add_column(no_wrap=True)
    first.add_column(ratio=1)
    first.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=1, completed=done, complete_style=colour, finished_style=colour)
    first.add_row(Text(f"{sign} {progress.state}", f"bold {colour}"), bar, Text(f"{done:6.1%}", "bold"))
    said = Text(overflow="fold")
    for part in (
        f"windows {progress.windows_done:,}/{progress.windows:,}",
        f"pieces {progress.pieces_done:,}/{progress.pieces:,}",
        f"kept {progress.kept:,}",
    ):
        said.append(part).append("  ·  ", "dim")
    said.append("success ").append_text(_success(progress.success))
    timed = Text(overflow="fold")
    timed.append("- " if progress.rate is None else f"{progress.rate:,.1f} ").append("windows/min", "dim")
    timed.append("  ·  ", "dim").append(f"{duration(progress.elapsed_s)} ").append(
        "gone" if progress.state == "running" else "taken", "dim"
    )
    if progress.state == "running":
        timed.append("  ·  ETA ", "dim").append(_eta(progress.eta_s, zone))
    timed.append("  ·  ", "dim").append(f"{size(progress.written_bytes)} ").append("written", "dim")
    return Panel(Group(first, said, timed), title="[bold]video patches[/]", title_align="left", border_style="cyan")


def _eta(seconds: float | None, zone: tzinfo | None) -> Text:
    if seconds is None:
        return Text("not known yet", "dim")
    end = datetime.now(UTC).astimezone(zone) + timedelta(seconds=seconds)
    return Text.assemble(duration(seconds), (f" ({end:%a %H:%M})" if seconds > 12 * 3600 else f" ({end:%H:%M})", "dim"))


def _films(progress: BuildProgress, room: int | None) -> RenderableType:
    """A row a film; where they do not fit into `room` lines, those that move first."""
    films: Sequence[FilmProgress] = progress.films
    counts = [(state, sum(film.state == state for film in films)) for state in _STATES]
    said = ", ".join(f"{count} {state}" for state, count in counts if count)
    if room is not None and len(films) > max(room, FEWEST_FILMS):
        films = sorted(films, key=lambda film: (_FIRST[film.state], -film.last_at))[: max(room, FEWEST_FILMS)]
        said += f"; {len(films)} of {len(progress.films)} shown"
    table = _table("Films", said)
    table.add_column("film", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("done", ratio=2, min_width=6)
    for name in ("windows", "kept", "success"):
        table.add_column(name, justify="right", no_wrap=True)
    for film in films:
        sign, colour = _STATES[film.state]
        label = Text.assemble((f"{sign} ", colour), film.film)
        if film.reason:
            table.add_row(label, Text(film.reason, "red", no_wrap=True, overflow="ellipsis"), "", "", "")
            continue
        bar = ProgressBar(total=max(1, film.pieces), completed=film.pieces_done, finished_style="green")
        windows = f"{film.windows_done:,}/{film.windows:,}"
        table.add_row(label, bar, windows, f"{film.kept:,}", _success(film.success))
    return Padding(table, (0, 0, 1, 0))


def _formats(progress: BuildProgress, *, brief: bool = False) -> RenderableType:
    """A row a category and, unless `brief`, one a format; shares of all and of their category."""
    redistributed = f"{progress.redistributed:,} redistributed" if progress.redistributed else ""
    table = _table("Formats", redistributed)
    table.add_column("category, format", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("wanted", "kept", "share", "of", "off"):
        table.add_column(name, justify="right", no_wrap=True)
    for category in progress.categories:
        style = "bold"
        table.add_row(
            Text(category.category, style),
            Text(f"{category.asked:,}", style),
            Text(f"{category.kept:,}", style),
            _percent(category.share_kept, style),
            _percent(category.share_asked, style),
            "",
        )
        for each in progress.formats:
            if each.category == category.category and not brief:
                table.add_row(
                    Text(f"  {each.format}"),
                    f"{each.wanted:,}",
                    f"{each.kept:,}",
                    _percent(each.share_kept),
                    _percent(each.share_wanted, "dim"),
                    _points(each.points_off),
                )
    return Padding(table, (0, 0, 1, 0))


def _rejects(progress: BuildProgress) -> RenderableType:
    rejected = sum(progress.rejected.values())
    table = _table("Rejected", f"{rejected:,} windows")
    table.add_column("reason", no_wrap=True)
    table.add_column("", ratio=1)
    table.add_column("windows", justify="right", no_wrap=True)
    table.add_column("of all", justify="right", no_wrap=True)
    shown = list(progress.rejected.items())[:MOST_REASONS]
    most = max((count for _, count in shown), default=1)
    for reason, count in shown:
        bar = ProgressBar(total=most, completed=count, complete_style="yellow", finished_style="yellow")
        table.add_row(reason, bar, f"{count:,}", _percent(count / max(1, progress.windows_done)))
    rest = sum(list(progress.rejected.values())[MOST_REASONS:])
    if rest:
        table.add_row(Text("other reasons", "dim"), "", f"{rest:,}", _percent(rest / max(1, progress.windows_done)))
    return Padding(table, (0, 0, 1, 0))


def _table(title: str, said: str) -> Table:
    return Table(
        title=Text.assemble((title, "bold cyan"), ("  ", ""), (said, "dim")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        expand=True,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )


def _success(share: float | None) -> Text:
    if share is None:
        return Text("-", "dim")
    colour: Literal["green", "yellow", "red"] = "yellow"
    if share >= GOOD_SUCCESS:
        colour = "green"
    elif share < POOR_SUCCESS:
        colour = "red"
    return Text(f"{share:.1%}", colour)


def _percent(share: float | None, style: str = "") -> Text:
    return Text("-", "dim") if share is None else Text(f"{share:.1%}", style)


def _points(off: float | None) -> Text:
    if off is None:
        return Text("-", "dim")
    distance = abs(off)
    colour = "green" if distance <= POINTS_OFF else "yellow" if distance <= 2 * POINTS_OFF else "red"
    return Text(f"{off:+.1f}", colour)
