"""Shards of recognised faces for tests, through a source stage."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tasks.schema.records import Frozen
from tasks.schema.webbody import embedding_schema
from tasks.shards.stage import Stage, StageOutput


@dataclass(frozen=True)
class Recognised:
    """Rows of a shard: `vectors` (N, width) and, if they matter, ids, photos, labels and sides in pixels."""

    vectors: np.ndarray
    ids: list[str] | None = None
    photos: list[str] | None = None
    labels: list[str] | None = None
    sides: np.ndarray | None = None

    def part(self, start: int, stop: int) -> "Recognised":
        def cut(given):
            return None if given is None else given[start:stop]

        ids = self.ids or [f"l/{row:07}/p0/f0" for row in range(len(self.vectors))]
        return Recognised(
            self.vectors[start:stop], ids[start:stop], cut(self.photos), cut(self.labels), cut(self.sides)
        )


class RecogniseConfig(Frozen):
    name: str


@dataclass(frozen=True)
class Recognise(Stage):
    """A source that offers the rows it was given; its name is its key."""

    config: RecogniseConfig
    rows: Recognised = field(compare=False)
    name = "recognise"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return embedding_schema(self.rows.vectors.shape[1])

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        rows = self.rows
        count = len(rows.vectors)
        ids = rows.ids or [f"l/{row:07}/p0/f0" for row in range(count)]
        columns = {
            "sample_id": ids,
            "parent_id": [each.rpartition("/")[0] for each in ids],
            "source_uri": [f"https://example.org/{each}" for each in ids],
            "licence": ["unknown"] * count,
            "idx": [str(row) for row in range(count)],
            "label": rows.labels or ["someone"] * count,
            "photo_id": rows.photos or ids,
            "face_score": np.ones(count, np.float32),
            "face_side_px": np.full(count, 100, np.float32) if rows.sides is None else rows.sides.astype(np.float32),
            "sharpness": np.ones(count, np.float32),
            "frontality": np.ones(count, np.float32),
            "norm": np.linalg.norm(rows.vectors.astype(np.float32), axis=1).astype(np.float32),
            "embedding": rows.vectors.astype(np.float16),
            "face_xyxy": np.zeros((count, 4), np.float32),
        }
        arrays = [
            pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), value.shape[1])
            if isinstance(value := columns[one.name], np.ndarray) and value.ndim == 2
            else pa.array(value, one.type)
            for one in self.schema
        ]
        yield StageOutput(pa.Table.from_arrays(arrays, schema=self.schema))
