"""Embeddings as the seed's files: one array that can be mapped into memory, and which of its rows is which photo's.

data/image_features_<model>.npy     float32, (N, width), one row a photo, in the order of the photos
data/image_features_index.csv       image_id, feature_row
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.owned import OwnedFolder
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.fashion import embedded_schema
from tasks.shards.files import LocalFiles

INDEX_FILE: Final = "data/image_features_index.csv"

_SEEDS_MODEL: Final = re.compile(r"(timm-)?resnet50([.-].*)?")
_BLOCK_ROWS: Final = 1024
"""Embeddings that are in memory at once."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """Which photos have an embedding, and whose it is.

    `rows`: of the photos asked for, those with an embedding, in order, int64, (N,); `width`: numbers of an embedding;
    `embedder`: the model's name and digest.
    """

    rows: NDArray[np.int64]
    width: int
    embedder: str


@dataclass(frozen=True)
class FeatureFiles:
    """What was written: names of both files below the folder, photos with an embedding and without one, the model."""

    features: str
    index: str
    photos: int
    missing: int
    width: int
    embedder: str


def write_features(
    out: OwnedFolder, embedded: Sequence[Path], photos: pl.DataFrame, files: LocalFiles | None = None
) -> FeatureFiles:
    """Write both files into an export, or leave equal ones untouched; photos without an embedding are in neither.

    A block of embeddings at a time is in memory, however many photos there are.

    Args:
        out: the running export; the caller ends it.
        embedded: shards of `embedded_schema`, in any order; what is in them and not in `photos` is left out.
        photos: the columns `sample_id` and `image_id`, in the order of the rows to be.
    Raises:
        ConfigError: there is no shard, the shards are of different models, or a photo or a number is there twice.
        StoreError: a shard is none of embeddings, a sample is in them twice, or the disk does not take more.
    """
    files = files or LocalFiles()
    for column in ("sample_id", "image_id"):
        if photos[column].n_unique() != photos.height:
            raise ConfigError(f"A photo is there twice: every {column} of the features must be another.")
    path = out.temporary()
    found = write_npy(path, embedded, photos["sample_id"], files)
    name = features_file(found.embedder)
    index = photos[found.rows].select("image_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("feature_row"))
    out.adopt(name, path)
    out.put({INDEX_FILE: index.write_csv().encode()})
    photos_found = len(found.rows)
    return FeatureFiles(name, INDEX_FILE, photos_found, photos.height - photos_found, found.width, found.embedder)


def features_file(embedder: str) -> str:
    """The name of a model's array; that of any ResNet50 is the seed's."""
    model = embedder.partition("@")[0]
    return f"data/image_features_{'resnet50' if _SEEDS_MODEL.fullmatch(model) else model}.npy"


def write_npy(path: Path, embedded: Sequence[Path], samples: pl.Series, files: LocalFiles) -> Embedded:
    """Write the embeddings of samples, in their order, as a new .npy file; a sample without one has no row.

    Raises:
        ConfigError: there is no shard, or the shards are of different models.
        StoreError: a shard is none of embeddings, or a sample is in them twice.
    """
    width, embedder = _model_of(embedded)
    rows, target = _places([_samples_of(path) for path in embedded], samples)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), width)}
    with files.create(path) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 4 * width * len(rows))
        stream.flush()
        done = 0
        for block in _blocks(embedded, width):
            places = target[done : done + len(block)]
            wanted = places >= 0
            if wanted.any():
                # mapped anew for each block, so that written pages do not stay
                np.lib.format.open_memmap(path, "r+")[places[wanted]] = block[wanted]
            done += len(block)
        files.sync(stream)
    return Embedded(rows, width, embedder)


def _model_of(embedded: Sequence[Path]) -> tuple[int, str]:
    """Width and embedder of all shards; shards without rows say nothing of the latter."""
    if not embedded:
        raise ConfigError("There are no embeddings: give at least one of their shards.")
    widths, names = set(), set()
    for path in embedded:
        schema = pq.read_schema(path)
        field = schema.field("embedding").type if "embedding" in schema.names else None
        if field is None or not pa.types.is_fixed_size_list(field) or schema != embedded_schema(field.list_size):
            raise StoreError(f"{path} is no shard of embeddings.")
        widths.add(field.list_size)
        names.update(pq.read_table(path, columns=["embedder"])["embedder"].unique().to_pylist())
    if len(widths) > 1 or len(names) > 1:
        told = ", ".join(sorted(names)) or ", ".join(map(str, sorted(widths)))
        raise ConfigError(f"These embeddings are of different models ({told}) and cannot be compared: embed all anew.")
    return widths.pop(), names.pop() if names else "unknown"


def _samples_of(path: Path) -> pl.Series:
    return pl.from_arrow(pq.read_table(path, columns=["sample_id"]))["sample_id"]  # type: ignore[index]


def _places(offered: Sequence[pl.Series], samples: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the samples those that are offered, in order; and for each that is offered its place among them, -1: none."""
    there = pl.concat(offered)
    if there.n_unique() != len(there):
        raise StoreError(f"{len(there) - there.n_unique()} photos have two embeddings: give each shard once.")
    rows = samples.is_in(there.implode()).arg_true().to_numpy().astype(np.int64)
    wanted = pl.DataFrame({"sample_id": samples[rows], "place": np.arange(len(rows))})
    joined = there.to_frame("sample_id").join(wanted, on="sample_id", how="left", maintain_order="left")
    return rows, joined["place"].fill_null(-1).to_numpy().astype(np.int64)


def _blocks(embedded: Sequence[Path], width: int) -> Iterator[NDArray[np.float32]]:
    for path in embedded:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            for batch in file.iter_batches(_BLOCK_ROWS, columns=["embedding"]):
                yield batch["embedding"].flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
