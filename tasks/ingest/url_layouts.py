"""How the lines of a list are written: recognised from its name and first lines, and read one by one."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tasks.ingest.url_entries import STRIPPED, Entry, Malformed, begins, entry
from tasks.schema.errors import SourceError
from tasks.schema.url_sources import UrlColumns, UrlFormat, UrlLayout

LINE_BYTES = 1 << 20
"""A longer line is malformed, unread."""

TOO_LONG = Malformed(f"the line has more than {LINE_BYTES:,} bytes")

DELIMITERS = {UrlFormat.CSV: ",", UrlFormat.TSV: "\t"}

SUFFIXES = {
    ".lst": UrlFormat.LST,
    ".txt": UrlFormat.LST,
    ".csv": UrlFormat.CSV,
    ".tsv": UrlFormat.TSV,
    ".tab": UrlFormat.TSV,
    ".jsonl": UrlFormat.JSONL,
    ".ndjson": UrlFormat.JSONL,
    ".parquet": UrlFormat.PARQUET,
}
"""Names that say how a list is written; `.gz` may follow."""

WIDTHS = {1: (None, None, 0), 2: (0, None, 1), 3: (0, 1, 2)}
"""Fields of a line -> positions of index, label and URL, where no header says it: as in `lst`."""

LOOKED_AT_LINES = 100
"""Of these first lines of JSON one at least has to have a URL."""

Seen = Entry | Malformed | None
"""What a line is: a good row, a malformed one, or blank."""

_BLANKS = re.compile(r"[ \t]+")
_URL = re.compile(r"\s*https?://", re.IGNORECASE)


def format_of(name: str, asked: UrlFormat) -> UrlFormat | None:
    """How a file of this name is written; None: its name does not say."""
    if asked is not UrlFormat.AUTO:
        return asked
    bare = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in SUFFIXES.items() if bare.endswith(suffix)), None)


def line_layout(kind: UrlFormat, head: bytes, columns: UrlColumns, where: str) -> UrlLayout:
    """The layout of a list of lines.

    A CSV or TSV list has a header where its first line names the column of the URL. Without one its fields are `url`,
    `idx url` or `idx label url`.

    Args:
        head: its first bytes, without a byte order mark.
    Raises:
        SourceError: the URL, or a column that is asked for by name, is not there.
    """
    lines = head.decode("utf-8", "replace").split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip(STRIPPED)), None)
    if kind is UrlFormat.LST or first is None:
        return UrlLayout(format=kind, width=1 if kind in DELIMITERS else 0, url=0 if kind in DELIMITERS else None)
    if kind is UrlFormat.JSONL:
        return _json_layout(lines[first : first + LOOKED_AT_LINES], columns, where)
    fields = [field.strip(STRIPPED) for field in _fields(lines[first].rstrip("\r"), kind) or ()]
    names = [field.lower() for field in fields]
    if columns.url.lower() in names:
        places = {role: _place(names, role, name, where) for role, name in columns.model_dump().items()}
        return UrlLayout(format=kind, width=len(names), header_lines=first + 1, **places)
    if columns == UrlColumns() and fields and _URL.match(fields[-1]) and len(fields) in WIDTHS:
        idx, label, url = WIDTHS[len(fields)]
        return UrlLayout(format=kind, width=len(fields), idx=idx, label=label, url=url)
    raise SourceError(
        f"{where} has no column {columns.url!r}: its first line is '{begins(lines[first])}'. Set `columns` of the "
        "source; a list without a header has the fields `url`, `idx url` or `idx label url`."
    )


def column_of(names: list[str], role: str, wanted: str, where: str) -> str | None:
    """The column of a role, whatever its case; the exact name first.

    Raises:
        SourceError: it is not there, and is the URL's or was asked for by name.
    """
    lowered = [name.lower() for name in names]
    if wanted in names:
        return wanted
    if wanted and wanted.lower() in lowered:
        return names[lowered.index(wanted.lower())]
    if role != "url" and wanted in ("", role):
        return None
    raise SourceError(f"{where} has no column {wanted!r} for `{role}`; it has: {', '.join(names)}. Set `columns`.")


def _place(names: list[str], role: str, wanted: str, where: str) -> int | None:
    name = column_of(names, role, wanted, where)
    return None if name is None else names.index(name)


def _json_layout(lines: list[str], columns: UrlColumns, where: str) -> UrlLayout:
    rows = [row for row in map(_object, lines) if isinstance(row, dict)]
    if not any(columns.url.lower() in row for row in rows):
        found = ", ".join(dict.fromkeys(name for row in rows for name in row)) or f"none ({begins(lines[0])})"
        raise SourceError(f"{where}: no line has {columns.url!r}; keys found: {found}. Set `columns` of the source.")
    wanted = {role: name.lower() or None for role, name in columns.model_dump().items()}
    return UrlLayout(format=UrlFormat.JSONL, **wanted)


def read_line(line: bytes, read: Callable[[str], Entry | Malformed]) -> Seen:
    """A line without its end."""
    if len(line) > LINE_BYTES:
        return replace(TOO_LONG, begins=begins(line))
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Malformed(f"byte {error.start + 1} is no UTF-8", begins(line))
    if not text.strip(STRIPPED):
        return None
    seen = read(text)
    return replace(seen, begins=begins(line)) if isinstance(seen, Malformed) else seen


def reader_of(layout: UrlLayout) -> Callable[[str], Entry | Malformed]:
    """Reads one line of a layout that is not blank."""
    match layout.format:
        case UrlFormat.LST:
            return _read_lst
        case UrlFormat.JSONL:
            return lambda text: _read_json(text, layout)
        case _:
            return lambda text: _read_separated(text, layout)


def _read_lst(text: str) -> Entry | Malformed:
    fields = _BLANKS.split(text.strip(STRIPPED))
    return entry(fields[0] if len(fields) > 1 else None, " ".join(fields[1:-1]), fields[-1])


def _read_separated(text: str, layout: UrlLayout) -> Entry | Malformed:
    fields = _fields(text, layout.format)
    if fields is None:
        return Malformed("its quotes do not fit together (a quoted field ends on its line)")
    if len(fields) != layout.width:
        told = f"it has {len(fields)} fields where {layout.width} are wanted"
        return Malformed(told, score=float(len(fields)))
    idx, label, url = (fields[at] if isinstance(at, int) else None for at in (layout.idx, layout.label, layout.url))
    return entry(idx, label, url)


def _fields(text: str, kind: UrlFormat) -> list[str] | None:
    """The fields of a line; None where it is no CSV. TSV knows no quotes."""
    if kind is UrlFormat.TSV or '"' not in text:
        return text.split(DELIMITERS[kind])
    try:
        return next(csv.reader([text], strict=True), None)
    except csv.Error:
        return None


def _read_json(text: str, layout: UrlLayout) -> Entry | Malformed:
    row = _object(text)
    if isinstance(row, str):
        return Malformed(row)
    told: dict[str, str | None] = {}
    for role, name in (("idx", layout.idx), ("label", layout.label), ("url", layout.url)):
        value = row.get(str(name)) if name is not None else None
        if not isinstance(value, str | None):
            return Malformed(f"its {name} is neither text nor a number")
        told[role] = value
    return entry(**told)


def _object(text: str) -> dict[str, Any] | str:
    """A line's keys in lower case and their values, numbers as they are written, NaN as null; or what is wrong."""
    try:
        row = json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return "it is no JSON"
    return {key.lower(): value for key, value in row.items()} if isinstance(row, dict) else "it is no JSON object"
