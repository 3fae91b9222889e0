"""Nearest street looks of runway looks, and the reverse: as a table, and as sheets for people.

similar.parquet                     sample_id, source, rank, other_sample_id, similarity; every look, nearest first
similar/runway_01.jpg ...           a look of the runway a row, and the street looks that are most like it
similar/street_01.jpg ...           the reverse
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from tasks.exports.fashion_features import write_npy
from tasks.exports.owned import OwnedFolder
from tasks.exports.rows import pick
from tasks.fashion.similar import SAME_PHOTO_BITS, Looks, Similar, most_similar
from tasks.images.decode import decode_rgb
from tasks.images.hashing import MAX_DISTANCE
from tasks.images.sheet import contact_sheet, encode_jpeg, thumbnail
from tasks.models.device import cpu_threads
from tasks.schema.fashion import RUNWAY, STREET
from tasks.schema.forms import Form
from tasks.shards.files import LocalFiles
from tasks.shards.parquet import ShardWriter

SIMILAR_TABLE: Final = "similar.parquet"
SIMILAR_SCHEMA: Final = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("other_sample_id", pa.string(), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),
    ]
)
"""`rank` from 1; `similarity`: the cosine of `tasks.fashion.similar`, to four decimals."""

_DECIMALS: Final = 4
"""So that equal looks give equal files whatever the processor adds up first."""

_TABLE_ROWS: Final = 1 << 16
_TILE_PX: Final = 192
_SHEET_ROWS: Final = 6
"""Looks of a sheet, so that it reads on a screen."""

_PAPER: Final = np.full((1, 1, 3), 250, np.uint8)

Picture = NDArray[np.uint8]


class SimilarRules(Form):
    """Which similar looks are shown."""

    nearest: int = Field(5, title="Similar looks", ge=1, le=10, description="Of each look.")
    shown: int = Field(
        24, title="Looks shown", ge=0, le=120, description="Looks of each source on the picture sheets; 0: no sheets."
    )
    same_photo_bits: int = Field(
        SAME_PHOTO_BITS,
        title="Same photo",
        ge=0,
        le=MAX_DISTANCE,
        description="Photos whose 64-bit perceptual hashes differ in no more bits are one photo, and not similar.",
    )


@dataclass(frozen=True)
class SimilarFiles:
    """What was written: the table's name and rows, and the names of the sheets below the folder."""

    table: str
    rows: int
    sheets: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Source:
    """Photos of one source that have an embedding, and where their neighbours in the other source stand."""

    photos: pl.DataFrame
    others: pl.DataFrame
    similar: Similar


def write_similar(
    out: OwnedFolder,
    embedded: Sequence[Path],
    photos: pl.DataFrame,
    pictures: Sequence[Path],
    rules: SimilarRules,
    files: LocalFiles | None = None,
) -> SimilarFiles:
    """Write the table and the sheets into an export, or leave equal ones untouched.

    Args:
        out: the running export; the caller ends it.
        embedded: shards of `embedded_schema`.
        photos: the columns `sample_id`, `image_id`, `source`, `source_uri` and `phash`, in any order; those without an
            embedding have no neighbours and are none.
        pictures: shards of `LOOK_SCHEMA` that hold all of these photos.
    Raises:
        ConfigError: there is no shard of embeddings, or they are of different models.
        StoreError: a photo has two embeddings or no picture, or the disk does not take more.
    """
    files = files or LocalFiles()
    runway, street = (
        _looks(out, embedded, photos.filter(pl.col("source") == each), files) for each in (RUNWAY, STREET)
    )
    found = {}
    for name, (own, looks), (other, others) in ((RUNWAY, runway, street), (STREET, street, runway)):
        similar = most_similar(looks, others, rules.nearest, same_photo_bits=rules.same_photo_bits)
        found[name] = _Source(own, other, similar)
    path = out.temporary()
    with files.create(path) as stream, ShardWriter(stream, SIMILAR_SCHEMA) as writer:
        for name, source in found.items():
            for table in _tables(name, source):
                writer.write(table)
        rows = writer.finish("similar").rows
        files.sync(stream)
    out.adopt(SIMILAR_TABLE, path)
    shown = {name: _spread(source.similar, rules.shown) for name, source in found.items()}
    tiles = _thumbnails(pictures, _uris(found, shown))
    sheets = {
        f"similar/{name}_{number:02d}.jpg": sheet
        for name, source in found.items()
        for number, sheet in enumerate(_sheets(source, shown[name], tiles), 1)
    }
    out.put(sheets)
    return SimilarFiles(SIMILAR_TABLE, rows, tuple(sheets))


