"""The photos of a build with what the classifier, annotators and auditors say of them, ready to be counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from tasks.fashion.labels import category_of
from tasks.schema.errors import ConfigError
from tasks.schema.fashion import CATEGORIES, GARMENTS, RUNWAY, STREET

LABELS: Final = (*(("garment", each) for each in GARMENTS), *(("category", each) for each in CATEGORIES))
"""Kind and name of the columns of every array here, L of them."""

PREDICTED: Final = ("sample_id", "pred_category", "abstained", "category_probabilities", "garment_probabilities")
GROUPED: Final = ("sample_id", "source", "designer", "season", "garments", "category", "group_id", "fold")


@dataclass(frozen=True, eq=False)
class SidePhotos:
    """The photos of one side, N of them.

    `designer`, `season`: names, None where not known; `clusters`: a number for each photo's show or group; `words`:
    what the classifier says, (N, L) bool; `probabilities`: how probable, (N, L), NaN where a label was not learned;
    `seen`: what people say, (N, L), 1 or 0, rows of NaN where nobody did; `seen_by`: who did.
    """

    designer: NDArray[np.object_]
    season: NDArray[np.object_]
    clusters: NDArray[np.int64]
    words: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    seen: NDArray[np.float32]
    seen_by: str = ""

    def __len__(self) -> int:
        return len(self.clusters)

    def at(self, index: NDArray[np.int64]) -> "SidePhotos":
        """Some of the photos."""
        arrays = ("designer", "season", "clusters", "words", "probabilities", "seen")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which photos people looked at, (N,)."""
        return ~np.isnan(self.seen[:, 0])

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Which labels the classifier knows, (L,)."""
        return np.asarray(~np.isnan(self.probabilities).any(0))


@dataclass(frozen=True, eq=False)
class BuildPhotos:
    """Both sides, and the counts of what was met on the way."""

    runway: SidePhotos
    street: SidePhotos
    counts: Mapping[str, int]
    classifier: str


@dataclass(frozen=True)
class Reading:
    """How photos are read: from which probability on they show a garment, what of them is left out, how few verdicts
    are none.
    """

    garment_threshold: float
    leave_out_learned: bool
    min_labelled: int


def read_photos(groups: pa.Table, verdicts: pa.Table, predicted: Iterable[pa.Table], reading: Reading) -> BuildPhotos:
    """Join what is known of every photo.

    Args:
        groups: rows of `GROUPED_SCHEMA`, at least the columns `GROUPED`.
        verdicts: rows of `VERDICT_SCHEMA`.
        predicted: tables of `PREDICTED_SCHEMA`, all of them.
        reading: how.
    Raises:
        ConfigError: the predictions are of several classifiers.
    """
    said = list(predicted)
    classifier = _one_classifier(said)
    photos = pl.DataFrame(pl.from_arrow(groups.select(GROUPED)))
    at = pl.concat(
        [pl.Series("sample_id", [], pl.String), *(pl.Series("sample_id", each["sample_id"]) for each in said)]
    )
    joined = photos.join(at.to_frame().with_row_index("at"), on="sample_id", how="left", maintain_order="left")
    known = joined.filter(pl.col("at").is_not_null())
    held_out = known.filter(~_learned_from())
    compared = held_out if reading.leave_out_learned else known
    judged = _with_categories(pl.DataFrame(pl.from_arrow(verdicts.select(["sample_id", "garments"]))))
    words, probabilities = _words(said, reading.garment_threshold)
    abstained = np.concatenate([_column(each, "abstained") for each in said] or [np.zeros(0, bool)])
    sides = {}
    for side in (RUNWAY, STREET):
        rows = compared.filter(pl.col("source") == side)
        index = rows["at"].to_numpy()
        seen, seen_by = _seen(rows, judged, held_out, reading.min_labelled)
        sides[side] = SidePhotos(
            rows["designer"].to_numpy(),
            rows["season"].to_numpy(),
            _clusters(rows, side),
            words[index],
            probabilities[index],
            seen,
            seen_by,
        )
    shown = compared["at"].to_numpy()
    counts = {
        "photos": len(photos),
        "compared": len(compared),
        "learned_from": len(known) - len(held_out),
        "not_predicted": len(photos) - len(known),
        "abstained": int(abstained[shown].sum()),
        "verdicts": len(judged),
        "verdicts_on_no_photo": len(judged.join(compared, on="sample_id", how="anti")),
    }
    return BuildPhotos(sides[RUNWAY], sides[STREET], counts, classifier)


def auditable(groups: pa.Table, side: str) -> list[str]:
    """The photos of a side that an audit sheet is drawn from: those that the classifier did not learn from.

    Args:
        groups: rows of `GROUPED_SCHEMA`, at least the columns `GROUPED`.
        side: `RUNWAY` or `STREET`.
    """
    photos = pl.DataFrame(pl.from_arrow(groups.select(GROUPED)))
    return photos.filter((pl.col("source") == side) & ~_learned_from())["sample_id"].to_list()


def _learned_from() -> pl.Expr:
    return (pl.col("source") == STREET) & pl.col("garments").is_not_null() & (pl.col("fold") == "train")


def _one_classifier(said: Sequence[pa.Table]) -> str:
    names = sorted({name for each in said for name in each["classifier"].unique().to_pylist()})
    if len(names) > 1:
        short = ", ".join(name[:12] for name in names)
        raise ConfigError(
            f"The predictions are of {len(names)} classifiers ({short}), and their errors differ: a difference between "
            "them says nothing. Predict all photos with one classifier, then compare."
        )
    return names[0] if names else ""


def _words(said: Sequence[pa.Table], threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """What the classifier says of the photos of all tables, (N, L), and how probable, (N, L)."""
    words, probabilities = [np.zeros((0, len(LABELS)), bool)], [np.zeros((0, len(LABELS)), np.float32)]
    for each in said:
        garments = _matrix(each["garment_probabilities"], len(GARMENTS))
        categories = _matrix(each["category_probabilities"], len(CATEGORIES))
        category = pl.DataFrame({"category": each["pred_category"]}).select(
            (pl.col("category") == one).alias(one) for one in CATEGORIES
        )
        words.append(np.hstack([garments >= threshold, category.to_numpy()]))
        probabilities.append(np.hstack([garments, categories]))
    return np.concatenate(words), np.concatenate(probabilities)


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """Lists of equal length as (N, width), NaN for null."""
    flat = column.combine_chunks().flatten() if len(column) else pa.array([], pa.float32())
    return np.asarray(flat.to_numpy(zero_copy_only=False), np.float32).reshape(-1, width)


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(table[name].to_numpy())


def _clusters(rows: pl.DataFrame, side: str) -> NDArray[np.int64]:
    """A number for every show on the runway, and for every group where the show is not known, and on the street.

    A group already holds the photos of one author, but not those of an author who is nobody ("unknown").
    """
    show = pl.struct("designer", "season", pl.lit("").alias("group_id"))
    group = pl.struct(pl.lit(None, pl.String).alias("designer"), "season", "group_id")
    cluster = pl.when((pl.col("designer").is_not_null()) & (side == RUNWAY)).then(show).otherwise(group)
    return rows.select(cluster.rank("dense").cast(pl.Int64)).to_series().to_numpy()


def _with_categories(judged: pl.DataFrame) -> pl.DataFrame:
    categories = [category_of(garments) for garments in judged["garments"].to_list()]
    return judged.with_columns(pl.Series("category", categories, pl.String))


def _seen(
    rows: pl.DataFrame, judged: pl.DataFrame, held_out: pl.DataFrame, min_labelled: int
) -> tuple[NDArray[np.float32], str]:
    """What people say of photos: verdicts, or where there are too few, annotations that were not learned from."""
    ours = judged.join(rows.select("sample_id"), on="sample_id", how="semi")
    noted = rows.filter(pl.col("garments").is_not_null()).join(held_out.select("sample_id"), on="sample_id", how="semi")
    source, by = (noted, "annotations") if len(ours) < min_labelled and len(noted) else (ours, "verdicts")
    truth = np.full((len(rows), len(LABELS)), np.nan, np.float32)
    place = (
        rows.select("sample_id")
        .with_row_index("place")
        .join(source.select("sample_id", "garments", "category"), on="sample_id", maintain_order="left")
    )
    garments = place.select(pl.col("garments").list.contains(each).alias(each) for each in GARMENTS)
    categories = place.select((pl.col("category") == each).alias(each) for each in CATEGORIES)
    truth[place["place"].to_numpy()] = np.hstack([garments.to_numpy(), categories.to_numpy()])
    return truth, by if len(source) else ""
