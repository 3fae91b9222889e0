"""Folders: loose files, the seed's metadata.json, imagefolder's metadata, and names that try to leave."""

import json
import logging
import os
import re
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.images.inspect import InspectConfig
from tasks.ingest import folders, rows
from tasks.ingest.hub import HubAccess
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.ingest.remembered import Remembered, Watch
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import ColumnMapping, PhotoSource, SourceKind
from tests.ingest.photo_rows import age, ingest, photo, write

FASHION_ENTRY = {
    "id": "fashion_0000",
    "category": "fashion",
    "gender": "women",
    "pose": "standing",
    "cloth": "dress",
    "caption": "woman in red dress",
    "pid": "12345",
    "image_filename": "fashion_0000_image.jpg",
    "mask_filename": "fashion_0000_mask.jpg",
    "mask_overlay_filename": "fashion_0000_overlay.jpg",
}
LIFESTYLE_ENTRY = {
    "id": "lifestyle_0000",
    "category": "lifestyle",
    "text": "person playing basketball",
    "image_filename": "lifestyle_0000_image.jpg",
    "conditioning_filename": "lifestyle_0000_conditioning.jpg",
}


def source(folder: Path, **columns: str) -> PhotoSource:
    mapping = ColumnMapping.model_validate(columns)
    return PhotoSource(name="loose", kind=SourceKind.FOLDER, location=str(folder), columns=mapping, licence="CC0")


def write_entries(folder: Path, *entries: dict[str, str]) -> None:
    write(folder / "metadata.json", json.dumps(entries))
    for number, entry in enumerate(entries):
        for place, (field, name) in enumerate(entry.items()):
            if field.endswith("filename"):
                write(folder / name, photo(100 * number + place))


def test_loose_files_at_any_depth_in_order_of_name(tmp_path: Path) -> None:
    names = ["b.JPG", "a/deep/2.png", "a/1.webp", "c.heic"]
    for seed, name in enumerate(names):
        write(tmp_path / name, photo(seed))
    for name in ("notes.txt", ".hidden.jpg", ".cache/x.jpg", "film.mp4"):
        write(tmp_path / name, b"x")
    listing, kept, rejected = ingest(source(tmp_path), part_rows=3)
    assert [(part.first_row, part.rows) for part in listing.parts] == [(0, 3), (3, 1)]
    assert [row["source_uri"] for row in kept] == [f"folder://loose/{name}" for name in sorted(names)]
    assert kept[0]["image"] == {"bytes": photo(2), "path": "1.webp"}
    assert kept[0]["sample_id"] == f"loose/{sha256(photo(2)).hexdigest()[:20]}"
    assert str(tmp_path) not in str(kept)
    assert not rejected


def test_no_machine_path_enters_the_key(tmp_path: Path) -> None:
    write(tmp_path / "here/1.jpg", photo(1))
    write(tmp_path / "there/1.jpg", photo(1))
    stages = []
    for place in ("here", "there"):
        listing = list_source(source(tmp_path / place), HubAccess(), 256)
        stages.append(IngestPhotos.of(source(tmp_path / place), listing, listing.parts[0]))
    assert stages[0].params() == stages[1].params()
    assert str(tmp_path) not in json.dumps(stages[0].params())


def test_fashion_form(tmp_path: Path) -> None:
    write_entries(tmp_path, FASHION_ENTRY)
    listing, (row,), rejected = ingest(source(tmp_path))
    assert not rejected
    assert listing.columns == tuple(FASHION_ENTRY)
    assert [row[name] for name in ("caption", "gender", "pose", "cloth", "pid")] == [
        "woman in red dress", "women", "standing", "dress", "12345"
    ]  # fmt: skip
    assert row["mask"] == {"bytes": photo(8), "path": "fashion_0000_mask.jpg"}
    assert row["mask_overlay"]["path"] == "fashion_0000_overlay.jpg"
    assert row["conditioning"] is None


def test_lifestyle_form(tmp_path: Path) -> None:
    write_entries(tmp_path, LIFESTYLE_ENTRY)
    _, (row,), _ = ingest(source(tmp_path))
    assert row["caption"] == "person playing basketball"
    assert row["conditioning"] == {"bytes": photo(4), "path": "lifestyle_0000_conditioning.jpg"}
    assert row["mask"] is None


def test_metadata_and_files_are_held_against_each_other(tmp_path: Path) -> None:
    second = FASHION_ENTRY | {name: value.replace("0000", "0001") for name, value in FASHION_ENTRY.items()}
    write_entries(tmp_path, FASHION_ENTRY, second)
    (tmp_path / "fashion_0001_mask.jpg").unlink()
    write(tmp_path / "fashion_0002_image.jpg", photo(5))
    write(tmp_path / "deeper/fashion_0003_image.jpg", photo(6))
    _, kept, rejected = ingest(source(tmp_path))
    assert [row["image"]["path"] for row in kept] == ["fashion_0000_image.jpg"]
    assert sorted((r.reason, r.sample_id) for r in rejected) == [
        (Reason.METADATA_MISSING, "loose/row-deeper/fashion_0003_image.jpg"),
        (Reason.METADATA_MISSING, "loose/row-fashion_0002_image.jpg"),
        (Reason.METADATA_WITHOUT_FILE, "loose/row-fashion_0001_image.jpg@1"),
    ]
    assert "'fashion_0001_mask.jpg'" in next(r.detail for r in rejected if r.reason is Reason.METADATA_WITHOUT_FILE)


