"""Inputs that a stage reads by itself, facts that it measures, and outputs that are erased on purpose."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.schema.errors import StoreError
from tasks.shards.accounting import AccountingError
from tasks.shards.derive import Derivation, Made, StageNotRunError, committed, realise
from tasks.shards.manifest import build_manifest
from tasks.shards.stage import StageOfWhole, StageOutput, Whole
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.shards.sample_stages import VALUES, Make, MakeConfig, NoConfig


@dataclass(frozen=True)
class AboveMean(StageOfWhole):
    """Adds the mean of all rows of its whole inputs to every row."""

    config: NoConfig
    name = "above_mean"
    version = 1
    batch_rows = 16

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        totals = [pc.sum(batch["value"]).as_py() for each in whole for batch in each.batches(("value",))]
        mean = sum(totals) // max(1, sum(each.rows for each in whole))
        for batch in batches:
            table = pa.Table.from_batches([batch])
            yield StageOutput(table.set_column(5, "value", pc.add(table["value"], mean)))
        yield StageOutput(VALUES.empty_table(), facts={"mean": mean})


@dataclass(frozen=True)
class SaysTwice(AboveMean):
    name = "says_twice"

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        yield from super().process_with(batches, whole)
        yield StageOutput(VALUES.empty_table(), facts={"mean": 0})


MADE = Derivation(Make(MakeConfig(rows=20)))
OTHER = Derivation(Make(MakeConfig(part=1, rows=11)))
ABOVE = Derivation(AboveMean(NoConfig()), (MADE,), whole=(OTHER,))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_whole_input_needs_no_matching_rows_and_is_part_of_the_key(store: Store) -> None:
    record = realise(ABOVE, store).record
    assert (record.rows_in, record.rows_kept, record.facts) == (20, 20, {"mean": 5})
    assert [ref.stage for ref in record.sides] == ["make"]
    alone = realise(Derivation(AboveMean(NoConfig()), (MADE,)), store).record
    assert alone.key != record.key
    assert verify_store(store).ok


def test_facts_stand_in_the_manifest_and_are_given_once(store: Store) -> None:
    record = realise(ABOVE, store).record
    manifest = build_manifest(store, "sample", {}, {"values": [record]})
    assert [shard.facts for shard in manifest.shards if shard.stage == "above_mean"] == [{"mean": 5}]
    with pytest.raises(AccountingError, match="mean"):
        realise(Derivation(SaysTwice(NoConfig()), (MADE,), whole=(OTHER,)), store)


def test_a_stage_that_takes_none_refuses_whole_inputs(store: Store) -> None:
    with pytest.raises(TypeError, match="takes no whole inputs"):
        realise(Derivation(Make(MakeConfig()), whole=(OTHER,)), store)


def test_what_was_erased_stays_away_until_it_has_to_be_read(store: Store) -> None:
    above = realise(ABOVE, store).record
    made = realise(MADE, store).record
    store.erase(made)
    assert not store.data_path(made).exists()
    assert store.find("make", made.key) is None
    assert realise(ABOVE, store).cached
    assert realise(MADE, store, erased_counts=True).cached
    assert not store.data_path(made).exists()
    assert verify_store(store).ok
    build_manifest(store, "sample", {}, {"values": [above]})

    store.drop(above.stage, above.key)
    outcome = realise(ABOVE, store)
    assert outcome.ran == ("make", "above_mean")
    assert outcome.record == above
    assert store.find("make", made.key) == made


def test_erasing_twice_or_what_is_not_there_does_nothing(store: Store) -> None:
    made = realise(MADE, store).record
    store.erase(made)
    store.erase(made)
    assert store.find_erased("make", made.key) == made.model_copy(update={"erased": True})


def test_only_the_stages_that_were_asked_for_run(store: Store) -> None:
    with pytest.raises(StageNotRunError, match="make"):
        realise(ABOVE, store, only={"above_mean"})
    realise(ABOVE, store, only={"make", "above_mean"})
    assert realise(ABOVE, store, only=()).cached


def test_an_earlier_output_is_an_input_by_its_name_alone(store: Store) -> None:
    other = realise(OTHER, store).record
    by_name = Derivation(AboveMean(NoConfig()), (MADE,), whole=(Made(other.ref),))
    assert committed(by_name, store) is None
    record = realise(by_name, store).record
    assert committed(by_name, store) == record == realise(ABOVE, store).record
    store.erase(other)
    assert realise(by_name, store).cached
    store.drop(record.stage, record.key)
    with pytest.raises(StoreError, match="earlier build"):
        realise(by_name, store)
