"""From described poses to the rows of `pose_templates`, by whole columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.schema.errors import ConfigError
from tasks.schema.ids import template_id
from tasks.schema.keypoints import OPENPOSE_18

_JOINTS = len(OPENPOSE_18)
_LARGEST_TABLE = 4_000_000
DIGEST_SEPARATOR, DIGEST_NULL = "\x1f", "\x1e"
"""Between two values of a digest, and for a null; control characters that no caption has use for."""

ROW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("subcategory", pa.string()),
        pa.field("keypointsJson", pa.string(), nullable=False),
        pa.field("previewUrl", pa.string(), nullable=False),
        pa.field("difficulty", pa.string(), nullable=False),
        pa.field("tags", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("productPlacement", pa.string()),
        pa.field("quality", pa.float64(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)
"""What is copied to Postgres. `digest` is the sha256 of the columns that we own, see `row_digest`."""

OWN_COLUMNS = (
    "category", "subcategory", "keypointsJson", "previewUrl", "difficulty", "tags", "description", "gender",
    "productPlacement",
)  # fmt: skip
"""The columns of the table that follow the sample, in the order of the digest."""


class KeypointsForm(StrEnum):
    """How `keypointsJson` is written."""

    OPENPOSE = "openpose"
    LIST = "list"


class TagsForm(StrEnum):
    """How `tags` is written."""

    JSON = "json"
    COMMA = "comma"


@dataclass(frozen=True)
class TemplateRow:
    """One row as it goes to Postgres; `quality` is written on insert only."""

    id: str
    sample_id: str
    source: str
    category: str
    subcategory: str | None
    keypoints_json: str
    preview_url: str
    difficulty: str
    tags: tuple[str, ...]
    description: str | None
    gender: str | None
    product_placement: str | None
    quality: float
    digest: str


def row_digest(values: Sequence[str | None]) -> str:
    """The sha256, in hex, of the values of `OWN_COLUMNS`, in their order."""
    written = (DIGEST_NULL if value is None else value for value in values)
    return sha256(DIGEST_SEPARATOR.join(written).encode()).hexdigest()


def template_rows(
    templates: pa.Table | pa.RecordBatch,
    preview_urls: Mapping[str, str],
    keypoints_form: KeypointsForm = KeypointsForm.OPENPOSE,
    tags_form: TagsForm = TagsForm.JSON,
) -> pa.Table:
    """Rows of `ROW_SCHEMA` for rows of `TEMPLATE_SCHEMA`, in their order. Call it batch by batch to bound memory.

    Args:
        preview_urls: sample id -> address of the rendered preview.
    Raises:
        ConfigError: a preview is missing, or a tag does not fit the form.
    """
    table = pa.Table.from_batches([templates]) if isinstance(templates, pa.RecordBatch) else templates
    table = table.combine_chunks()
    sample_ids = table["sample_id"].to_pylist()
    urls = [preview_urls.get(sample_id) for sample_id in sample_ids]
    without = [sample_id for sample_id, url in zip(sample_ids, urls, strict=True) if url is None]
    if without:
        raise ConfigError(f"{len(without)} templates have no preview address, the first is {without[0]}")
    columns = {
        "id": pa.array(map(template_id, sample_ids), pa.string()),
        "sample_id": table["sample_id"],
        "source": table["source"],
        "category": _clean(table["category"]),
        "subcategory": _clean(table["subcategory"]),
        "keypointsJson": _keypoints_json(table, keypoints_form),
        "previewUrl": pa.array(urls, pa.string()),
        "difficulty": table["difficulty"],
        "tags": _tags_text(_whole(table["tags"]), tags_form),
        "description": _clean(table["caption"]),
        "gender": table["gender"],
        "productPlacement": table["product_placement"],
        "quality": pc.round(table["quality"].cast(pa.float64()), 4),
    }
    content = pc.binary_join_element_wise(
        *(_whole(columns[name]) for name in OWN_COLUMNS),
        DIGEST_SEPARATOR,
        null_handling="replace",
        null_replacement=DIGEST_NULL,
    )
    columns["digest"] = pa.array((sha256(text.as_buffer()).hexdigest() for text in content), pa.string())
    return pa.table(columns, schema=ROW_SCHEMA)


def rows_of(table: pa.Table) -> Iterator[TemplateRow]:
    """Rows of `ROW_SCHEMA` one by one, for a person or a test to read."""
    names = {"keypointsJson": "keypoints_json", "previewUrl": "preview_url", "productPlacement": "product_placement"}
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            values = {names.get(name, name): value for name, value in row.items()}
            yield TemplateRow(**values | {"tags": parse_tags(row["tags"])})


def parse_tags(text: str) -> tuple[str, ...]:
    """The tags of a row, whichever form it has."""
    if text.startswith("["):
        return tuple(json.loads(text))
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _clean(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Postgres' text holds no zero byte; captions from the web do."""
    return pc.replace_substring(column, "\x00", "")


