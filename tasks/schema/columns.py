"""Arrow columns that every shard shares, and the metadata that lets `datasets` read a shard as it is."""

import json
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""A Hugging Face `Image`: the encoded bytes as they came, and the name they had."""

SAMPLE_FIELDS = (
    pa.field("sample_id", pa.string(), nullable=False),
    pa.field("parent_id", pa.string()),
    pa.field("source_uri", pa.string(), nullable=False),
    pa.field("licence", pa.string(), nullable=False),
)
"""The first columns of every shard: stable id, the id it was made from (null: a root), where it came from, terms."""


def keypoint_fields(joints: int, prefix: str = "keypoints") -> tuple[pa.Field, pa.Field]:
    """Two columns for one person: x0 y0 x1 y1 ... in pixels (null where missing), and the confidences (0 there)."""
    return (
        pa.field(f"{prefix}_xy", pa.list_(pa.float32(), 2 * joints)),
        pa.field(f"{prefix}_confidence", pa.list_(pa.float32(), joints)),
    )


def _feature(data_type: pa.DataType) -> Any:
    if data_type == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(data_type):
        return {field.name: _feature(field.type) for field in data_type}
    if pa.types.is_fixed_size_list(data_type):
        return {"_type": "List", "feature": _feature(data_type.value_type), "length": data_type.list_size}
    if pa.types.is_list(data_type):
        return {"_type": "List", "feature": _feature(data_type.value_type)}
    names = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return {"_type": "Value", "dtype": names.get(str(data_type), str(data_type))}


def shard_schema(*fields: pa.Field) -> pa.Schema:
    """A schema with `SAMPLE_FIELDS` in front and the `huggingface` metadata for all of its columns."""
    columns = [*SAMPLE_FIELDS, *fields]
    features = {field.name: _feature(field.type) for field in columns}
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})
