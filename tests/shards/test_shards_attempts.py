"""Work that a process died of, or that hangs, is done cautiously then; nothing else is."""

import ctypes
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
from tasks.shards.watchdog import HANG_VARIABLE, HangError
from tests.patches.kill_patches import in_child
from tests.shards.sample_stages import VALUES


class FragileConfig(Frozen):
    fault: str = "dies"


@dataclass(frozen=True)
class Fragile(Stage):
    """A source of one row, that dies of it, hangs in it, fails on it, or lives."""

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
        if self.careful and self.config.fault != "always hangs":
            yield StageOutput(VALUES.empty_table(), (Rejection("a", Reason.DECODER_CRASHED, "It died."),))
            return
        if self.config.fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if "hangs" in self.config.fault:
            ctypes.CDLL(None).sleep(600 if "for ever" in self.config.fault else 5)
        if self.config.fault == "holds the interpreter":
            ctypes.PyDLL(None).sleep(60)
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


def test_what_hangs_is_made_cautiously_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(HANG_VARIABLE, "0.3")
    record = realise(Derivation(Fragile(FragileConfig(fault="hangs"))), store).record
    assert record.rejected == {"decoder_crashed": 1}
    (told,) = caplog.messages
    assert told.startswith(f"fragile-{record.key} hangs, and is made anew")
    assert f"process ({__file__}" in told
    with pytest.raises(HangError, match="run again"):
        realise(Derivation(Fragile(FragileConfig(fault="always hangs"))), store)
    assert not marks(store)
    assert not list(store.tmp.iterdir())


def test_a_process_that_cannot_be_freed_ends_and_the_next_is_cautious(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HANG_VARIABLE, "0.3")
    hanging = Derivation(Fragile(FragileConfig(fault="holds the interpreter")))
    assert in_child(lambda: realise(hanging, store), tmp_path / "log") == 1
    assert "Timeout (" in (tmp_path / "log").read_text()
    assert realise(hanging, store).record.rejected == {"decoder_crashed": 1}


def test_an_attempt_of_somebody_who_lives_is_no_death(tmp_path: Path) -> None:
    stage = Fragile(FragileConfig())
    ran: list[Stage] = []

    def make(form: Stage) -> None:
        ran.append(form)
        if len(ran) < 2:
            attempted(stage, tmp_path / "mark", make)

    attempted(stage, tmp_path / "mark", make)
    assert ran == [stage, stage]
    assert not (tmp_path / "mark").exists()


def test_a_place_where_nothing_can_be_marked_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    stage = Fragile(FragileConfig())
    assert attempted(stage, tmp_path / "file" / "mark", lambda form: form) is stage


def test_old_marks_are_swept(store: Store) -> None:
    for name, age in (("old", FORGIVE_AFTER_S + 60), ("new", 0)):
        mark = store.attempt_path("fragile", name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_bytes(b".")
        then = mark.stat().st_mtime - age
        os.utime(mark, (then, then))
    store.sweep_temporary(older_than_s=-1)
    assert marks(store) == [store.attempt_path("fragile", "new")]
