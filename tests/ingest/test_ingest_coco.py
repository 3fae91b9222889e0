"""COCO exports: whole ones, split ones, and all that can be wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ingest import coco, coco_file
from tasks.ingest.coco import CocoRow, coco_part, list_coco
from tasks.ingest.coco_file import parse_coco
from tasks.schema.errors import SourceError
from tasks.schema.fashion import GARMENTS
from tasks.schema.forms import Form
from tasks.schema.rejections import Reason
from tasks.schema.sources import PhotoColumns, SourcePart
from tests.fashion.make_coco import Photo, roboflow_name, write_export
from tests.fashion.make_coco import coco as coco_of
from tests.ingest.photo_rows import age, photo, write


class Place(Form):
    """Where an export lies."""

    name: str = "made"
    location: str
    images: str = ""
    revision: str = ""
    split: str = ""
    columns: PhotoColumns = PhotoColumns()


class Config(Form):
    """What a stage says of a part."""

    source: str = "made"
    columns: PhotoColumns = PhotoColumns()
    part: SourcePart


def read(location: Path, images: Path | str = "", part_rows: int = 256) -> list[CocoRow]:
    listing = list_coco(Place(location=str(location), images=str(images)), part_rows)
    return [row for part in listing.parts for row in coco_part(Config(part=part), str(location), str(images))]


def told(rows: list[CocoRow]) -> dict[str, Any]:
    """Name of a row -> its labels, or the reason why there is no photo."""
    return {row.locator: row.problem.reason if row.problem else row.labels for row in rows}


def write_json(path: Path, said: Any) -> Path:
    return write(path, json.dumps(said))


def test_splits_come_in_order_and_names_in_order_within_each(tmp_path: Path) -> None:
    photos = [Photo("b.jpg", photo(1), ("top", "bag", "top")), Photo("a.jpg", photo(2), ("dress",), "test")]
    write_export(tmp_path, [*photos, Photo("c/d.jpg", photo(3), (), "valid")])
    rows = read(tmp_path, part_rows=2)
    assert told(rows) == {"train/b.jpg": ("bag", "top"), "valid/c/d.jpg": None, "test/a.jpg": ("dress",)}
    assert [row.split for row in rows] == ["train", "valid", "test"]
    assert [row.uri for row in rows][1] == "coco://made/valid/c/d.jpg"
    assert rows[0].images["image"].data == photo(1)
    assert set(rows[0].vocabulary) == {*GARMENTS, "clothes"}
    assert str(tmp_path) not in str(rows)


def test_an_export_without_splits_and_a_file_with_its_photos_elsewhere(tmp_path: Path) -> None:
    said = coco_of([Photo("a.jpg", b"", ("top",)), Photo("b.jpg", b"")])
    write_json(tmp_path / "flat" / coco.ANNOTATIONS, said)
    for folder in ("flat", "beside/images", "elsewhere"):
        write(tmp_path / folder / "a.jpg", photo(1))
        write(tmp_path / folder / "b.jpg", photo(2))
    beside = write_json(tmp_path / "beside" / "instances.json", said)
    for rows in (read(tmp_path / "flat"), read(beside), read(beside, tmp_path / "elsewhere")):
        assert told(rows) == {"a.jpg": ("top",), "b.jpg": None}
        assert [row.split for row in rows] == [None, None]


def test_what_has_no_counterpart_is_a_rejection(tmp_path: Path) -> None:
    photos = [Photo("a.jpg", photo(1), ("top",)), Photo("gone.jpg", photo(2), ("bag",))]
    write_export(tmp_path, photos)
    (tmp_path / "train/gone.jpg").unlink()
    write(tmp_path / "train/loose.png", photo(3))
    said = json.loads((tmp_path / "train" / coco.ANNOTATIONS).read_text())
    said["annotations"] += [{"id": 9, "image_id": 77, "category_id": 1}, {"id": 10, "image_id": 77, "category_id": 2}]
    write_json(tmp_path / "train" / coco.ANNOTATIONS, said)
    rows = read(tmp_path)
    assert told(rows) == {
        "train/_annotations.coco.json:image_id=77": Reason.ANNOTATION_WITHOUT_IMAGE,
        "train/a.jpg": ("top",),
        "train/gone.jpg": Reason.METADATA_WITHOUT_FILE,
        "train/loose.png": Reason.METADATA_MISSING,
    }
    assert rows[0].problem is not None
    assert (rows[0].problem.score, rows[0].problem.detail[:13]) == (2.0, "2 annotations")


def test_names_in_two_splits(tmp_path: Path) -> None:
    """Equal bytes, or Roboflow's versions of one original, are the first split's; others only share a name."""
    photos = [
        Photo("same.jpg", photo(1)),
        Photo("same.jpg", photo(1), split="test"),
        Photo("0001.jpg", photo(2)),
        Photo("0001.jpg", photo(3), split="test"),
        Photo(roboflow_name("look.jpg", photo(4)), photo(4)),
        Photo(roboflow_name("look.jpg", photo(5)), photo(5)),
        Photo(roboflow_name("look.jpg", photo(6)), photo(6), split="valid"),
        Photo(roboflow_name("other.jpg", photo(7)), photo(7), split="valid"),
    ]
    write_export(tmp_path, photos)
    reasons = {row.locator: row.problem and row.problem.reason for row in read(tmp_path)}
    rejected = {name for name, reason in reasons.items() if reason}
    assert rejected == {"test/same.jpg", f"valid/{roboflow_name('look.jpg', photo(6))}"}
    assert set(reasons.values()) == {None, Reason.DUPLICATE_NAME}
    assert len(reasons) == len(photos)


def test_names_that_lead_out_and_names_that_only_look_strange(tmp_path: Path) -> None:
    write(tmp_path / "secret.jpg", photo(1))
    write(tmp_path / "in/valid/other.jpg", photo(2))
    for name in ("plain.jpg", "sub dir/ü.jpg", "no_suffix"):
        write(tmp_path / "in/train" / name, photo(3))
    (tmp_path / "in/train/link.jpg").symlink_to(tmp_path / "secret.jpg")
    names = [
        "../../secret.jpg",
        str(tmp_path / "secret.jpg"),
        "../valid/other.jpg",
        "link.jpg",
        "\ud800.jpg",
        "a\0.jpg",
    ]
    fine = ["./plain.jpg", "sub dir\\ü.jpg", "no_suffix"]
    said = coco_of([Photo(name, b"", ("top",)) for name in (*names, *fine)])
    write_json(tmp_path / "in/train" / coco.ANNOTATIONS, said)
    rows = told(read(tmp_path / "in"))
    assert {name for name, labels in rows.items() if labels == ("top",)} == {
        *("train/plain.jpg", "train/sub dir/ü.jpg", "train/no_suffix")
    }
    assert list(rows.values()).count(Reason.METADATA_WITHOUT_FILE) == len(names)
    assert len(rows) == len(names) + len(fine)
    json.dumps(list(rows)).encode()


def test_entries_that_cannot_be_read_cost_only_themselves() -> None:
    said = {
        "categories": [{"id": 1, "name": "top"}, {"id": "x"}, None, {"id": 2, "name": "bag"}],
        "licenses": [{"id": 1, "name": "CC0"}, 3],
        "images": [
            {"id": 1, "file_name": "a.jpg", "license": 1, "extra": {"author": "ann"}},
            {"id": 2, "file_name": "b.jpg", "license": {}, "extra": 4},
            *(
                {"id": 3},
                {"id": 4, "file_name": 5},
                {"file_name": "d.jpg"},
                "e.jpg",
                {"id": True, "file_name": "f.jpg"},
            ),
            *({"id": 7, "file_name": "g.jpg"}, {"id": 7, "file_name": "h.jpg"}, {"id": 8, "file_name": "./a.jpg"}),
        ],
        "annotations": [
            {"image_id": 1, "category_id": 1},
            {"image_id": 8, "category_id": 2},
            {"image_id": 2, "category_id": 1},
            {"image_id": 2, "category_id": None},
            *({"category_id": 1}, [], {"image_id": 7, "category_id": 1}, {"image_id": 1, "category_id": 99}),
        ],
    }
    parsed = parse_coco(json.dumps(said).encode(), "it", ["author"])
    assert {name: image.labels for name, image in parsed.images.items()} == {
        "a.jpg": ("#99", "bag", "top"),
        "b.jpg": None,
    }
    first = parsed.images["a.jpg"]
    assert (first.licence, dict(first.texts), parsed.images["b.jpg"].licence) == ("CC0", {"author": "ann"}, "")
    reasons = {place: fault.reason for place, fault in parsed.faults.items()}
    unreadable = [*(f"images[{n}]" for n in (2, 3, 4, 5, 6, 7, 8)), *(f"annotations[{n}]" for n in (3, 4, 5))]
    assert reasons == {
        **dict.fromkeys(unreadable, Reason.ANNOTATION_UNREADABLE),
        "images[9]": Reason.DUPLICATE_NAME,
        "image_id=7": Reason.ANNOTATION_WITHOUT_IMAGE,
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no whole JSON"),
        (b'{"images": [', "no whole JSON"),
        (b"\xff\xfe\xff", "no whole JSON"),
        (b"[" * 100_000, "no whole JSON"),
        (b'{"images": [{"id": ' + b"1" * 5000 + b"}]}", "no whole JSON"),
        (b"[]", "has no `images`"),
        (b'{"shapes": []}', "has no `images`"),
        (b'{"images": {}}', "`images` is no list"),
        (b'{"images": [], "annotations": "x"}', "`annotations` is no list"),
        (b'{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "have one id"),
    ],
)
def test_a_file_that_is_no_coco_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_coco(data, "it")


def test_an_export_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in/a.jpg", photo(1))
    with pytest.raises(SourceError, match="has no _annotations"):
        read(tmp_path / "in")
    with pytest.raises(SourceError, match="not absolute"):
        list_coco(Place(location="in"), 8)
    with pytest.raises(SourceError, match="There is no folder"):
        read(tmp_path / "gone")
    write_json(tmp_path / "in/train" / coco.ANNOTATIONS, coco_of([Photo("b.jpg", b"")]))
    with pytest.raises(SourceError, match="leave `images` empty"):
        read(tmp_path / "in", tmp_path / "in")
    with pytest.raises(SourceError, match="Where are the photos"):
        read(tmp_path / "in")
    monkeypatch.setattr(coco, "MAX_BYTES", 10)
    with pytest.raises(SourceError, match="more than 10"):
        read(tmp_path / "in")


def test_a_changed_export_gives_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_export(tmp_path, [Photo("a.jpg", photo(1), ("top",)), Photo("b.jpg", photo(2))])
    age(monkeypatch)
    for change in (
        lambda: write(tmp_path / "train/a.jpg", photo(3)),
        lambda: write_export(tmp_path, [Photo("a.jpg", photo(3), ("bag",)), Photo("b.jpg", photo(2))]),
        (tmp_path / "train/b.jpg").unlink,
    ):
        listing = list_coco(Place(location=str(tmp_path)), 8)
        (part,) = listing.parts
        assert len(list(coco_part(Config(part=part), str(tmp_path), ""))) == 2
        change()
        with pytest.raises(SourceError, match="has changed"):
            list(coco_part(Config(part=part), str(tmp_path), ""))


def test_equal_exports_have_equal_digests_and_labels_change_them(tmp_path: Path) -> None:
    digests = []
    for name, label in (("one", "top"), ("two", "top"), ("three", "bag")):
        write_export(tmp_path / name, [Photo("a.jpg", photo(1), (label,))])
        digests += [part.digest for part in list_coco(Place(location=str(tmp_path / name)), 8).parts]
    assert digests[0] == digests[1] != digests[2]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "x"]), each, max_size=3),
    max_leaves=4,
)
IDS = st.integers(0, 4) | st.sampled_from(["0", True, None, 1.5])


def entries(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    whole = st.fixed_dictionaries({}, optional=fields)
    return st.lists(whole | ANYTHING, max_size=6)


NAMES = st.sampled_from(["a.jpg", "./a.jpg", "../b.jpg", "b.jpg", "", "\udcff", "sub/c.jpg"]) | ANYTHING
CATEGORIES = st.fixed_dictionaries({"id": IDS, "name": st.text(max_size=4)})
FILES = st.fixed_dictionaries(
    {
        "images": entries(id=IDS, file_name=NAMES, license=IDS | ANYTHING, extra=ANYTHING, author=ANYTHING),
        "annotations": entries(id=IDS, image_id=IDS | ANYTHING, category_id=IDS | ANYTHING, segmentation=ANYTHING),
        "categories": st.lists(CATEGORIES, max_size=4, unique_by=lambda each: str(each["id"])),
    },
    optional={"licenses": entries(id=IDS, name=ANYTHING, url=ANYTHING), "info": ANYTHING},
)


@given(FILES)
@settings(max_examples=25)
def test_every_entry_is_a_photo_or_a_fault(said: dict[str, Any]) -> None:
    """Nothing that JSON can say breaks the parser, and every entry is accounted for."""
    parsed = parse_coco(json.dumps(said).encode(), "it", ["author"])
    faults = [place for place in parsed.faults if place.startswith("images[")]
    assert len(parsed.images) + len(faults) == len(said["images"])
    for image in parsed.images.values():
        assert image.labels is None or list(image.labels) == sorted(set(image.labels)) != []
        json.dumps([image.labels, dict(image.texts), image.licence], ensure_ascii=False).encode()
    for place, fault in parsed.faults.items():
        (place + fault.detail).encode()


@given(st.binary(max_size=40) | ANYTHING.map(lambda said: json.dumps(said).encode()))
@settings(max_examples=50)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_coco(data, "it")
    except SourceError:
        return


def test_shapes_are_not_kept() -> None:
    said = coco_file._document(json.dumps(coco_of([Photo("a.jpg", b"", ("top",))])).encode(), "it")
    assert not set(said["annotations"][0]) & {"segmentation", "bbox"}
