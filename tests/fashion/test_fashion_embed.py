"""The stage `embed`: every photo kept or rejected, and one that is broken costs itself alone."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.fashion.embed import Embed, EmbedConfig
from tasks.fashion.embedder import Embedder, picture_for
from tasks.images.decode import decode_rgb
from tasks.schema.fashion import LABELLED_SCHEMA, LOOK_SCHEMA, embedded_schema
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.fashion.made_weights import batch_of, labelled_row, look_row, photo_row, picture, png, tiny_clip, trusting
from tests.poses.sample_shards import given

CONFIG = EmbedConfig(model="open_clip:tiny-clip", weights="clip.safetensors")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tiny")
    save_file(tiny_clip(folder).state_dict(), folder / "clip.safetensors")
    return Embed(CONFIG, trusting(folder), "cpu", "torch")


def run(stage, *batches):
    outputs = list(stage.process(iter(batches)))
    rows = [row for output in outputs for row in output.kept.to_pylist()]
    return rows, [rejection for output in outputs for rejection in output.rejected]


def test_photos_of_a_shard_are_embedded_and_a_broken_one_costs_itself(stage, tmp_path):
    data = {"a": png(picture(0, 40, 60)), "b": b"\xff\xd8\xff broken", "c": png(picture(1, 50, 33)), "d": b""}
    looks = Derivation(given("looks", LOOK_SCHEMA, [look_row(name, each) for name, each in data.items()]))
    labels = Derivation(given("labels", LABELLED_SCHEMA, [labelled_row(name) for name in data]))
    store = Store(tmp_path)
    record = realise(Derivation(stage, (labels,), (looks,)), store).record
    assert (record.rows_in, record.rows_kept, record.rejected) == (4, 2, {"image_missing": 1, "image_unreadable": 1})
    table = pq.read_table(store.data_path(record))
    assert table.schema == embedded_schema(24)
    assert table["sample_id"].to_pylist() == ["a", "c"]
    assert set(table["embedder"].to_pylist()) == {f"open_clip-tiny-clip@{stage.embedder.sha256}"}
    wanted = stage.embedder.embed([picture_for(decode_rgb(data[name]), stage.embedder.spec) for name in "ac"])
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), wanted)


def test_the_batches_do_not_matter(stage):
    rows = [photo_row(str(seed), png(picture(seed, 30 + seed, 50))) for seed in range(7)]
    together, _ = run(stage, batch_of(rows))
    apart, _ = run(stage, batch_of(rows[:1]), batch_of([]), batch_of(rows[1:6]), batch_of(rows[6:]))
    assert together == apart
    assert len(together) == 7


def test_an_embedding_that_is_not_finite_is_rejected(stage, monkeypatch):
    embed = Embedder.embed

    def broken(self, pictures):
        embeddings = embed(self, pictures)
        embeddings[1, 3] = np.nan
        return embeddings

    monkeypatch.setattr(Embedder, "embed", broken)
    rows, rejected = run(stage, batch_of([photo_row(name, png(picture(1, 40, 40))) for name in "abc"]))
    assert [row["sample_id"] for row in rows] == ["a", "c"]
    assert [(each.sample_id, each.reason) for each in rejected] == [("b", Reason.EMBEDDING_NOT_FINITE)]
    assert np.isfinite([row["embedding"] for row in rows]).all()


def test_the_model_is_in_the_key(stage):
    assert stage.models() == {"open_clip-tiny-clip": stage.embedder.sha256}
    assert {"torch", "timm", "open_clip_torch", "pillow", "precision", "provider"} <= stage.execution().keys()
    assert Embed(CONFIG, stage.zoo, "cpu", "onnxruntime").execution() != stage.execution()
