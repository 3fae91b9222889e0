"""Photos in Parquet of Hugging Face's shape: which column holds what, cutting into parts, reading one part."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.ingest.rows import BATCH_ROWS, IMAGE_COLUMNS, Encoded, Problem, SourceRow, base_name
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoColumns

STREAM_BYTES = 1 << 20
"""What is held of each column while a row group is read; a row group is never held whole."""


@dataclass(frozen=True)
class Column:
    """A column of the source in its role; `labels` are the names of a ClassLabel's numbers."""

    name: str
    labels: tuple[str, ...] = ()


def columns_of(schema: pa.Schema, mapping: PhotoColumns, where: str) -> dict[str, Column]:
    """Role -> column of the source.

    `images` stands in for a missing `image`. A column of several photos a row gives the first of them, and a column of
    several texts the first text.

    Raises:
        SourceError: a mapped column is not there or holds something else; the message lists the columns found.
    """
    labels = _class_labels(schema)
    found = {}
    wanted = mapping.model_dump()
    if mapping.image == "image" and "image" not in schema.names and "images" in schema.names:
        wanted["image"] = "images"
    for role, name in wanted.items():
        if not name:
            continue
        if name not in schema.names:
            raise SourceError(f"{where} has no column {name!r} for `{role}`. {_told(schema)}")
        data_type = _plain(schema.field(name).type)
        if role in IMAGE_COLUMNS and not _is_image(data_type):
            raise SourceError(f"{where}: column {name!r} holds {data_type}, no image bytes. {_told(schema)}")
        if role not in IMAGE_COLUMNS and not _is_text(data_type):
            raise SourceError(f"{where}: column {name!r} holds {data_type}, no text. {_told(schema)}")
        found[role] = Column(name, labels.get(name, ()))
    if "image" not in found:
        raise SourceError(f"{where}: say which column holds the photo. {_told(schema)}")
    return found


def _told(schema: pa.Schema) -> str:
    def kind(data_type: pa.DataType) -> str:
        return "image" if _is_image(_plain(data_type)) else str(data_type)

    return f"Set `columns` of the source; it has: {', '.join(f'{f.name} ({kind(f.type)})' for f in schema)}."


def _plain(data_type: pa.DataType) -> pa.DataType:
    """The type of one value: without list and dictionary around it."""
    while True:
        if pa.types.is_dictionary(data_type) or _is_list(data_type):
            data_type = data_type.value_type
        elif isinstance(data_type, pa.BaseExtensionType):
            data_type = data_type.storage_type
        else:
            return data_type


def _is_list(data_type: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(data_type) for is_kind in kinds)


