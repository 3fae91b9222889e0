"""Local Parquet of Hugging Face's shape, and how a file is cut into parts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest.hub import HubAccess
from tasks.ingest.photos import IngestPhotos, list_source
from tasks.ingest.table import row_parts
from tasks.schema.errors import SourceError
from tasks.schema.rejections import Reason
from tasks.schema.sources import ColumnMapping, PhotoSource, SourceKind
from tests.ingest.photo_rows import blob, hub_table, ingest, photo, plain_table, write


def source(location: Path | str, **columns: str) -> PhotoSource:
    mapping = ColumnMapping.model_validate(columns)
    return PhotoSource(name="table", kind=SourceKind.PARQUET, location=str(location), columns=mapping)


def test_files_of_a_glob_in_order(tmp_path: Path) -> None:
    for number in (2, 1):
        write(
            tmp_path / f"x/{number}.parquet",
            hub_table([photo(10 * number + i) for i in range(5)], 2, gender=[0, 1, 0, -1, 1]),
        )
    listing, kept, _ = ingest(source(tmp_path / "**/*.parquet", gender="gender"), part_rows=2)
    assert [(part.first_row, part.rows) for part in listing.parts] == [(0, 2), (2, 2), (4, 1)] * 2
    assert {part.uri for part in listing.parts[:3]} == {"parquet://table/x/1.parquet"}
    assert [row["image"]["bytes"] for row in kept] == [photo(10 * number + i) for number in (1, 2) for i in range(5)]
    assert [row["gender"] for row in kept[:5]] == ["WOMEN", "MEN", "WOMEN", None, "MEN"]
    assert kept[3]["source_uri"] == "parquet://table/x/1.parquet#row=3"
    assert str(tmp_path) not in str([kept, listing])


def test_lists_bytes_and_texts_of_many_types(tmp_path: Path) -> None:
    image = pa.array([[photo(1), photo(2)], [photo(3)], [], None], pa.list_(pa.large_binary()))
    texts = pa.array([["first", "second"], ["third"], None, None])
    pid = pa.array([7, None, 8, 9], pa.int64())
    cloth = pa.array(["dress", "dress", None, "coat"]).dictionary_encode()
    write(tmp_path / "a.parquet", plain_table(images=image, captions=texts, pid=pid, cloth=cloth))
    _, kept, rejected = ingest(source(tmp_path / "a.parquet", caption="captions", pid="pid", cloth="cloth"))
    assert [row["image"] for row in kept] == [{"bytes": photo(1), "path": None}, {"bytes": photo(3), "path": None}]
    assert [(row["caption"], row["pid"], row["cloth"]) for row in kept] == [
        ("first", "7", "dress"),
        ("third", None, "dress"),
    ]
    assert [(r.reason, r.sample_id) for r in rejected] == [
        (Reason.IMAGE_MISSING, "table/row-a.parquet#2"), (Reason.IMAGE_MISSING, "table/row-a.parquet#3")
    ]  # fmt: skip


def test_names_of_photos_are_no_paths(tmp_path: Path) -> None:
    cells = [
        {"bytes": photo(1), "path": "/home/someone/secret/1.jpg"},
        {"bytes": photo(2), "path": "C:\\photos\\2.jpg"},
        {"bytes": None, "path": "/etc/passwd"},
    ]
    write(tmp_path / "a.parquet", plain_table(image=cells))
    _, kept, (rejection,) = ingest(source(tmp_path / "a.parquet"))
    assert [row["image"]["path"] for row in kept] == ["1.jpg", "2.jpg"]
    assert (rejection.reason, rejection.detail) == (Reason.IMAGE_MISSING, "Only the name of a photo: passwd.")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({}, "no column 'image' for `image`.*picture .image., text .string., box .list"),
        ({"image": "text"}, "column 'text' holds string, no image bytes"),
        ({"image": "picture", "caption": "picture"}, "column 'picture' holds binary, no text"),
        ({"image": ""}, "say which column holds the photo"),
    ],
)
def test_a_mapping_that_does_not_fit(tmp_path: Path, columns: dict[str, str], told: str) -> None:
    write(tmp_path / "a.parquet", plain_table(picture=[photo(1)], text=["x"], box=[[1, 2]]))
    with pytest.raises(SourceError, match=told):
        list_source(source(tmp_path / "a.parquet", **columns), HubAccess(), 256)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No Parquet file at"):
        ingest(source(tmp_path / "*.parquet"))
    with pytest.raises(SourceError, match="is not absolute"):
        ingest(source("a.parquet"))
    write(tmp_path / "a.parquet", b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SourceError, match=r"a\.parquet is no whole Parquet file"):
        ingest(source(tmp_path / "a.parquet"))


def test_damage_inside_is_named(tmp_path: Path) -> None:
    data = bytearray(plain_table(image=[blob(i, 5000) for i in range(20)]))
    data[4:40] = b"\xff" * 36
    write(tmp_path / "a.parquet", bytes(data))
    with pytest.raises(SourceError, match=r"a\.parquet is damaged in row group 0"):
        ingest(source(tmp_path / "a.parquet"))


def test_changed_bytes_change_the_digest_and_are_noticed(tmp_path: Path) -> None:
    photos = [blob(i, 2000) for i in range(20)]
    path = write(tmp_path / "a.parquet", plain_table(10, image=photos))
    before = list_source(source(path), HubAccess(), 10)
    stages = [IngestPhotos.of(source(path), before, part) for part in before.parts]
    write(path, plain_table(10, image=[*photos[:19], blob(99, 2000)]))
    after = list_source(source(path), HubAccess(), 10)
    assert before.parts[1].digest != after.parts[1].digest
    with pytest.raises(SourceError, match="has changed since it was listed"):
        list(stages[1].process(iter(())))


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 20))
def test_parts_cover_every_row_once_and_read_little_twice(groups: list[int], asked: int) -> None:
    parts = row_parts(groups, asked)
    assert [first for first, _ in parts] == list(np.cumsum([0, *(rows for _, rows in parts)])[:-1])
    assert sum(rows for _, rows in parts) == sum(groups)
    assert all(rows > 0 for _, rows in parts)
    starts = np.cumsum([0, *groups])
    read = 0
    for first, rows in parts:
        touched = [
            (start, size)
            for start, size in zip(starts, groups, strict=False)
            if start < first + rows and first < start + size
        ]
        read += sum(min(first + rows, start + size) - start for start, size in touched)
        assert rows <= asked or len(touched) == 1
    assert read <= 3 * sum(groups)


@pytest.mark.real
def test_real_table(real_data: Path) -> None:
    table = real_data / "people/hf_shape/data-juicer_images-bytes.parquet"
    with pytest.raises(SourceError, match=r"column 'images' holds string, no image bytes.*image_bytes .image."):
        ingest(source(table))
    _, kept, rejected = ingest(source(table, image="image_bytes", caption="text"))
    assert not rejected
    assert [row["caption"] for row in kept][1] == "<__dj__image> A bus."
    assert [row["image"]["bytes"][:3] for row in kept] == [b"\x89PN", b"\xff\xd8\xff", b"\xff\xd8\xff"]
