"""Runs on a store, watched from any terminal."""

import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from rich.console import Console, RenderableType
from rich.live import Live

from flows.places import named_store
from tasks.machine.load import Load, LoadMeter
from tasks.schema.records import Frozen
from tasks.watching.runs import RunProgress, RunWatch, StoreWatch
from tasks.watching.view import runs_view

EVERY_S = 2.0
MOST_CPU = 0.05
"""Of one core; what is so large that looking every `EVERY_S` seconds takes more are looked at less often."""

CPU_S = 0.2
"""Seconds over which a single reading measures the CPU."""

MOST_ENDED = 8
"""Runs that ended, shown below those that run."""


class RunsSnapshot(Frozen):
    """What `--json` prints of all runs: those that are under way, those that ended, the last first, and the machine."""

    store: str
    running: tuple[RunProgress, ...]
    ended: tuple[RunProgress, ...]
    machine: Load


def show_runs(store: str, console: Console, *, once: bool = False, as_json: bool = False) -> None:
    """Show every run on a store until Ctrl+C; where the console is no terminal, once.

    Args:
        store: name of a Store block.
    """
    where = named_store(store)
    watch, meter = StoreWatch(where), LoadMeter(_existing(where.root))
    if as_json or once or not console.is_terminal:
        meter.read(_first_process(watch.look()))
        time.sleep(CPU_S)
        found = _runs_now(watch, meter)
        if as_json:
            console.file.write(found.model_dump_json(indent=1) + "\n")
        else:
            console.print(_runs_drawn(found))
        return
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            begun = time.thread_time()
            live.update(_runs_drawn(_runs_now(watch, meter)), refresh=True)
            time.sleep(max(EVERY_S, (time.thread_time() - begun) / MOST_CPU))


def _runs_now(watch: StoreWatch, meter: LoadMeter) -> RunsSnapshot:
    runs = watch.look()
    told = [run.progress() for run in runs]
    return RunsSnapshot(
        store=watch.store.place,
        running=tuple(each for each in told if each.alive),
        ended=tuple(each for each in told if not each.alive)[:MOST_ENDED],
        machine=meter.read(_first_process(runs)),
    )


def _runs_drawn(found: RunsSnapshot) -> RenderableType:
    return runs_view(found.running, found.ended, found.machine, found.store)


def _existing(folder: Path) -> Path:
    """The folder, or the one above it that is there: a store that nobody wrote into yet has a disk too."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _first_process(runs: list[RunWatch]) -> psutil.Process | None:
    """Of the run that began last and lives here: its load is shown beside that of the machine."""
    return next((run.process for run in runs if not run.header.ended and run.process is not None), None)
