"""What a build left out: how many by stage and reason, and some of them, chosen by their ids alone."""

from collections import Counter
from dataclasses import dataclass
from heapq import heappush, heapreplace
from typing import Final

from blake3 import blake3

from tasks.reports.build_facts import BuildFacts

RULE: Final = "Examples are drawn by a hash of their ids, so that they are a fair sample and the same every time."


@dataclass(frozen=True)
class Example:
    """A rejected sample: a row of `REJECT_SCHEMA`."""

    sample_id: str
    stage: str
    reason: str
    detail: str
    score: float | None
    source_uri: str
    evidence: str | None


@dataclass(frozen=True)
class RejectedFor:
    """Samples that one stage left out for one reason. `beside`: in shards that were only looked up in."""

    stage: str
    beside: bool
    reason: str
    count: int
    examples: tuple[Example, ...]


def rejected_by_reason(build: BuildFacts, most: int) -> tuple[RejectedFor, ...]:
    """Every stage and reason, from the sources on, the most frequent first; up to `most` examples of each."""
    counted: Counter[tuple[str, bool, str]] = Counter()
    drawn: dict[tuple[str, bool, str], list[tuple[int, str, Example]]] = {}
    for shard, batch in build.rejects():
        beside = not build.flows(shard)
        for row, (sample_id, reason) in enumerate(
            zip(batch["sample_id"].to_pylist(), batch["reason"].to_pylist(), strict=True)
        ):
            kind = shard.stage, beside, reason
            counted[kind] += 1
            chosen = drawn.setdefault(kind, [])
            rank = -int.from_bytes(blake3(sample_id.encode()).digest(8), "big")
            if len(chosen) < most or (chosen and rank > chosen[0][0]):
                if any(sample_id == each for _, each, _ in chosen):
                    continue
                entry = rank, sample_id, Example(**batch.slice(row, 1).to_pylist()[0])
                if len(chosen) < most:
                    heappush(chosen, entry)
                else:
                    heapreplace(chosen, entry)
    order = {stage: number for number, stage in enumerate(build.stages)}
    kinds_in_order = sorted(
        counted, key=lambda kind: (order.get(kind[0], len(order)), kind[1], -counted[kind], kind[2])
    )
    return tuple(
        RejectedFor(
            *kind, counted[kind], tuple(each for _, _, each in sorted(drawn[kind], key=lambda e: (-e[0], e[1])))
        )
        for kind in kinds_in_order
    )
