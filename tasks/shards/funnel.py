"""Where the rows of a build went: per stage in, kept, and rejected by reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from tasks.schema.records import Frozen, ShardRecord


class FunnelLine(Frozen):
    """What one stage did to the rows of a build, over all of its shards.

    `rows_in == rows_kept + sum(rejected.values())`. `rows_out` counts the rows written (children, where a row becomes
    several); `children_rejected` rejected children of rows that live on. `beside`: the stage was only looked up in by
    others, its rows are no part of the flow.
    """

    stage: str
    shards: int
    rows_in: int
    rows_kept: int
    rows_out: int
    rejected: dict[str, int]
    children_rejected: dict[str, int] = Field(default_factory=dict)
    beside: bool = False

    @model_validator(mode="after")
    def _balances(self) -> Self:
        if self.rows_in != self.rows_kept + sum(self.rejected.values()):
            raise ValueError(f"{self.stage}: {self.rows_in} rows in, {self.rows_kept} kept, {self.rejected} rejected")
        return self


class Funnel(Frozen):
    """The stages of a build, from the sources on."""

    lines: tuple[FunnelLine, ...]

    def line(self, stage: str) -> FunnelLine:
        """The line of a stage.

        Raises:
            KeyError: the build has no such stage.
        """
        for line in self.lines:
            if line.stage == stage:
                return line
        raise KeyError(stage)

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected samples by reason, those of kept parents too; the most first."""
        counted: Counter[str] = Counter()
        for line in self.lines:
            counted.update(line.rejected)
            counted.update(line.children_rejected)
        return dict(counted.most_common())

    def rows(self) -> list[dict[str, str | int]]:
        """A table for people: one row a stage."""
        return [
            {
                "stage": line.stage + (" (looked up)" if line.beside else ""),
                "shards": line.shards,
                "in": line.rows_in,
                "kept": line.rows_kept,
                "rejected": sum(line.rejected.values()),
                "reasons": _said(line.rejected),
                "children rejected": _said(line.children_rejected),
                "out": line.rows_out,
            }
            for line in self.lines
        ]


@dataclass(frozen=True)
class StageRun:
    """A record of a build; `depth` is its longest way from a source, `beside`: it is only looked up in by others."""

    record: ShardRecord
    depth: int
    beside: bool


def unaccounted(record: ShardRecord, inputs: Sequence[ShardRecord] = ()) -> str:
    """Which row equation a record breaks, in words; empty: none. `inputs` are its primary inputs, where known."""
    left_out = sum(record.rejected.values())
    children = sum(record.children_rejected.values())
    written = record.rejects.rows if record.rejects else 0
    if record.rows_in != record.rows_kept + left_out:
        return f"{record.rows_in} rows in are not {record.rows_kept} kept and {left_out} rejected"
    if written != left_out + children:
        return f"{written} rejects written, {left_out} rows and {children} children rejected"
    if record.data.rows < record.rows_kept:
        return f"{record.rows_kept} rows kept, {record.data.rows} written"
    if inputs and record.rows_in != sum(each.data.rows for each in inputs):
        return f"{record.rows_in} rows in, the inputs hold {sum(each.data.rows for each in inputs)}"
    return ""


def funnel_of(found: Sequence[StageRun]) -> Funnel:
    """Add up the records of a build, stage by stage, from the sources on."""
    groups: defaultdict[tuple[str, bool], list[StageRun]] = defaultdict(list)
    for each in found:
        groups[each.record.stage, each.beside].append(each)
    ordered = sorted(groups.items(), key=lambda group: (max(each.depth for each in group[1]), group[0]))
    lines = []
    for (stage, beside), members in ordered:
        records = [each.record for each in members]
        lines.append(
            FunnelLine(
                stage=stage,
                shards=len(records),
                rows_in=sum(r.rows_in for r in records),
                rows_kept=sum(r.rows_kept for r in records),
                rows_out=sum(r.data.rows for r in records),
                rejected=_added(r.rejected for r in records),
                children_rejected=_added(r.children_rejected for r in records),
                beside=beside,
            )
        )
    return Funnel(lines=tuple(lines))


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())
