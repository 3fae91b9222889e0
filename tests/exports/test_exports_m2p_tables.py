"""Samples of music and poses as Parquet and WebDataset, and their card."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.exports.m2p_tables import CLIPS_SCHEMA, SAMPLES_SCHEMA, M2PTablesExport, TableFormat, export_m2p_tables
from tasks.exports.webdataset import read_samples
from tasks.schema.errors import ConfigError
from tests.exports.m2p_shards import LAYOUT, Video, music_of, poses_of, reference_bytes, write_build

ALWAYS = ("README.md", "contents.json", "verify.py")
BOTH: tuple[TableFormat, ...] = ("parquet", "webdataset")


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return [Video(faceless=(1,)), Video("dance_b", (24,), split="validation")]


def export(
    folder: Path, videos: list[Video], formats: tuple[TableFormat, ...] = BOTH, name: str = "in", limit: int = 1 << 30
) -> M2PTablesExport:
    shards, split = write_build(folder / name, videos)
    return export_m2p_tables(shards, split, folder / "out", formats, title="Dance | music", file_bytes=limit)


def names(folder: Path) -> list[str]:
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if ".mannequin" not in name)


def test_both_formats_hold_the_samples(tmp_path: Path, videos: list[Video]) -> None:
    done = export(tmp_path, videos)
    out = tmp_path / "out"
    assert (done.samples, done.with_face) == ({"train": 2, "validation": 1}, 2)
    kinds = (("clips", "parquet"), ("samples", "parquet"), ("webdataset", "tar"))
    wanted = [f"{kind}/{split}-00000.{end}" for kind, end in kinds for split in ("train", "validation")]
    assert names(out) == sorted([*ALWAYS, *wanted])
    table = pq.read_table(out / "samples/train-00000.parquet", partitioning=None)
    assert table.schema.equals(SAMPLES_SCHEMA)
    assert table.schema.metadata == SAMPLES_SCHEMA.metadata
    first, second = table.to_pylist()
    assert (first["sample_id"], first["folder"], first["split"]) == ("dance_a/c000", "dance_a_c000", "train")
    np.testing.assert_array_equal(np.reshape(first["music_features"], (30, 3)), music_of(0, 30))
    assert (first["music_layout"], first["tempo_bpm"], len(first["embedding"])) == (list(LAYOUT), 120, 512)
    assert first["keypoints_xy"][4:6] == [None, None]
    assert first["keypoints_raw_xy"] is None
    assert (second["embedding"], second["embedding_missing"]) == (None, "the best face has 31.5 pixels")
    clips = pq.read_table(out / "clips/validation-00000.parquet", partitioning=None)
    assert clips.schema.equals(CLIPS_SCHEMA)
    assert clips.schema.metadata == CLIPS_SCHEMA.metadata
    (clip,) = clips.to_pylist()
    assert clip["clip"] == videos[1].rows["cut"][0]["clip"]
    with (out / "webdataset/train-00000.tar").open("rb") as stream:
        (key, entries), (_, faceless) = read_samples(stream)
    assert (key, set(entries) - set(faceless)) == ("dance_a_c000", {"face.npy"})
    assert entries["mp4"] == videos[0].rows["cut"][0]["clip"]["bytes"]
    assert entries["reference.jpg"] == reference_bytes(0)
    np.testing.assert_array_equal(np.load(BytesIO(entries["music.npy"])), music_of(0, 30))
    np.testing.assert_array_equal(np.load(BytesIO(entries["poses.npy"])), poses_of(30))
    assert json.loads(entries["json"])["music_layout"] == list(LAYOUT)


def test_equal_builds_give_equal_files(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}
    again = export(tmp_path, videos, name="again")
    assert (again.change.written, again.change.removed) == (0, 0)
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times} == times
    assert export(tmp_path, videos, ("webdataset",)).change.removed == 4


def test_files_are_closed_before_they_grow_too_large(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos, limit=1)
    out = tmp_path / "out"
    for kind, end in (("clips", "parquet"), ("samples", "parquet"), ("webdataset", "tar")):
        assert [p.name for p in sorted((out / kind).iterdir())] == [
            f"{name}.{end}" for name in ("train-00000", "train-00001", "validation-00000")
        ]


def test_the_card_says_what_is_there(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    card = (tmp_path / "out/README.md").read_text()
    for said in (
        "# Dance \\| music",
        "| CC-BY-4.0 | 3 |",
        "| the best face has … pixels | 1 |",
        "| test-wholebody | 3 |",
        "(frames, 3)",
        "path: clips/validation-*.parquet",
        "size_categories:\n- n<1K",
    ):
        assert said in card


def test_nothing_and_no_format(tmp_path: Path) -> None:
    export(tmp_path, [])
    out = tmp_path / "out"
    empty = ("clips/train-00000.parquet", "samples/train-00000.parquet", "webdataset/train-00000.tar")
    assert names(out) == sorted([*ALWAYS, *empty])
    assert pq.read_table(out / "samples/train-00000.parquet", partitioning=None).num_rows == 0
    assert "**Empty**" in (out / "README.md").read_text()
    with pytest.raises(ConfigError, match="at least one format"):
        export(tmp_path, [], ())


@pytest.mark.slow
def test_datasets_and_webdataset_read_it(tmp_path: Path, videos: list[Video]) -> None:
    import datasets
    import webdataset

    export(tmp_path, videos)
    out = tmp_path / "out"
    samples = datasets.load_dataset(str(out), "samples", split="train", cache_dir=str(tmp_path / "cache"))
    assert samples["sample_id"][:] == ["dance_a/c000", "dance_a/c001"]
    clips = datasets.load_dataset(str(out), "clips", split="validation", cache_dir=str(tmp_path / "cache"))
    assert isinstance(clips.features["clip"], datasets.Video)
    plain = clips.cast_column("clip", datasets.Video(decode=False))
    assert plain[0]["clip"]["bytes"] == videos[1].rows["cut"][0]["clip"]["bytes"]
    assert plain[0]["reference"].size == (64, 64)
    with (out / "webdataset/train-00000.tar").open("rb") as stream:
        opened = [{"url": "train", "stream": stream}]
        grouped = webdataset.tariterators.group_by_keys(webdataset.tariterators.tar_file_expander(opened))
        read = list(webdataset.decode()(grouped))
    assert [each["__key__"] for each in read] == ["dance_a_c000", "dance_a_c001"]
    np.testing.assert_array_equal(read[0]["music.npy"], music_of(0, 30))


def test_moved_poses_have_those_of_the_model_beside_them(tmp_path: Path, videos: list[Video]) -> None:
    shards, split = write_build(tmp_path / "in", videos)
    export_m2p_tables(shards, split, tmp_path / "out", title="Dance", moved=lambda xy, confidence: xy + 1)
    table = pq.read_table(tmp_path / "out" / "samples/train-00000.parquet", partitioning=None)
    moved, raw = (np.array(table[name][0].values) for name in ("keypoints_xy", "keypoints_raw_xy"))
    np.testing.assert_array_equal(moved, raw + 1)
    assert np.isnan(moved[4])
