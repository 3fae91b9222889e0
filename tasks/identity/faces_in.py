"""Recognised faces, read into memory once: their columns as Arrow, their embeddings as one matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.schema.rejections import Reason, Rejection

COLUMNS = (
    *("sample_id", "parent_id", "source_uri", "licence", "idx", "label", "photo_id"),
    *("face_score", "face_side_px", "norm"),
)


@dataclass(frozen=True)
class FacesIn:
    """Faces in the order of the inputs.

    Attributes:
        columns: `COLUMNS` of the faces that have a direction.
        vectors: (N, width) float16, their embeddings as they are stored.
        without: ids and sources of the faces whose embedding is not finite or zero.
    """

    columns: pa.Table
    vectors: NDArray[np.float16]
    without: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.vectors)


def read_faces(batches: Iterator[pa.RecordBatch]) -> FacesIn:
    """All rows of an embedding shard or several."""
    tables: list[pa.RecordBatch] = []
    vectors: list[NDArray[np.float16]] = []
    without: list[tuple[str, str]] = []
    for batch in batches:
        column = batch["embedding"]
        block = column.flatten().to_numpy(zero_copy_only=False).reshape(len(batch), column.type.list_size)
        length = np.einsum("ij,ij->i", block, block, dtype=np.float32)
        good = np.isfinite(length) & (length > 0)
        kept = batch.select(list(COLUMNS))
        if not good.all():
            lost = kept.filter(pa.array(~good))
            without += zip(lost["sample_id"].to_pylist(), lost["source_uri"].to_pylist(), strict=True)
            kept, block = kept.filter(pa.array(good)), block[good]
        tables.append(kept)
        vectors.append(block)
    if not tables:
        schema = pa.schema([(name, pa.float32() if name in COLUMNS[-3:] else pa.string()) for name in COLUMNS])
        return FacesIn(schema.empty_table(), np.empty((0, 1), np.float16), ())
    return FacesIn(pa.Table.from_batches(tables).combine_chunks(), np.concatenate(vectors), tuple(without))


def rejected_faces(faces: FacesIn) -> tuple[Rejection, ...]:
    """The faces that nothing can be said about."""
    detail = "The embedding is zero or not finite: it has no direction to compare."
    return tuple(
        Rejection(sample_id, Reason.EMBEDDING_NOT_FINITE, detail, source_uri=uri) for sample_id, uri in faces.without
    )


def numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each value of a column of strings, equal where they are, (N,)."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return np.asarray(encoded.indices.to_numpy(), np.int64)
