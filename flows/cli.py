"""`mannequin <verb>`: the same flows and the same store, from a terminal."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import forgetting, inspection, planning, saving, upkeep
from flows.console import check, demand_flow, flow_names, load_flow, run_flow, view_of
from flows.parameters import assign, defaults, demand_places, read_config, translated
from flows.places import connect, connect_if_there, named_store
from flows.printing import ERR, OUT, errors_explained, summary_lines
from tasks.schema.errors import ConfigError

app = typer.Typer(
    help="Human-centric training datasets, as flows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(inspection.app)
app.add_typer(upkeep.app)
app.add_typer(saving.app)
app.add_typer(planning.app)
app.add_typer(forgetting.app)
SHARED = ("webbody",)
"""Flows that several runs may work on side by side, each with its `config.share`."""


@app.command()
def run(
    flow: Annotated[str, typer.Argument(help="Name of the flow, as pose_templates.")],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="JSON or YAML: the parameter `config`.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="path.to.parameter=value; the value may be JSON.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")] = False,
) -> None:
    """Run a flow here and now, on the Prefect server that `make up` started."""
    with errors_explained():
        demand_flow(flow)
        given = {} if config is None else {"config": translated(flow, read_config(config), ERR)}
        connect_if_there()
        loaded = load_flow(flow, verbose=verbose)
        demand_places(loaded, parameter or ())
        parameters = assign(given, parameter or [], defaults(loaded))
        check(loaded, parameters)
        connect()
        summary = run_flow(loaded, parameters, ERR, verbose=verbose, beside=view_of(flow, parameters, ERR))
        if summary is not None:
            OUT.print("\n".join(summary_lines(summary)), markup=False)


@app.command("prepare-dataset")
def prepare_dataset(
    input_dir: Annotated[Path, typer.Option("--input_dir", help="Folder of dance videos.")],
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where train/ and validation/ go.")],
    fps: Annotated[int, typer.Option("--fps", help="Frames a second of the clips.")] = 24,
    resolution: Annotated[str, typer.Option("--resolution", help="Of the clips.")] = "512x512",
    split_ratio: Annotated[float, typer.Option("--split_ratio", help="Share of train.")] = 0.8,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Has no effect: memory is bounded anyway.")] = 1,  # noqa: ARG001
    sequence_length: Annotated[int, typer.Option("--sequence_length", help="Frames of a sample, at least.")] = 24,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")] = False,
) -> None:
    """Run music_to_pose with the options of the M2P guide's `prepare_dataset.py`."""
    with errors_explained():
        from tasks.m2p.seed_options import form_of_options

        form = form_of_options(
            input_dir,
            output_dir,
            fps=fps,
            resolution=resolution,
            split_ratio=split_ratio,
            sequence_length=sequence_length,
        )
        connect()
        config = form.model_dump(mode="json", exclude_unset=True)
        summary = run_flow(load_flow("music_to_pose", verbose=verbose), {"config": config}, ERR, verbose=verbose)
        if summary is not None:
            OUT.print("\n".join(summary_lines(summary)), markup=False)


@app.command()
def commands(
    flow: Annotated[str, typer.Argument(help="Name of a flow that shares its work, as webbody.")],
    gpus: Annotated[int, typer.Option("--gpus", "-g", min=1, help="How many GPUs.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="JSON or YAML: the parameter `config`.")],
) -> None:
    """Print one command for each GPU, and the one that joins what they made; nothing runs."""
    with errors_explained():
        if flow not in SHARED:
            raise ConfigError(f"{flow} does not share its work: there is {', '.join(SHARED)}.")
        read_config(config)
        OUT.print("\n".join(share_commands(flow, gpus, config)), markup=False)


@app.command()
def monitor(
    tree: Annotated[
        str | None,
        typer.Argument(help="A folder of patches, or video_patches for the store's: that build, film by film."),
    ] = None,
    store: Annotated[str | None, typer.Option(help="Name of a Store block; default: the one the run used.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print once, as JSON.")] = False,
) -> None:
    """Watch every run on a store, from any terminal, and the machine; or a build of video_patches in detail."""
    with errors_explained():
        if tree is None:
            from flows.monitor import show_runs

            show_runs(store or "default", OUT, once=once, as_json=as_json)
        else:
            from flows.monitor_patches import show_build

            folder = None if tree == "video_patches" else Path(tree)
            show_build(folder, store, OUT, once=once, as_json=as_json)


@app.command()
def status(store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default") -> None:
    """Say which server is used, where the store is, and what was built last."""
    with errors_explained():
        where = named_store(store)
        OUT.print(f"Store    {where.place}", markup=False)
        try:
            OUT.print(f"Prefect  {connect()}", markup=False)
        except ConfigError:
            OUT.print("Prefect  not running; `make up` starts it")
        from tasks.shards.manifest import read_manifest

        for name in flow_names():
            if where.files.has(where.root / "builds" / name / "latest.json"):
                build = read_manifest(where, name)
                rows = {what: sum(_rows(build, ref.key) for ref in refs) for what, refs in build.outputs.items()}
                OUT.print(f"{name}  {build.digest[:12]}  " + ", ".join(f"{n} {what}" for what, n in rows.items()))


def share_commands(flow: str, gpus: int, config: Path) -> list[str]:
    """A command for each GPU, to be run side by side, and a last one for afterwards."""
    run = f"mannequin run {flow} --config {shlex.quote(str(config))}"
    each = [
        f"CUDA_VISIBLE_DEVICES={gpu} {run} -p config.share.index={gpu} -p config.share.count={gpus}"
        for gpu in range(gpus)
    ]
    return [*each, "# afterwards, once:", run]


def _rows(build: Any, key: str) -> int:
    return next((shard.data.rows for shard in build.shards if shard.key == key), 0)
