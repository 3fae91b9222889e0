"""The stage that says what every photo is taken for."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.fashion.classifier_file import Classifier, Heads, from_bytes
from tasks.schema.errors import ModelError
from tasks.schema.fashion import CATEGORIES, PREDICTED_SCHEMA
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import StageOfWhole, StageOutput, Whole


class PredictConfig(Frozen):
    """Nothing is left to decide: the classifier brings its threshold."""


@dataclass(frozen=True)
class PredictLooks(StageOfWhole):
    """Embeddings with their categories and garments; whole input: the classifier, a shard of `CLASSIFIER_SCHEMA`.

    A row's numbers do not depend on the rows beside it. Rejects embeddings that are not finite.
    """

    config: PredictConfig

    name: ClassVar[str] = "predict"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1024

    @property
    def schema(self) -> pa.Schema:
        return PREDICTED_SCHEMA

    def execution(self) -> dict[str, str]:
        return {"precision": "float64"}

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        if len(whole) != 1:
            raise TypeError(f"{self.name} wants the classifier as its whole input, got {len(whole)} inputs")
        (model,) = whole[0].table(("model",))["model"].to_pylist()
        classifier, digest = from_bytes(model), sha256(model).hexdigest()
        heads = Heads.of(classifier)
        for batch in batches:
            yield predicted(batch, classifier, heads, digest)


def predicted(batch: pa.RecordBatch, classifier: Classifier, heads: Heads, digest: str) -> StageOutput:
    """What photos are taken for.

    Args:
        batch: rows of `embedded_schema`.
        classifier: whose `heads` as arrays are given too.
        digest: of the classifier's bytes.
    Raises:
        ModelError: the embeddings are of another model than those that the classifier learned from.
    """
    embeddings = checked_embeddings(batch, classifier.embedder, heads.width)
    finite = np.isfinite(embeddings).all(axis=1)
    category, garment = (each.astype(np.float32) for each in heads.probabilities(embeddings[finite]))
    best = np.nanargmax(category, axis=1) if len(category) else np.zeros(0, np.int64)
    confidence = category[np.arange(len(best)), best]
    threshold = classifier.abstain_below
    abstained = np.ones(len(best), np.bool_) if threshold is None else confidence.astype(np.float64) < threshold
    kept = batch.filter(pa.array(finite))
    rows = [kept[name] for name in ("sample_id", "parent_id", "source_uri", "licence")]
    said = [
        pa.array(CATEGORIES, pa.string()).take(pa.array(best)),
        pa.array(confidence),
        pa.array(abstained),
        _lists(category),
        _lists(garment),
        pa.array([digest] * len(best), pa.string()),
    ]
    detail = "Its embedding has numbers that are not finite: the model cannot say what it shows."
    rejected = tuple(
        Rejection(row["sample_id"], Reason.EMBEDDING_NOT_FINITE, detail, None, row["source_uri"])
        for row in batch.select(["sample_id", "source_uri"]).filter(pa.array(~finite)).to_pylist()
    )
    return StageOutput(pa.RecordBatch.from_arrays([*rows, *said], names=PREDICTED_SCHEMA.names), rejected)


def checked_embeddings(batch: pa.RecordBatch, embedder: str, width: int) -> NDArray[np.float32]:
    """The embeddings of rows of `embedded_schema`, (N, D).

    Raises:
        ModelError: they are of another model than `embedder`, or not `width` numbers.
    """
    others = sorted(set(pc.unique(batch["embedder"]).to_pylist()) - {embedder})
    found = batch.schema.field("embedding").type.list_size
    if others:
        raise ModelError(
            f"The embeddings are of {others[0]}, the classifier is of {embedder}: use the classifier of this build's "
            "own embeddings, or embed the photos with that model."
        )
    if found != width:
        raise ModelError(f"The embeddings have {found} numbers, and {embedder} gives {width}: embed all photos anew.")
    flat: NDArray[np.float32] = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, width)


def _lists(probabilities: NDArray[np.float32]) -> pa.Array:
    """Rows of numbers, null where they are NaN."""
    flat = pa.array(probabilities.ravel(), mask=np.isnan(probabilities).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, probabilities.shape[1])
