"""Runs on a store as a terminal shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.machine.load import Load
from tasks.watching.machine_panel import machine_panel
from tasks.watching.runs import RunProgress, StageProgress
from tasks.watching.words import duration, size

WIDE = 96
"""Columns inside a run's frame from which on its stages show all that is known of them."""

MOST_REASONS = 3
"""Reasons for rejections that stand beside a stage."""

_STATES = {
    "running": ("●", "green"),
    "silent": ("?", "yellow"),
    "gone": ("■", "red"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "crashed": ("✘", "red"),
    "cancelled": ("■", "yellow"),
}

_SAID = {
    "gone": "Its process is gone and said nothing: killed, or the machine went down. Run it again, it goes on.",
    "silent": "Its machine has said nothing for a minute.",
}


def runs_view(
    alive: Sequence[RunProgress], ended: Sequence[RunProgress], load: Load | None, store: str
) -> RenderableType:
    """Runs stage by stage, what others ended with in a line each, and the machine."""
    parts: list[RenderableType] = [run_panel(run) for run in alive]
    if not alive:
        parts.append(Text(f"Nothing runs on the store {store}.", "dim"))
    if ended:
        parts.append(_ended(ended))
    if load is not None:
        parts.append(machine_panel(load))
    return Group(*parts)


def run_panel(run: RunProgress, zone: tzinfo | None = None) -> RenderableType:
    """One run: what it is, how far it is, and its stages."""
    sign, colour = _STATES[run.state]
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(no_wrap=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True, justify="right")
    share = run.share if run.share is not None else 0.0
    bar = ProgressBar(total=1, completed=share, complete_style=colour, finished_style=colour)
    percent = "" if run.share is None else f"{share:6.1%}"
    head.add_row(Text(f"{sign} {run.state}", f"bold {colour}"), bar, Text(percent, "bold"))
    timed = Text(overflow="fold")
    timed.append(f"{duration(run.elapsed_s)} ").append("gone" if run.alive else "taken", "dim")
    timed.append("  ·  since ", "dim").append(f"{run.started_at.astimezone(zone):%a %H:%M}")
    timed.append("  ·  ", "dim").append(f"{run.host}, process {run.pid}")
    if run.alive:
        timed.append("  ·  ETA ", "dim").append(_eta(run.eta_s, zone))
    said = run.said or _SAID.get(run.state, "")
    notes = [Text(said, colour, overflow="fold")] if said else []
    stages = [_Stages(run.stages)] if run.stages else [Text("nothing found or made yet", "dim")]
    title = Text.assemble((run.flow.replace("_", " "), "bold"), (f"  {run.name}", "dim"))
    return Panel(Group(head, timed, *notes, *stages), title=title, title_align="left", border_style="cyan")


@dataclass(frozen=True)
class _Stages:
    """A table of stages; a narrow terminal has no room for what is told of `WIDE` ones."""

    stages: Sequence[StageProgress]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("stage", no_wrap=True)
        for name in ("shards", *(("made",) if wide else ()), "rows in", "kept", "rows/s", "ETA"):
            table.add_column(name, justify="right", no_wrap=True)
        if wide:
            table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column("rejected", ratio=1, no_wrap=True, overflow="ellipsis")
        for each in self.stages:
            done = each.known is not None and each.shards >= each.known
            shards = f"{each.shards:,}" if each.known is None else f"{each.shards:,}/{each.known:,}"
            made = f"{each.made:,}" if each.made else Text("-", "dim")
            table.add_row(
                each.stage,
                Text(shards, "green" if done else ""),
                *((made,) if wide else ()),
                f"{each.rows_in:,}",
                f"{each.rows_kept:,}",
                _rate(each.rate),
                Text("-", "dim") if each.eta_s is None else duration(each.eta_s),
                *((size(each.bytes),) if wide else ()),
                _rejected(each),
            )
        yield table


def _ended(runs: Sequence[RunProgress]) -> RenderableType:
    table = Table(
        title=Text("Ended", "bold cyan"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        expand=True,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    for name in ("flow", "run", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("took", "shards", "made"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
    for run in runs:
        sign, colour = _STATES[run.state]
        table.add_row(
            run.flow,
            Text(run.name, "dim"),
            Text(f"{sign} {run.state}", colour),
            duration(run.elapsed_s),
            f"{sum(each.shards for each in run.stages):,}",
            f"{sum(each.made for each in run.stages):,}",
            run.said or _SAID.get(run.state, ""),
        )
    return table


def _rejected(stage: StageProgress) -> Text:
    count = sum(stage.rejected.values())
    if not count:
        return Text("-", "dim")
    if len(stage.rejected) == 1:
        return Text.assemble(f"{count:,} ", (next(iter(stage.rejected)), "dim"))
    said = ", ".join(f"{reason} {rows:,}" for reason, rows in list(stage.rejected.items())[:MOST_REASONS])
    return Text.assemble(f"{count:,} ", (said + (", ..." if len(stage.rejected) > MOST_REASONS else ""), "dim"))


def _rate(rate: float | None) -> Text:
    if rate is None:
        return Text("-", "dim")
    return Text(f"{rate:,.0f}" if rate >= 10 else f"{rate:,.2f}")


def _eta(seconds: float | None, zone: tzinfo | None) -> Text:
    if seconds is None:
        return Text("not known", "dim")
    end = datetime.now(UTC).astimezone(zone) + timedelta(seconds=seconds)
    return Text.assemble(duration(seconds), (f" ({end:%a %H:%M})" if seconds > 12 * 3600 else f" ({end:%H:%M})", "dim"))
