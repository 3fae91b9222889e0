"""The seed's tables of photos of the runway and the street, the Parquet beside them, and their card."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.exports.fashion_tables import LOOKS_SCHEMA, FashionTablesExport, export_fashion_tables, in_order
from tasks.exports.owned import OwnedFolder
from tasks.schema.errors import StoreError
from tasks.schema.fashion import CATEGORIES, GARMENTS, GROUPED_SCHEMA, PREDICTED_SCHEMA
from tasks.shards.files import LocalFiles


def photo(name: str, side: str = "street", garments: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """A row of the groups shard."""
    row: dict[str, Any] = dict.fromkeys(GROUPED_SCHEMA.names)
    row |= {"sample_id": f"s/{name}", "source_uri": f"coco://s/train/{name}", "licence": "CC|0", "source": side}
    row |= {"original_dataset": "ModaNet, 2018", "image_path": f"train/{name}", "garments": garments}
    row |= {"width": 4, "height": 6, "sha256": "0" * 64, "phash": 1 << 63, "group_id": name, "fold": "train"}
    return row | ({"category": "other"} if garments is not None else {}) | more


def prediction(sample_id: str, category: str = "dress", classifier: str = "c" * 64) -> dict[str, Any]:
    row: dict[str, Any] = {"sample_id": sample_id, "parent_id": None, "source_uri": "", "licence": ""}
    row |= {"pred_category": category, "confidence": 0.75, "abstained": False, "classifier": classifier}
    return row | {"category_probabilities": [0.125] * 7 + [None], "garment_probabilities": [0.5] * len(GARMENTS)}


def shard(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


PHOTOS = [
    photo("b.jpg", garments=["dress", "bag"], category="dress", split="train", author="ann"),
    photo("a.jpg", side="runway", designer="x", season="s"),
    photo('ü "q", x.jpg', garments=[], category="other"),
    photo("c.jpg", garments=["top"], image_path="train/c.jpg"),
    photo("c2.jpg", image_path="valid/c.jpg", garments=["bag"], category="bag", fold="test"),
]
IDS = {
    "s/b.jpg": "street_0002",
    "s/a.jpg": "runway_0001",
    's/ü "q", x.jpg': "street_10000",
    "s/c.jpg": "street_9999",
    "s/c2.jpg": "street_0003",
    "s/of_another_build": "street_0001",
}


def export(folder: Path, *, features: bool = True, **changed: Any) -> FashionTablesExport:
    index = folder / "index.csv"
    index.write_text("image_id,feature_row\nrunway_0001,0\nstreet_0002,1\nstreet_9999,2\nstreet_10000,3\n")
    first = [prediction("s/c.jpg", "top+bottom"), prediction("s/a.jpg"), prediction("s/a copy of a.jpg")]
    given: dict[str, Any] = {
        "groups": shard(folder / "groups.parquet", GROUPED_SCHEMA, PHOTOS),
        "predicted": [
            shard(folder / "one.parquet", PREDICTED_SCHEMA, first),
            shard(folder / "two.parquet", PREDICTED_SCHEMA, [prediction("s/b.jpg"), prediction("s/c2.jpg")]),
        ],
        "image_ids": IDS,
        "feature_index": index if features else None,
        "folder": folder / "out",
    }
    return export_fashion_tables(**{**given, **changed}, title="Runway | street")


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_the_seeds_tables(tmp_path: Path) -> None:
    done = export(tmp_path)
    assert (done.tables.photos, done.tables.labelled, done.tables.predicted) == ({"runway": 1, "street": 4}, 4, 4)
    assert rows(tmp_path / "out/data/master_metadata_initial.csv") == [
        ["image_id", "source", "original_dataset", "image_path"],
        ["runway_0001", "runway", "ModaNet, 2018", "train/a.jpg"],
        ["street_0002", "street", "ModaNet, 2018", "train/b.jpg"],
        ["street_0003", "street", "ModaNet, 2018", "valid/c.jpg"],
        ["street_9999", "street", "ModaNet, 2018", "train/c.jpg"],
        ["street_10000", "street", "ModaNet, 2018", 'train/ü "q", x.jpg'],
    ]
    assert rows(tmp_path / "out/data/modanet_labels.csv") == [
        ["image_filename", "modanet_categories", "coarse_category"],
        ["b.jpg", "dress, bag", "dress"],
        ["valid/c.jpg", "bag", "bag"],
        ["train/c.jpg", "top", "other"],
        ['ü "q", x.jpg', "", "other"],
    ]
    assert rows(tmp_path / "out/data/master_metadata_with_category.csv") == [
        ["image_id", "source", "original_dataset", "image_path", "feature_row", "pred_category"],
        ["runway_0001", "runway", "ModaNet, 2018", "train/a.jpg", "0", "dress"],
        ["street_0002", "street", "ModaNet, 2018", "train/b.jpg", "1", "dress"],
        ["street_9999", "street", "ModaNet, 2018", "train/c.jpg", "2", "top+bottom"],
    ]


def test_the_parquet_has_every_column(tmp_path: Path) -> None:
    export(tmp_path)
    table = pq.read_table(tmp_path / "out/looks/train-00000.parquet", partitioning=None)
    assert table.schema.equals(LOOKS_SCHEMA)
    assert table.schema.metadata == LOOKS_SCHEMA.metadata
    wanted = ["runway_0001", "street_0002", "street_0003", "street_9999", "street_10000"]
    assert table["image_id"].to_pylist() == wanted
    runway, street, unseen, *_ = table.to_pylist()
    assert (runway["designer"], runway["garments"], runway["phash"]) == ("x", None, 1 << 63)
    assert (street["garments"], street["author"], street["feature_row"]) == (["dress", "bag"], "ann", 1)
    assert street["category_probabilities"] == [0.125] * 7 + [None]
    assert (unseen["feature_row"], unseen["pred_category"], unseen["fold"]) == (None, "dress", "test")


@pytest.mark.slow
def test_datasets_reads_the_folder(tmp_path: Path) -> None:
    from datasets import load_dataset

    export(tmp_path)
    loaded = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == LOOKS_SCHEMA.names
    assert loaded[1]["garments"] == ["dress", "bag"]


def test_the_seeds_snippet_runs(tmp_path: Path) -> None:
    """The seed's own lines, `DATA_DIR` apart."""
    export(tmp_path)
    DATA_DIR = tmp_path / "out" / "data"  # noqa: N806
    (DATA_DIR / "image_features_index.csv").write_bytes((tmp_path / "index.csv").read_bytes())
    np.save(DATA_DIR / "image_features_resnet50.npy", np.zeros((4, 2048), np.float32))
    meta = pd.read_csv(DATA_DIR / "master_metadata_initial.csv")
    features = np.load(DATA_DIR / "image_features_resnet50.npy")
    index_df = pd.read_csv(DATA_DIR / "image_features_index.csv")
    merged = meta.merge(index_df, on="image_id", how="inner")
    row = merged.sample(1, random_state=0).iloc[0]
    assert row["image_path"].startswith("train/")
    assert row.get("pred_category", "<not yet computed>") == "<not yet computed>"
    assert features[merged["feature_row"]].shape == (4, 2048)