def _tags_text(tags: pa.ListArray, form: TagsForm) -> pa.Array:
    words = tags.flatten().dictionary_encode()
    known = words.dictionary.to_pylist()
    if form is TagsForm.COMMA:
        bad = next((word for word in known if "," in word or word != word.strip() or not word), None)
        if bad is not None:
            raise ConfigError(f"the tag {bad!r} does not fit a comma-separated list; write tags as JSON")
        written = known
    else:
        written = [json.dumps(word, ensure_ascii=False) for word in known]
    texts = pa.array(written, pa.string()).take(words.indices)
    lengths = pc.fill_null(pc.list_value_length(tags), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
    return joined if form is TagsForm.COMMA else pc.binary_join_element_wise("[", joined, "]", "")


def _keypoints_json(table: pa.Table, form: KeypointsForm) -> pa.Array:
    count = table.num_rows
    xy = _floats(table["keypoints_xy"], 2 * _JOINTS).reshape(count, _JOINTS, 2)
    confidence = _floats(table["keypoints_confidence"], _JOINTS).reshape(count, _JOINTS)
    missing = ~(confidence > 0) | ~np.isfinite(xy).all(axis=2)
    points = _decimal_text(np.where(missing[..., None], 0, xy), 2)
    scores = _decimal_text(np.where(missing, 0, confidence), 4)
    x, y = points.take(pa.array(np.arange(0, len(points), 2))), points.take(pa.array(np.arange(1, len(points), 2)))
    if form is KeypointsForm.LIST:
        joints = pc.binary_join_element_wise('{"x":', x, ',"y":', y, ',"confidence":', scores, "}", "")
        return pc.binary_join_element_wise("[", _join_rows(joints), "]", "")
    joints = pc.binary_join_element_wise(x, y, scores, ",")
    return pc.binary_join_element_wise(
        '{"version":1.3,"people":[{"pose_keypoints_2d":[',
        _join_rows(joints),
        ']}],"canvas_width":',
        pc.cast(_whole(table["width"]), pa.string()),
        ',"canvas_height":',
        pc.cast(_whole(table["height"]), pa.string()),
        "}",
        "",
    )


def _join_rows(joints: pa.Array) -> pa.Array:
    lists = pa.FixedSizeListArray.from_arrays(joints, _JOINTS).cast(pa.list_(pa.string()))
    return pc.binary_join(lists, ",")


def _floats(column: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    lists = _whole(column)
    if lists.null_count:
        raise ConfigError("a template without keypoints cannot go to Postgres")
    values = lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)  # null becomes NaN
    if len(values) != width * len(lists):
        raise ConfigError(f"a template needs {width} numbers for its keypoints")
    return np.asarray(values, np.float64)


def _decimal_text(values: NDArray[np.float64], decimals: int) -> pa.Array:
    """Numbers rounded, in their shortest writing, flat; looked up in a table, which is faster than to write each."""
    scaled = np.rint(values.ravel() * 10**decimals).astype(np.int64)
    low, high = (int(scaled.min()), int(scaled.max())) if len(scaled) else (0, 0)
    if high - low > max(_LARGEST_TABLE, len(scaled)):
        return pc.cast(pa.array(scaled / 10**decimals), pa.string())
    written = pc.cast(pa.array(np.arange(low, high + 1) / 10**decimals), pa.string())
    return written.take(pa.array(scaled - low))