def _is_image(data_type: pa.DataType) -> bool:
    if pa.types.is_struct(data_type):
        index = data_type.get_field_index("bytes")
        return index >= 0 and _is_image(data_type.field(index).type)
    return any(
        is_kind(data_type) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _is_text(data_type: pa.DataType) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    return any(is_kind(data_type) for is_kind in (*kinds, pa.types.is_boolean, pa.types.is_null))


def _class_labels(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Column -> names of its numbers, from the features that `datasets` writes into a file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        typed = {name: f for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
        return {name: tuple(feature.get("names") or ()) for name, feature in typed.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def text_of(value: Any, labels: tuple[str, ...] = ()) -> str | None:
    """A cell as text: names for labelled numbers (null for -1, which `datasets` writes for "no label")."""
    if isinstance(value, list):
        return text_of(value[0], labels) if value else None
    if labels and isinstance(value, int):
        return labels[value] if 0 <= value < len(labels) else None
    return None if value is None else str(value)


def _image_of(value: Any) -> tuple[Encoded | None, Problem | None]:
    """A cell as a picture, or why there is none."""
    if isinstance(value, list):
        return _image_of(value[0]) if value else (None, Problem(Reason.IMAGE_MISSING, "The list of photos is empty."))
    if isinstance(value, dict):
        data, name = value["bytes"], base_name(value.get("path"))
        if data is None and name:
            return None, Problem(Reason.IMAGE_MISSING, f"Only the name of a photo: {name}.")
        return _image_of(data) if data is None else (Encoded(data, name), None)
    return (None, Problem(Reason.IMAGE_MISSING, "The photo is null.")) if value is None else (Encoded(value), None)


def row_parts(group_rows: list[int], part_rows: int) -> list[tuple[int, int]]:
    """Cut a file into (first row, rows): whole row groups together up to `part_rows`, larger ones by themselves.

    A row group can only be read from its start. So one that is larger than `part_rows` is cut into slices of at least
    as many rows as must be passed over to reach them: all slices together read it at most three times, and the first
    slice reads no more than it needs.
    """
    parts: list[tuple[int, int]] = []
    first = rows = 0
    for size in group_rows:
        if rows and rows + size > part_rows:
            parts.append((first, rows))
            first, rows = first + rows, 0
        if size <= part_rows:
            rows += size
            continue
        passed = 0
        while passed < size:
            taken = min(size - passed, max(part_rows, passed))
            parts.append((first, taken))
            first, passed = first + taken, passed + taken
    return [*parts, (first, rows)] if rows else parts


@dataclass(frozen=True)
class Group:
    """The rows of a part that lie in one row group: [start, stop) within it."""

    index: int
    first_row: int
    start: int
    stop: int


def groups_of(metadata: pq.FileMetaData, first_row: int, rows: int) -> list[Group]:
    """The row groups of rows [first_row, first_row + rows) of a file."""
    groups, before = [], 0
    for index in range(metadata.num_row_groups):
        size = metadata.row_group(index).num_rows
        start, stop = max(first_row - before, 0), min(first_row + rows - before, size)
        if start < stop:
            groups.append(Group(index, before, start, stop))
        before += size
    return groups


def byte_ranges(metadata: pq.FileMetaData, groups: list[Group], names: set[str] | None = None) -> list[tuple[int, int]]:
    """Where the columns `names` (None: all) of row groups lie in the file, [start, stop), ordered."""
    ranges = []
    for group in groups:
        row_group = metadata.row_group(group.index)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            if names is None or chunk.path_in_schema.split(".", 1)[0] in names:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                ranges.append((start, start + chunk.total_compressed_size))
    return sorted(ranges)


def open_parquet(source: IO[bytes] | str, where: str) -> pq.ParquetFile:
    """A Parquet file by its footer.

    Nothing is read ahead and no thread is left behind. `pyarrow.dataset`, with which `datasets` streams, reads ahead in
    threads that call back into Python files; left early, one that still does so hangs the interpreter at its exit.

    Raises:
        SourceError: this is no whole Parquet file.
    """
    try:
        return pq.ParquetFile(source, pre_buffer=False, buffer_size=STREAM_BYTES, page_checksum_verification=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(f"{where} is no whole Parquet file ({_first_line(error)}): fetch it again.") from error


def read_rows(
    file: pq.ParquetFile,
    mapping: PhotoColumns,
    first_row: int,
    rows: int,
    uri_of: Callable[[int], str],
    locator_of: Callable[[int], str],
    where: str,
) -> Iterator[SourceRow]:
    """Rows [first_row, first_row + rows) of a Parquet file; reads only their row groups and the mapped columns.

    Args:
        uri_of: address of a row, by its number within the file.
        locator_of: its short name, unique within the source.
    Raises:
        SourceError: the mapping does not fit, or the file is damaged.
    """
    columns = columns_of(file.schema_arrow, mapping, where)
    names = [column.name for column in columns.values()]
    for group in groups_of(file.metadata, first_row, rows):
        number = group.first_row
        batch_rows = min(BATCH_ROWS, group.stop)
        batches = file.iter_batches(batch_rows, row_groups=[group.index], columns=names, use_threads=False)
        try:
            for batch in batches:
                start = max(group.first_row + group.start - number, 0)
                stop = min(group.first_row + group.stop - number, batch.num_rows)
                if start < stop:
                    for offset, cells in enumerate(batch.slice(start, stop - start).to_pylist(), number + start):
                        yield _source_row(cells, columns, locator_of(offset), uri_of(offset))
                number += batch.num_rows
                if number >= group.first_row + group.stop:
                    break
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"{where} is damaged in row group {group.index}: {_first_line(error)}") from error


def _source_row(cells: dict[str, Any], columns: dict[str, Column], locator: str, uri: str) -> SourceRow:
    images: dict[str, Encoded | None] = {}
    texts: dict[str, str | None] = {}
    problem = None
    for role, column in columns.items():
        if role not in IMAGE_COLUMNS:
            texts[role] = text_of(cells[column.name], column.labels)
        else:
            images[role], why = _image_of(cells[column.name])
            problem = why if role == "image" else problem
    return SourceRow(locator, uri, images, texts, problem)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
