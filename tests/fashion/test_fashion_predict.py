"""What photos are taken for."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.fashion.classifier_file import Classifier, Heads, to_bytes
from tasks.fashion.predict import PredictConfig, PredictLooks
from tasks.schema.errors import ModelError
from tasks.schema.fashion import CATEGORIES, CLASSIFIER_SCHEMA, embedded_schema
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.fashion.planted import WIDTH, classifier_of, planted
from tests.poses.sample_shards import given


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return classifier_of(3)


def rows_of(count: int, **columns: Any) -> list[dict[str, Any]]:
    embeddings = planted(count, shares=(1, 1, 1), seed=5).labelled.embeddings.tolist()
    columns = {"source_uri": "", "licence": "", "embedder": "planted"} | columns
    return [{"sample_id": f"s{n}", "embedding": each} | columns for n, each in enumerate(embeddings)]


def predict(rows: list[dict[str, Any]], classifier: Classifier, store: Store, width: int = WIDTH) -> tuple[Any, Any]:
    row = {"sample_id": "classifier", "source_uri": "", "licence": "", "model": to_bytes(classifier)}
    whole = Derivation(given("classifier", CLASSIFIER_SCHEMA, [row | {"embedder": "", "report": "{}"}]))
    embed = Derivation(given("embed", embedded_schema(width), rows))
    record = realise(Derivation(PredictLooks(PredictConfig()), (embed,), whole=(whole,)), store).record
    return pq.read_table(store.data_path(record)).to_pylist(), record


def test_every_photo_has_its_category(classifier: Classifier, tmp_path: Path) -> None:
    made, _ = predict(rows_of(60), classifier, Store(tmp_path))
    truth = planted(60, shares=(1, 1, 1), seed=5).labelled.category
    assert np.mean([CATEGORIES.index(row["pred_category"]) for row in made] == truth) > 0.8
    for row in made:
        known = row["category_probabilities"][:3]
        assert row["category_probabilities"][3:] == [None] * 5
        assert sum(known) == pytest.approx(1)
        assert row["confidence"] == max(known) == known[CATEGORIES.index(row["pred_category"])]
        assert row["abstained"] == (row["confidence"] < classifier.abstain_below)
    assert {row["abstained"] for row in made} == {True, False}
    assert len({row["classifier"] for row in made}) == 1


def test_a_row_does_not_depend_on_its_neighbours(classifier: Classifier) -> None:
    heads = Heads.of(classifier)
    embeddings = planted(70, seed=2).labelled.embeddings
    together = heads.probabilities(embeddings)
    for some in (slice(0, 1), slice(5, 12), slice(None, None, -1)):
        alone = heads.probabilities(embeddings[some])
        assert all(np.array_equal(a, b[some], equal_nan=True) for a, b in zip(alone, together, strict=True))


def test_without_a_threshold_all_are_not_known(classifier: Classifier, tmp_path: Path) -> None:
    never = Classifier(classifier.embedder, classifier.category, {}, None)
    made, _ = predict(rows_of(5), never, Store(tmp_path))
    assert all(row["abstained"] for row in made)
    assert made[0]["garment_probabilities"] == [None] * 13


def test_an_embedding_that_is_not_finite_costs_one_row(classifier: Classifier, tmp_path: Path) -> None:
    rows = rows_of(5)
    rows[2]["embedding"][0] = float("nan")
    made, record = predict(rows, classifier, Store(tmp_path))
    assert [row["sample_id"] for row in made] == ["s0", "s1", "s3", "s4"]
    assert record.rejected == {"embedding_not_finite": 1}


def test_embeddings_of_another_model_are_refused(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are of another, the classifier is of planted"):
        predict(rows_of(3, embedder="another"), classifier, Store(tmp_path))
    with pytest.raises(ModelError, match="have 4 numbers"):
        predict(rows_of(3, embedding=[0.0] * 4), classifier, Store(tmp_path), width=4)