def _looks(
    out: OwnedFolder, embedded: Sequence[Path], photos: pl.DataFrame, files: LocalFiles
) -> tuple[pl.DataFrame, Looks]:
    """The photos that have an embedding, and their embeddings, mapped from a file that is gone with the mapping."""
    path = out.temporary()
    try:
        found = write_npy(path, embedded, photos["sample_id"], files)
        empty = np.empty((0, found.width), np.float32)
        embeddings = np.load(path, mmap_mode="r") if len(found.rows) else empty
    finally:
        files.remove(path)
    seen = photos[found.rows]
    return seen, Looks(embeddings, seen["phash"].to_numpy())


def _tables(name: str, source: _Source) -> Iterator[pa.Table]:
    """Rows of `SIMILAR_SCHEMA`."""
    own, others = (frame["sample_id"].to_arrow() for frame in (source.photos, source.others))
    for start in range(0, len(own), _TABLE_ROWS):
        index = source.similar.index[start : start + _TABLE_ROWS]
        look, rank = np.nonzero(index >= 0)
        near = source.similar.similarity[start : start + _TABLE_ROWS][look, rank]
        columns = [
            own.take(pa.array(start + look)).cast(pa.string()),
            pa.array([name] * len(look), pa.string()),
            pa.array(rank + 1, pa.int32()),
            others.take(pa.array(index[look, rank])).cast(pa.string()),
            pa.array(near.round(_DECIMALS), pa.float32()),
        ]
        yield pa.table(columns, schema=SIMILAR_SCHEMA)


def _spread(similar: Similar, count: int) -> list[int]:
    """Rows that have a neighbour, evenly over all."""
    able = np.flatnonzero(similar.index[:, 0] >= 0)
    places = np.linspace(0, max(0, len(able) - 1), min(count, len(able))).round().astype(np.int64)
    rows: list[int] = able[places].tolist()
    return rows


def _uris(found: Mapping[str, _Source], shown: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Sample -> `source_uri` of every photo that is on a sheet."""
    uris: dict[str, str] = {}
    for name, source in found.items():
        rows = np.array(shown[name], np.int64)
        near = np.unique(source.similar.index[rows])
        for frame, some in ((source.photos, rows), (source.others, near[near >= 0])):
            uris |= dict(frame[some].select("sample_id", "source_uri").iter_rows())
    return uris


def _thumbnails(pictures: Sequence[Path], wanted: Mapping[str, str]) -> dict[str, Picture]:
    if not wanted:
        return {}
    with ThreadPoolExecutor(cpu_threads(), "thumbnails") as pool:
        found: dict[str, Picture] = {}
        for table in pick(pictures, wanted, ("image",)):
            encoded = [image["bytes"] for image in table["image"].to_pylist()]
            found |= zip(table["sample_id"].to_pylist(), pool.map(_thumbnail, encoded), strict=True)
    return found


def _thumbnail(data: bytes) -> Picture:
    return thumbnail(decode_rgb(data), _TILE_PX)


def _sheets(source: _Source, rows: Sequence[int], tiles: Mapping[str, Picture]) -> Iterator[bytes]:
    """A look and its neighbours a row, as JPEG."""
    similar, columns = source.similar, 1 + source.similar.index.shape[1]
    for start in range(0, len(rows), _SHEET_ROWS):
        shown: list[tuple[Picture, str]] = []
        for row in rows[start : start + _SHEET_ROWS]:
            look, near = source.photos.row(row, named=True), similar.index[row][similar.index[row] >= 0]
            shown.append((tiles[look["sample_id"]], f"{look['image_id']}:"))
            for other, cosine in zip(source.others[near].iter_rows(named=True), similar.similarity[row], strict=False):
                shown.append((tiles[other["sample_id"]], f"{other['image_id']}  {cosine:.2f}"))
            shown += [(_PAPER, "")] * (columns - 1 - len(near))
        pictures, captions = zip(*shown, strict=True)
        yield encode_jpeg(contact_sheet(pictures, captions, columns=columns, tile_px=_TILE_PX))
