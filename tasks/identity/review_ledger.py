"""What people said about faces: a ledger that is only ever added to, by sample ids, so that it survives every rebuild.

<root>/verdicts/<name>/000001.json ...     a ledger, see `tasks.shards.ledger`

Of two verdicts on the same faces the later counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import model_validator

from tasks.schema.columns import shard_schema
from tasks.schema.records import Frozen
from tasks.shards.ledger import VerdictLedger, digest_of
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

Word = Literal["same", "different", "remove", "unsure"]
"""One person; two people; `face_a` is no use; nothing (takes an earlier verdict back)."""

DEFAULT_LEDGER = "faces"


class Verdict(Frozen):
    """A word on two faces, in the order of their ids, or (`remove`) on one."""

    face_a: str
    face_b: str | None
    verdict: Word
    reviewer: str = ""

    @model_validator(mode="after")
    def _faces_fit(self) -> "Verdict":
        wrong = self.verdict in ("same", "different") if self.face_b is None else self.verdict == "remove"
        if wrong or self.face_a == self.face_b:
            raise ValueError(f"{self.verdict!r} does not fit the faces {self.face_a!r} and {self.face_b!r}")
        if self.face_b is not None and self.face_b < self.face_a:
            raise ValueError("the faces stand in the order of their ids")
        return self

    @classmethod
    def of(cls, verdict: Word, face_a: str, face_b: str | None = None, reviewer: str = "") -> "Verdict":
        """The same, with the faces put in order."""
        if face_b is not None and face_b < face_a:
            face_a, face_b = face_b, face_a
        return cls(face_a=face_a, face_b=face_b, verdict=verdict, reviewer=reviewer)

    @property
    def about(self) -> tuple[str, str | None]:
        return self.face_a, self.face_b


def add_verdicts(store: Store, verdicts: Sequence[Verdict], ledger: str = DEFAULT_LEDGER) -> int:
    """Put verdicts down; those that stand already are not repeated. Durable when this returns.

    Returns:
        how many were new.
    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged, or the store cannot be written.
    """
    return _ledger(store, ledger).add(verdicts)


def read_verdicts(store: Store, ledger: str = DEFAULT_LEDGER) -> tuple[Verdict, ...]:
    """The verdicts that stand, ordered by faces.

    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged.
    """
    found = (verdict for verdict in _ledger(store, ledger).standing() if verdict.verdict != "unsure")
    return tuple(sorted(found, key=lambda v: (v.face_a, v.face_b or "")))


class VerdictsConfig(Frozen):
    """`digest`: of the verdicts that stand."""

    digest: str


@dataclass(frozen=True)
class Verdicts(Stage):
    """The verdicts that stand, as a shard that other stages read whole. A source: made with `of`."""

    config: VerdictsConfig
    verdicts: tuple[Verdict, ...]

    name: ClassVar[str] = "verdicts"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, verdicts: tuple[Verdict, ...]) -> "Verdicts":
        return cls(VerdictsConfig(digest=digest_of(verdicts)), verdicts)

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(
            pa.field("face_a", pa.string(), nullable=False),
            pa.field("face_b", pa.string()),
            pa.field("verdict", pa.string(), nullable=False),
            pa.field("reviewer", pa.string(), nullable=False),
        )

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        del batches
        rows = [
            {
                "sample_id": f"{verdict.face_a}|{verdict.face_b or ''}",
                "parent_id": None,
                "source_uri": f"verdict://{verdict.reviewer}",
                "licence": "",
                **verdict.model_dump(),
            }
            for verdict in self.verdicts
        ]
        yield StageOutput(pa.Table.from_pylist(rows, schema=self.schema))


def _ledger(store: Store, name: str) -> VerdictLedger[Verdict]:
    return VerdictLedger(store, name, Verdict, about=lambda verdict: verdict.about, word=_word)


def _word(verdict: Verdict | None) -> str:
    return "unsure" if verdict is None else verdict.verdict
