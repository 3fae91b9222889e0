"""The seed's arrays: in the order of the photos, mapped, and left alone where they are right."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tasks.exports.fashion_features import features_file, write_features
from tasks.exports.owned import OwnedFolder
from tasks.schema.columns import shard_schema
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.fashion import embedded_schema
from tasks.shards.files import LocalFiles
from tests.exports.pose_shards import write_shard

MODEL = "resnet50-tv-in1k@" + "0" * 64


def shard(path: Path, samples: list[int], width: int = 4, embedder: str = MODEL) -> Path:
    rows = [
        {"sample_id": f"s{n}", "parent_id": None, "source_uri": f"s{n}.jpg", "licence": "CC0-1.0"}
        | {"embedding": [n + each / 8 for each in range(width)], "embedder": embedder}
        for n in samples
    ]
    return write_shard(path, rows, embedded_schema(width))


def photos(samples: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"sample_id": [f"s{n}" for n in samples], "image_id": [f"street_{n:04d}" for n in samples]})


def export(folder: Path, embedded: list[Path], wanted: pl.DataFrame):
    files = LocalFiles()
    with OwnedFolder(folder, files) as out:
        written = write_features(out, embedded, wanted, files)
        return written, out.finish()


def test_the_seeds_snippet_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.exports.fashion_features._BLOCK_ROWS", 2)
    embedded = [shard(tmp_path / "1.parquet", [5, 1, 8, 3]), shard(tmp_path / "2.parquet", [2, 9])]
    written, _ = export(tmp_path / "out", embedded, photos([1, 2, 3, 4, 5, 8]))
    assert (written.photos, written.missing, written.width, written.embedder) == (5, 1, 4, MODEL)
    data = tmp_path / "out" / "data"
    features = np.load(data / "image_features_resnet50.npy")
    index = pd.read_csv(data / "image_features_index.csv")
    assert features.dtype == np.float32
    assert list(index.columns) == ["image_id", "feature_row"]
    assert index["image_id"].tolist() == [f"street_{n:04d}" for n in (1, 2, 3, 5, 8)]
    assert index["feature_row"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(features, [[n + each / 8 for each in range(4)] for n in (1, 2, 3, 5, 8)])
    assert np.load(data / "image_features_resnet50.npy", mmap_mode="r").shape == (5, 4)


def test_an_equal_export_is_left_untouched_and_another_order_is_not(tmp_path):
    embedded = [shard(tmp_path / "1.parquet", [1, 2, 3])]
    _, first = export(tmp_path / "out", embedded, photos([1, 2, 3]))
    made = (tmp_path / "out/data/image_features_resnet50.npy").stat()
    _, again = export(tmp_path / "out", embedded, photos([1, 2, 3]))
    assert (first.written, again.written, again.kept) == (2, 0, 2)
    assert (tmp_path / "out/data/image_features_resnet50.npy").stat().st_mtime_ns == made.st_mtime_ns
    _, turned = export(tmp_path / "out", embedded, photos([3, 2, 1]))
    assert turned.written == 2


def test_no_photo_gives_empty_files(tmp_path):
    written, _ = export(tmp_path / "out", [shard(tmp_path / "1.parquet", [])], photos([1]))
    assert (written.photos, written.missing) == (0, 1)
    assert np.load(tmp_path / "out" / written.features).shape == (0, 4)


@pytest.mark.parametrize(
    ("embedder", "name"),
    [
        (MODEL, "image_features_resnet50.npy"),
        ("timm-resnet50.a1_in1k@0", "image_features_resnet50.npy"),
        ("timm-resnet18@0", "image_features_timm-resnet18.npy"),
        ("open_clip-vit-b-32@0", "image_features_open_clip-vit-b-32.npy"),
    ],
)
def test_the_file_is_named_after_the_model(embedder, name):
    assert features_file(embedder) == f"data/{name}"


def test_what_does_not_fit_is_refused(tmp_path):
    good = shard(tmp_path / "1.parquet", [1, 2])
    other = shard(tmp_path / "2.parquet", [3], embedder="resnet50-tv-in1k@" + "1" * 64)
    none = write_shard(tmp_path / "3.parquet", [], shard_schema())
    for embedded, error, said in (
        ([], ConfigError, "no embeddings"),
        ([good, other], ConfigError, "different models"),
        ([good, good], StoreError, "2 photos have two embeddings"),
        ([none], StoreError, "no shard of embeddings"),
    ):
        with pytest.raises(error, match=said):
            export(tmp_path / "out", embedded, photos([1]))
    with pytest.raises(ConfigError, match="is there twice"):
        export(tmp_path / "out", [good], photos([1, 1]))
    assert not (tmp_path / "out" / "data").exists()


def test_memory_does_not_grow_with_the_photos(tmp_path, monkeypatch):
    """Of 8 MB of embeddings a sixteenth is held at once."""
    import tracemalloc

    monkeypatch.setattr("tasks.exports.fashion_features._BLOCK_ROWS", 64)
    embedded = [shard(tmp_path / "0.parquet", list(range(1000)), width=2048)]
    wanted = photos(list(range(1000)))
    tracemalloc.start()
    export(tmp_path / "out", embedded, wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6
