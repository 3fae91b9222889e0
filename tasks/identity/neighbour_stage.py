"""Stage: the nearest neighbours of every face, so that the next build only looks at new ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.faces_in import FacesIn, read_faces, rejected_faces
from tasks.identity.neighbours import NEIGHBOURS, Neighbours, extend, nearest
from tasks.models.device import Device, provider
from tasks.schema.columns import shard_schema
from tasks.schema.records import Frozen
from tasks.shards.stage import StageOfWhole, StageOutput, Whole

ROWS_OUT = 65536
"""Rows of one output batch."""


class NeighboursConfig(Frozen):
    """How many neighbours a face has, and whether those of an earlier build are at hand.

    Attributes:
        k: neighbours of a face.
        floor: cosines below it are no neighbours. None: exactly the k nearest.
        extends: the whole input is the output of this stage for the first faces.
    """

    k: int = Field(default=NEIGHBOURS, ge=1, le=1024)
    floor: float | None = Field(default=None, ge=-1, lt=1)
    extends: bool = False


def neighbours_schema(k: int) -> pa.Schema:
    """A face and the rows (from 0, in the order of the faces) and cosines of its nearest, nearest first; -1: none."""
    return shard_schema(
        pa.field("neighbours", pa.list_(pa.int32(), k), nullable=False),
        pa.field("cosines", pa.list_(pa.float32(), k), nullable=False),
    )


@dataclass(frozen=True)
class FindNeighbours(StageOfWhole):
    """Inputs: shards of embeddings, those of an earlier build first. Whole (if `extends`): what this stage made there.

    Where the faces of the earlier build are not the first ones here, all is computed anew: the result is the same, the
    fact `extended` says how many faces were known. Faces without a finite embedding are rejected.
    """

    config: NeighboursConfig
    device: Device = "auto"

    name = "neighbours"
    version = 1
    batch_rows: ClassVar[int] = 4096

    @property
    def schema(self) -> pa.Schema:
        return neighbours_schema(self.config.k)

    def execution(self) -> dict[str, str]:
        return {"provider": provider(self.device), "precision": "float32"}

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        if len(whole) != int(self.config.extends):
            raise TypeError(f"{self.name} wants {int(self.config.extends)} whole inputs, got {len(whole)}")
        faces = read_faces(batches)
        gpu = provider(self.device) == "cuda"
        floor = -1.0 if self.config.floor is None else self.config.floor
        known = read_neighbours(whole[0], faces) if whole else None
        if known is None or (self.config.floor is None and _lacks_some(known)):
            known = None
            found = nearest(faces.vectors, self.config.k, floor=floor, gpu=gpu)
        else:
            found = extend(known, faces.vectors, floor=floor, gpu=gpu)
        for start in range(0, len(faces), ROWS_OUT):
            yield StageOutput(_rows(faces, found, slice(start, start + ROWS_OUT), self.schema))
        facts = {"faces": len(faces), "extended": 0 if known is None else len(known)}
        yield StageOutput(self.schema.empty_table(), rejected_faces(faces), facts)


def read_neighbours(source: Whole, faces: FacesIn) -> Neighbours | None:
    """The neighbours of the first faces; None where the rows are of other faces."""
    if source.rows > len(faces):
        return None
    table = source.table(("sample_id", "neighbours", "cosines"))
    if not table["sample_id"].combine_chunks().equals(faces.columns["sample_id"].slice(0, len(table)).combine_chunks()):
        return None
    k = table.schema.field("neighbours").type.list_size
    return Neighbours(
        _flat(table["neighbours"]).reshape(-1, k).astype(np.int32, copy=False),
        _flat(table["cosines"]).reshape(-1, k).astype(np.float32, copy=False),
    )


def _lacks_some(known: Neighbours) -> bool:
    """Whether lists are shorter than they could be: faces that stood in them were forgotten since."""
    return bool(((known.index >= 0).sum(axis=1) < min(known.index.shape[1], len(known) - 1)).any())


def _flat(lists: pa.ChunkedArray) -> NDArray[np.generic]:
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in lists.chunks]
    return np.concatenate(parts) if parts else np.empty(0)


def _rows(faces: FacesIn, found: Neighbours, rows: slice, schema: pa.Schema) -> pa.Table:
    names = ["sample_id", "parent_id", "source_uri", "licence"]
    table = faces.columns.select(names).slice(rows.start, rows.stop - rows.start)
    k = found.index.shape[1]
    lists = [
        pa.FixedSizeListArray.from_arrays(pa.array(values[rows].ravel()), k) for values in (found.index, found.cosine)
    ]
    return pa.Table.from_arrays([*(c.combine_chunks() for c in table.columns), *lists], schema=schema)
