"""The rows of a running stage: every one that goes in is kept or rejected, once, and nothing else comes out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isnan

import pyarrow as pa
from pydantic import JsonValue

from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.tombstones import Tombstones


class AccountingError(Exception):
    """A stage lost, doubled or invented a row: a defect of the stage, never of the data."""


@dataclass
class Accounts:
    """Books every row that goes in against what comes out; what was forgotten does not come out again."""

    stage: Stage
    tombstones: Tombstones | None = None
    rejections: list[Rejection] = field(default_factory=list)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    _offered: Counter[str] = field(default_factory=Counter)
    _kept: set[str] = field(default_factory=set)
    _parents: set[str] = field(default_factory=set)
    _bereft: set[str] = field(default_factory=set)
    rows_in: int = 0

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows_in += batch.num_rows
            self._offered.update(batch["sample_id"].to_pylist())
            yield batch

    def book(self, output: StageOutput) -> pa.RecordBatch | pa.Table:
        """Book what a stage made; returns the rows that are kept."""
        kept, rejected = self._remembered(output)
        ids = kept["sample_id"].to_pylist()
        if len(set(ids)) != len(ids) or not self._kept.isdisjoint(ids):
            raise AccountingError(f"{self.stage.name} kept a sample twice")
        self._kept.update(ids)
        if self.stage.fan_out:
            self._parents.update(kept["parent_id"].to_pylist())
        self.rejections.extend(rejected)
        if not self.facts.keys().isdisjoint(output.facts):
            raise AccountingError(f"{self.stage.name} gave a fact twice: {sorted(self.facts.keys() & output.facts)}")
        self.facts.update(output.facts)
        return kept

    def _remembered(self, output: StageOutput) -> tuple[pa.RecordBatch | pa.Table, tuple[Rejection, ...]]:
        """The rows and rejections of an output, those rejected that were forgotten."""
        if self.tombstones is None:
            return output.kept, output.rejected
        rejected = [
            replace(each, reason=Reason.FORGOTTEN) if self.tombstones.rejects(each) else each
            for each in output.rejected
        ]
        gone, bits = self.tombstones.sift(output.kept)
        if not gone.any():
            return output.kept, tuple(rejected)
        forgotten = output.kept.filter(pa.array(gone))
        for sample_id, score in zip(forgotten["sample_id"].to_pylist(), bits[gone].tolist(), strict=True):
            rejected.append(Rejection(sample_id, Reason.FORGOTTEN, "", None if isnan(score) else score))
        if self.stage.fan_out:
            self._bereft.update(forgotten["parent_id"].to_pylist())
        return output.kept.filter(pa.array(~gone)), tuple(rejected)

    @property
    def told(self) -> list[Rejection]:
        """The rejections as they are written: what was forgotten has no name."""
        return self.rejections if self.tombstones is None else self.tombstones.nameless(self.rejections)

    @property
    def _survivors(self) -> set[str]:
        return self._parents if self.stage.fan_out else self._kept

    @property
    def rows_kept(self) -> int:
        return len(self._survivors)

    def _of_inputs(self, rejection: Rejection) -> bool:
        return not self.stage.fan_out or rejection.sample_id in self._offered

    @property
    def rejected(self) -> dict[str, int]:
        return dict(sorted(Counter(r.reason.value for r in self.rejections if self._of_inputs(r)).items()))

    @property
    def children_rejected(self) -> dict[str, int]:
        return dict(sorted(Counter(r.reason.value for r in self.rejections if not self._of_inputs(r)).items()))

    def balance(self, expected: int | None) -> None:
        """Every offered row is kept or rejected, once, and nothing else is. A source says itself what it offers.

        A row of which all children were forgotten is forgotten too.
        """
        alone = self._bereft - self._parents - {each.sample_id for each in self.rejections}
        self.rejections.extend(Rejection(each, Reason.FORGOTTEN, "") for each in sorted(alone))
        rejected = sum(self.rejected.values())
        if expected is None:
            self.rows_in = self.rows_kept + rejected
            return
        booked = Counter(self._survivors) + Counter(r.sample_id for r in self.rejections if self._of_inputs(r))
        unknown, lost = booked - self._offered, self._offered - booked
        if unknown or lost or self.rows_in != expected or self.rows_in != self.rows_kept + rejected:
            raise AccountingError(
                f"{self.stage.name}: {expected} rows in, {self.rows_in} read, {self.rows_kept} kept, {rejected} "
                f"rejected; lost {sorted(lost)[:3]}, unknown {sorted(unknown)[:3]}"
            )
