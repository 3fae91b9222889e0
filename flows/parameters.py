"""A flow's parameters, from a file and from a command line."""

import json
import os
from copy import deepcopy
from inspect import signature
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from tasks.schema.errors import ConfigError

if TYPE_CHECKING:
    from prefect import Flow
    from pydantic import ValidationError
    from rich.console import Console


def defaults(flow: "Flow[Any, Any]") -> dict[str, Any]:
    """The flow's own parameters, as JSON has them."""
    from pydantic_core import to_jsonable_python

    found = signature(flow.fn).parameters
    return {name: to_jsonable_python(each.default) for name, each in found.items() if each.default is not each.empty}


def faults(flow: "Flow[Any, Any]", error: "ValidationError") -> str:
    """What is wrong with a flow's parameters, a line each; of a name that is not there, which names are."""
    lines = [f"The parameters do not fit {flow.name}:"]
    found = [(each["loc"], each["type"], each["msg"]) for each in error.errors(include_url=False)]
    for place, kind, message in found:
        if any(len(other) > len(place) and other[: len(place)] == place for other, _, _ in found):
            continue  # what is wrong inside is told: that leaves a list short, say
        known = _names_in(flow, place[:-1]) if kind == "extra_forbidden" else ()
        told = f"there is no such parameter; there is {', '.join(known)}" if known else message
        lines.append(f"  {'.'.join(map(str, place))}: {told}")
    return "\n".join(lines)


def _names_in(flow: "Flow[Any, Any]", path: tuple[str | int, ...]) -> list[str]:
    """The names that a place in a flow's parameters knows, by their schema."""
    node: dict[str, Any] = {"properties": flow.parameters.properties}
    for step in path:
        node = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
        node = (flow.parameters.definitions or {}).get(node.get("$ref", "").rpartition("/")[2], node)
    return list(node.get("properties", {}))


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


def read_config(path: Path) -> Any:
    """A configuration from JSON or YAML, with `$NAME` for environment variables.

    Raises:
        ConfigError: the file is missing or does not read, or a variable is not set.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    import yaml

    try:
        return _filled_in(yaml.safe_load(text), path)  # JSON is YAML
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"The configuration {path} is neither JSON nor YAML: {error}") from error


def translated(flow: str, config: Any, console: "Console") -> Any:
    """A configuration in the flow's own form; video_patches also takes a seed's `generator_config.json`.

    Raises:
        ConfigError: all that is wrong with it, where the flow has a reader of its own.
    """
    if flow != "video_patches":
        return config
    from tasks.patches.seed_config import read_config

    read = read_config(config)
    for note in read.notes:
        console.print(note, markup=False, style="dim")
    return read.form.model_dump(mode="json", exclude_unset=True)


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
