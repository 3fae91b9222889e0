"""The stage that learns what people wear from labelled street photos."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.fashion.classifier_file import Classifier, to_bytes
from tasks.fashion.classifier_report import ClassifierReport, Counts, measured, threshold_of
from tasks.fashion.groups import TEST
from tasks.fashion.predict import checked_embeddings
from tasks.fashion.training import ClassifierConfig, Head, Labelled, Learned, learn
from tasks.identity.split import share_of
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.fashion import CATEGORIES, CLASSIFIER_SCHEMA, GARMENTS, STREET
from tasks.shards.stage import StageOfWhole, StageOutput, Whole

SAMPLE_ID: Final = "classifier"
_FACTS: Final = {"accuracy", "majority_accuracy", "categories_not_learned", "garments_not_learned", "notes"}


@dataclass(frozen=True)
class LearnClassifier(StageOfWhole):
    """One row: a classifier of the embeddings of labelled street photos, and its report.

    No primary rows. Whole inputs: the groups shard, then all embed shards. It learns from the train fold and is
    measured on the test fold. Facts: `accuracy`, `majority_accuracy`, what was not learned and `notes` of the report.
    """

    config: ClassifierConfig

    name: ClassVar[str] = "classifier"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return CLASSIFIER_SCHEMA

    def execution(self) -> dict[str, str]:
        return {"precision": "float64", **{name: version(name) for name in ("scikit-learn", "skops")}}

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:  # noqa: ARG002
        if len(whole) < 2:
            raise TypeError(f"{self.name} wants the groups and the embeddings, got {len(whole)} whole inputs")
        embedder, licence, labelled, counts = read_labelled(whole[0], whole[1:], self.config)
        classifier, report = learned_classifier(labelled, embedder, counts, self.config)
        row = {
            "sample_id": SAMPLE_ID,
            "parent_id": None,
            "source_uri": "",
            "licence": licence,
            "model": to_bytes(classifier),
            "embedder": embedder,
            "report": report.model_dump_json(),
        }
        facts = report.model_dump(mode="json", include=_FACTS)
        yield StageOutput(pa.Table.from_pylist([row], schema=CLASSIFIER_SCHEMA), facts=facts)


def learned_classifier(
    labelled: Labelled, embedder: str, counts: Counts, config: ClassifierConfig
) -> tuple[Classifier, ClassifierReport]:
    """A classifier and what was measured of it.

    Raises:
        ConfigError: there is too little to learn from.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        learned = learn(labelled.of(~labelled.test), config)
        threshold = threshold_of(learned.category, config.wanted_accuracy)
        report = measured(labelled, learned, threshold, embedder, counts, config)
        return _calibrated(learned, embedder, threshold), report


def _calibrated(learned: Learned, embedder: str, threshold: float | None) -> Classifier:
    """Pipelines whose heads hold their calibration: what is linear stays so."""
    from sklearn.pipeline import Pipeline

    def pipeline(head: Head) -> Pipeline:
        model, calibration = copy(head.model), head.calibration
        shift = calibration.shift if len(model.classes_) > 2 else calibration.shift[1:] - calibration.shift[:1]
        model.coef_ = calibration.slope * model.coef_
        model.intercept_ = calibration.slope * model.intercept_ + shift
        return Pipeline([("standardise", learned.scaler), ("classify", model)])

    garments = {name: pipeline(head) for name, head in learned.garments.items()}
    return Classifier(embedder, pipeline(learned.category), garments, threshold)


