"""Patches of a film: from its windows to the files of the tree."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.patches.cut import Patches, PatchesConfig
from tasks.patches.stacks import low_resolution
from tasks.schema.errors import SourceError, StoreError
from tasks.schema.films import PATCH_SCHEMA, WINDOW_SCHEMA
from tasks.shards.derive import realise
from tasks.shards.files import LocalFiles, file_digest
from tasks.shards.stage import StageOutput, Whole
from tasks.shards.store import Store
from tasks.video.convert import Converter
from tasks.video.films import film_of_row
from tasks.video.frames import WindowReader
from tests.patches.film_builds import CONFIG, film_of, made, patches_of, small_film
from tests.patches.patch_trees import contents, patches, read


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_film(tmp_path_factory.mktemp("films") / "small.mp4")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("home") / "store")


@pytest.fixture(scope="module")
def built(film: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One piece of the small film, cut once."""
    tree = tmp_path_factory.mktemp("tree")
    derivation = patches_of(film, store, tree)[0]
    record, rows, rejects = made(derivation, store)
    return {"tree": tree, "derivation": derivation, "record": record, "rows": rows, "rejects": rejects}


def windows_of(derivation: Any, store: Store) -> pa.Table:
    return pq.read_table(store.data_path(realise(derivation.inputs[0], store).record))


def process(stage: Patches, windows: pa.Table, film: Path, store: Store) -> StageOutput:
    whole = Whole(store.data_path(realise(film_of(film), store).record))
    return next(iter(stage.process_with(iter(windows.to_batches(16)), (whole,))))


def test_every_window_is_kept_or_rejected_with_a_reason(built: dict[str, Any], store: Store) -> None:
    windows = windows_of(built["derivation"], store).to_pylist()
    kept = [row["sample_id"] for row in built["rows"]]
    rejected = {row["sample_id"] for row in built["rejects"]}
    assert len(kept) >= 0.8 * len(windows)
    assert [row["sample_id"] for row in windows if row["sample_id"] not in rejected] == kept
    for row in built["rejects"]:
        assert len(json.loads(row["evidence"])["tries"]) == len(windows[0]["tries"])
    assert {row["category"] for row in built["rows"]} == {"general", "space"}


def test_pictures_are_those_of_the_film(built: dict[str, Any], film: Path, store: Store) -> None:
    whole = film_of_row(pq.read_table(store.data_path(realise(film_of(film), store).record)).to_pylist()[0], film)
    sizes = {each.name: each for each in CONFIG.formats}
    converter = Converter(whole)
    with WindowReader(whole, film) as reader:
        for row in built["rows"]:
            gt, five, seven = (read(built["tree"] / row[f"{part}_path"]) for part in ("gt", "lr5", "lr7"))
            form = sizes[row["format"]]
            assert gt.shape == (form.height, form.width, 3)
            height = form.height // 3
            assert np.array_equal(low_resolution(gt), five[2 * height : 3 * height])
            assert np.array_equal(low_resolution(gt), seven[3 * height : 4 * height])
            frames = reader.window(row["time_s"] - 0.01)
            assert list(frames.pts) == row["pts"]
            scaled = row["scaled_width"], row["scaled_height"]
            crops = [converter.crop(frame, scaled, tuple(row["crop_xyxy"])) for frame in frames.frames]
            assert np.array_equal(gt, crops[3])
            assert np.array_equal(seven, np.concatenate([low_resolution(crop) for crop in crops]))
            assert np.array_equal(five, np.concatenate([low_resolution(crop) for crop in crops[1:6]]))


def test_rows_tell_of_the_files(built: dict[str, Any]) -> None:
    for row in built["rows"]:
        for part in ("gt", "lr5", "lr7"):
            path = built["tree"] / row[f"{part}_path"]
            assert path.stat().st_size == row[f"{part}_bytes"]
            assert file_digest(path) == row[f"{part}_digest"]
    assert len(patches(built["tree"])) == 3 * len(built["rows"])


def test_facts_count_what_was_kept(built: dict[str, Any]) -> None:
    facts = built["record"].facts
    assert sum(sum(formats.values()) for formats in facts["kept"].values()) == len(built["rows"])
    assert sum(facts["tries"].values()) == len(built["rows"])
    assert set(facts["tries"]) - {"1"}, "black and cuts make some windows try again"
    assert facts["bytes"] == sum(len(data) for data in patches(built["tree"]).values())


def test_windows_on_cuts_and_black_took_another_time(built: dict[str, Any], store: Store) -> None:
    tries = {row["sample_id"]: row["tries"] for row in windows_of(built["derivation"], store).to_pylist()}
    cuts = [60 / 24, 80 / 24, 130 / 24, 154 / 24]
    for row in built["rows"]:
        assert row["time_s"] >= tries[row["sample_id"]][row["try"]] - 1e-6
        last = row["time_s"] + 6 / 24
        assert not any(row["time_s"] < cut - 1e-3 <= last for cut in cuts)
        assert not 60 / 24 <= row["time_s"] + 1e-3 < 80 / 24


