"""The Parquet export, read with the real `datasets` library."""

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.exports.parquet import EXPORT_SCHEMA, ParquetExport, export_parquet
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.ids import template_id
from tasks.shards.funnel import Funnel, FunnelLine
from tasks.shards.manifest import BuildModel, Manifest
from tests.exports.pose_shards import mixed_rows, photo, picture, write_build

SCHEMA_BYTES = 30_000
MANIFEST = Manifest(
    flow="pose_templates",
    code="0.1.0+abc",
    params={},
    outputs={},
    shards=(),
    models=(BuildModel(name="yolov8n-pose", sha256="5" * 64, licence="AGPL-3.0"),),
    funnel=Funnel(
        lines=(
            FunnelLine(
                stage="inspect",
                shards=2,
                rows_in=12,
                rows_kept=9,
                rows_out=9,
                rejected={"image_bomb": 1, "over_limit": 2},
            ),
        )
    ),
)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import datasets

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True, raising=False)
    datasets.disable_progress_bars()
    return datasets


def export(tmp_path: Path, rows: list[dict[str, object]], **more: Any) -> ParquetExport:
    templates, photos = write_build(tmp_path / "build", rows, more.pop("photos", None))
    return export_parquet(templates, photos, tmp_path / "out", title="Poses", **more)


def test_datasets_reads_folder_files_and_an_empty_category(tmp_path: Path, datasets: Any) -> None:
    rows = mixed_rows(6, 4, 0)
    done = export(tmp_path, rows, manifest=MANIFEST)
    assert done.rows == {"fashion": 6, "lifestyle": 4, "sports": 0}
    folder = str(tmp_path / "out")
    cache = str(tmp_path / "cache")
    every = datasets.load_dataset(folder, split="train", cache_dir=cache)
    assert every.column_names == EXPORT_SCHEMA.names
    assert sorted(every["sample_id"]) == sorted(str(row["sample_id"]) for row in rows)
    for name in ("image", "conditioning", "mask", "mask_overlay"):
        assert isinstance(every.features[name], datasets.Image), name
    first = next(iter(every))
    assert first["image"].size == (48, 64)
    assert first["template_id"] == template_id(first["sample_id"])
    assert first["keypoints_xy"] == [float(v) for v in range(36)]
    assert first["tags"] == ["standing", "frontal"]
    assert first["conditioning"] is None
    assert first["phash"] == 2**64 - 1
    assert first["mask"].mode == "L"
    none = f"{folder}/data/sports/train-00000.parquet"
    sports = datasets.load_dataset("parquet", data_files=none, split="train", streaming=True)
    assert list(sports) == []
    assert sports.features == every.features
    with pytest.raises(ValueError, match=r"Available: \['default', 'fashion', 'lifestyle'\]"):
        datasets.load_dataset(folder, "sports", cache_dir=cache)
    fashion = datasets.load_dataset(
        "parquet",
        data_files=[f"{folder}/{n}" for n in done.data_files if "fashion" in n],
        split="train",
        cache_dir=cache,
    )
    assert len(fashion) == 6
    assert fashion.features == every.features
    streamed = datasets.load_dataset(folder, "lifestyle", split="train", streaming=True)
    assert [row["category"] for row in streamed] == ["lifestyle"] * 4


def test_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    rows = mixed_rows(2, 0, 0)
    turned = picture(1, orientation=6, size=(64, 48))
    photos = [photo(rows[0]), photo(rows[1], image={"bytes": turned, "path": "x.jpg"})]
    export(tmp_path, rows, photos=photos)
    table = pq.read_table(tmp_path / "out/data/fashion/train-00000.parquet", partitioning=None)
    assert [image["bytes"] for image in table["image"].to_pylist()] == [picture(0), turned]
    with Image.open(io.BytesIO(table["mask"][0].as_py()["bytes"])) as mask:
        assert mask.format == "PNG"


