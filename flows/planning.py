"""`mannequin plan`: what a build would take, in a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.parameters import faults, near, read_config, translated
from flows.places import named_store
from flows.printing import ERR, OUT, errors_explained, table_lines
from tasks.schema.errors import ConfigError, UnreadableError

if TYPE_CHECKING:
    from tasks.planning.costs import FlowCosts
    from tasks.planning.plan import Plan, Wanted

app = typer.Typer()
MOST = 1e12
"""Items that anybody asks for; infinity is more."""


@app.command()
def plan(
    flow: Annotated[str, typer.Argument(help="Name of the flow, as webbody.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="JSON or YAML, as `run` takes it.")] = None,
    rows: Annotated[float | None, typer.Option("--rows", help="URLs or photos, as 12e6.", min=1, max=MOST)] = None,
    films: Annotated[float | None, typer.Option("--films", help="Films of video_patches.", min=1, max=MOST)] = None,
    videos: Annotated[float | None, typer.Option("--videos", help="Videos of music_to_pose.", min=1, max=MOST)] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Of a film or video.", min=0.01, max=MOST)] = None,
    workers: Annotated[int, typer.Option("--workers", help="Of the pool for the CPU.", min=1)] = 1,
    gpus: Annotated[int, typer.Option("--gpus", help="Of the pool for the GPU.", min=0)] = 0,
    mbit: Annotated[float | None, typer.Option("--mbit", help="Of the network, a second.", min=0.01)] = None,
    store: Annotated[str, typer.Option(help="Name of the Store block whose builds were measured.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what a build would take: shards, task runs, bytes, hours, from what builds took; nothing runs."""
    with errors_explained():
        from tasks.planning.plan import plan_build

        given = {"rows": rows, "films": films, "videos": videos}
        wanted = _wanted(flow, config, given, minutes, workers, gpus, mbit)
        found = plan_build(_costs(flow, store), wanted)
        if as_json:
            OUT.file.write(found.model_dump_json(indent=1) + "\n")
        else:
            OUT.print("\n".join(plan_lines(found)), markup=False)


def plan_lines(plan: "Plan") -> list[str]:
    """A plan for a person: its stages, what they come to, and what is to be known of it."""
    from tasks.watching.words import duration, size

    rows = [
        {
            "stage": each.stage,
            "rows in": f"{each.rows_in:,}",
            "rows out": f"{each.rows_out:,}",
            "shards": f"{each.shards:,}",
            "bytes": size(each.bytes),
            "hours": "-" if each.hours is None else f"{each.hours:,.2f}",
            "work": "-" if each.work_hours is None else f"{each.work_hours:,.2f}",
            "on": each.pool,
            "measured on": f"{each.measured:,} rows" + (f", spread {each.spread:.1f}" if each.spread else ""),
        }
        for each in plan.stages
    ]
    return [
        *table_lines(rows),
        "",
        f"Wall time           {duration(3600 * plan.hours)}, the longest {plan.slowest}",
        f"Shards              {sum(each.shards for each in plan.stages):,} in {plan.task_runs:,} task runs",
        f"Store at the end    {size(plan.peak_bytes)}",
        f"Prefect's database  {size(plan.server_bytes)} a run",
        *([f"Catalog             {size(plan.catalog_bytes)}"] if plan.catalog_bytes else []),
        f"Measured            {plan.where}",
        *plan.notes,
    ]


def _costs(flow: str, store: str) -> "FlowCosts":
    """What the last build of the store took, and where it says less than what is shipped, that."""
    from tasks.planning.costs import better_of, costs_of
    from tasks.planning.shipped import SHIPPED

    try:
        return better_of(costs_of(named_store(store), flow), SHIPPED[flow])
    except UnreadableError:
        return SHIPPED[flow]


def _wanted(
    flow: str,
    config: Path | None,
    given: dict[str, float | None],
    minutes: float | None,
    workers: int,
    gpus: int,
    mbit: float | None,
) -> "Wanted":
    from tasks.planning.plan import Wanted
    from tasks.planning.shapes import SHAPES

    shape = SHAPES.get(flow)
    if shape is None:
        raise ConfigError(f"There is no flow {flow!r} to plan{near(flow, [*SHAPES])}: there is {', '.join(SHAPES)}.")
    form = _form(flow, config) if config is not None else None
    if form is not None and flow == "video_patches":
        from tasks.patches.listing import with_films_listed

        form = with_films_listed(form)
    count = given.pop(shape.item)
    idle = given | ({"minutes": minutes} if shape.item == "rows" else {}) | ({} if shape.waits else {"mbit": mbit})
    if any(idle.values()):
        raise ConfigError(
            f"{flow} is planned by --{shape.item}, not by {', '.join(f'--{n}' for n in idle if idle[n])}."
        )
    if count is None and flow == "video_patches" and form is not None:
        count = float(len(form.films))
    if count is None:
        raise ConfigError(f"Say how many: --{shape.item}.")
    known: dict[str, Any] = {}
    if shape.part:
        known["part_rows"] = getattr(form, shape.part) if form is not None else _default(flow, shape.part)
    if flow == "video_patches" and form is not None:
        asked = [form.windows_per_film * sum(film.categories.values()) for film in form.films]
        known |= {"windows": sum(asked) / len(asked), "piece_s": form.planning.piece_s}
    elif flow == "video_patches":
        known["windows"] = float(_default(flow, "windows_per_film"))
    return Wanted(items=round(count), minutes=minutes, workers=workers, gpus=gpus, mbit_s=mbit, **known)


def _form_class(flow: str) -> Any:
    from tasks.m2p.config import MusicToPoseForm
    from tasks.patches.config import VideoPatchesForm
    from tasks.poses.config import PoseTemplatesForm
    from tasks.runway_street.config import RunwayStreetForm
    from tasks.webbody.config import WebBodyForm

    forms = (PoseTemplatesForm, WebBodyForm, VideoPatchesForm, MusicToPoseForm, RunwayStreetForm)
    names = ("pose_templates", "webbody", "video_patches", "music_to_pose", "runway_street")
    return dict(zip(names, forms, strict=True))[flow]


def _default(flow: str, name: str) -> Any:
    return _form_class(flow).model_fields[name].default


def _form(flow: str, config: Path) -> Any:
    from pydantic import ValidationError

    form = _form_class(flow)
    try:
        return form.model_validate(translated(flow, read_config(config), ERR))
    except ValidationError as error:
        raise ConfigError(faults(flow, form.model_json_schema(), error)) from error