def test_found_again_and_made_again_where_files_are_missing(film: Path, store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "store")
    derivation = patches_of(film, other, tmp_path / "tree", windows=3)[0]
    stage = derivation.stage
    assert isinstance(stage, Patches)
    record = realise(derivation, other).record
    before = contents(tmp_path / "tree")
    assert stage.holds(record)
    assert realise(derivation, other).cached
    next((tmp_path / "tree").rglob("*.png")).unlink()
    assert not stage.holds(record)
    other.drop(record.stage, record.key)
    assert realise(derivation, other).record == record
    assert contents(tmp_path / "tree") == before
    assert stage.open_tree().damaged(record.facts) == []


def test_a_window_does_not_depend_on_the_others(
    built: dict[str, Any], film: Path, store: Store, tmp_path: Path
) -> None:
    windows = windows_of(built["derivation"], store)
    whole = {row["sample_id"]: row for row in built["rows"]}
    for start in (0, 5):
        stage = Patches(CONFIG, film, tmp_path / f"from-{start}")
        output = process(stage, windows.slice(start, 4), film, store)
        found = pa.Table.from_pylist(output.kept.to_pylist(), schema=PATCH_SCHEMA).to_pylist()
        assert found == [whole[row["sample_id"]] for row in found]
        rejected = {each.sample_id for each in output.rejected}
        assert rejected == set(windows.slice(start, 4)["sample_id"].to_pylist()) - whole.keys()


def test_sequences_hold_the_same_frames(built: dict[str, Any], film: Path, store: Store, tmp_path: Path) -> None:
    windows = windows_of(built["derivation"], store).slice(0, 2)
    config = PatchesConfig(categories=CONFIG.categories, formats=CONFIG.formats, layout="sequences")
    output = process(Patches(config, film, tmp_path), windows, film, store)
    whole = {row["sample_id"]: row for row in built["rows"]}
    for row in output.kept.to_pylist():
        tiles = [read(tmp_path / row["lr7_path"] / f"im{n}.png") for n in range(1, 8)]
        assert np.array_equal(np.concatenate(tiles), read(built["tree"] / whole[row["sample_id"]]["lr7_path"]))


def test_a_window_beyond_the_end_and_one_without_room_are_rejected(film: Path, store: Store, tmp_path: Path) -> None:
    row = {
        "parent_id": "small",
        "source_uri": "small.mp4",
        "licence": "own",
        "film": "small",
        "category": "general",
        "format": "wide",
        "crop_u": [0.5, 0.5],
        "crop_v": [0.5, 0.5],
        "scaled_width": 640,
        "scaled_height": 360,
    }
    late = {**row, "sample_id": "small/w000000_general", "tries": [500.0, 600.0]}
    large = {**row, "sample_id": "small/w000001_general", "tries": [0.5, 0.6], "scaled_width": 160, "scaled_height": 90}
    none = {**row, "sample_id": "small/w000002_general", "tries": []}
    windows = pa.Table.from_pylist([late, large, none], schema=WINDOW_SCHEMA)
    output = process(Patches(CONFIG, film, tmp_path), windows, film, store)
    assert not output.kept.num_rows
    assert [each.reason.value for each in output.rejected] == [
        "frames_too_few",
        "format_does_not_fit",
        "frames_too_few",
    ]
    assert not patches(tmp_path)


def test_nothing_planned_is_nothing_made(film: Path, store: Store, tmp_path: Path) -> None:
    output = process(Patches(CONFIG, film, tmp_path / "tree"), WINDOW_SCHEMA.empty_table(), film, store)
    assert output.facts["kept"] == {}
    assert not (tmp_path / "tree").exists()


def test_a_film_that_is_gone_is_no_property_of_its_windows(
    built: dict[str, Any], film: Path, store: Store, tmp_path: Path
) -> None:
    windows = windows_of(built["derivation"], store)
    with pytest.raises(SourceError, match="mounted"):
        process(Patches(CONFIG, tmp_path / "gone.mp4", tmp_path), windows, film, store)
    (tmp_path / "other.mp4").write_bytes(b"x")
    with pytest.raises(SourceError, match="changed"):
        process(Patches(CONFIG, tmp_path / "other.mp4", tmp_path), windows, film, store)


def test_a_disk_that_is_nearly_full_takes_no_more(
    built: dict[str, Any], film: Path, store: Store, tmp_path: Path
) -> None:
    stage = Patches(CONFIG, film, tmp_path, min_free_bytes=10**18)
    with pytest.raises(StoreError, match="make room"):
        process(stage, windows_of(built["derivation"], store), film, store)
    assert not patches(tmp_path)
    assert not list((tmp_path / ".mannequin" / "tmp").iterdir())


class InterruptedFiles(LocalFiles):
    """Ctrl+C while the sixth file is written."""

    def __init__(self) -> None:
        self._left = 6

    def sync(self, stream: Any) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        super().sync(stream)


def test_an_interrupt_leaves_nothing_half(built: dict[str, Any], film: Path, store: Store, tmp_path: Path) -> None:
    windows = windows_of(built["derivation"], store)
    with pytest.raises(KeyboardInterrupt):
        process(Patches(CONFIG, film, tmp_path, files=InterruptedFiles()), windows, film, store)
    assert not list((tmp_path / ".mannequin" / "tmp").iterdir())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("patches")]
    whole = patches(built["tree"])
    assert all(whole[name] == data for name, data in patches(tmp_path).items())


def test_what_decides_is_in_the_key(film: Path, tmp_path: Path) -> None:
    stage = Patches(CONFIG, film, tmp_path)
    assert {"libavcodec", "numba", "isal"} <= stage.execution().keys()
    assert "tree" not in stage.params()
