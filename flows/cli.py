"""`mannequin <verb>`: the same flows and the same store, from a terminal."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

import flows
from flows.console import INTERRUPTED, load_flow, run_flow, view_of
from flows.parameters import assign, defaults, read_config, translated
from flows.places import connect, search_places, store_root
from flows.printing import summary_lines, table_lines
from tasks.schema.errors import ConfigError, MannequinError, SourceError
from tasks.schema.home import home

app = typer.Typer(
    help="Human-centric training datasets, as flows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SHARED = ("webbody",)
"""Flows that several runs may work on side by side, each with its `config.share`."""



class Subject(StrEnum):
    """What verdicts are about."""

    FACES = "faces"
    LOOKS = "looks"


_out = Console(highlight=False, soft_wrap=True)
_err = Console(highlight=False, soft_wrap=True, stderr=True)


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
    with _errors_explained():
        if flow not in flow_names():
            raise ConfigError(f"There is no flow {flow!r}: there is {', '.join(flow_names())}.")
        given = {} if config is None else {"config": translated(flow, read_config(config), _err)}
        connect()
        loaded = load_flow(flow, verbose=verbose)
        parameters = assign(given, parameter or [], defaults(loaded))
        summary = run_flow(loaded, parameters, _err, verbose=verbose, beside=view_of(flow, parameters, _err))
        if summary is not None:
            _out.print("\n".join(summary_lines(summary)), markup=False)


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
    with _errors_explained():
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
        summary = run_flow(load_flow("music_to_pose", verbose=verbose), {"config": config}, _err, verbose=verbose)
        if summary is not None:
            _out.print("\n".join(summary_lines(summary)), markup=False)


@app.command()
def verify(
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    drop: Annotated[bool, typer.Option("--drop-damaged", help="Let the next run make damaged outputs again.")] = False,
) -> None:
    """Read every byte of a store and say what is not as it was written."""
    with _errors_explained():
        root = store_root(store)
        if not root.exists():
            raise SourceError(f"There is no store at {root} yet: run a flow first.")
        from tasks.shards.store import Store
        from tasks.shards.verify import verify_store

        report = verify_store(Store(root), drop_damaged=drop)
        size = f"{report.bytes / 1e6:,.1f} MB"
        _out.print(f"{report.records} outputs, {report.files} files, {report.rows} rows, {size} read in {root}")
        for damage in report.damage:
            _out.print(f"[red]{escape(damage.path)}[/]: {escape(damage.problem)}")
        if not report.ok:
            advice = f"{report.dropped} outputs are dropped" if drop else "`--drop-damaged` drops the outputs"
            raise SourceError(f"{len(report.damage)} things are damaged; {advice}, the next run makes them again.")
        _out.print("All of it is as it was written.")


@app.command()
def delete(
    stage: Annotated[str, typer.Argument(help="Name of a stage, as people.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it the command only says what would go.")] = False,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Delete all that one stage ever made; the next run makes again what it needs."""
    with _errors_explained():
        from tasks.shards.delete import delete_outputs, outputs_of
        from tasks.shards.store import Store

        where = Store(store_root(store))
        found = outputs_of(where, stage)
        used = ", ".join(f"{count} of {name}" for name, count in found.made_of_them.items()) or "nothing"
        _out.print(f"{stage}: {len(found.records)} outputs, {found.rows} rows, {found.bytes / 1e6:,.1f} MB")
        _out.print(f"Made of them, and kept: {used}")
        if yes:
            delete_outputs(where, found)
        _out.print("Deleted." if yes else "Nothing was deleted: `--yes` does it.")


@app.command()
def commands(
    flow: Annotated[str, typer.Argument(help="Name of a flow that shares its work, as webbody.")],
    gpus: Annotated[int, typer.Option("--gpus", "-g", min=1, help="How many GPUs.")],
    config: Annotated[Path, typer.Option("--config", "-c", exists=True, help="JSON or YAML: the parameter `config`.")],
) -> None:
    """Print one command for each GPU, and the one that joins what they made; nothing runs."""
    with _errors_explained():
        if flow not in SHARED:
            raise ConfigError(f"{flow} does not share its work: there is {', '.join(SHARED)}.")
        _out.print("\n".join(share_commands(flow, gpus, config)), markup=False)