def test_equal_builds_give_equal_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    first = export(tmp_path)
    assert (first.change.written, first.change.kept) == (5, 0)
    again = export(
        tmp_path,
        groups=shard(tmp_path / "again.parquet", GROUPED_SCHEMA, PHOTOS[::-1]),
        image_ids=dict(reversed(IDS.items())),
    )
    assert (again.change.written, again.change.kept, again.change.removed) == (0, 5, 0)


def test_what_was_not_made_is_not_there(tmp_path: Path) -> None:
    export(tmp_path)
    done = export(tmp_path, predicted=[], features=False)
    assert done.tables.predicted is None
    assert not (tmp_path / "out/data/master_metadata_with_category.csv").exists()
    (table,) = [pq.read_table(path, partitioning=None) for path in (tmp_path / "out/looks").iterdir()]
    assert table["pred_category"].null_count == table["feature_row"].null_count == len(PHOTOS)
    assert "There are none." in (tmp_path / "out/README.md").read_text()


def test_no_photo_at_all(tmp_path: Path) -> None:
    done = export(tmp_path, groups=shard(tmp_path / "none.parquet", GROUPED_SCHEMA, []))
    assert done.tables.photos == {"runway": 0, "street": 0}
    assert pq.read_table(tmp_path / "out/looks/train-00000.parquet", partitioning=None).schema.equals(LOOKS_SCHEMA)
    assert len(rows(tmp_path / "out/data/master_metadata_with_category.csv")) == 1
    assert "**Empty**" in (tmp_path / "out/README.md").read_text()


def test_files_are_cut_by_rows(tmp_path: Path) -> None:
    from tasks.exports import fashion_tables

    groups = shard(tmp_path / "groups.parquet", GROUPED_SCHEMA, PHOTOS)
    with OwnedFolder(tmp_path / "out", LocalFiles()) as out:
        fashion_tables.write_fashion_tables(out, LocalFiles(), groups, [], IDS, None, title="T", file_rows=2)
        out.finish()
    paths = sorted((tmp_path / "out/looks").iterdir())
    assert [pq.read_metadata(path).num_rows for path in paths] == [2, 2, 1]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    twice = [prediction("s/b.jpg"), prediction("s/b.jpg", "bag")]
    several = [prediction("s/b.jpg"), prediction("s/a.jpg", classifier="d")]
    index = tmp_path / "twice.csv"
    index.write_text("image_id,feature_row\nstreet_0002,0\nstreet_0002,1\n")
    for changed, message in (
        ({"image_ids": {"s/b.jpg": "street_0001"}}, "4 photos have no image id"),
        ({"predicted": [shard(tmp_path / "x.parquet", PREDICTED_SCHEMA, twice)]}, "1 photos were predicted twice"),
        ({"predicted": [shard(tmp_path / "y.parquet", PREDICTED_SCHEMA, several)]}, "of 2 classifiers"),
        ({"groups": shard(tmp_path / "z.parquet", PREDICTED_SCHEMA, several)}, "no shard of group_id, fold"),
        ({"feature_index": index}, "share an image id"),
    ):
        with pytest.raises(StoreError, match=message):
            export(tmp_path, **changed)
    assert not (tmp_path / "out/data").exists()


def test_the_card_says_what_came_from_a_classifier(tmp_path: Path) -> None:
    export(tmp_path)
    card = (tmp_path / "out/README.md").read_text()
    assert "all probabilities come from a classifier" in card
    assert "5 photos of clothes, 1 of the runway and 4 of the street: 4 labelled by people, 4 with a category" in card
    assert "| street | ModaNet, 2018 | CC\\|0 | 4 |" in card
    assert "| bag | 0 | 1 |" in card
    assert "| none | 1 | 0 |" in card
    assert all(category in card for category in CATEGORIES)


def test_order_is_by_number_not_by_letters() -> None:
    given = {"a": "street_10000", "b": "street_9999", "c": "runway_0002"}
    assert in_order(given) == ["c", "b", "a"]
