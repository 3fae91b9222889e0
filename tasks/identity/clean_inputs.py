"""Whole inputs told apart by their columns, and their values brought beside the rows that want them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.schema.errors import ConfigError
from tasks.schema.keypoints import COCO_17
from tasks.shards.stage import Whole

READ_ROWS = 1 << 16


@dataclass(frozen=True)
class Given:
    """Whole inputs by what they hold; the order in which they were given does not matter."""

    embeddings: tuple[Whole, ...] = ()
    people: tuple[Whole, ...] = ()
    validation: tuple[Whole, ...] = ()
    verdicts: tuple[Whole, ...] = ()
    members: tuple[Whole, ...] = ()


_MARKS = (("verdicts", "verdict"), ("members", "group_id"), ("people", "phash"))


def sort_whole(whole: Sequence[Whole]) -> Given:
    """Tell whole inputs apart by their columns: `verdict`, `group_id`, `phash`, `embedding` with or without `identity`.

    Raises:
        ConfigError: an input is none of these.
    """
    found: dict[str, list[Whole]] = {}
    for each in whole:
        names = set(pq.read_schema(each.path).names)
        kind = next((kind for kind, mark in _MARKS if mark in names), None)
        if kind is None and "embedding" in names:
            kind = "validation" if "identity" in names else "embeddings"
        if kind is None:
            raise ConfigError(f"A whole input with columns {sorted(names)} is of no use here: take it out.")
        found.setdefault(kind, []).append(each)
    return Given(**{kind: tuple(each) for kind, each in found.items()})


def read_all(batches: Iterator[pa.RecordBatch]) -> pa.Table | None:
    """All rows; None if there are none."""
    first = next(batches, None)
    return None if first is None else pa.Table.from_batches(chain([first], batches)).combine_chunks()


def vectors(column: pa.Array | pa.ChunkedArray) -> NDArray[np.generic]:
    """A column of fixed-size lists as a matrix, (N, width)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    width: int = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(-1, width)


def codes(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Strings as numbers, and the strings in order: equal columns of names give equal numbers, whatever their order."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = column.dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return rank[encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)], [names[i] for i in order]


@dataclass
class Beside:
    """Values of the rows that `ids` name, gathered from any number of tables.

    Raises:
        LookupError: a row is missing (on `demand`).
    """

    ids: pa.Array
    _found: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._found = np.zeros(len(self.ids), np.bool_)

    def places(self, keys: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of our rows find themselves in `keys`, and where there."""
        at = pc.index_in(self.ids, value_set=keys)
        here = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
        self._found[here] = True
        return here, at.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)

    def demand(self, what: str) -> None:
        if not self._found.all():
            missing = self.ids[int(np.flatnonzero(~self._found)[0])].as_py()
            lost = int((~self._found).sum())
            raise LookupError(f"{what} of {lost} of {len(self.ids)} rows are missing, the first is {missing}")


def embeddings_of(ids: pa.Array, inputs: Iterable[Whole]) -> NDArray[np.float16]:
    """Embeddings of the faces that `ids` name, float16, (N, width).

    Raises:
        LookupError: one is missing.
    """
    wanted = Beside(ids)
    found: NDArray[np.float16] | None = None
    for each in inputs:
        for batch in each.batches(("sample_id", "embedding"), READ_ROWS):
            here, there = wanted.places(batch["sample_id"])
            rows = vectors(batch["embedding"])
            if found is None:
                found = np.zeros((len(ids), rows.shape[1]), np.float16)
            found[here] = rows[there]
    wanted.demand("embeddings")
    return np.zeros((len(ids), 1), np.float16) if found is None else found


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is known of the photos that faces come from.

    Args:
        sha256: strings, (N,): of the bytes that the server sent.
        phash: uint64, (N,): of the photo inside its border.
    """

    sha256: pa.Array
    phash: NDArray[np.uint64]


def pictures_of(people: pa.Array, inputs: Iterable[Whole]) -> Pictures:
    """Of the photos of the persons that `people` name.

    Raises:
        LookupError: a person is missing.
    """
    wanted = Beside(people)
    sha256 = np.full(len(people), "", object)
    phash = np.zeros(len(people), np.uint64)
    for each in inputs:
        for batch in each.batches(("sample_id", "sha256", "phash"), READ_ROWS):
            here, there = wanted.places(batch["sample_id"])
            sha256[here] = batch["sha256"].to_numpy(zero_copy_only=False)[there]
            phash[here] = batch["phash"].to_numpy()[there]
    wanted.demand("people")
    return Pictures(pa.array(sha256, pa.string()), phash)


def confidences_of(people: pa.Array, inputs: Iterable[Whole]) -> NDArray[np.float32]:
    """Confidence of the COCO-17 joints of the persons that `people` name, float32, (N, 17); 0 where unknown.

    Raises:
        LookupError: a person is missing.
    """
    wanted = Beside(people)
    found = np.zeros((len(people), len(COCO_17)), np.float32)
    for each in inputs:
        for batch in each.batches(("sample_id", "keypoints_confidence"), READ_ROWS):
            here, there = wanted.places(batch["sample_id"])
            rows = pc.fill_null(batch["keypoints_confidence"], [0.0] * len(COCO_17))
            found[here] = np.nan_to_num(vectors(rows)[there])
    wanted.demand("people")
    return found
