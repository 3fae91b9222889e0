"""What was forgotten does not come back, under whatever name, and tombstones say nothing about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.schema.columns import shard_schema
from tasks.schema.errors import StoreError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store
from tasks.shards.tombstones import NEAR_BITS, add_tombstones, read_salt, read_tombstones

HASH = 0x00000000FFFFFFFF
SCHEMA = shard_schema(pa.field("sha256", pa.string()), pa.field("phash", pa.uint64()))


class PhotosConfig(Frozen):
    offered: tuple[tuple[str, str, str, int], ...]


@dataclass(frozen=True)
class Photos(Stage):
    """Photos as the first look at them tells them; one more is left out."""

    config: PhotosConfig
    name = "photos"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        assert not list(batches)
        names = ("sample_id", "source_uri", "sha256", "phash")
        rows = [dict(zip(names, row, strict=True)) | {"licence": ""} for row in self.config.offered]
        broken = Rejection("broken", Reason.IMAGE_UNREADABLE, "no picture", None, "http://a/broken")
        yield StageOutput(pa.Table.from_pylist(rows, SCHEMA), (broken,))


def made(
    store: Store, *offered: tuple[str, str, str, int]
) -> tuple[list[str], dict[str, int], list[dict[str, object]]]:
    record = realise(Derivation(Photos(PhotosConfig(offered=offered))), store).record
    path = store.rejects_path(record)
    assert path is not None
    return (
        pq.read_table(store.data_path(record))["sample_id"].to_pylist(),
        record.rejected,
        pq.read_table(path).to_pylist(),
    )


def test_ids_addresses_bytes_and_pictures_are_recognised(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_tombstones(store, ["a"], ["http://a/b.jpg"], ["c" * 64], [HASH])
    far = HASH ^ ((1 << (NEAR_BITS + 1)) - 1)
    kept, rejected, rows = made(
        store,
        ("a", "http://a/1", "1" * 64, 0),
        ("b", "http://a/b.jpg", "2" * 64, 0),
        ("c", "http://a/3", "c" * 64, 0),
        ("d", "http://a/4", "4" * 64, HASH ^ 0b11),
        ("e", "http://a/5", "5" * 64, far),
        ("f", "", "6" * 64, 0),
    )
    assert kept == ["e", "f"]
    assert rejected == {Reason.FORGOTTEN: 4, Reason.IMAGE_UNREADABLE: 1}
    told = [row for row in rows if row["reason"] == Reason.FORGOTTEN]
    assert [row["sample_id"] for row in told] == sorted(read_salt(store).name(each) for each in "abcd")
    assert sorted(str(row["score"]) for row in told) == ["2.0", "None", "None", "None"]
    assert not any(row["source_uri"] or row["evidence"] for row in told)


def test_a_reject_that_was_forgotten_has_no_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_tombstones(store, [], ["http://a/broken"], [])
    _, rejected, rows = made(store, ("a", "http://a/1", "1" * 64, 0))
    assert rejected == {Reason.FORGOTTEN: 1}
    assert "broken" not in str(rows)


def test_flat_pictures_tell_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_tombstones(store, ["x"], [], [], [0, 1 << 63])
    assert made(store, ("a", "", "1" * 64, 0), ("b", "", "2" * 64, 1 << 63))[0] == ["a", "b"]


def test_tombstones_say_nothing_and_stand_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(2):
        add_tombstones(store, ["web/secret"], ["http://secret"], ["d" * 64], [HASH])
    (segment,) = (tmp_path / "forgotten" / "tombstones").iterdir()
    text = segment.read_text()
    assert "secret" not in text
    assert "d" * 64 not in text
    assert str(HASH) not in text
    found = read_tombstones(store)
    assert found is not None
    assert len(found.ids) == len(found.addresses) == len(found.contents) == len(found.hashes) == 1
    near = read_salt(store).masked([HASH ^ 1])
    assert np.bitwise_count(near ^ found.hashes).tolist() == [1]


def test_no_tombstones_no_salt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert read_tombstones(store) is None
    assert made(store, ("a", "", "1" * 64, 0))[0] == ["a"]
    assert not (tmp_path / "forgotten").exists()


@pytest.mark.parametrize("what", ["salt", "tombstones/000001.json"])
def test_damage_is_an_error_and_never_a_guess(tmp_path: Path, what: str) -> None:
    store = Store(tmp_path)
    add_tombstones(store, ["a"], [], [])
    (tmp_path / "forgotten" / what).write_bytes(b"{}")
    (tmp_path / "forgotten" / "tombstones" / "x").touch()  # read anew
    with pytest.raises(StoreError, match="damaged"):
        made(store, ("a", "", "1" * 64, 0))
