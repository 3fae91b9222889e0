"""The way of controls through the stages of a build: what came back, who was lost, and which stage failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.controls.finding import Finding
from tasks.schema.errors import StoreError
from tasks.schema.records import ShardRecord
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, Made, committed, realise
from tasks.shards.stage import Stage
from tasks.shards.store import Store

Row = dict[str, Any]
S = TypeVar("S", bound=Stage)

ALL: Mapping[str, Reason] = {}
"""Nobody is rejected."""


@dataclass(frozen=True, eq=False)
class Came:
    """What a stage made of controls: its kept rows by sample id, in order, its rejects likewise, and its record."""

    record: ShardRecord
    table: pa.Table
    kept: dict[str, Row]
    rejected: dict[str, Row]


@dataclass
class Passage:
    """Collects the findings of one control of a build; `samples` counts what was planted."""

    store: Store
    findings: list[Finding] = field(default_factory=list)
    samples: int = 0
    _failed: set[int] = field(default_factory=set)

    def add(self, *findings: Finding) -> None:
        self.findings.extend(findings)

    def through(
        self, derivation: Derivation, rejected: Mapping[str, Reason] | None = None, kept: set[str] | None = None
    ) -> Came | None:
        """Send what comes before through a stage, and look at the accounts.

        Args:
            derivation: ends in the stage.
            rejected: sample -> the reason why it must be left out; None: that is not known beforehand.
            kept: samples that must come back, children by their own ids; None: not known.
        Returns:
            what came back; None: the stage failed, which is a finding, or one before it had.
        Raises:
            StoreError: the store cannot be written.
        """
        below = (*derivation.inputs, *derivation.sides, *derivation.whole)
        if any(id(each) in self._failed for each in below):
            self._failed.add(id(derivation))
            return None
        stage = derivation.stage
        try:
            record = realise(derivation, self.store).record
            came = _came(record, self.store)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a stage raises on controls is a finding
            self._failed.add(id(derivation))
            said = f"{type(error).__name__}: {str(error).strip()[:300]}"
            self.add(Finding.at_most(stage.name, "the stage runs", 1, 0, "failures", said))
            return None
        if not derivation.inputs:
            self.samples += len(came.kept)
        self._account(derivation, came, rejected, kept)
        return came

    def _account(
        self, derivation: Derivation, came: Came, rejected: Mapping[str, Reason] | None, kept: set[str] | None
    ) -> None:
        name = derivation.stage.name
        asked = _asked(derivation, self.store)
        own = {part: came.record.model_dump(mode="json")[part] == value for part, value in asked.items()}
        self.add(Finding.none_wrong(name, "output of its own", own, "The output is that of these inputs and settings."))
        if rejected is not None:
            left_out = {
                each: came.rejected.get(each, {}).get("reason") == reason.value for each, reason in rejected.items()
            }
            surplus = dict.fromkeys(came.rejected.keys() - rejected.keys(), False)
            told = "Left out are those that must be, with their reason."
            self.add(Finding.none_wrong(name, "rejects", left_out | dict(sorted(surplus.items())), told))
        if kept is not None:
            there = {each: each in came.kept for each in sorted(kept)}
            surplus = dict.fromkeys(sorted(came.kept.keys() - kept), False)
            self.add(Finding.none_wrong(name, "kept rows", there | surplus, "Kept are those that must be, each once."))


def stage_as(derivation: Derivation, kind: type[S]) -> S:
    """The stage of a derivation, which is of that kind.

    Raises:
        TypeError: it is another.
    """
    if not isinstance(derivation.stage, kind):
        raise TypeError(f"{derivation.stage.name} is no {kind.__name__}")
    return derivation.stage


def _came(record: ShardRecord, store: Store) -> Came:
    table = pq.read_table(store.data_path(record))
    rejects = store.rejects_path(record)
    lost = pq.read_table(rejects).to_pylist() if rejects is not None else []
    kept = {row["sample_id"]: row for row in table.to_pylist()}
    return Came(record, table, kept, {row["sample_id"]: row for row in lost})


def _asked(derivation: Derivation, store: Store) -> dict[str, Any]:
    """What the record of a derivation's output must say of how it was made."""
    stage = derivation.stage

    def refs(inputs: tuple[Derivation | Made, ...]) -> list[dict[str, str]]:
        records = [committed(each, store) for each in inputs]
        return [record.ref.model_dump() for record in records if record is not None]

    return {
        "stage": stage.name,
        "version": stage.version,
        "inputs": refs(derivation.inputs),
        "sides": refs((*derivation.sides, *derivation.whole)),
        "params": stage.params(),
        "models": stage.models(),
        "execution": stage.execution(),
    }
