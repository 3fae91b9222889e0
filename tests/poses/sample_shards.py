"""Shards of given rows, as a stage of the engine makes them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.schema.records import Frozen
from tasks.shards.stage import Stage, StageOutput


class RowsConfig(Frozen):
    """The name keeps the keys of different rows apart."""

    digest: str


@dataclass(frozen=True)
class Rows(Stage):
    """A source that offers the rows it was given."""

    config: RowsConfig
    rows: pa.Table
    name = "given"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        yield StageOutput(self.rows)


def given(name: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> Rows:
    """A source of rows; columns that a row lacks are null, further ones are dropped."""
    full = [{column: row.get(column) for column in schema.names} for row in rows]
    return Rows(RowsConfig(digest=name + json.dumps(full, default=str)), pa.Table.from_pylist(full, schema=schema))