@pytest.mark.parametrize(
    "name", ["../outside.jpg", "{outside}", "link.jpg", "linked/outside.jpg", "nul\0.jpg", "x" * 5000]
)
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    outside = write(tmp_path / "outside.jpg", photo(1))
    write(folder / "fine.jpg", photo(2))
    (folder / "link.jpg").symlink_to(outside)
    (folder / "linked").symlink_to(tmp_path)
    entries = [{"image_filename": "fine.jpg"}, {"image_filename": name.format(outside=outside)}]
    write(folder / "metadata.json", json.dumps(entries))
    _, kept, rejected = ingest(source(folder))
    assert [row["image"]["bytes"] for row in kept] == [photo(2)]
    assert [r.reason for r in rejected if "@1" in r.sample_id] == [Reason.METADATA_WITHOUT_FILE]
    assert str(tmp_path) not in rejected[0].source_uri


def test_a_link_out_of_the_folder_is_no_photo(tmp_path: Path) -> None:
    write(tmp_path / "folder/fine.jpg", photo(2))
    (tmp_path / "folder/link.jpg").symlink_to(write(tmp_path / "outside.jpg", photo(1)))
    _, kept, rejected = ingest(source(tmp_path / "folder"))
    assert len(kept) == 1
    assert [r.reason for r in rejected] == [Reason.IMAGE_MISSING]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_imagefolder_metadata(tmp_path: Path, form: str) -> None:
    write(tmp_path / "train/a.png", photo(1))
    write(tmp_path / "train/a_drawing.png", photo(2))
    told = {"file_name": "a.png", "drawing_file_name": "a_drawing.png", "text": "a, b", "gender": "MEN"}
    lines = json.dumps(told) if form == "jsonl" else f'{",".join(told)}\na.png,a_drawing.png,"a, b",MEN\n'
    write(tmp_path / f"train/metadata.{form}", lines)
    _, (row,), rejected = ingest(source(tmp_path, conditioning="drawing", caption="text", gender="gender"))
    assert not rejected
    assert (row["caption"], row["gender"], row["pose"]) == ("a, b", "MEN", None)
    assert row["conditioning"]["bytes"] == photo(2)
    with pytest.raises(SourceError, match="no field 'words' for `caption`; it has: file_name, drawing_file_name, text"):
        ingest(source(tmp_path, caption="words"))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metadata.json", "{", "cannot be read"),
        ("metadata.json", '{"a": 1}', "no list of entries"),
        ("metadata.json", '[{"caption": "x"}]', "entry 0 names no photo"),
        ("metadata.jsonl", '{"file_name": "a.jpg"}\n[1]\n', "no list of entries"),
        ("metadata.csv", "text\nx\n", "no field 'image'"),
    ],
)
def test_metadata_that_cannot_be_read(tmp_path: Path, name: str, content: str, told: str) -> None:
    write(tmp_path / "a.jpg", photo(1))
    write(tmp_path / name, content)
    with pytest.raises(SourceError, match=told):
        ingest(source(tmp_path))


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no picture"):
        ingest(source(tmp_path))
    with pytest.raises(SourceError, match="There is no folder"):
        ingest(source(tmp_path / "nothing"))
    with pytest.raises(SourceError, match="is not absolute"):
        ingest(source(Path("photos")))


def test_columns_without_metadata_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg", photo(number))
    write(tmp_path / "captions.tsv", "0.jpg\ta dancer")
    told = (
        "has no column 'words' for `caption`, 'sex' for `gender`: columns stand in metadata, and none of "
        "metadata.json, metadata.jsonl, metadata.csv is there. "
        "It holds 4 pictures (0.jpg, 1.jpg, 2.jpg, ...); other files: 1 (1 .tsv)."
    )
    with pytest.raises(SourceError, match=re.escape(told)):
        list_source(source(tmp_path, caption="words", gender="sex"), HubAccess(), 256)
    assert len(ingest(source(tmp_path))[1]) == 4
    write(tmp_path / "metadata.csv", "file_name,words,sex\n0.jpg,a dancer,MEN\n")
    _, (row,), _ = ingest(source(tmp_path, caption="words", gender="sex"))
    assert (row["caption"], row["gender"]) == ("a dancer", "MEN")


def test_files_passed_over_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tasks")
    for name in ("a.jpg", "b.TXT", "deep/c.txt", "deep/d", "metadata.csv", ".hidden"):
        write(tmp_path / name, "file_name,image\na.jpg,a.jpg\n" if name == "metadata.csv" else b"x")
    ingest(source(tmp_path))
    assert caplog.messages == [
        f"{tmp_path}: files passed over, whose names promise no picture: 3 (2 .txt, 1 without suffix)"
    ]


