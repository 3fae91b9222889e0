"""What people saw in the photos of audit sheets: a ledger by sample ids, so that it survives every rebuild.

<root>/verdicts/<name>/000001.json ...     a ledger, see `tasks.shards.ledger`

Of two verdicts on one photo the later counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import field_validator

from tasks.schema.fashion import GARMENTS, VERDICT_SCHEMA
from tasks.schema.records import Frozen
from tasks.shards.ledger import VerdictLedger, digest_of
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

LOOKS_LEDGER = "looks"


class LookVerdict(Frozen):
    """The garments that a person saw in a photo, in the order of `GARMENTS`; none: the person saw none of them."""

    sample_id: str
    garments: tuple[str, ...]
    reviewer: str = ""

    @field_validator("garments")
    @classmethod
    def _in_order(cls, garments: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [each for each in garments if each not in GARMENTS]:
            raise ValueError(f"{', '.join(map(repr, unknown))}: the garments are {', '.join(GARMENTS)}")
        return tuple(each for each in GARMENTS if each in garments)


def add_look_verdicts(store: Store, verdicts: Sequence[LookVerdict], ledger: str = LOOKS_LEDGER) -> int:
    """Put verdicts down; those that stand already are not repeated. Durable when this returns.

    Returns:
        how many were new.
    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged, or the store cannot be written.
    """
    return _ledger(store, ledger).add(verdicts)


def read_look_verdicts(store: Store, ledger: str = LOOKS_LEDGER) -> tuple[LookVerdict, ...]:
    """The verdicts that stand, ordered by photo.

    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged.
    """
    return tuple(sorted(_ledger(store, ledger).standing(), key=lambda verdict: verdict.sample_id))


class LookVerdictsConfig(Frozen):
    """`digest`: of the verdicts that stand."""

    digest: str


@dataclass(frozen=True)
class LookVerdicts(Stage):
    """The verdicts that stand, as a shard that `trends` reads whole. A source: made with `of`, also of none."""

    config: LookVerdictsConfig
    verdicts: tuple[LookVerdict, ...]

    name: ClassVar[str] = "look_verdicts"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, verdicts: tuple[LookVerdict, ...]) -> "LookVerdicts":
        return cls(LookVerdictsConfig(digest=digest_of(verdicts)), verdicts)

    @property
    def schema(self) -> pa.Schema:
        return VERDICT_SCHEMA

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        del batches
        rows = [
            {"parent_id": None, "source_uri": f"verdict://{verdict.reviewer}", "licence": "", **verdict.model_dump()}
            for verdict in self.verdicts
        ]
        yield StageOutput(pa.Table.from_pylist(rows, schema=self.schema))


def _ledger(store: Store, name: str) -> VerdictLedger[LookVerdict]:
    return VerdictLedger(
        store,
        name,
        LookVerdict,
        about=lambda verdict: verdict.sample_id,
        word=lambda verdict: None if verdict is None else verdict.garments,
    )
