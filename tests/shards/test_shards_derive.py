"""The engine's promises, on a small build of real stages."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.schema.errors import StoreError
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.accounting import AccountingError
from tasks.shards.derive import Derivation, realise, realise_whole
from tasks.shards.parquet import read_batches
from tasks.shards.stage import Stage, StageOutput, stage_key
from tasks.shards.store import Store
from tests.shards.sample_stages import (
    VALUES,
    Gather,
    KeepSmall,
    LimitConfig,
    Make,
    MakeConfig,
    NoConfig,
    build,
)

ALL = ["make", "keep_small", "brightness", "halves"] * 2 + ["gather"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def tree(store: Store) -> dict[str, bytes]:
    files = (p for p in sorted((store.root / "shards").rglob("*")) if p.is_file())
    return {str(p.relative_to(store.root)): p.read_bytes() for p in files}


def test_runs_every_stage_once_then_none(store: Store) -> None:
    first = realise(build(), store)
    assert list(first.ran) == ALL
    second = realise(build(), store)
    assert second.cached
    assert second.record == first.record
    assert list(store.tmp.iterdir()) == []


@dataclass(frozen=True)
class Beside(Make):
    """Writes a file beside its shard."""

    beside: Path = Path()

    def holds(self, record: ShardRecord) -> bool:
        return self.beside.exists()

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        self.beside.touch()
        return super().process(batches)


def test_what_a_stage_wrote_beside_its_shard_comes_back_and_the_shard_stays(store: Store, tmp_path: Path) -> None:
    wanted = Derivation(Beside(MakeConfig(rows=3), beside=tmp_path / "beside"))
    first, before = realise(wanted, store), tree(store)
    assert realise(wanted, store).cached
    (tmp_path / "beside").unlink()
    assert realise(wanted, store) == replace(first, ran=("make",))
    assert (tmp_path / "beside").exists()
    assert tree(store) == before


def test_rows_in_equal_rows_kept_and_rejected_at_every_stage(store: Store) -> None:
    realise(build(), store)
    records = store.records()
    assert len(records) == 9
    for record in records:
        assert record.rows_in == record.rows_kept + sum(record.rejected.values())
        rejects = store.rejects_path(record)
        rows = pq.read_table(rejects).to_pylist() if rejects else []
        assert len(rows) == sum(record.rejected.values()) + sum(record.children_rejected.values())
        assert {row["stage"] for row in rows} <= {record.stage}
    halves = next(r for r in records if r.stage == "halves")
    assert (halves.rows_in, halves.rows_kept) == (20, 19)
    assert halves.rejected == {"nobody_found": 1}
    assert halves.children_rejected == {"over_limit": 9}


def test_a_changed_threshold_reruns_only_what_depends_on_it(store: Store) -> None:
    realise(build(limit=10), store)
    assert list(realise(build(limit=5), store).ran) == ["keep_small", "brightness", "halves"] * 2 + ["gather"]
    assert list(realise(build(parts=3, limit=10), store).ran) == [
        "make",
        "keep_small",
        "brightness",
        "halves",
        "gather",
    ]


def test_an_equal_output_under_another_threshold_stops_the_rerun(store: Store) -> None:
    realise(build(limit=20), store)
    assert list(realise(build(limit=30), store).ran) == ["keep_small", "keep_small"]


@pytest.mark.parametrize("stage", ["make", "keep_small", "halves", "gather"])
def test_a_missing_output_is_made_again_with_the_same_bytes(store: Store, stage: str) -> None:
    realise(build(), store)
    before = tree(store)
    for path in (store.root / "shards" / stage).rglob("shard-*.parquet"):
        path.unlink()
    assert set(realise(build(), store).ran) == {stage}
    assert tree(store) == before


@pytest.mark.parametrize("stage", ["make", "keep_small", "halves"])
def test_a_damaged_input_is_made_again_before_anything_is_made_from_it(store: Store, stage: str) -> None:
    realise(build(), store)
    before = tree(store)
    for path in (store.root / "shards" / stage).rglob("shard-*.parquet"):
        flip_a_byte(path)
    for name in {"brightness", "gather"} | ({"keep_small"} if stage == "make" else set()):
        shutil.rmtree(store.root / "shards" / name)
    assert stage in realise(build(), store).ran
    assert tree(store) == before


def test_a_reader_outside_the_engine_gets_whole_bytes(store: Store) -> None:
    record = realise(build(), store).record
    before = tree(store)
    flip_a_byte(store.data_path(record))
    assert realise(build(), store).cached
    assert realise_whole(build(), store).ran == ("gather",)
    assert tree(store) == before


@pytest.mark.parametrize("text", ["", "{", '{"stage": "gather"}'])
def test_a_damaged_record_does_not_count(store: Store, text: str) -> None:
    record = realise(build(), store).record
    store.record_path("gather", record.key).write_text(text)
    assert realise(build(), store).ran == ("gather",)


def test_a_disk_that_forgets_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    realise(build(), store)
    monkeypatch.setattr(Store, "damaged", lambda _, record: [record.data.name])
    with pytest.raises(StoreError, match="check its disk"):
        realise_whole(build(), store)


def test_an_empty_shard_keeps_the_schema_and_has_no_row_group(store: Store) -> None:
    record = realise(Derivation(KeepSmall(LimitConfig(limit=0)), (Derivation(Make(MakeConfig())),)), store).record
    file = pq.ParquetFile(store.data_path(record))
    assert file.metadata.num_row_groups == 0
    assert file.schema_arrow.equals(VALUES, check_metadata=True)
    assert record.rejected == {"over_limit": 40}


def test_equal_rows_give_equal_bytes_however_they_come(store: Store) -> None:
    @dataclass(frozen=True)
    class OtherBatches(Make):
        name = "other_batches"

        def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
            whole = pa.concat_tables([output.kept for output in Make.process(self, batches)])
            for start in range(0, whole.num_rows, 11):
                yield StageOutput(whole.slice(start, 11))

    config = MakeConfig(rows=100, image_bytes=700_000)
    one = realise(Derivation(Make(config)), store).record
    other = realise(Derivation(OtherBatches(config)), store).record
    assert one.data == other.data
    groups = pq.ParquetFile(store.data_path(one)).metadata
    assert groups.num_row_groups == 5
    assert [b.num_rows for b in read_batches(store.data_path(one), 30)] == [30, 30, 30, 10]


@dataclass(frozen=True)
class _Faulty(KeepSmall):
    """A stage with a defect in its accounting."""

    fault: str = ""
    name = "faulty"

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for output in KeepSmall.process(self, batches):
            if self.fault == "loses a reject":
                yield StageOutput(output.kept, output.rejected[1:])
            elif self.fault == "loses a row":
                yield StageOutput(output.kept.slice(1), output.rejected)
            elif self.fault == "doubles a row":
                yield StageOutput(output.kept, output.rejected)
                yield StageOutput(output.kept)
            elif self.fault == "invents a row":
                yield StageOutput(output.kept, (*output.rejected, Rejection("ghost", Reason.OVER_LIMIT, "")))
            elif self.fault == "keeps and rejects":
                first = output.kept["sample_id"].to_pylist()[:1]
                yield StageOutput(
                    output.kept, (*output.rejected, *(Rejection(i, Reason.OVER_LIMIT, "") for i in first))
                )


@pytest.mark.parametrize(
    "fault", ["loses a reject", "loses a row", "doubles a row", "invents a row", "keeps and rejects"]
)
def test_a_stage_that_does_not_account_for_its_rows_commits_nothing(store: Store, fault: str) -> None:
    with pytest.raises(AccountingError):
        realise(Derivation(_Faulty(LimitConfig(), fault=fault), (Derivation(Make(MakeConfig())),)), store)
    assert not (store.root / "shards" / "faulty").exists()
    assert list(store.tmp.iterdir()) == []


def test_the_same_sample_from_two_inputs_is_accounted_for_twice(store: Store) -> None:
    @dataclass(frozen=True)
    class First(Gather):
        name = "first"

        def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
            seen: set[str] = set()
            for batch in batches:
                ids = batch["sample_id"].to_pylist()
                new = pa.array([i not in seen for i in ids])
                again = tuple(Rejection(i, Reason.DUPLICATE_EXACT, "seen") for i in ids if i in seen)
                seen.update(ids)
                yield StageOutput(batch.filter(new), again)

    made = Derivation(Make(MakeConfig(rows=10)))
    small = Derivation(KeepSmall(LimitConfig(limit=20)), (made,))
    record = realise(Derivation(First(LimitConfig()), (small, made)), store).record
    assert (record.rows_in, record.rows_kept, record.rejected) == (20, 10, {"duplicate_exact": 10})


def test_a_doubled_sample_cannot_hide_another_that_is_kept_and_rejected(store: Store) -> None:
    @dataclass(frozen=True)
    class Confused(Gather):
        name = "confused"

        def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
            first = next(iter(batches))
            ids = first["sample_id"].to_pylist()
            list(batches)
            yield StageOutput(first, tuple(Rejection(ids[0], Reason.DUPLICATE_EXACT, "") for _ in ids))

    made = Derivation(Make(MakeConfig(rows=10)))
    small = Derivation(KeepSmall(LimitConfig(limit=20)), (made,))
    with pytest.raises(AccountingError):
        realise(Derivation(Confused(LimitConfig()), (small, made)), store)


def test_everything_that_decides_the_output_is_in_the_key() -> None:
    stage = KeepSmall(LimitConfig(limit=3))
    key = stage_key(stage, ("a", "b"), ("c",))
    others = [
        stage_key(stage, ("b", "a"), ("c",)),
        stage_key(stage, ("a",), ("b", "c")),
        stage_key(KeepSmall(LimitConfig(limit=4)), ("a", "b"), ("c",)),
        stage_key(Gather(LimitConfig(limit=3)), ("a", "b"), ("c",)),
    ]
    assert len({key, *others}) == 5
    assert key == stage_key(KeepSmall(LimitConfig(limit=3)), ("a", "b"), ("c",))


def test_side_inputs_must_match_the_stage() -> None:
    with pytest.raises(ValueError, match="wants 0 side inputs"):
        Derivation(Make(MakeConfig()), (), (Derivation(Make(MakeConfig())),))


def test_a_sweep_takes_old_leftovers_and_nothing_else(store: Store) -> None:
    record = realise(build(), store).record
    leftover = store.tmp / "x.part"
    leftover.write_bytes(b"x")
    orphan = store.data_path(record).with_name("shard-0000.parquet")
    orphan.write_bytes(b"x")
    assert store.sweep() == []
    before = tree(store)
    assert set(store.sweep(older_than_s=-1)) == {leftover, orphan}
    del before[str(orphan.relative_to(store.root))]
    assert tree(store) == before


def test_the_store_wants_an_absolute_path() -> None:
    with pytest.raises(StoreError, match="absolute"):
        Store(Path("data"))


@dataclass(frozen=True)
class HandOn(Stage):
    """Keeps all rows."""

    config: NoConfig
    name = "hand_on"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return Make(MakeConfig()).schema

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        yield from map(StageOutput, batches)


def test_rows_that_are_handed_on_as_they_came_are_kept_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = Derivation(Make(MakeConfig()))
    before, after = (realise(each, store).record for each in (made, Derivation(HandOn(NoConfig()), (made,))))
    assert after.data.digest == before.data.digest
    assert store.data_path(after).samefile(store.data_path(before))
    assert not list(store.tmp.iterdir())


@dataclass(frozen=True)
class LaterMake(Make):
    """As another version of the code has it."""

    version = Make.version + 1


def test_two_versions_of_the_code_share_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours, theirs = Derivation(Make(MakeConfig())), Derivation(LaterMake(MakeConfig()))
    first, later = realise(ours, store), realise(theirs, store)
    assert (first.cached, later.cached) == (False, False)
    store.sweep(older_than_s=-1)
    for derivation, outcome in ((ours, first), (theirs, later)):
        again = realise(derivation, store)
        assert again.cached
        assert again.record == outcome.record
        assert not store.damaged(again.record)