def test_parts_share_one_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        write(tmp_path / f"{number % 2}/{number}.jpg", photo(number))
    age(monkeypatch)
    walks: list[Path] = []
    read_folder = folders.read_folder

    def counted(root: Path, mapping: ColumnMapping, watch: Watch) -> folders.Folder:
        walks.append(root)
        return read_folder(root, mapping, watch)

    monkeypatch.setattr(folders, "read_folder", counted)
    assert len(ingest(source(tmp_path), part_rows=1)[1]) == 6
    assert walks == [tmp_path]
    write(tmp_path / "1/6.jpg", photo(6))
    age(monkeypatch)
    listing, kept, _ = ingest(source(tmp_path), part_rows=1)
    assert (len(kept), walks) == (7, [tmp_path] * 2)
    write(tmp_path / "1/0.jpg", photo(7))
    with pytest.raises(SourceError, match="has changed since it was listed"):
        list(IngestPhotos.of(source(tmp_path), listing, listing.parts[-1]).process(iter(())))
    assert walks == [tmp_path] * 3


def test_no_part_gives_a_row_that_was_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where listing is another process's and this one knows an earlier walk of a folder that never ages."""
    for name in ("b", "c"):
        write(tmp_path / f"{name}.jpg", photo(ord(name)))
    age(monkeypatch)
    monkeypatch.setattr("tasks.ingest.remembered._unchanged", lambda _: True)
    ingest(source(tmp_path))
    write(tmp_path / "a.jpg", photo(1))
    with monkeypatch.context() as other_process:
        other_process.setattr(folders, "_FOLDERS", Remembered())
        listing = list_source(source(tmp_path), HubAccess(), 2)
    stage = IngestPhotos.of(source(tmp_path), listing, listing.parts[0])
    with pytest.raises(SourceError, match="has changed since it was listed"):
        list(stage.process(iter(())))
    (output,) = stage.process(iter(()))
    assert output.kept["image"].to_pylist() == [
        {"bytes": photo(1), "path": "a.jpg"},
        {"bytes": photo(98), "path": "b.jpg"},
    ]


def test_the_largest_photo_is_the_largest_that_is_looked_at() -> None:
    assert rows.MAX_IMAGE_BYTES == InspectConfig().max_encoded_bytes == 64 << 20
    assert rows.too_large(64 << 20) is None
    problem = rows.too_large((64 << 20) + 1)
    assert problem is not None
    assert problem.reason is Reason.IMAGE_TOO_LARGE


def test_empty_large_and_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_IMAGE_BYTES", 5000)
    for name, data in {"a": photo(1), "b": photo(1), "c": b"", "d": b"x" * 6000}.items():
        write(tmp_path / f"{name}.jpg", data)
    _, kept, rejected = ingest(source(tmp_path))
    assert len(kept) == 1
    assert [(r.reason, r.score) for r in rejected] == [
        (Reason.DUPLICATE_EXACT, None), (Reason.IMAGE_EMPTY, None), (Reason.IMAGE_TOO_LARGE, 6000)
    ]  # fmt: skip
    assert rejected[0].detail == "The same bytes as folder://loose/a.jpg."


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")), photo(1))
    _, (row,), _ = ingest(source(tmp_path))
    assert row["source_uri"] == "folder://loose/caf\\xe9.jpg"


def test_changed_bytes_change_the_digest_and_are_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", photo(1))
    write(tmp_path / "b.jpg", photo(2))
    before = list_source(source(tmp_path), HubAccess(), 1)
    stage = IngestPhotos.of(source(tmp_path), before, before.parts[1])
    write(tmp_path / "b.jpg", photo(3))
    after = list_source(source(tmp_path), HubAccess(), 1)
    assert [old.digest == new.digest for old, new in zip(before.parts, after.parts, strict=True)] == [True, False]
    with pytest.raises(SourceError, match="has changed since it was listed"):
        list(stage.process(iter(())))


def test_golden(tmp_path: Path) -> None:
    """Raise `IngestPhotos.version` when these rows change."""
    for name in ("image", "mask", "overlay"):
        write(tmp_path / f"fashion_0000_{name}.jpg", f"bytes of the {name}")
    write(tmp_path / "metadata.json", json.dumps([FASHION_ENTRY]))
    _, kept, _ = ingest(source(tmp_path))
    assert IngestPhotos.version == 2
    assert sha256(repr(kept).encode()).hexdigest()[:16] == "84b870871de0d5a4"


@pytest.mark.real
def test_real_photos(real_data: Path) -> None:
    _, kept, rejected = ingest(source(real_data / "people/tryon_models"))
    assert (len(kept), rejected) == (13, [])
    _, kept, rejected = ingest(source(real_data / "badinputs"))
    assert (len(kept), rejected) == (46, [])
    assert not {".mp4", ".pt", ".pth", ".hevc"} & {Path(row["image"]["path"]).suffix for row in kept}
