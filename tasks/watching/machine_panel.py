"""A machine as a terminal shows it."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.machine.load import Load, RunLoad
from tasks.watching.words import size


def machine_panel(load: Load) -> RenderableType:
    """CPU, memory, disk and GPUs, each with a bar, and what the run takes of them."""
    used = load.disk_total - load.disk_free
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(3):
        grid.add_column(ratio=1)
    parts = (
        ("CPU", load.cpu_percent / 100, f"{load.cpu_percent:.0f} % of {load.cores}"),
        ("memory", load.memory_used / load.memory_total, f"{size(load.memory_used)} of {size(load.memory_total)}"),
        ("disk", used / load.disk_total, f"{size(load.disk_free)} free"),
    )
    grid.add_row(*(Text.assemble((f"{name} ", "dim"), (text, _load_colour(share))) for name, share, text in parts))
    grid.add_row(
        *(
            ProgressBar(
                total=1, completed=share, complete_style=_load_colour(share), finished_style=_load_colour(share)
            )
            for _, share, _ in parts
        )
    )
    gpus = [
        Text.assemble(
            (f"GPU {number} ", "dim"),
            f"{gpu.busy_percent:.0f} % busy",
            ("  ·  ", "dim"),
            (f"{size(gpu.memory_used)} of {size(gpu.memory_total)}", _load_colour(gpu.memory_used / gpu.memory_total)),
            (f"  ·  {gpu.name}", "dim"),
        )
        for number, gpu in enumerate(load.gpus)
    ]
    own = Text() if load.run is None else Text.assemble(("this run ", "dim"), _run(load.run))
    return Panel(Group(grid, *gpus, own), title="[bold]machine[/]", title_align="left", border_style="dim")


def machine_line(load: Load) -> RenderableType:
    """The same in one line."""
    parts = [f"CPU {load.cpu_percent:.0f} %", f"memory {size(load.memory_used)}", f"disk {size(load.disk_free)} free"]
    parts += [f"GPU {number} {gpu.busy_percent:.0f} %" for number, gpu in enumerate(load.gpus)]
    parts += [] if load.run is None else [_run(load.run)]
    return Text(" · ".join(parts), "dim", no_wrap=True, overflow="ellipsis")


def _run(load: RunLoad) -> str:
    processes = "1 process" if load.processes == 1 else f"{load.processes} processes"
    return f"{processes}, {load.cpu_percent / 100:.1f} cores, {size(load.memory_bytes)}"


def _load_colour(share: float) -> str:
    return "red" if share > 0.95 else "yellow" if share > 0.85 else "green"
