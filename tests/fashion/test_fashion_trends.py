"""From groups, verdicts and predictions to rows of trends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.fashion.intervals import benjamini_hochberg, newcombe, score_test, wilson
from tasks.fashion.photos import auditable
from tasks.fashion.trends import NOT_LEARNED, TrendConfig
from tasks.schema.errors import ConfigError
from tasks.schema.fashion import CATEGORIES, GARMENTS, GROUPED_SCHEMA, TREND_SCHEMA
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tests.fashion.trend_photos import Look, looks, trends_of, verdicts_on

Rows = list[dict[str, Any]]
Made = tuple[Rows, dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Made]:
    store = Store(tmp_path / "store")

    def made(*args: Any, **options: Any) -> Made:
        record = realise(trends_of(*args, **options), store).record
        table = pq.read_table(store.data_path(record))
        assert table.schema.equals(TREND_SCHEMA)
        return table.to_pylist(), record.facts

    return made


def named(rows: Rows, label: str, kind: str = "garment", scope: str = "all", estimate: str = "uncorrected") -> Any:
    (row,) = (r for r in rows if (r["kind"], r["label"], r["scope"], r["estimate"]) == (kind, label, scope, estimate))
    return row


def street(count: int, **more: Any) -> list[Look]:
    return looks("street", count, {"dress": 0.2, "top": 0.6, "pants": 0.5}, np.random.default_rng(2), **more)


def runway(count: int, **more: Any) -> list[Look]:
    return looks("runway", count, {"dress": 0.6, "top": 0.2, "skirt": 0.2}, np.random.default_rng(1), **more)


def test_shares_are_counted_as_anybody_would(run: Callable[..., Made]) -> None:
    photos = runway(160) + street(120)
    for each in photos:
        each.designer = None
    rows, facts = run(photos)
    assert len(rows) == (len(GARMENTS) + len(CATEGORIES)) * 3
    assert len({row["sample_id"] for row in rows}) == len(rows)
    dress = named(rows, "dress")
    hits = [sum("dress" in p.said for p in photos if p.source == side) for side in ("runway", "street")]
    a, b = hits[0] / 160, hits[1] / 120
    assert (dress["runway_n"], dress["street_n"]) == (160, 120)
    assert (dress["runway_share"], dress["street_share"]) == (pytest.approx(a), pytest.approx(b))
    assert (dress["runway_low"], dress["runway_high"]) == pytest.approx([float(end) for end in wilson(a, 160)])
    gap = newcombe(a, wilson(a, 160), b, wilson(b, 120))
    assert (dress["difference_low"], dress["difference_high"]) == pytest.approx([float(end) for end in gap])
    assert dress["p_value"] == pytest.approx(score_test(a, 160, b, 120))
    for kind in ("garment", "category"):
        mine = [row for row in rows if row["kind"] == kind and row["scope"] == "all"]
        assert [row["q_value"] for row in mine] == pytest.approx(benjamini_hochberg([r["p_value"] for r in mine]))
    assert sum(row["runway_share"] for row in rows if row["kind"] == "category" and row["scope"] == "all") == (
        pytest.approx(1)
    )
    assert facts["runway_clusters"] == 160
    assert {row["estimate"] for row in rows} == {"uncorrected"}
    assert {row["note"] for row in rows if row["scope"] == "all"} == {None}


def test_shows_are_clusters_and_scopes(run: Callable[..., Made]) -> None:
    rows, facts = run(runway(448) + street(60))
    assert facts["runway_clusters"] == 14
    assert {row["scope"] for row in rows} == {
        "all", *(f"designer=designer {i}" for i in range(7)), "season=season 0", "season=season 1",
    }  # fmt: skip
    one = named(rows, "dress", scope="designer=designer 3")
    assert one["runway_n"] == 64
    assert one["runway_share"] is not None
    assert one["runway_low"] is one["p_value"] is one["q_value"] is None
    assert one["difference"] is not None
    assert "needs photos of 6 shows or groups, these are of 2" in one["note"]
    season = named(rows, "dress", scope="season=season 0")
    assert season["q_value"] is not None
    assert season["street_share"] == named(rows, "dress")["street_share"]
    alone, _ = run(runway(448) + street(60), config=TrendConfig(by_designer=False, by_season=False))
    assert {row["scope"] for row in alone} == {"all"}


def test_too_few_photos_are_told(run: Callable[..., Made]) -> None:
    rows, _ = run(runway(29) + street(60))
    row = named(rows, "dress")
    assert row["runway_n"] == 29
    assert row["runway_share"] is row["difference"] is row["q_value"] is None
    assert row["street_share"] is not None
    assert row["note"] == "runway: 29 photos, 30 are needed"
    rows, facts = run([])
    assert facts["photos"] == 0
    assert {row["note"] for row in rows} == {"runway: 0 photos, 30 are needed; street: 0 photos, 30 are needed"}


def test_labels_that_were_not_learned_have_no_numbers(run: Callable[..., Made]) -> None:
    photos = runway(80) + street(80)
    belt, bag = GARMENTS.index("belt"), CATEGORIES.index("bag")
    for photo in photos:
        said = photo.prediction
        said["garment_probabilities"][belt] = said["category_probabilities"][bag] = None
        photo.extra = said
    rows, _ = run(photos)
    for row in (named(rows, "belt"), named(rows, "bag", kind="category")):
        assert row["note"] == NOT_LEARNED
        assert row["runway_share"] is row["street_share"] is row["p_value"] is None
    assert named(rows, "bag")["note"] is None
    rows, _ = run(photos, verdicts_on(photos, np.arange(160)))
    assert named(rows, "belt", estimate="powered")["runway_share"] == 0


def test_classifiers_are_not_mixed(run: Callable[..., Made]) -> None:
    photos = runway(40) + street(40)
    photos[3].extra = {"classifier": "d" * 64}
    with pytest.raises(ConfigError, match=r"2 classifiers .*Predict all photos with one"):
        run(photos)


def test_photos_without_prediction_and_those_learned_from_are_counted(run: Callable[..., Made]) -> None:
    photos = runway(64) + street(50, annotated=True, fold="train")
    photos += [Look(f"held/{i}", "street", ("top",), ("dress",), annotated=True, fold="test") for i in range(40)]
    photos[0].predicted = False
    groups = pa.Table.from_pylist([each.grouped for each in photos], schema=GROUPED_SCHEMA)
    assert auditable(groups, "street") == [f"held/{i}" for i in range(40)]
    assert len(auditable(groups, "runway")) == 64
    rows, facts = run(photos)
    assert (facts["photos"], facts["compared"], facts["learned_from"], facts["not_predicted"]) == (154, 103, 50, 1)
    assert named(rows, "dress")["street_n"] == 40
    assert named(rows, "dress")["street_share"] == 1
    rows, facts = run(photos, config=TrendConfig(leave_out_learned=False))
    assert named(rows, "dress")["street_n"] == 90
    assert facts["street_labelled"] == 40


def test_a_labelled_sample_corrects_the_runway(run: Callable[..., Made]) -> None:
    photos = runway(560, miss=0.5) + street(300, annotated=True, fold="test")
    truth = np.mean(["dress" in each.garments for each in photos[:560]])
    verdicts = verdicts_on(photos, np.random.default_rng(0).permutation(560)[:150])
    rows, facts = run(photos, verdicts)
    wrong, right = named(rows, "dress"), named(rows, "dress", estimate="powered")
    assert wrong["runway_high"] < truth
    assert right["runway_low"] < truth < right["runway_high"]
    assert right["note"] == "runway: 150 photos labelled by verdicts; street: 300 photos labelled by annotations"
    assert (facts["runway_labelled"], facts["street_labelled_by"]) == (150, "annotations")
    assert right["q_value"] is not None
    assert named(rows, "dress", kind="category", estimate="powered")["runway_share"] == right["runway_share"]
    assert "season=season 0" in {row["scope"] for row in rows if row["estimate"] == "powered"}
    assert not {row["scope"] for row in rows if row["estimate"] == "powered"} & {"designer=designer 0"}


def test_one_labelled_side_is_no_comparison(run: Callable[..., Made]) -> None:
    photos = runway(160) + street(80)
    stranger = verdicts_on([Look("gone", "runway", ("top",), ())], np.array([0]))
    rows, facts = run(photos, verdicts_on(photos, np.arange(60)) + stranger)
    row = named(rows, "dress", estimate="powered")
    assert row["runway_share"] is not None
    assert row["street_share"] is row["difference"] is None
    assert row["note"].endswith("street: 0 photos labelled, 50 are needed")
    assert (facts["verdicts"], facts["verdicts_on_no_photo"]) == (61, 1)
    few, _ = run(photos, verdicts_on(photos, np.arange(9)))
    assert named(few, "dress", estimate="powered")["runway_share"] is None


def test_the_shards_of_predictions_do_not_matter(run: Callable[..., Made]) -> None:
    photos = runway(100) + street(90)
    verdicts = verdicts_on(photos, np.arange(0, 190, 3))
    assert run(photos, verdicts, shards=1)[0] == run(photos, verdicts, shards=4)[0]
