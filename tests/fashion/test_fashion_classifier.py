"""What was planted is learned, what was not is not, and what cannot be is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from tasks.fashion.classifier import LearnClassifier, read_labelled
from tasks.fashion.classifier_file import Classifier, Heads, to_bytes
from tasks.fashion.classifier_report import ClassifierReport
from tasks.fashion.training import ClassifierConfig, Labelled
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.fashion import CATEGORIES, GARMENTS, GROUPED_SCHEMA, embedded_schema
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Whole
from tasks.shards.store import Store
from tests.fashion.planted import WIDTH, Planted, learned, planted
from tests.poses.sample_shards import given


@pytest.fixture(scope="module")
def signal() -> Planted:
    return planted(1600)


@pytest.fixture(scope="module")
def made(signal: Planted) -> tuple[Classifier, ClassifierReport]:
    return learned(signal.labelled, wanted_accuracy=0.9)


@pytest.fixture(scope="module")
def report(made: tuple[Classifier, ClassifierReport]) -> ClassifierReport:
    return made[1]


def test_it_comes_within_three_points_of_what_can_be_learned(signal: Planted, report: ClassifierReport) -> None:
    assert report.accuracy is not None
    assert abs(report.accuracy - signal.bayes_accuracy) < 0.03
    assert report.accuracy > (report.majority_accuracy or 1) + 0.3
    assert report.majority == "dress"


def test_probabilities_are_those_that_were_planted(signal: Planted, made: tuple[Classifier, ClassifierReport]) -> None:
    """Within five points in the mean, and much nearer than what balancing the classes left."""
    classifier, report = made
    test = signal.labelled.test
    categories, _ = Heads.of(classifier).probabilities(signal.labelled.embeddings[test])
    assert np.abs(categories[:, :5] - signal.posterior[test]).mean() < 0.05
    assert (report.calibration_error or 1) < 0.6 * (report.calibration_error_uncalibrated or 0)
    assert np.mean([each.calibration_error for each in report.garments]) < 0.05  # type: ignore[arg-type]


def test_the_threshold_keeps_what_is_right_often_enough(report: ClassifierReport) -> None:
    assert report.abstain_below is not None
    assert report.kept_accuracy == pytest.approx(0.9, abs=0.05)
    assert 0.3 < (report.coverage or 0) < 1


def test_garments_are_learned_each_on_its_own(report: ClassifierReport) -> None:
    assert [each.label for each in report.garments] == list(GARMENTS)
    assert min(each.average_precision or 0 for each in report.garments) > 0.95
    assert not report.garments_not_learned


def test_a_category_without_photos_is_said_and_the_others_go_on(report: ClassifierReport) -> None:
    assert set(report.categories_not_learned) == set(CATEGORIES[5:])
    assert report.categories_not_learned["bag"].startswith("0 photos of 0 groups with bag")
    missing = report.categories[5]
    assert not missing.learned
    assert missing.average_precision is missing.precision is None


def test_the_numbers_are_those_of_scikit_learn(report: ClassifierReport) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    counts = np.array(report.confusion)[:5, :5]
    truth, taken = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices(counts.shape))
    assert counts.sum() == report.counts.test
    expected = np.transpose(precision_recall_fscore_support(truth, taken))
    found = [(each.precision, each.recall, each.f1, each.support) for each in report.categories[:5]]
    np.testing.assert_allclose(np.array(found, float), expected, atol=1e-4)


def test_labels_of_noise_give_chance_and_no_confidence() -> None:
    _, report = learned(planted(1200, noise_labels=True, garments=False).labelled)
    assert report.accuracy == pytest.approx(report.majority_accuracy, abs=0.06)
    assert (report.calibration_error or 0) < 0.06
    assert max(each.high for each in report.reliability) <= 0.5
    assert report.abstain_below is None
    assert report.coverage == 0
    assert "every photo counts as not known" in report.notes[-1]


def test_near_duplicates_in_two_folds_would_look_like_knowledge() -> None:
    """Labels of noise, five near-duplicates a picture: photos drawn one by one are known again, groups are not."""
    noise = planted(300, shares=(1, 1), per_group=5, noise_labels=True, garments=False).labelled
    alone = np.arange(len(noise.group))
    ungrouped = Labelled(noise.embeddings, noise.category, noise.garments, alone, alone % 4 == 0)
    assert (learned(ungrouped)[1].accuracy or 0) > 0.7
    assert (learned(noise)[1].accuracy or 1) < 0.62


def test_bytes_do_not_depend_on_threads() -> None:
    labelled = planted(300, shares=(1, 1, 1), garments=False).labelled
    made = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            classifier, report = learned(labelled)
            made.append((to_bytes(classifier), report))
    assert made[0] == made[1]


def test_an_empty_test_fold_is_said() -> None:
    labelled = planted(200, shares=(1, 1), garments=False).labelled
    everything = labelled.of(~labelled.test)
    _, report = learned(everything)
    assert report.accuracy is report.coverage is report.calibration_error is None
    assert any("nothing was measured" in note for note in report.notes)


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        (planted(100, shares=(1,)).labelled, "Fewer than two categories"),
        (planted(100, per_group=100).labelled, "are [01] groups"),
        (planted(6).labelled, "Add annotated street photos|add photos of other authors"),
    ],
)
def test_too_little_to_learn_from_says_what_to_add(labelled: Labelled, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        learned(labelled)


def photos(count: int) -> list[dict[str, Any]]:
    made = planted(count, shares=(1, 1)).labelled
    return [
        {
            "sample_id": f"s{number}",
            "source_uri": "",
            "licence": "cc-by-4.0" if number % 2 else "",
            "source": "street" if number % 10 else "runway",
            "original_dataset": "modanet",
            "image_path": "",
            "garments": [name for name, there in zip(GARMENTS, made.garments[number], strict=True) if there]
            if number % 10 != 1
            else None,
            "category": CATEGORIES[made.category[number]],
            "width": 1,
            "height": 1,
            "sha256": "",
            "phash": 0,
            "group_id": f"g{number // 2}",
            "fold": "test" if number % 8 > 5 else "train",
            "embedding": made.embeddings[number].tolist(),
            "embedder": "planted",
        }
        for number in range(count)
    ]


def wholes(rows: list[dict[str, Any]], embeds: list[list[dict[str, Any]]], store: Store) -> tuple[Whole, ...]:
    schema = embedded_schema(WIDTH)
    shards = [given("groups", GROUPED_SCHEMA, rows), *(given(f"e{n}", schema, each) for n, each in enumerate(embeds))]
    return tuple(Whole(store.data_path(realise(Derivation(shard), store).record)) for shard in shards)


def test_only_labelled_street_photos_with_an_embedding_are_read(tmp_path: Path) -> None:
    rows = photos(100)
    groups, *embeds = wholes(rows, [rows[50:90], rows[:50]], Store(tmp_path))
    embedder, licence, labelled, counts = read_labelled(groups, embeds, ClassifierConfig())
    used = [row for row in rows[:90] if row["source"] == "street" and row["garments"] is not None]
    assert (embedder, licence) == ("planted", "cc-by-4.0")
    np.testing.assert_array_equal(labelled.embeddings, np.array([row["embedding"] for row in used], np.float32))
    assert [CATEGORIES[place] for place in labelled.category] == [row["category"] for row in used]
    garments = [[GARMENTS[place] for place in np.flatnonzero(each)] for each in labelled.garments]
    assert garments == [row["garments"] for row in used]
    assert (counts.labelled, counts.without_embedding, counts.over_limit) == (80, 8, 0)
    assert counts.train + counts.test == 72
    assert labelled.test.tolist() == [row["fold"] == "test" for row in used]


def test_of_too_many_photos_whole_groups_are_drawn(tmp_path: Path) -> None:
    rows = [row | {"source": "street", "garments": ["bag"]} for row in photos(300)]
    groups, *embeds = wholes(rows, [rows], Store(tmp_path))
    config = ClassifierConfig(max_photos=101)
    _, _, labelled, counts = read_labelled(groups, embeds, config)
    assert (len(labelled.group), counts.over_limit) == (100, 200)
    assert set(np.bincount(labelled.group)) == {2}
    _, _, other, _ = read_labelled(groups, embeds, config.model_copy(update={"seed": 1}))
    assert not np.array_equal(labelled.embeddings, other.embeddings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": [float("nan")] * WIDTH}, "s13 .* not finite"),
        ({"embedder": "another"}, "are of another, .* of planted"),
    ],
)
def test_embeddings_that_do_not_fit(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = photos(40)
    groups, *embeds = wholes(rows, [rows[:10], [*rows[10:13], rows[13] | change]], Store(tmp_path))
    with pytest.raises(ModelError, match=message):
        read_labelled(groups, embeds, ClassifierConfig())


def test_no_annotations_at_all(tmp_path: Path) -> None:
    rows = [row | {"garments": None} for row in photos(20)]
    groups, embeds = (Derivation(given(name, schema, rows)) for name, schema in _SCHEMAS.items())
    with pytest.raises(ConfigError, match="No street photo has annotations"):
        realise(Derivation(LearnClassifier(ClassifierConfig()), whole=(groups, embeds)), Store(tmp_path))


_SCHEMAS: dict[str, pa.Schema] = {"groups": GROUPED_SCHEMA, "embeds": embedded_schema(WIDTH)}
