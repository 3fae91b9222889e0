"""What the metadata files of a folder say about its photos."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.ingest.rows import IMAGE_COLUMNS
from tasks.ingest.table import text_of
from tasks.schema.errors import SourceError
from tasks.schema.sources import PhotoColumns

METADATA_NAMES = ("metadata.json", "metadata.jsonl", "metadata.csv")

Fields = Mapping[str, tuple[str, ...]]
"""Role -> fields that may hold it; the first that does wins."""

SEED_FILES: Fields = {
    "image": ("image_filename",),
    "conditioning": ("conditioning_filename",),
    "mask": ("mask_filename",),
    "mask_overlay": ("mask_overlay_filename",),
}
SEED_TEXTS: Fields = {
    "caption": ("caption", "text"),
    "gender": ("gender",),
    "pose": ("pose",),
    "cloth": ("cloth",),
    "pid": ("pid",),
}
"""Fields of metadata.json: the fashion form and the lifestyle form."""


@dataclass(frozen=True)
class Entry:
    """What one entry says: role -> file as it names it (`image` always), role -> text. `number` counts from 0."""

    number: int
    files: dict[str, str]
    texts: dict[str, str | None]


def read_entries(path: Path, mapping: PhotoColumns) -> tuple[list[Entry], tuple[str, ...]]:
    """The entries of a metadata file and the names of their fields.

    metadata.json is a list of the seed's entries, whose fields are fixed; others may be mapped. metadata.jsonl and
    metadata.csv name the photo in `file_name` (or `<column>_file_name`) and the rest in the columns of the mapping.

    Raises:
        SourceError: the file cannot be read as what its name says, or the mapping does not fit.
    """
    try:
        records = list(_records(path))
    except (ValueError, RecursionError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    fields = tuple(dict.fromkeys(name for record in records for name in record))
    files: Fields
    texts: Fields
    if path.name == "metadata.json":
        named = {role: (name,) for role, name in mapping.model_dump().items() if name and role not in IMAGE_COLUMNS}
        files, texts = SEED_FILES, {**named, **SEED_TEXTS}
    else:
        files, texts = _mapped(path, mapping, fields)
    return [_entry(path, number, record, files, texts) for number, record in enumerate(records)], fields


def _records(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.name == "metadata.csv":
            yield from csv.DictReader(stream, restkey="")
            return
        if path.name == "metadata.jsonl":
            records = [json.loads(line) for line in stream if line.strip()]
        else:
            records = json.load(stream)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("it is no list of entries")
    yield from records


def _mapped(path: Path, mapping: PhotoColumns, fields: tuple[str, ...]) -> tuple[Fields, Fields]:
    wanted = {role: name for role, name in mapping.model_dump().items() if name}
    files = {
        role: (name, f"{name}_file_name", *(("file_name",) if role == "image" else ()))
        for role, name in wanted.items()
        if role in IMAGE_COLUMNS
    }
    texts = {role: (name,) for role, name in wanted.items() if role not in IMAGE_COLUMNS}
    for role, names in {**files, **texts}.items():
        if not set(names).intersection(fields):
            raise SourceError(f"{path} has no field {names[0]!r} for `{role}`; it has: {', '.join(fields) or 'none'}.")
    return files, texts


def _entry(path: Path, number: int, record: dict[str, Any], files: Fields, texts: Fields) -> Entry:
    named = {role: _first(record, names) for role, names in files.items()}
    if not isinstance(named.get("image"), str):
        raise SourceError(f"{path}: entry {number} names no photo ({', '.join(files['image'])}).")
    said = {role: text_of(_first(record, names)) for role, names in texts.items()}
    return Entry(number, {role: str(name) for role, name in named.items() if name}, said)


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)
