"""How results and errors stand in a terminal."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from flows.console import INTERRUPTED
from tasks.schema.errors import MannequinError

if TYPE_CHECKING:
    from pydantic import BaseModel

OUT = Console(highlight=False, emoji=False, soft_wrap=True)
ERR = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)


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


@contextmanager
def errors_explained() -> Iterator[None]:
    """One red line for what a person can act on; Ctrl+C ends quietly."""
    try:
        yield
    except MannequinError as error:
        ERR.print(f"[red]Error:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        ERR.print("Stopped. What is finished is kept: the same command goes on from there.")
        sys.exit(INTERRUPTED)
