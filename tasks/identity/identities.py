"""Stage: whose every face is. Thresholds are measured on the faces themselves, and ids stay from build to build."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.identity.calibrate import calibrate
from tasks.identity.calibration import Calibration, linkage_rate
from tasks.identity.collapsed import Closeness, closeness, cluster_sums, own_similarity
from tasks.identity.faces_in import FacesIn, numbers, read_faces, rejected_faces
from tasks.identity.gallery import Gallery, Linked, pair_cosines, same_photo, unit
from tasks.identity.link import LinkerConfig
from tasks.identity.link_average import AverageLinkage
from tasks.identity.link_labels import PerLabel
from tasks.identity.neighbour_stage import read_neighbours
from tasks.identity.neighbours import Neighbours
from tasks.identity.persist import Carried, Known, carry_over
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import IDENTITY_SCHEMA
from tasks.shards.stage import StageOfWhole, StageOutput, Whole

SAME_PICTURE = 0.999
"""Two faces of one photo that are more alike than this are one face found twice."""

ROWS_OUT = 65536
"""Rows of one output batch."""


class IdentitiesConfig(Frozen):
    """How faces are linked.

    Attributes:
        model: digest of the weights that made the embeddings: cosines belong to a model.
        default_cosine: from the model's card; holds where too few photos show several faces to measure anything.
        false_match_rate: probability that two people are linked. None: `linkage_rate` of the number of faces.
        linker: how.
        without_collapsed: clusters of collapsed embeddings are left out.
        continues: the second whole input is an earlier output of this stage, whose ids live on.
    """

    model: str
    default_cosine: float = Field(gt=-1, lt=1)
    false_match_rate: float | None = Field(default=None, gt=0, le=0.5)
    linker: LinkerConfig = AverageLinkage()
    without_collapsed: bool = True
    continues: bool = False


@dataclass(frozen=True)
class Identities(StageOfWhole):
    """Inputs: shards of embeddings. Whole: their neighbours, and (if `continues`) the identities of an earlier build.

    A face alone is rejected: `score` is its best cosine. The facts record what was calibrated and what linkage did.
    """

    config: IdentitiesConfig

    name = "identities"
    version = 1
    batch_rows: ClassVar[int] = 4096

    @property
    def schema(self) -> pa.Schema:
        return IDENTITY_SCHEMA

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        wanted = 1 + int(self.config.continues)
        if len(whole) != wanted:
            raise TypeError(
                f"{self.name} wants {wanted} whole inputs (neighbours, earlier identities), got {len(whole)}"
            )
        faces = read_faces(batches)
        neighbours = read_neighbours(whole[0], faces)
        if neighbours is None or len(neighbours) != len(faces):
            raise ConfigError(
                "The neighbours are those of other faces: give the ones of the same shards, in their order."
            )
        known = _known(whole[1]) if self.config.continues else None
        yield from self._identify(faces, neighbours, known)

    def _identify(self, faces: FacesIn, neighbours: Neighbours, known: Known | None) -> Iterator[StageOutput]:
        sides = faces.columns["face_side_px"].to_numpy()
        pairs = same_photo(numbers(faces.columns["photo_id"]))
        calibration = self._calibrate(faces, pairs)
        rate = self.config.false_match_rate or linkage_rate(len(faces))
        least = calibration.cosines(rate, sides)
        apart, exceptions = _apart(faces, pairs, calibration, sides)
        label = faces.columns["label"].combine_chunks()
        linked = self.config.linker.link(Gallery(neighbours, faces.vectors, least, apart, label))
        sums = cluster_sums(linked.cluster, faces.vectors)
        how_close = closeness(linked.cluster, sums)
        collapsed = how_close.collapsed[linked.cluster]
        if not self.config.without_collapsed or isinstance(self.config.linker, PerLabel):
            collapsed = np.zeros(len(faces), np.bool_)
        alone = how_close.faces[linked.cluster] < 2
        left_out = np.zeros(len(faces), np.bool_) if linked.left_out is None else linked.left_out
        kept = ~(alone | collapsed | left_out)
        cluster = np.full(len(faces), -1, np.int64)
        cluster[kept] = np.unique(linked.cluster[kept], return_inverse=True)[1]
        carried = carry_over(faces.columns["sample_id"].combine_chunks(), cluster, known)
        similarity = own_similarity(linked.cluster, faces.vectors, sums)
        rows = np.flatnonzero(kept)
        for start in range(0, len(rows), ROWS_OUT):
            yield StageOutput(_kept(faces, rows[start : start + ROWS_OUT], cluster, carried, similarity))
        rejected = _rejections(faces, neighbours.best, least, linked, how_close, (alone, collapsed, left_out))
        facts = {
            **self._threshold_facts(calibration, rate, least),
            **_linkage_facts(linked, carried, pairs, exceptions, how_close),
        }
        yield StageOutput(IDENTITY_SCHEMA.empty_table(), (*rejected_faces(faces), *rejected), facts)

    def _calibrate(self, faces: FacesIn, pairs: NDArray[np.int64]) -> Calibration:
        """Measured on the faces that share a photo; the others say nothing."""
        rows = np.unique(pairs)
        some = faces.columns.take(pa.array(rows))
        return calibrate(
            unit(faces.vectors[rows]),
            some["photo_id"].combine_chunks(),
            some["face_side_px"].to_numpy(),
            some["sample_id"].combine_chunks(),
            model=self.config.model,
            default_cosine=self.config.default_cosine,
        )

    def _threshold_facts(
        self, calibration: Calibration, rate: float, least: NDArray[np.float32]
    ) -> dict[str, JsonValue]:
        linker = self.config.linker
        facts: dict[str, JsonValue] = {"linker": linker.method, "calibration": calibration.facts()}
        if not isinstance(linker, PerLabel):
            facts |= {"false_match_rate": rate, "cosines": [round(float(each), 4) for each in np.unique(least)]}
        return facts


def _known(source: Whole) -> Known:
    table = source.table(("sample_id", "identity", "former_identities"))
    return Known(*(table[name].combine_chunks() for name in table.column_names))


def _apart(
    faces: FacesIn, pairs: NDArray[np.int64], calibration: Calibration, sides: NDArray[np.floating]
) -> tuple[NDArray[np.int64], int]:
    """Pairs of faces of one photo that are two people, and how many are not: collages, mirrors, a face found twice."""
    cosines = pair_cosines(faces.vectors, pairs)
    twice = calibration.shown_twice(cosines, np.minimum(sides[pairs[:, 0]], sides[pairs[:, 1]]))
    twice |= cosines > SAME_PICTURE
    return pairs[~twice], int(twice.sum())


def _kept(
    faces: FacesIn,
    rows: NDArray[np.int64],
    cluster: NDArray[np.int64],
    carried: Carried,
    similarity: NDArray[np.float32],
) -> pa.Table:
    at = pa.array(rows)
    columns = faces.columns.take(at)
    names = pa.array(carried.identity, pa.string()).take(pa.array(cluster[rows]))
    made = {
        "identity": names,
        "former_identities": carried.former.take(at),
        "similarity": pa.array(similarity[rows], pa.float32()),
    }
    return pa.table(
        [made[name] if name in made else columns[name] for name in IDENTITY_SCHEMA.names], schema=IDENTITY_SCHEMA
    )


def _rejections(
    faces: FacesIn,
    best: NDArray[np.float32],
    least: NDArray[np.float32],
    linked: Linked,
    how_close: Closeness,
    why: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
) -> Iterator[Rejection]:
    alone, collapsed, left_out = why
    rows = np.flatnonzero(alone | collapsed | left_out)
    some = faces.columns.select(["sample_id", "source_uri", "label"]).take(pa.array(rows))
    given = zip(rows.tolist(), *(column.to_pylist() for column in some.columns), strict=True)
    for row, sample_id, uri, label in given:
        number = int(linked.cluster[row])
        count, close = int(how_close.faces[number]), float(how_close.closeness[number])
        if left_out[row]:
            detail = f"Its {count} faces are not the largest cluster of the label {label}."
            yield Rejection(sample_id, Reason.NOT_LARGEST_CLUSTER, detail, float(count), uri)
        elif collapsed[row]:
            detail = (
                f"One of {count} faces that are {close:.2f} alike on average, more than faces of one person are "
                f"({how_close.limit:.2f}): the model sees nobody in them."
            )
            yield Rejection(sample_id, Reason.EMBEDDING_COLLAPSED, detail, close, uri)
        elif best[row] < -1:
            yield Rejection(sample_id, Reason.NO_MATCH, "There is no other face to compare it with.", None, uri)
        else:
            detail = f"The most alike face reaches {best[row]:.3f}, {least[row]:.3f} is asked for."
            if best[row] >= least[row]:
                detail += " Whoever has it is unlike this face on average, or stands beside it in one photo."
            yield Rejection(sample_id, Reason.NO_MATCH, detail, float(best[row]), uri)


def _linkage_facts(
    linked: Linked, carried: Carried, pairs: NDArray[np.int64], exceptions: int, how_close: Closeness
) -> dict[str, JsonValue]:
    return {
        "identities": len(carried.identity),
        "pairs_of_one_photo": len(pairs),
        "pairs_shown_twice": exceptions,
        "kept_apart": linked.kept_apart,
        "clusters_collapsed": int(how_close.collapsed.sum()),
        "closeness_limit": how_close.limit,
        "aliases": carried.aliases,
        "ids_kept": carried.kept,
        "ids_new": carried.new,
        "ids_merged": carried.merged,
        "ids_split": carried.split,
        "ids_vanished": carried.vanished,
    }
