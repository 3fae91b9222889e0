"""Values of a row, of parameters and of facts as a person can read them: short, and JSON."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pydantic import JsonValue

from tasks.schema.columns import SAMPLE_FIELDS

_SHORT_LIST = 8
_SHORT_TEXT = 200
_MOST_PARAMETERS = 80

_KINDS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"\x1a\x45\xdf\xa3", "Matroska"),
)
"""First bytes -> what it is. Source: the formats' specifications."""

_THRESHOLDS = re.compile(r"threshold|cosine|floor|limit|match_rate|quota|share|bound|margin|calibrat|default")

_SAMPLE_NAMES = frozenset(field.name for field in SAMPLE_FIELDS)


def row_values(row: pa.Table) -> dict[str, JsonValue]:
    """The columns of a row beyond those that every shard has."""
    frames = row["frames"][0].as_py() if "frames" in row.column_names else None
    return {
        field.name: shown(row[field.name][0].as_py(), field, frames if isinstance(frames, int) else 1)
        for field in row.schema
        if field.name not in _SAMPLE_NAMES
    }


def shown(value: Any, field: pa.Field, frames: int = 1) -> JsonValue:
    """A value as JSON; bytes and long lists in words.

    Args:
        frames: the row tells of so many frames, and lists of a multiple of it hold so many values for each.
    """
    kind = field.type
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return _number(value, 6 if pa.types.is_float32(kind) or pa.types.is_float16(kind) else 12)
    if isinstance(value, str):
        return value if len(value) <= _SHORT_TEXT else f"{value[:_SHORT_TEXT]}... ({len(value):,} characters)"
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, list):
        return _list(value, field, frames)
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        return _bytes(value["bytes"]) if value["bytes"] is not None else None
    if isinstance(value, dict):
        return {each.name: shown(value[each.name], each) for each in kind}
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def flat(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Nested parameters under dotted names; long lists in words, and no more than a screen can hold."""
    found = dict(_leaves("", dict(values))) if values else {}
    if len(found) <= _MOST_PARAMETERS:
        return found
    first = dict(list(found.items())[:_MOST_PARAMETERS])
    return first | {"...": f"{len(found) - _MOST_PARAMETERS} more"}


def thresholds(facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Those of a record's facts that concern thresholds, by their names."""
    return {name: value for name, value in flat(facts).items() if _THRESHOLDS.search(name.lower()) and value != {}}


def _leaves(prefix: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(f"{prefix}.{name}" if prefix else name, each)
    elif isinstance(value, list) and (len(value) > _SHORT_LIST or any(isinstance(v, dict | list) for v in value)):
        if len(value) <= _SHORT_LIST and all(isinstance(v, dict) for v in value):
            for at, each in enumerate(value):
                yield from _leaves(f"{prefix}.{at}", each)
        else:
            yield prefix, f"{len(value):,} values"
    elif isinstance(value, str) and len(value) > _SHORT_TEXT:
        yield prefix, f"{value[:_SHORT_TEXT]}... ({len(value):,} characters)"
    else:
        yield prefix, value


def _list(values: list[Any], field: pa.Field, frames: int) -> JsonValue:
    inner = field.type.value_field
    if len(values) <= _SHORT_LIST:
        return [shown(each, inner) for each in values]
    points = 2 if field.name.endswith("_xy") and len(values) % 2 == 0 else 1
    each_frame, rest = divmod(len(values) // points, frames) if frames > 0 else (0, 1)
    sizes = [len(values) // points] if rest or frames == 1 else [frames, each_frame]
    said = [f"{size:,}" for size in (*sizes, points) if size > 1]
    empty = sum(each is None for each in values)
    return f"{' x '.join(said)} {_type_name(inner.type)}" + (f", {empty:,} null" if empty else "")


def _type_name(kind: pa.DataType) -> str:
    return {"float": "float32", "double": "float64", "halffloat": "float16"}.get(str(kind), str(kind))


def _number(value: float, digits: int) -> JsonValue:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else str(value)


def _bytes(data: bytes) -> str:
    kind = next((name for start, name in _KINDS if data.startswith(start)), "")
    if data[4:8] == b"ftyp":
        kind = "AVIF" if data[8:12] in (b"avif", b"avis") else "MP4"
    elif data[:4] == b"RIFF":
        kind = {b"WEBP": "WebP", b"WAVE": "WAV"}.get(data[8:12], "RIFF")
    return f"{kind} {len(data):,} bytes".lstrip()
