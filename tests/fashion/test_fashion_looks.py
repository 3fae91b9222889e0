"""From a source of photos to rows of looks and labels."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.fashion import looks as looks_module
from tasks.fashion.labels import Labels
from tasks.fashion.looks import Looks, list_looks
from tasks.fashion.sources import LookSource
from tasks.images.inspect import Inspect, InspectConfig
from tasks.ingest.hub import HubAccess
from tasks.schema.errors import SourceError
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason
from tasks.schema.sources import SourceListing, SourcePart
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.fashion.make_coco import Photo, clothing_photos, write_export
from tests.ingest.hub_server import HubServer
from tests.ingest.photo_rows import hub_table, photo, write


def street(folder: Path, **changed: Any) -> LookSource:
    return LookSource.model_validate({"name": "made", "side": "street", "location": str(folder), **changed})


def read(source: LookSource, part_rows: int = 256) -> tuple[list[dict[str, Any]], dict[str, str], dict[str, Any]]:
    """Rows kept, source_uri -> reason of those rejected, and the facts of the last part."""
    listing = list_looks(source, HubAccess(), part_rows)
    kept: list[dict[str, Any]] = []
    rejected: dict[str, str] = {}
    facts: dict[str, Any] = {}
    for part in listing.parts:
        for output in Looks.of(source, listing, part).process(iter(())):
            kept.extend(output.kept.to_pylist())
            rejected.update({each.source_uri: each.reason.value for each in output.rejected})
            facts = dict(output.facts) or facts
    return kept, rejected, facts


def made(store: Store, source: LookSource) -> tuple[list[dict[str, Any]], ShardRecord]:
    """The rows of the stage `labels`, by way of the engine."""
    listing = list_looks(source, HubAccess(), 256)
    looks = Derivation(Looks.of(source, listing, listing.parts[0]))
    inspected = Derivation(Inspect(InspectConfig(min_side_px=8)), (looks,))
    record = realise(Derivation(Labels(), (inspected,), (looks,)), store).record
    return pq.read_table(store.data_path(record)).to_pylist(), record


def test_an_export_becomes_labelled_photos(tmp_path: Path) -> None:
    photos = [
        Photo("a.jpg", photo(1), ("dress", "scarf & tie"), fields={"extra": {"shot_by": "ann", "show": 7}}),
        Photo("b.jpg", photo(2), ("hat",)),
        Photo("c.jpg", photo(3), split="test"),
        Photo("d.jpg", b"no photo", ("Bag",), split="test"),
    ]
    write_export(tmp_path / "in", photos, ("dress", "scarf & tie", "hat", "Bag"))
    source = street(tmp_path / "in", columns={"author": "shot_by", "season": "show"}, licence="mine")
    rows, record = made(Store(tmp_path / "store"), source)
    assert [(row["image_path"], row["split"], row["garments"], row["category"]) for row in rows] == [
        ("train/a.jpg", "train", ["dress", "scarf/tie"], "dress"),
        ("train/b.jpg", "train", [], "other"),
        ("test/c.jpg", "test", None, None),
    ]
    assert [rows[0][name] for name in ("author", "season", "designer", "licence")] == ["ann", "7", None, "mine"]
    assert [rows[0][name] for name in ("source", "original_dataset", "width")] == ["street", "made", 24]
    assert record.facts["categories"] == dict.fromkeys(record.facts["categories"], 0) | {"dress": 1, "other": 1}
    assert record.facts["garments"] == dict.fromkeys(record.facts["garments"], 0) | {"dress": 1, "scarf/tie": 1}
    assert record.facts["unlabelled"] == 1


def test_labels_that_are_no_garments_are_counted_and_classes_that_are_missing_named(tmp_path: Path) -> None:
    photos = [Photo("a.jpg", photo(1), ("hat", "top")), Photo("b.jpg", photo(2), ("hat",))]
    rows, rejected, facts = read(street(write_export(tmp_path, photos, ("hat", "top", "bag"))))
    assert (len(rows), rejected) == (2, {})
    assert facts["unknown_labels"] == {"hat": 2}
    assert "dress" in facts["missing_garments"]
    assert not {"top", "bag"} & set(facts["missing_garments"])


def test_an_export_whose_labels_are_of_another_kind_is_unlabelled(tmp_path: Path) -> None:
    photos = [Photo("a.jpg", photo(1), ("catwalk",)), Photo("b.jpg", photo(2))]
    rows, _, facts = read(street(write_export(tmp_path, photos, ("catwalk", "model"))))
    assert [row["garments"] for row in rows] == [None, None]
    assert (facts["annotated"], facts["unknown_labels"]) == (False, {"catwalk": 1})


def test_the_file_says_the_licence_where_the_source_does_not(tmp_path: Path) -> None:
    write_export(tmp_path, [Photo("a.jpg", photo(1)), Photo("b.jpg", photo(2), fields={"license": 9})])
    rows, _, _ = read(street(tmp_path))
    assert [row["licence"] for row in rows] == ["CC BY 4.0 https://creativecommons.org/licenses/by/4.0/", "unknown"]


def test_folders_with_metadata_and_paths(tmp_path: Path) -> None:
    for number, name in enumerate(("x/s24/1.jpg", "x/s25/2.jpg", "loose.jpg")):
        write(tmp_path / name, photo(number))
    entries = [{"file_name": "x/s24/1.jpg", "who": "given"}, {"file_name": "x/s25/2.jpg"}, {"file_name": "loose.jpg"}]
    write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, entries)))
    pattern = r"^(?P<designer>[^/]+)/(?P<season>[^/]+)/"
    source = street(tmp_path, kind="folder", columns={"designer": "who"}, path_pattern=pattern)
    rows, rejected, facts = read(source)
    said = {row["image_path"]: (row["designer"], row["season"], row["garments"], row["split"]) for row in rows}
    assert said == {
        "x/s24/1.jpg": ("given", "s24", None, None),
        "x/s25/2.jpg": ("x", "s25", None, None),
        "loose.jpg": (None, None, None, None),
    }
    assert (rejected, facts) == ({}, {})


def test_a_limit_cuts_the_listing_exactly(tmp_path: Path) -> None:
    photos = [
        Photo(f"{number}.jpg", photo(number), split=split) for number, split in enumerate(["train"] * 4 + ["test"])
    ]
    write_export(tmp_path, photos)
    for kind, wanted in (("coco", 3), ("folder", 3)):
        source = street(tmp_path, kind=kind, limit=3)
        listing = list_looks(source, HubAccess(), 2)
        assert ([part.rows for part in listing.parts], listing.complete) == ([2, 1], False)
        assert len(read(source, 2)[0]) == wanted
    assert list_looks(street(tmp_path, limit=5), HubAccess(), 2).complete


def test_a_hub_dataset_gives_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    tables = {"data/train-00000-of-00001.parquet": hub_table([photo(1), None], 2, brand=["x", "y"], year=["s24", ""])}
    source = street(Path("someone/shows"), kind="hub", columns={"designer": "brand", "season": "year"})
    with HubServer() as hub:
        hub.publish("someone/shows", tables)
        access = HubAccess(endpoint=hub.endpoint, timeout_s=5, pauses_s=(0.01,))
        listing = list_looks(source, access, 8)
        (output, _) = Looks.of(source, listing, listing.parts[0], access).process(iter(()))
    (row,) = output.kept.to_pylist()
    assert [row[name] for name in ("designer", "season", "split", "garments")] == ["x", "s24", "train", None]
    assert row["image_path"] == "data/train-00000-of-00001.parquet#0"
    assert [each.reason for each in output.rejected] == [Reason.IMAGE_MISSING]


def test_parts_of_the_hub_are_cut_at_the_limit() -> None:
    parts = tuple(SourcePart(uri="u", digest="d", first_row=first, rows=10) for first in (0, 10, 20))
    cut = looks_module._upto(SourceListing(revision="r", parts=parts, columns=()), 15)
    assert [(part.first_row, part.rows) for part in cut.parts] == [(0, 10), (10, 5)]
    assert not cut.complete


def test_a_column_that_nothing_has_is_refused(tmp_path: Path) -> None:
    write_export(tmp_path, [Photo("a.jpg", photo(1), fields={"extra": {"shot_by": "ann"}})])
    with pytest.raises(SourceError, match=r"no column 'shotby' for `author`; it has: .*shot_by"):
        list_looks(street(tmp_path, columns={"author": "shotby"}), HubAccess(), 8)


def test_no_place_enters_the_key(tmp_path: Path) -> None:
    stages = []
    for name in ("here", "there"):
        write_export(tmp_path / name, [Photo("a.jpg", photo(1), ("top",))])
        source = street(tmp_path / name)
        listing = list_looks(source, HubAccess(), 8)
        stages.append(Looks.of(source, listing, listing.parts[0]))
    assert stages[0].params() == stages[1].params()
    assert str(tmp_path) not in json.dumps(stages[0].params())


@pytest.mark.real
def test_real_photos_of_clothes(real_data: Path, tmp_path: Path) -> None:
    photos = clothing_photos(real_data)
    bad = (real_data / "badinputs" / "pillow_truncated_jpeg.jpg").read_bytes()
    write_export(tmp_path / "in", [*photos, Photo("bad.jpg", bad, ("dress",))])
    rows, rejected, facts = read(street(tmp_path / "in"))
    assert (len(rows), rejected) == (len(photos) + 1, {})
    assert facts == {"annotated": True, "unknown_labels": {}, "missing_garments": []}
    labelled, record = made(Store(tmp_path / "store"), street(tmp_path / "in"))
    assert len(labelled) == len(photos)
    assert record.facts["categories"]["other"] == 18
    runway = street(real_data / "people" / "tryon_models", kind="folder", side="runway")
    shown, rejected, _ = read(runway)
    assert len(shown) == len(list((real_data / "people" / "tryon_models").glob("*.jpg")))
    assert {row["source"] for row in shown} == {"runway"}
    assert not rejected


@pytest.mark.real
def test_modanets_own_file_beside_photos(real_data: Path, tmp_path: Path) -> None:
    """Its photos are not at hand: those made here have the names of two of them."""
    annotations = real_data / "people" / "modanet" / "modanet_instances_val.json"
    for number, name in enumerate(("1019871.jpg", "1019888.jpg", "extra.jpg")):
        write(tmp_path / name, photo(number))
    rows, rejected, facts = read(street(annotations, images=str(tmp_path)))
    assert [row["image_path"] for row in rows] == ["1019871.jpg", "1019888.jpg"]
    assert "scarf/tie" in rows[0]["garments"]
    assert rows[0]["licence"].endswith("licenses/by-nc/4.0/")
    assert list(rejected.values()).count(Reason.METADATA_WITHOUT_FILE) == 1071
    assert rejected["coco://made/extra.jpg"] == Reason.METADATA_MISSING
    assert facts["missing_garments"] == []
