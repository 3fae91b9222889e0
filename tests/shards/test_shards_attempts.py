"""Work that a process died of is done cautiously the next time; nothing else is."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.attempts import attempted
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import FORGIVE_AFTER_S, Store
from tests.patches.kill_patches import in_child
from tests.shards.sample_stages import VALUES


class FragileConfig(Frozen):
    fault: str = "dies"


@dataclass(frozen=True)
class Fragile(Stage):
    """A source of one row, that dies of it, fails on it, or lives."""

    config: FragileConfig
    careful: bool = False
    name: ClassVar[str] = "fragile"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def cautious(self) -> "Fragile":
        return replace(self, careful=True)

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        list(batches)
        if self.careful:
            yield StageOutput(VALUES.empty_table(), (Rejection("a", Reason.DECODER_CRASHED, "It died."),))
            return
        if self.config.fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fault == "fails":
            raise ValueError("on purpose")
        row = {"sample_id": "a", "parent_id": None, "source_uri": "a", "licence": "", "value": 1}
        yield StageOutput(pa.Table.from_pylist([row], schema=VALUES))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def marks(store: Store) -> list[Path]:
    return list((store.root / "attempts").glob("*"))


def test_the_next_attempt_at_what_killed_a_process_is_cautious(store: Store, tmp_path: Path) -> None:
    deadly = Derivation(Fragile(FragileConfig()))
    assert in_child(lambda: realise(deadly, store), tmp_path / "log") == -signal.SIGKILL
    assert len(marks(store)) == 1
    other = realise(Derivation(Fragile(FragileConfig(fault="none"))), store).record
    assert (other.rows_kept, other.rejected) == (1, {})  # its key is another one

    record = realise(deadly, store).record
    assert record.rejected == {"decoder_crashed": 1}
    assert not marks(store)
    assert realise(deadly, store).cached


def test_a_failure_is_no_death(store: Store) -> None:
    failing = Derivation(Fragile(FragileConfig(fault="fails")))
    for _ in range(2):
        with pytest.raises(ValueError, match="on purpose"):
            realise(failing, store)
        assert not marks(store)


def test_an_attempt_of_somebody_who_lives_is_no_death(tmp_path: Path) -> None:
    stage = Fragile(FragileConfig())
    with attempted(stage, tmp_path / "mark") as first, attempted(stage, tmp_path / "mark") as second:
        assert first is second is stage
    assert not (tmp_path / "mark").exists()


def test_a_place_where_nothing_can_be_marked_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    stage = Fragile(FragileConfig())
    with attempted(stage, tmp_path / "file" / "mark") as found:
        assert found is stage


def test_old_marks_are_swept(store: Store) -> None:
    for name, age in (("old", FORGIVE_AFTER_S + 60), ("new", 0)):
        mark = store.attempt_path("fragile", name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_bytes(b".")
        then = mark.stat().st_mtime - age
        os.utime(mark, (then, then))
    store.sweep_temporary(older_than_s=-1)
    assert marks(store) == [store.attempt_path("fragile", "new")]
