"""Photos of the runway and the street as the seed's tables, and as Parquet files that `datasets` reads as they are.

data/master_metadata_initial.csv         every photo: image_id, source, original_dataset, image_path
data/modanet_labels.csv                  annotated photos: image_filename, modanet_categories, coarse_category
data/master_metadata_with_category.csv   photos with features and a prediction: as the first, feature_row, pred_category
looks/train-00000.parquet                every column, `LOOKS_SCHEMA`
README.md                                the dataset card

Rows are ordered by side and number of the photo. The joined rows, some 500 bytes each, are held in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.audit.rates import ErrorRate
from tasks.exports.fashion_card import FashionCount, FashionFacts, fashion_card
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.webbody_formats import Drafts
from tasks.schema.columns import SAMPLE_FIELDS, shard_schema
from tasks.schema.errors import StoreError
from tasks.schema.fashion import GROUPED_SCHEMA, PREDICTED_SCHEMA
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import Manifest

INITIAL: Final = "data/master_metadata_initial.csv"
LABELS: Final = "data/modanet_labels.csv"
WITH_CATEGORY: Final = "data/master_metadata_with_category.csv"

INITIAL_COLUMNS: Final = ("image_id", "source", "original_dataset", "image_path")
LABEL_COLUMNS: Final = ("image_filename", "modanet_categories", "coarse_category")
CATEGORY_COLUMNS: Final = (*INITIAL_COLUMNS, "feature_row", "pred_category")
"""Source of the names: the seed."""

FILE_ROWS: Final = 500_000
"""Of a Parquet file; some 500 bytes each."""

_BATCH_ROWS: Final = 16_384
"""Written at a time."""

_COUNTED: Final = [field.name for field in fields(FashionCount) if field.name != "len"]
_PREDICTION: Final = PREDICTED_SCHEMA.names[len(SAMPLE_FIELDS) :]

LOOKS_SCHEMA: Final = shard_schema(
    pa.field("image_id", pa.string(), nullable=False),
    *list(GROUPED_SCHEMA)[len(SAMPLE_FIELDS) :],
    pa.field("feature_row", pa.int64()),
    *(PREDICTED_SCHEMA.field(name).with_nullable(True) for name in _PREDICTION),
)
"""Columns of the Parquet files; what a photo has no features or no prediction for is null."""


@dataclass(frozen=True)
class FashionTables:
    """What is in the tables: photos of each side, those with labels, and the predicted ones (None: no such table)."""

    photos: dict[str, int]
    labelled: int
    predicted: int | None


@dataclass(frozen=True)
class FashionTablesExport:
    """What is in the folder now, and what had to change for it."""

    folder: Path
    tables: FashionTables
    change: FolderChange


def in_order(image_ids: Mapping[str, str]) -> list[str]:
    """Samples in the order of the tables: by the word of their image id, then by its number.

    Args:
        image_ids: `sample_id` -> `runway_0001`.
    """
    return _ordered(image_ids)["sample_id"].to_list()


def _ordered(image_ids: Mapping[str, str]) -> pl.DataFrame:
    """`sample_id` and `image_id`."""
    given = {"sample_id": list(image_ids), "image_id": list(image_ids.values())}
    ids = pl.DataFrame(given, schema={"sample_id": pl.String, "image_id": pl.String})
    parts = pl.col("image_id").str.extract_groups(r"^(?<word>.*)_(?<number>\d+)$")
    number = parts.struct.field("number").cast(pl.Int64)
    return ids.sort(parts.struct.field("word"), number, "image_id")


def export_fashion_tables(
    groups: Path,
    predicted: Sequence[Path],
    image_ids: Mapping[str, str],
    feature_index: Path | None,
    folder: Path,
    *,
    title: str,
    manifest: Manifest | None = None,
    files: LocalFiles | None = None,
) -> FashionTablesExport:
    """`write_fashion_tables` into a folder that holds nothing else of ours.

    Raises:
        ConfigError: the folder is not absolute, or a file of somebody else's is in the way.
        StoreError: as `write_fashion_tables`, or the disk does not take more.
    """
    files = files or LocalFiles()
    with OwnedFolder(folder, files) as out:
        tables = write_fashion_tables(
            out, files, groups, predicted, image_ids, feature_index, title=title, manifest=manifest
        )
        change = out.finish()
    return FashionTablesExport(folder, tables, change)


def write_fashion_tables(
    out: OwnedFolder,
    files: LocalFiles,
    groups: Path,
    predicted: Sequence[Path],
    image_ids: Mapping[str, str],
    feature_index: Path | None,
    *,
    title: str,
    manifest: Manifest | None = None,
    audited: Sequence[ErrorRate] = (),
    file_rows: int = FILE_ROWS,
) -> FashionTables:
    """Write a build's tables into a folder whose export the caller finishes; equal builds give equal bytes.

    The files get their names together, when all of them are whole. Without predictions or features there is no table
    of predicted categories.

    Args:
        groups: the shard of `GROUPED_SCHEMA`, whose rows are the photos.
        predicted: shards of `PREDICTED_SCHEMA`; photos that are not in `groups` are passed over.
        image_ids: `sample_id` -> `runway_0001`, of at least the photos of `groups`.
        feature_index: CSV with `image_id` and `feature_row`.
        title: heading of the dataset card.
        manifest: the build, for models and the funnel in the card.
        audited: its error rates, for the card.
    Raises:
        StoreError: a shard has other columns, a photo has no image id or two predictions, predictions of several
            classifiers, or a photo is in the index twice.
    """
    looks = _looks(groups, predicted, image_ids, feature_index)
    with_category = bool(predicted) and feature_index is not None
    with Drafts(out, files) as drafts:
        _write_csv(drafts, INITIAL, looks.select(INITIAL_COLUMNS))
        _write_csv(drafts, LABELS, _labels(looks))
        if with_category:
            having = pl.col("feature_row").is_not_null() & pl.col("pred_category").is_not_null()
            _write_csv(drafts, WITH_CATEGORY, looks.filter(having).select(CATEGORY_COLUMNS))
        _write_parquet(drafts, looks, file_rows)
        facts = _facts(looks)
        drafts.settle()
        out.adopt_all(dict(sorted(drafts.made.items())))
    card = fashion_card(facts, title, LOOKS_SCHEMA, manifest, audited, with_category=with_category)
    out.put({"README.md": card.encode()})
    return FashionTables(facts.photos, facts.labelled, facts.predicted if with_category else None)


def _looks(
    groups: Path, predicted: Sequence[Path], image_ids: Mapping[str, str], feature_index: Path | None
) -> pl.DataFrame:
    """All photos with all that is known of them, in order."""
    _refuse_others([groups], GROUPED_SCHEMA)
    _refuse_others(predicted, PREDICTED_SCHEMA)
    ids = _ordered(image_ids).lazy()
    photos = pl.scan_parquet(groups, glob=False)
    nameless = photos.select("sample_id").join(ids, on="sample_id", how="anti").collect()
    if nameless.height:
        raise StoreError(f"{nameless.height} photos have no image id, {nameless.item(0, 0)!r} among them: assign them.")
    looks = ids.join(photos, on="sample_id", maintain_order="left")
    looks = looks.join(_predictions(predicted, photos), on="sample_id", how="left", maintain_order="left")
    looks = looks.join(_features(feature_index), on="image_id", how="left", maintain_order="left")
    return looks.select(LOOKS_SCHEMA.names).collect()


def _refuse_others(paths: Iterable[Path], schema: pa.Schema) -> None:
    for path in paths:
        if not pq.read_schema(path).equals(schema):
            raise StoreError(f"{path} is no shard of {', '.join(schema.names[-2:])}: pass those of this build.")


def _predictions(predicted: Sequence[Path], photos: pl.LazyFrame) -> pl.LazyFrame:
    """`sample_id` and the columns of a prediction, of photos."""
    columns = ("sample_id", *_PREDICTION)
    if not predicted:
        empty = pa.schema([PREDICTED_SCHEMA.field(name) for name in columns]).empty_table()
        return pl.DataFrame(pl.from_arrow(empty)).lazy()
    rows = pl.scan_parquet(list(predicted), glob=False).select(columns).join(photos, on="sample_id", how="semi")
    told = rows.select(rows=pl.len(), photos=pl.col("sample_id").n_unique(), models=pl.col("classifier").n_unique())
    count, different, models = told.collect(engine="streaming").row(0)
    if count != different:
        raise StoreError(f"{count - different} photos were predicted twice: pass each shard of predictions once.")
    if models > 1:
        raise StoreError(f"The predictions are of {models} classifiers, which do not compare: predict all with one.")
    return rows


def _features(index: Path | None) -> pl.LazyFrame:
    """`image_id` and `feature_row`."""
    schema = {"image_id": pl.String, "feature_row": pl.Int64}
    if index is None:
        return pl.LazyFrame(schema=schema)
    rows = pl.scan_csv(index, schema=schema, glob=False)
    twice = rows.select(pl.col("image_id").is_duplicated().sum()).collect(engine="streaming").item()
    if twice:
        raise StoreError(f"{twice} rows of {index.name} share an image id: write the features again.")
    return rows


def _labels(looks: pl.DataFrame) -> pl.DataFrame:
    """The labels of annotated photos. A file name that several photos have is told with its folders."""
    name = pl.col("image_path").str.split("/").list.last()
    told = looks.select(
        pl.when(name.is_duplicated()).then("image_path").otherwise(name).alias("image_filename"),
        pl.col("garments").list.join(", ").alias("modanet_categories"),
        pl.col("category").alias("coarse_category"),
    )
    return told.filter(looks["garments"].is_not_null())


def _write_csv(drafts: Drafts, name: str, rows: pl.DataFrame) -> None:
    stream = drafts.open(name)
    rows.write_csv(stream)
    drafts.close(stream)


def _write_parquet(drafts: Drafts, looks: pl.DataFrame, file_rows: int) -> None:
    """At least one file, which keeps the columns where there is no photo at all."""
    for number, first in enumerate(range(0, max(1, looks.height), file_rows)):
        writer = drafts.open_parquet(f"looks/train-{number:05d}.parquet", LOOKS_SCHEMA)
        for rows in looks.slice(first, file_rows).iter_slices(_BATCH_ROWS):
            writer.write(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
        drafts.close_parquet(writer)


def _facts(looks: pl.DataFrame) -> FashionFacts:
    counted = looks.group_by(_COUNTED).len().sort(_COUNTED, nulls_last=True)
    return FashionFacts(tuple(FashionCount(**row) for row in counted.iter_rows(named=True)))