def read_labelled(
    groups: Whole, embeds: Sequence[Whole], config: ClassifierConfig
) -> tuple[str, str, Labelled, Counts]:
    """The labelled street photos that have embeddings, in the order of the groups shard; no others are held in memory.

    Returns:
        the embedder, the licences, the photos, and their numbers.
    Raises:
        ConfigError: there is none.
        ModelError: embeddings of several models, or with numbers that are not finite.
    """
    columns = ("sample_id", "licence", "source", "garments", "category", "group_id", "fold")
    tables = [_street(batch) for batch in groups.batches(columns)]
    photos = pa.concat_tables(tables).combine_chunks() if tables else None
    if photos is None or not len(photos):
        raise ConfigError(
            "No street photo has annotations, so there is nothing to learn from: add a street source that has them."
        )
    drawn = _drawn(photos["group_id"].to_pylist(), config)
    used = photos.filter(pa.array(drawn))
    embedder, embeddings, found = _embeddings(used["sample_id"].combine_chunks(), embeds)
    used, embeddings = used.filter(pa.array(found)), embeddings[found]
    _, group = np.unique(used["group_id"].to_numpy(), return_inverse=True)
    labelled = Labelled(
        embeddings,
        _places(used["category"], CATEGORIES),
        _garments(used["garments"]),
        group.astype(np.int64),
        pc.equal(used["fold"], TEST).to_numpy(),
    )
    test = labelled.test
    counts = Counts(
        labelled=len(photos),
        over_limit=int((~drawn).sum()),
        without_embedding=int((~found).sum()),
        train=int((~test).sum()),
        train_groups=len(np.unique(labelled.group[~test])),
        test=int(test.sum()),
        test_groups=len(np.unique(labelled.group[test])),
    )
    licence = "; ".join(sorted({each for each in pc.unique(used["licence"]).to_pylist() if each}))
    return embedder, licence, labelled, counts


def _street(batch: pa.RecordBatch) -> pa.Table:
    wanted = pc.and_(pc.equal(batch["source"], STREET), pc.is_valid(batch["garments"]))
    return pa.Table.from_batches([batch.filter(wanted)])


def _drawn(groups: Sequence[str], config: ClassifierConfig) -> NDArray[np.bool_]:
    """Which photos are used, (N,): whole groups, drawn by the seed, as many as there is room for."""
    if len(groups) <= config.max_photos:
        return np.ones(len(groups), np.bool_)
    names, which, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    place = [share_of(str(name), f"draw {config.seed}") for name in names]
    used, room = np.zeros(len(names), np.bool_), config.max_photos
    for number in np.argsort(place):
        if counts[number] <= room:
            used[number] = True
            room -= int(counts[number])
    return used[which]


def _embeddings(wanted: pa.Array, embeds: Sequence[Whole]) -> tuple[str, NDArray[np.float32], NDArray[np.bool_]]:
    """The embedder, the embeddings of the wanted photos, (N, D), and which of them there are, (N,)."""
    width = pq.read_schema(embeds[0].path).field("embedding").type.list_size
    embeddings = np.zeros((len(wanted), width), np.float32)
    found = np.zeros(len(wanted), np.bool_)
    embedder = ""
    for embed in embeds:
        for batch in embed.batches(("sample_id", "embedding", "embedder"), 1024):
            place = pc.index_in(batch["sample_id"], value_set=wanted)
            embedder = embedder or batch["embedder"][0].as_py()
            some = batch.filter(pc.is_valid(place))
            rows = place.drop_null().to_numpy().astype(np.int64)
            embeddings[rows] = checked_embeddings(some, embedder, width)
            found[rows] = True
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(broken):
        raise ModelError(
            f"The embedding of {wanted[int(broken[0])].as_py()} and {len(broken) - 1} more have numbers that are not "
            "finite: embed the photos anew, with a model whose weights are whole."
        )
    return embedder, embeddings, found


def _places(values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int64]:
    """Places of values in a list of names."""
    places: NDArray[np.int64] = pc.index_in(values, value_set=pa.array(names)).to_numpy().astype(np.int64)
    return places


def _garments(lists: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which garments each photo has, (N, 13)."""
    there = np.zeros((len(lists), len(GARMENTS)), np.bool_)
    rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    there[rows, _places(pc.list_flatten(lists), GARMENTS)] = True
    return there