@app.command()
def verdicts(
    source: Annotated[Path, typer.Argument(help="CSV; of faces also an export of Label Studio, or a FiftyOne folder.")],
    of: Annotated[Subject, typer.Option("--of", help="What they are about.")] = Subject.FACES,
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
) -> None:
    """Put down what people said about doubtful faces (webbody) or looks (runway_street); later builds go by it."""
    with _errors_explained():
        from tasks.shards.store import Store

        where = Store(store_root(store))
        if of is Subject.FACES:
            from tasks.identity.review_forms import read_verdicts_of
            from tasks.identity.review_ledger import add_verdicts, read_verdicts

            new, standing = add_verdicts(where, read_verdicts_of(source)), len(read_verdicts(where))
        else:
            from tasks.fashion.audit import read_audit
            from tasks.fashion.audit_ledger import add_look_verdicts, read_look_verdicts
            from tasks.runway_street.build import known_looks

            new = add_look_verdicts(where, read_audit(source, known_looks(where)))
            standing = len(read_look_verdicts(where))
        _out.print(f"{new} new verdicts; {standing} stand.")


@app.command()
def monitor(
    tree: Annotated[Path | None, typer.Argument(help="The folder of the patches; the store's where not given.")] = None,
    store: Annotated[str | None, typer.Option(help="Name of a Store block; default: the one the run used.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print once, as JSON.")] = False,
) -> None:
    """Watch a build of video_patches that runs, or look at one that has ended."""
    with _errors_explained():
        from flows.monitor import show_build

        show_build(tree, store, _out, once=once, as_json=as_json)


@app.command()
def similar(
    what: Annotated[str, typer.Argument(metavar="TEMPLATE|PHOTO", help="Id of a template, or a photo or drawing.")],
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="How many templates.")] = 10,
    model: Annotated[
        str | None, typer.Option(help="Name of a pose model's card; empty: drawings only. Default: as the flow.")
    ] = None,
    database: Annotated[str, typer.Option(help="Name of a Database block.")] = "default",
    store: Annotated[str, typer.Option(help="Name of a Store block, for the previews.")] = "default",
    models: Annotated[str, typer.Option(help="Name of a ModelZoo block.")] = "default",
) -> None:
    """Show the templates whose poses are most like a template's, or that of the main person on a photo."""
    with _errors_explained():
        from tasks.poses.search import as_rows, photo_unless_id, pose_on_photo, similar_to_id, similar_to_pose

        photo = photo_unless_id(what)
        root, uri, zoo = search_places(store, database, models)
        if photo is None:
            hits = similar_to_id(uri, what, count)
        else:
            found = pose_on_photo(photo, zoo, model)
            hits = similar_to_pose(uri, found.person, count)
            joints = f"{int(found.person.present.sum())} of {len(found.person.layout)} joints"
            _err.print(f"Main person of {found.people}: {joints}, from {found.source}", markup=False)
        rows = as_rows(hits, root)
        _out.print("\n".join(table_lines(rows)) if rows else "No other template is active.", markup=False)


@app.command()
def status() -> None:
    """Say which server is used, where the store is, and what was built last."""
    with _errors_explained():
        _out.print(f"Store    {home()}")
        try:
            _out.print(f"Prefect  {connect()}")
        except ConfigError:
            _out.print("Prefect  not running; `make up` starts it")
        from tasks.shards.manifest import read_manifest
        from tasks.shards.store import Store

        for name in flow_names():
            if (home() / "builds" / name / "latest.json").exists():
                build = read_manifest(Store(home()), name)
                rows = {what: sum(_rows(build, ref.key) for ref in refs) for what, refs in build.outputs.items()}
                _out.print(f"{name}  {build.digest[:12]}  " + ", ".join(f"{n} {what}" for what, n in rows.items()))


def share_commands(flow: str, gpus: int, config: Path) -> list[str]:
    """A command for each GPU, to be run side by side, and a last one for afterwards."""
    run = f"mannequin run {flow} --config {shlex.quote(str(config))}"
    each = [
        f"CUDA_VISIBLE_DEVICES={gpu} {run} -p config.share.index={gpu} -p config.share.count={gpus}"
        for gpu in range(gpus)
    ]
    return [*each, "# afterwards, once:", run]


def flow_names() -> list[str]:
    """Every flow: the modules of this package, each named as its flow."""
    return sorted(module.name for module in iter_modules(flows.__path__) if module.name not in flows.FRONT)


def _rows(build: Any, key: str) -> int:
    return next((shard.data.rows for shard in build.shards if shard.key == key), 0)


@contextmanager
def _errors_explained() -> Iterator[None]:
    """One red line for what a person can act on; Ctrl+C ends quietly."""
    try:
        yield
    except MannequinError as error:
        _err.print(f"[red]Error:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        _err.print("Stopped. What is finished is kept: the same command goes on from there.")
        sys.exit(INTERRUPTED)
