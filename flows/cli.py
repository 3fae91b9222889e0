"""`mannequin <verb>`: the same flows and the same store, from a terminal."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from string import Template
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

import flows
from flows.console import INTERRUPTED, load_flow, run_flow
from tasks.schema.errors import ConfigError, MannequinError, SourceError
from tasks.schema.home import home, postgres_folder, server_record

if TYPE_CHECKING:
    from prefect import Flow
    from pydantic import BaseModel

    from tasks.models.zoo import Zoo

app = typer.Typer(
    help="Human-centric training datasets, as flows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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
        given = {} if config is None else {"config": read_config(config)}
        connect()
        loaded = load_flow(flow, verbose=verbose)
        summary = run_flow(loaded, assign(given, parameter or [], defaults(loaded)), _err, verbose=verbose)
        if summary is not None:
            _out.print("\n".join(summary_lines(summary)), markup=False)


@app.command()
def verify(
    store: Annotated[str, typer.Option(help="Name of a Store block.")] = "default",
    drop: Annotated[bool, typer.Option("--drop-damaged", help="Let the next run make damaged outputs again.")] = False,
) -> None:
    """Read every byte of a store and say what is not as it was written."""
    with _errors_explained():
        root = _store_root(store)
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
        root, uri, zoo = _search_places(store, database, models)
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


def flow_names() -> list[str]:
    """Every flow: the modules of this package, each named as its flow."""
    return sorted(module.name for module in iter_modules(flows.__path__) if module.name not in ("cli", "console"))


def connect() -> str:
    """Choose the Prefect server, before Prefect is imported: PREFECT_API_URL, else the local one.

    Raises:
        ConfigError: there is none.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        return given
    record = server_record()
    url = json.loads(record.read_text())["url"] if record.exists() else ""
    if not url or not _answers(url):
        raise ConfigError("No Prefect server runs: `make up` starts one here, or set PREFECT_API_URL to yours.")
    os.environ |= {"PREFECT_API_URL": f"{url}/api", "PREFECT_HOME": str(home() / "prefect"), "DO_NOT_TRACK": "1"}
    return f"{url}/api"


def defaults(flow: "Flow[Any, Any]") -> dict[str, Any]:
    """The flow's own parameters, as JSON has them."""
    from pydantic_core import to_jsonable_python

    found = signature(flow.fn).parameters
    return {name: to_jsonable_python(each.default) for name, each in found.items() if each.default is not each.empty}


def assign(given: dict[str, Any], words: list[str], instead: dict[str, Any]) -> dict[str, Any]:
    """Parameters with `path.to.value=text` words put in; the text may be JSON.

    Args:
        given: from a file.
        instead: where a path leads into a parameter that is not given.
    Raises:
        ConfigError: a word is no assignment, or its path leads nowhere.
    """
    parameters = deepcopy(given)
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise ConfigError(f"A parameter is given as path=value, not {word!r}.")
        name, *below = path.split(".")
        if below and name not in parameters:
            parameters[name] = deepcopy(instead.get(name, {}))
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        _put(parameters, path.split("."), value, word)
    return parameters


def summary_lines(summary: "BaseModel", indent: str = "") -> list[str]:
    """A flow's result as lines of title and value; empty values are left out."""
    lines = []
    for name, field in type(summary).model_fields.items():
        title = field.title or name.replace("_", " ").capitalize()
        lines += _lines(title, getattr(summary, name), indent)
    return lines


def table_lines(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Rows of equal columns under their titles; nothing is cut, so that a pipe gets all of it."""
    lines = [list(rows[0]), *([*row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _lines(title: str, value: Any, indent: str) -> list[str]:
    if value is None or value == "" or (isinstance(value, (tuple, list, dict)) and not value):
        return []
    if hasattr(type(value), "model_fields"):
        return [f"{indent}{title}", *summary_lines(value, indent + "  ")]
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {count}" for key, count in value.items())
    elif isinstance(value, (tuple, list)):
        return [f"{indent}{title}", *(f"{indent}  {each}" for each in value)]
    return [f"{indent}{title:<{20 - len(indent)}} {value}"]


def read_config(path: Path) -> Any:
    """A configuration from JSON or YAML, with `$NAME` for environment variables.

    Raises:
        ConfigError: the file is missing or does not read, or a variable is not set.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    import yaml

    try:
        return _filled_in(yaml.safe_load(text), path)  # JSON is YAML
    except yaml.YAMLError as error:
        raise ConfigError(f"The configuration {path} is neither JSON nor YAML: {error}") from error


def _filled_in(value: Any, path: Path) -> Any:
    """`$NAME` in any text becomes the environment variable."""
    if isinstance(value, dict):
        return {key: _filled_in(below, path) for key, below in value.items()}
    if isinstance(value, list):
        return [_filled_in(below, path) for below in value]
    if not isinstance(value, str):
        return value
    try:
        return Template(value).substitute(os.environ)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} holds {value!r}, and the variable {error} is not set ($$ is one $).") from error


def _put(parameters: dict[str, Any], path: list[str], value: Any, word: str) -> None:
    place: Any = parameters
    for step, below in zip(path, [*path[1:], None], strict=True):
        try:
            key = int(step) if isinstance(place, list) else step
            if below is None:
                place[key] = value
            else:
                place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
        except (ValueError, IndexError, TypeError) as error:
            raise ConfigError(f"There is no place for {word!r} in the parameters: {step!r} is not there.") from error


def _answers(url: str) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=5) as reply:  # noqa: S310
            return bool(json.load(reply))
    except (OSError, ValueError):
        return False


def _blocks_are_known(*names: str) -> bool:
    """Whether a server can be asked for blocks; without one only the defaults can be meant."""
    try:
        connect()
    except ConfigError:
        if set(names) != {"default"}:
            raise
        return False
    return True


def _store_root(name: str) -> Path:
    if not _blocks_are_known(name):
        return home()
    from blocks import load_store

    with _server_explained():
        return load_store(name).root


def _search_places(store: str, database: str, models: str) -> "tuple[Path, str, Zoo]":
    """The root of the store, the URI of the database and the weights that the blocks name."""
    if _blocks_are_known(store, database, models):
        from blocks import load_database
        from tasks.poses.config import PlaceNames
        from tasks.poses.task import machine

        with _server_explained():
            place = load_database(database)
            here = machine(PlaceNames(store=store, database=database, models=models))
        root, url, folder, zoo = here.store.root, place.url, place.embedded_folder, here.zoo
    else:
        from tasks.models.zoo import Zoo

        root, url, folder, zoo = home(), "", postgres_folder(), Zoo.from_environment()
    if not url and not folder.exists():
        raise SourceError(f"There is no database at {folder} yet: run the flow pose_templates first.")
    from tasks.catalog.embedded import start_embedded

    return root, url or start_embedded(folder), zoo


@contextmanager
def _server_explained() -> Iterator[None]:
    """A server that was named and does not answer, in one line."""
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        server, said = os.environ["PREFECT_API_URL"], str(error).partition("\n")[0]
        raise ConfigError(f"The Prefect server at PREFECT_API_URL={server} gives no blocks: {said}") from error


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
