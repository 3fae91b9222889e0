"""A flow's parameters, from a file and from a command line."""

import json
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
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


def faults(of: str, schema: Mapping[str, Any], error: "ValidationError") -> str:
    """What is wrong with the parameters of a flow, a line each; of a name that is not there, which names are.

    Args:
        of: the flow's name.
        schema: the JSON schema of what was validated.
    """
    lines = []
    found = [(each["loc"], each["type"], each["msg"]) for each in error.errors(include_url=False)]
    for place, kind, message in found:
        if any(len(other) > len(place) and other[: len(place)] == place for other, _, _ in found):
            continue  # what is wrong inside is told: that leaves a list short, say
        known = _names_in(schema, place[:-1]) if kind == "extra_forbidden" else ()
        told = _no_such(str(place[-1]), known) if known else message
        lines.append(f"{'.'.join(map(str, place))}: {told}")
    heading = f"The parameters do not fit {of}:"
    return f"{heading} {lines[0]}" if len(lines) == 1 else "\n  ".join((heading, *lines))


def demand_places(flow: "Flow[Any, Any]", words: Sequence[str]) -> None:
    """See that a flow has the parameters that `path.to.value=text` words are for; whether they fit is not looked at.

    Raises:
        ConfigError: there is no such parameter.
    """
    for word in words:
        path = word.partition("=")[0].split(".")
        for depth, name in enumerate(path):
            known = _names_in(flow.parameters.model_dump(), path[:depth])
            if known and name not in known:
                raise ConfigError(f"{flow.name}, {'.'.join(path[: depth + 1])}: {_no_such(name, known)}")


def near(name: str, known: Sequence[str]) -> str:
    """What a person may have meant, in brackets after a space; empty where nothing is like it."""
    found = get_close_matches(name, known, 1)
    return f" (near: {found[0]})" if found else ""


def _no_such(name: str, known: Sequence[str]) -> str:
    return f"there is no such parameter{near(name, known)}; there is {', '.join(known)}"


def _names_in(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[str]:
    """The names that a place in parameters knows, by their JSON schema."""
    definitions = schema.get("definitions") or schema.get("$defs") or {}
    node: Mapping[str, Any] = schema
    for step in path:
        node = node.get("items") or node.get("properties", {}).get(step, {})
        node = definitions.get(node.get("$ref", "").rpartition("/")[2], node)
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


def read_config(path: Path) -> dict[str, Any]:
    """A configuration from JSON or, where the file is not named so, YAML, with `$NAME` for environment variables.

    Raises:
        ConfigError: the file is missing or does not read, is no mapping, or a variable is not set.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unread(path, "UTF-8", data[: error.start].decode(), f"byte {data[error.start]:#04x}") from error
    if not text.strip():
        raise ConfigError(f"The configuration {path} is empty.")
    try:
        read = (_from_json if path.suffix.lower().startswith(".json") else _from_yaml)(path, text)
        if not isinstance(read, dict):
            raise ConfigError(f"The configuration {path} is no mapping of names to values, but {type(read).__name__}.")
        return {name: _filled_in(value, path) for name, value in read.items()}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The configuration {path} does not read: {str(error).partition(chr(10))[0]}.") from error


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


def _from_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _unread(path, "JSON", text[: error.pos], error.msg.removesuffix(" at")) from error


def _from_yaml(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.reader.ReaderError as error:
        raise _unread(path, "YAML", text[: error.position], error.reason) from error
    except yaml.MarkedYAMLError as error:
        before = text[: error.problem_mark.index] if error.problem_mark else ""
        raise _unread(path, "YAML", before, error.problem or "it is broken") from error


def _unread(path: Path, kind: str, before: str, said: str) -> ConfigError:
    """Of a file that is not of a kind; `before`: what it holds before the place that is wrong."""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return ConfigError(f"The configuration {path} is not {kind}: line {line}, column {column}: {said}.")


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
