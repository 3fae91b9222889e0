"""Many shards at once, and workers that die."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest

from tasks.schema.errors import StoreUnreachableError
from tasks.schema.records import Frozen
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.derive import Derivation
from tasks.shards.distribute import Distributor, Realised, distribute
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store
from tests.download.url_server import url_rows


class FateConfig(Frozen):
    """What happens to the process that makes this."""

    number: int
    fate: str


@dataclass(frozen=True)
class Fate(Stage):
    """A source whose process lives, fails or dies."""

    config: FateConfig

    name: ClassVar[str] = "fate"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return URL_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        if self.config.fate == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fate == "fails":
            raise ValueError("on purpose")
        if self.config.fate == "waits":
            raise StoreUnreachableError("the bucket is away")
        yield StageOutput(url_rows([f"http://h/{self.config.number}"]))


def fates(*names: str) -> list[Derivation]:
    return [Derivation(Fate(FateConfig(number=number, fate=name))) for number, name in enumerate(names)]


def in_order(derivations: list[Derivation], store: Store, workers: int, distributor: Distributor) -> list[Realised]:
    return [result for _, result in sorted(distribute(derivations, store, workers, distributor))]


def test_threads_keep_failures_apart(tmp_path: Path) -> None:
    results = in_order(fates("lives", "fails", "lives", "waits"), Store(tmp_path), 2, "threads")
    assert [result.record is not None for result in results] == [True, False, True, False]
    assert "on purpose" in (results[1].error or "")
    assert [result.ran for result in results] == [True, False, True, False]
    assert [result.may_pass for result in results] == [False, False, False, True]
    assert not in_order(fates("lives"), Store(tmp_path), 2, "threads")[0].ran


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_shard(tmp_path: Path) -> None:
    names = ["lives", "dies", "lives", "fails", "lives", "dies", "lives"]
    results = in_order(fates(*names), Store(tmp_path), 2, "multiprocessing")
    assert [result.record is not None for result in results] == [name == "lives" for name in names]
    assert "died" in (results[1].error or "")
