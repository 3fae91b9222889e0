"""What stages cost, measured on the builds of a store: their records say rows and bytes, `times/` the seconds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pyarrow.parquet as pq
from pydantic import Field

from tasks.planning.shapes import GROWTH, SHAPES
from tasks.schema.records import Frozen, ShardRecord
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.times import all_seconds


class StageCost(Frozen):
    """What a stage took in a build. `rows_in` may be other than the build's items: those before leave some out.

    `bytes` are those of rows and rejects, and of files it wrote beside the store; what it handed on as it came is kept
    once and counts nothing. `seconds` is for all of `rows_in`, the shards whose time is not known taken as the others;
    None: no time is known. `spread` is the slowest tenth of the shards against the quickest, in seconds a row; None:
    too few were timed. `gpu`: it ran on one. `fixed_bytes` of each shard do not grow with its rows: its footer.
    """

    stage: str
    shards: int
    rows_in: int
    rows_out: int
    rejected: int
    bytes: int
    seconds: float | None
    timed_rows: int
    spread: float | None = None
    gpu: bool = False
    fixed_bytes: int = 0


class FlowCosts(Frozen):
    """What a build of a flow took, stage by stage from the source on.

    `items` are what it was made of (rows, films or videos), `minutes` how long those were together where they are films
    or videos, `where` what it was measured on.
    """

    flow: str
    items: int
    minutes: float | None
    where: str
    stages: tuple[StageCost, ...] = Field(min_length=1)


FEWEST_SPREAD = 5
"""Shards that must have been timed before their spread says something."""


def costs_of(store: Store, flow: str, digest: str = "") -> FlowCosts:
    """What a build took; without a digest, the one published last.

    Raises:
        StoreError: there is none.
    """
    manifest = read_manifest(store, flow, digest)
    beside = {line.stage for line in manifest.funnel.lines if line.beside}
    records: defaultdict[str, list[ShardRecord]] = defaultdict(list)
    for shard in manifest.shards:
        record = store.read_record(shard.stage, shard.key)
        if record is not None and shard.stage not in beside:
            records[shard.stage].append(record)
    order = dict.fromkeys(line.stage for line in manifest.funnel.lines if line.stage in records)
    sources = [record for stage in SHAPES[flow].source for record in records.get(stage, ())]
    return FlowCosts(
        flow=flow,
        items=sum(record.rows_in for record in sources),
        minutes=_minutes(store, sources),
        where=f"build {manifest.digest[:12]} of this store",
        stages=tuple(_stage_cost(store, stage, records[stage]) for stage in order),
    )


def better_of(here: FlowCosts, shipped: FlowCosts) -> FlowCosts:
    """The costs of a store; of a stage that was timed on fewer rows there than where the shipped ones are from, those.

    A GPU's are never replaced, nor are those of films and videos, which differ more than machines do.
    """
    if SHAPES[here.flow].item != "rows":
        return here
    known = {each.stage: each for each in shipped.stages}
    stages, taken = [], []
    for each in here.stages:
        other = known.get(each.stage)
        if other is None or other.seconds is None or other.timed_rows <= each.timed_rows or each.gpu:
            stages.append(each)
        else:
            taken.append(each.stage)
            grown = (other.timed_rows / max(other.rows_in, 1)) ** GROWTH.get(each.stage, 1.0)
            stages.append(timed_on(each, other.timed_rows, other.seconds * grown))
    where = here.where + (f"; the time of {', '.join(taken)} of {shipped.where}" if taken else "")
    return here.model_copy(update={"stages": tuple(stages), "where": where})


def timed_on(cost: StageCost, rows: int, seconds: float) -> StageCost:
    """The cost with the time that so many other rows took."""
    share = (cost.rows_in / rows) ** GROWTH.get(cost.stage, 1.0)
    return cost.model_copy(update={"seconds": seconds * share, "timed_rows": rows, "spread": None})


def _stage_cost(store: Store, stage: str, records: Sequence[ShardRecord]) -> StageCost:
    times = all_seconds(store, stage)
    rows = sum(record.rows_in for record in records)
    timed = [(times[record.key], record.rows_in) for record in records if record.key in times]
    timed_rows = sum(count for _, count in timed)
    return StageCost(
        stage=stage,
        shards=len(records),
        rows_in=rows,
        rows_out=sum(record.data.rows for record in records),
        rejected=sum(sum(record.rejected.values()) for record in records),
        bytes=sum(map(_bytes, records)),
        seconds=_typical(timed) * max(rows, 1) if timed else None,
        timed_rows=timed_rows,
        spread=_spread(timed),
        fixed_bytes=_footer(store, records),
        gpu=any("cuda" in value.lower() for record in records for value in record.execution.values()),
    )


def _bytes(record: ShardRecord) -> int:
    handed_on = any(record.data.digest == each.digest for each in record.inputs)
    beside = record.facts.get("bytes", 0) if record.stage == "patches" else 0
    return (
        (0 if handed_on else record.data.size)
        + (record.rejects.size if record.rejects else 0)
        + (int(beside) if isinstance(beside, (int, float)) else 0)
    )


def _footer(store: Store, records: Sequence[ShardRecord]) -> int:
    """Of a shard of the stage; 0 where all were erased or handed on."""
    for record in records:
        if not record.erased and not any(record.data.digest == each.digest for each in record.inputs):
            return int(pq.read_metadata(store.data_path(record)).serialized_size)
    return 0


def _typical(timed: Iterable[tuple[float, int]]) -> float:
    """Seconds a row: the median over rows, so that a first shard, which loads the model, does not count for others."""
    ordered = sorted((seconds / max(rows, 1), max(rows, 1)) for seconds, rows in timed)
    half, passed = sum(rows for _, rows in ordered) / 2, 0
    for each, rows in ordered:
        passed += rows
        if passed >= half:
            return each
    return 0.0


def _spread(timed: Sequence[tuple[float, int]]) -> float | None:
    if len(timed) < FEWEST_SPREAD:
        return None
    ordered = sorted(seconds / max(rows, 1) for seconds, rows in timed)
    tenth = len(ordered) // 10
    return ordered[-1 - tenth] / ordered[tenth] if ordered[tenth] > 0 else None


def _minutes(store: Store, records: Iterable[ShardRecord]) -> float | None:
    found: list[Any] = []
    for record in records:
        schema = pq.read_schema(store.data_path(record)).names
        if "duration_s" not in schema:
            return None
        found += pq.read_table(store.data_path(record), columns=["duration_s"])["duration_s"].to_pylist()
    return cast("float", sum(found)) / 60 if found else None
