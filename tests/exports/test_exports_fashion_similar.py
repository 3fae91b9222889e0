"""Similar looks as a table and as sheets."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasks.exports.fashion_similar import SimilarRules, write_similar
from tasks.exports.owned import OwnedFolder
from tasks.images.decode import decode_rgb
from tasks.images.hashing import phash
from tasks.schema.fashion import LOOK_SCHEMA, embedded_schema
from tasks.shards.files import LocalFiles
from tests.exports.pose_shards import write_shard
from tests.fashion.made_weights import look_row, picture, png

RUNWAY, STREET = [f"r{n}" for n in range(4)], [f"t{n}" for n in range(9)]


@pytest.fixture
def build(tmp_path: Path):
    """Embeddings, photos and pictures of four looks of the runway and nine of the street; `t0` is the photo of `r0`."""
    draw = np.random.default_rng(1)
    photos, looks, embedded = [], [], []
    for number, sample in enumerate([*RUNWAY, *STREET]):
        source = "runway" if sample in RUNWAY else "street"
        pixels = picture(0 if sample == "t0" else number, 60, 40)
        looks.append(look_row(sample, png(pixels), source))
        told = {"image_id": f"{source}_{number:04d}", "source": source, "source_uri": looks[-1]["source_uri"]}
        photos.append({"sample_id": sample} | told | {"phash": phash(pixels)})
        if sample != "t8":
            embedded.append(looks[-1] | {"embedding": draw.normal(size=5).tolist(), "embedder": "m@0"})
    return (
        [write_shard(tmp_path / "embedded.parquet", embedded, embedded_schema(5))],
        pl.DataFrame(photos, schema_overrides={"phash": pl.UInt64}),
        [write_shard(tmp_path / "looks.parquet", looks, LOOK_SCHEMA)],
    )


def export(folder: Path, build, rules: SimilarRules):
    files = LocalFiles()
    with OwnedFolder(folder, files) as out:
        written = write_similar(out, *build, rules, files)
        return written, out.finish()


def test_every_look_has_its_neighbours_and_some_are_shown(build, tmp_path):
    written, change = export(tmp_path / "out", build, SimilarRules(nearest=3, shown=7, same_photo_bits=2))
    table = pl.read_parquet(tmp_path / "out" / written.table)
    assert written.rows == table.height == 3 * (4 + 8)
    assert table.columns == ["sample_id", "source", "rank", "other_sample_id", "similarity"]
    assert table.filter(pl.col("sample_id") == "r2")["rank"].to_list() == [1, 2, 3]
    falls = table.group_by("sample_id").agg((pl.col("similarity").diff() <= 0).all())
    assert falls["similarity"].all()
    pairs = set(table.select("sample_id", "other_sample_id").iter_rows())
    assert all((look in RUNWAY) != (other in RUNWAY) for look, other in pairs)
    assert not {("r0", "t0"), ("t0", "r0")} & pairs
    assert "t8" not in {sample for pair in pairs for sample in pair}
    assert written.sheets == ("similar/runway_01.jpg", "similar/street_01.jpg", "similar/street_02.jpg")
    sheet = decode_rgb((tmp_path / "out" / written.sheets[0]).read_bytes())
    assert sheet.shape[1] > 4 * 192
    assert change.written == 4


def test_an_equal_export_is_left_untouched(build, tmp_path):
    rules = SimilarRules(nearest=2, shown=2)
    export(tmp_path / "out", build, rules)
    assert export(tmp_path / "out", build, rules)[1].written == 0
    _, change = export(tmp_path / "out", build, rules.model_copy(update={"shown": 0}))
    assert change.removed == 2


def test_one_source_alone_has_no_neighbours(build, tmp_path):
    embedded, photos, pictures = build
    alone = embedded, photos.filter(pl.col("source") == "street"), pictures
    written, _ = export(tmp_path / "out", alone, SimilarRules())
    assert (written.rows, written.sheets) == (0, ())
    assert pl.read_parquet(tmp_path / "out" / written.table).height == 0