def test_files_are_bounded_and_together_whole(tmp_path: Path) -> None:
    rows = mixed_rows(30, 3, 2)
    done = export(tmp_path, rows, file_bytes=20_000)
    fashion = [name for name in done.data_files if "fashion" in name]
    assert fashion == [f"data/fashion/train-{i:05d}.parquet" for i in range(len(fashion))]
    assert len(fashion) == 3
    assert max((tmp_path / "out" / name).stat().st_size for name in fashion) <= 20_000 + SCHEMA_BYTES
    read = [pq.read_table(tmp_path / "out" / name, partitioning=None)["sample_id"].to_pylist() for name in fashion]
    assert [i for ids in read for i in ids] == [row["sample_id"] for row in rows[:30]]
    assert all(read)


def test_again_and_smaller(tmp_path: Path) -> None:
    first = export(tmp_path, mixed_rows(30, 3, 2), file_bytes=20_000)
    again = export(tmp_path, mixed_rows(30, 3, 2), file_bytes=20_000)
    assert (again.change.written, again.change.removed) == (0, 0)
    assert again.data_files == first.data_files
    mine = tmp_path / "out/data/fashion/notes.txt"
    mine.write_text("mine")
    smaller = export(tmp_path, mixed_rows(3, 3, 2), file_bytes=20_000)
    on_disk = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out/data").rglob("*.parquet")}
    assert on_disk == set(smaller.data_files)
    assert smaller.change.removed == len(first.data_files) - len(smaller.data_files)
    assert mine.exists()


def test_equal_builds_give_equal_bytes_however_their_photos_are_cut(tmp_path: Path) -> None:
    rows = mixed_rows()
    trees = []
    for per_shard in (1, 5, 100):
        top = tmp_path / str(per_shard)
        templates, photos = write_build(top / "build", rows, per_shard=per_shard)
        export_parquet(templates, photos, top / "out", title="Poses", file_bytes=9_000)
        files = sorted(p for p in (top / "out").rglob("*") if p.is_file())
        trees.append({p.relative_to(top).as_posix(): p.read_bytes() for p in files})
    assert trees[0] == trees[1] == trees[2]


def test_the_card_says_what_matters(tmp_path: Path, datasets: Any) -> None:
    export(tmp_path, mixed_rows(3, 2, 0), manifest=MANIFEST)
    card = (tmp_path / "out/README.md").read_text()
    from huggingface_hub import DatasetCard

    header = DatasetCard(card).data
    assert [config["config_name"] for config in header.configs] == ["default", "fashion", "lifestyle"]
    assert header.size_categories == ["n<1K"]
    for line in (
        "| fashion | DeepFashion: research only | 3 |",
        "| lifestyle | CC0-1.0 | 2 |",
        "| sports | 0 |",
        f"| yolov8n-pose | AGPL-3.0 | {'5' * 64} |",
        "| inspect | 2 | 12 | 9 | 3 | image_bomb 1, over_limit 2 |  | 9 |",
        "| keypoints_xy | 36 x float |",
        "| image | image |",
    ):
        assert line in card, line


def test_words_of_others_do_not_break_the_card(tmp_path: Path) -> None:
    rows = [row | {"licence": "a | b\n---\n# <script>`x`"} for row in mixed_rows(1, 0, 0)]
    templates, photos = write_build(tmp_path / "build", rows)
    export_parquet(templates, photos, tmp_path / "out", title="Poses\n---\nlicense: mit", file_bytes=9_000)
    card = (tmp_path / "out/README.md").read_text()
    from huggingface_hub import DatasetCard

    assert DatasetCard(card).data.license == "other"
    assert "a \\| b --- # \\<script\\>\\`x\\`" in card
    assert "\n# \\<" not in card


def test_no_rows_at_all(tmp_path: Path) -> None:
    done = export(tmp_path, [], photos=[])
    assert sum(done.rows.values()) == 0
    assert len(done.data_files) == 3
    kept = pq.read_schema(tmp_path / "out" / done.data_files[0])
    assert kept.equals(EXPORT_SCHEMA)
    assert kept.metadata == EXPORT_SCHEMA.metadata


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="have no picture"):
        export(tmp_path, mixed_rows(), photos=[])
    assert not list((tmp_path / "out").rglob("*.part"))
    (tmp_path / "out/README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"README\.md is not ours"):
        export(tmp_path, mixed_rows())
