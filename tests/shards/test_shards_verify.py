"""Every kind of damage is found, none is invented, nothing is touched unless asked."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.schema.records import ShardRecord
from tasks.shards.derive import realise
from tasks.shards.files import file_digest
from tasks.shards.manifest import Manifest, build_manifest, publish_manifest
from tasks.shards.numbers import assign
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.shards.sample_stages import build


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Store, Manifest]:
    store = Store(tmp_path / "store")
    final = realise(build(), store).record
    manifest = build_manifest(store, "sample", {}, {"rows": [final]})
    publish_manifest(store, manifest)
    assign(store, "poses", "fashion", ["a", "b"])
    return store, manifest


def record_of(store: Store, stage: str) -> ShardRecord:
    return next(r for r in store.records() if r.stage == stage)


def rewrite(store: Store, record: ShardRecord, table: pa.Table, kind: str = "shard", **changes: object) -> None:
    """Another file under a record that vouches for its bytes: damage that a digest alone does not show."""
    old = record.data if kind == "shard" else record.rejects
    assert old is not None
    folder = store.folder(record.stage, record.key)
    path = folder / old.name
    pq.write_table(table, path)
    digest = file_digest(path)
    file = old.model_copy(
        update={"name": f"{kind}-{digest[:16]}.parquet", "digest": digest, "size": path.stat().st_size}
    )
    path.rename(folder / file.name)
    field = "data" if kind == "shard" else "rejects"
    told = record.model_copy(update={field: file, **changes})
    store.record_path(record.stage, record.key).write_text(told.model_dump_json())


def test_a_whole_store_is_whole(whole: tuple[Store, Manifest]) -> None:
    store, manifest = whole
    report = verify_store(store)
    assert report.ok
    assert report.damage == ()
    assert (report.records, report.files) == (9, 14)
    assert report == verify_store(store, manifest)
    assert report.bytes == sum(p.stat().st_size for p in (store.root / "shards").rglob("*.parquet"))


def test_an_empty_store_is_whole(tmp_path: Path) -> None:
    assert verify_store(Store(tmp_path / "none")).records == 0


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "lost": (lambda path: path.unlink(), "missing"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
    "flipped": (_flip, "digest"),
    "emptied": (lambda path: path.write_bytes(b""), "bytes instead of"),
}


@pytest.mark.parametrize("kind", ["shard", "rejects"])
@pytest.mark.parametrize("harm", HARMS)
def test_damaged_files_are_found_dropped_and_made_again(whole: tuple[Store, Manifest], kind: str, harm: str) -> None:
    store, manifest = whole
    record = record_of(store, "halves")
    path = store.data_path(record) if kind == "shard" else store.rejects_path(record)
    assert path is not None
    bytes_before = path.read_bytes()
    do, said = HARMS[harm]
    do(path)
    report = verify_store(store)
    assert [(d.path, d.stage, d.key) for d in report.damage] == [
        (path.relative_to(store.root).as_posix(), record.stage, record.key)
    ]
    assert said in report.damage[0].problem
    assert verify_store(store, manifest).damage == report.damage
    assert store.read_record(record.stage, record.key) == record
    assert verify_store(store, drop_damaged=True).dropped == 1
    assert store.read_record(record.stage, record.key) is None
    assert realise(build(), store).ran == ("halves",)
    assert path.read_bytes() == bytes_before
    assert verify_store(store, manifest).ok


def test_a_torn_record_is_found(whole: tuple[Store, Manifest]) -> None:
    store, manifest = whole
    record = record_of(store, "gather")
    path = store.record_path(record.stage, record.key)
    path.write_bytes(path.read_bytes()[:50])
    assert [d.problem for d in verify_store(store).damage] == ["the record is missing or does not read"]
    assert verify_store(store, manifest, drop_damaged=True).dropped == 1
    assert verify_store(store).ok
    assert not verify_store(store, manifest).ok
    realise(build(), store)
    assert verify_store(store, manifest).ok


def test_lies_that_have_their_digest(whole: tuple[Store, Manifest]) -> None:
    store, manifest = whole
    record = record_of(store, "keep_small")
    table = pq.read_table(store.data_path(record))
    doubled = pa.concat_tables([table.slice(0, table.num_rows - 1), table.slice(0, 1)])
    lies = {
        "rows instead of": table.slice(1),
        "does not describe": table.replace_schema_metadata({}),
        "does not begin": table.select(["value", *table.column_names[:-1]]),
        "are there twice": doubled,
    }
    for said, lie in lies.items():
        rewrite(store, record, lie)
        assert said in " ".join(d.problem for d in verify_store(store).damage)
    assert any("other bytes than the build's" in d.problem for d in verify_store(store, manifest).damage)


def test_rejects_that_do_not_add_up(whole: tuple[Store, Manifest]) -> None:
    store, _ = whole
    record = record_of(store, "halves")
    path = store.rejects_path(record)
    assert path is not None
    table = pq.read_table(path)
    column = table.column_names.index("reason")
    reasons = pa.array(["image_bomb"] * table.num_rows)
    rewrite(store, record, table.set_column(column, table.schema.field("reason"), reasons), "rejects")
    assert "its reasons are not" in verify_store(store).damage[0].problem
    rewrite(store, record, table.drop_columns("reason"), "rejects")
    assert "columns of rejects" in verify_store(store).damage[0].problem


def test_broken_equations_are_found(whole: tuple[Store, Manifest]) -> None:
    store, _ = whole
    record = record_of(store, "gather")
    path = store.record_path(record.stage, record.key)
    for changes in (
        {"rows_kept": 24},
        {"rows_in": 57, "rejected": {"over_limit": 32}},
        {"children_rejected": {"x": 1}},
    ):
        path.write_text(record.model_copy(update=changes).model_dump_json())
        assert verify_store(store).damage[0].path == path.relative_to(store.root).as_posix()


def test_manifests_and_ledgers_are_read_too(whole: tuple[Store, Manifest]) -> None:
    store, manifest = whole
    _flip(store.root / "builds/sample" / f"{manifest.digest}.json")
    _flip(store.root / "ledgers/poses/000001.json")
    report = verify_store(store, drop_damaged=True)
    assert [d.path for d in report.damage] == [f"builds/sample/{manifest.digest}.json", "ledgers/poses"]
    assert report.dropped == 0
