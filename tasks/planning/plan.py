"""A build that was not made yet: its shards, task runs, bytes and hours, from what a smaller one took."""

import math
from collections.abc import Mapping

from tasks.machine.runner import SINGLE_TASK_RUNS, Runner
from tasks.planning.costs import FlowCosts, StageCost
from tasks.planning.shapes import CATALOG_ROW_BYTES, GROWTH, PIECES, SHAPES, SINGLE_TASKS, TASK_RUN_BYTES, FlowShape
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen

FEW_ROWS = 1000
"""Costs that were measured on fewer rows are marked."""

MOST_JOINED = 100.0
"""What is joined of fewer rows than those is not scaled further than so often."""


class Wanted(Frozen):
    """What is to be planned.

    `items` are rows (URLs, photos), films or videos, `minutes` how long each of the latter is (None: as those that were
    measured), `part_rows` rows a shard, `windows` what a film is asked for, where films are planned; `piece_s` the work
    of a shard of those; `mbit_s` what the network brings in a second (None: as measured).
    """

    items: int
    minutes: float | None = None
    part_rows: int = 1
    windows: float | None = None
    piece_s: float = 60.0
    workers: int = 1
    gpus: int = 0
    mbit_s: float | None = None
    most_task_runs: int = Runner().most_task_runs


class StagePlan(Frozen):
    """A stage of the plan. `hours` is wall time with the given workers, None where nothing was timed; `work_hours` on
    one. `measured` is the number of rows on which its time was measured.
    """

    stage: str
    rows_in: int
    rows_out: int
    shards: int
    bytes: int
    work_hours: float | None
    hours: float | None
    pool: str
    measured: int
    spread: float | None


class Plan(Frozen):
    """A build that was not made yet. Stages do not overlap in it: what does makes it quicker.

    `peak_bytes` is the disk at the end: the store keeps every stage. `notes` are sentences on what limits and what is
    not known.
    """

    flow: str
    items: int
    where: str
    stages: tuple[StagePlan, ...]
    task_runs: int
    server_bytes: int
    peak_bytes: int
    catalog_bytes: int
    hours: float
    slowest: str
    notes: tuple[str, ...]


def plan_build(costs: FlowCosts, wanted: Wanted) -> Plan:
    """Scale what a build took to another one.

    Rows and bytes grow with the items, and for films and videos with their minutes; windows of films as they are asked
    for. Work grows with the rows, of exact neighbours with their square.

    Raises:
        ConfigError: nothing was measured that could be scaled.
    """
    if not costs.items or not wanted.items:
        raise ConfigError(f"Nothing can be planned from {costs.items} for {wanted.items} {SHAPES[costs.flow].item}.")
    shape, times = SHAPES[costs.flow], wanted.items / costs.items
    longer = 1.0
    if wanted.minutes is not None and costs.minutes:
        longer = wanted.minutes / (costs.minutes / costs.items)
    factors = {each.stage: _factor(each, wanted, times, longer) for each in costs.stages}
    rows = {each.stage: _rows_of(each, shape, factors, times, longer) for each in costs.stages}
    works = {each.stage: _work_s(each, shape, factors[each.stage]) for each in costs.stages}
    stages = []
    for each in costs.stages:
        work = works[each.stage]
        shards = _shards(each, works, shape, wanted)
        grows = max(0, each.bytes - each.shards * each.fixed_bytes)
        written = round(grows * factors[each.stage]) + shards * each.fixed_bytes
        stages.append(
            StagePlan(
                stage=each.stage,
                rows_in=rows[each.stage][0],
                rows_out=rows[each.stage][1],
                shards=shards,
                bytes=written,
                work_hours=None if work is None else work / 3600,
                hours=None if work is None else _wall_s(each, shape, wanted, work, written) / 3600,
                pool="one" if each.stage in shape.joined else "gpu" if each.gpu and wanted.gpus else "cpu",
                measured=each.timed_rows,
                spread=each.spread,
            )
        )
    task_runs = SINGLE_TASKS + sum(_groups({stage.stage: stage.shards for stage in stages}, shape, wanted))
    slowest = max(stages, key=lambda stage: stage.hours or 0.0)
    return Plan(
        flow=costs.flow,
        items=wanted.items,
        where=costs.where,
        stages=tuple(stages),
        task_runs=task_runs,
        server_bytes=task_runs * TASK_RUN_BYTES,
        peak_bytes=sum(stage.bytes for stage in stages),
        catalog_bytes=sum(stage.rows_out * CATALOG_ROW_BYTES for stage in stages if stage.stage == "combine"),
        hours=sum(stage.hours or 0.0 for stage in stages),
        slowest=slowest.stage,
        notes=tuple(_notes(costs, wanted, shape, stages, longer)),
    )


def _work_s(cost: StageCost, shape: FlowShape, factor: float) -> float | None:
    """Seconds on one worker. What is joined has costs besides those of its rows: few rows say nothing of many."""
    if cost.seconds is None:
        return None
    if cost.stage in shape.joined and cost.timed_rows < FEW_ROWS and factor > MOST_JOINED:
        return None
    return float(cost.seconds * factor ** GROWTH.get(cost.stage, 1.0))


def _factor(cost: StageCost, wanted: Wanted, times: float, longer: float) -> float:
    """How often the work of a stage is done."""
    if cost.stage == "patches" and wanted.windows is not None:
        return wanted.items * wanted.windows / max(cost.rows_in, 1)
    return times * longer


def _rows_of(
    cost: StageCost, shape: FlowShape, factors: Mapping[str, float], times: float, longer: float
) -> tuple[int, int]:
    """Rows in and out: items at the source, what comes of them behind it; a classifier stays one row."""
    if cost.stage in shape.source:
        return round(cost.rows_in * times), round(cost.rows_out * times)
    if cost.stage == "windows":
        return round(cost.rows_in * times), round(cost.rows_out * factors.get("patches", times * longer))
    if cost.stage in {"classifier", "trends"}:
        return cost.rows_in, cost.rows_out
    factor = factors[cost.stage]
    return round(cost.rows_in * factor), round(cost.rows_out * factor)


def _wall_s(cost: StageCost, shape: FlowShape, wanted: Wanted, work: float, written: int) -> float:
    if cost.stage in shape.joined:
        return work
    seconds = work / (wanted.gpus if cost.gpu and wanted.gpus else wanted.workers)
    if cost.stage in shape.waits and wanted.mbit_s is not None:
        return max(seconds, 8 * written / (wanted.mbit_s * 1e6))
    return seconds


def _shards(cost: StageCost, works: Mapping[str, float | None], shape: FlowShape, wanted: Wanted) -> int:
    if cost.stage in shape.joined:
        return 1
    if cost.stage in PIECES:
        return max(wanted.items, math.ceil((works.get(PIECES[cost.stage]) or 0.0) / wanted.piece_s))
    return math.ceil(wanted.items / (wanted.part_rows if shape.part else 1))


def _groups(shards: Mapping[str, int], shape: FlowShape, wanted: Wanted) -> list[int]:
    """Task runs of each mapping, as a run divides them: half of those that are left to each."""
    left, found = wanted.most_task_runs - SINGLE_TASK_RUNS, []
    for stage in shape.mapped:
        parts = wanted.items if shape.item != "rows" else shards.get(stage, 0)
        found.append(min(parts, max(1, min(wanted.workers, left), left // 2)))
        left -= found[-1]
    return found


def _notes(costs: FlowCosts, wanted: Wanted, shape: FlowShape, stages: list[StagePlan], longer: float) -> list[str]:
    said = []
    untimed = [stage.stage for stage in stages if stage.hours is None]
    if untimed:
        said.append(f"Too few rows were timed of {', '.join(untimed)}: their hours are missing.")
    few = [stage.stage for stage in stages if stage.hours is not None and stage.measured < FEW_ROWS]
    if few:
        said.append(
            f"Measured on fewer than {FEW_ROWS:,} rows: {', '.join(few)}. A shard that loaded a model, or a busy "
            "machine, counts much there: expect half to twice the hours."
        )
    if wanted.gpus and not any(each.gpu for each in costs.stages):
        said.append(
            "Nothing was measured on a GPU: the hours are those of the CPU. Run a small build on one, then plan."
        )
    if any(each.stage in GROWTH for each in costs.stages):
        said.append("Neighbours are exact: their work grows with the square of the faces, on one machine.")
    if shape.joined:
        said.append("Joined stages run on one worker: more workers do not help them.")
    if shape.waits and wanted.mbit_s is None:
        said.append("Download is as quick as the servers that were measured: say the network's Mbit/s for a bound.")
    if shape.item != "rows" and wanted.minutes is None:
        each = f"{(costs.minutes or 0) / costs.items:.1f} minutes" if costs.minutes else "as those measured"
        said.append(f"The {shape.item} are taken to be as long as those measured: {each}.")
    elif longer != 1.0 and costs.minutes and costs.minutes < 10:
        said.append(f"Costs a minute were measured on {costs.minutes:.1f} minutes in all.")
    said.append(
        "Hours are those of the machine that was measured, stage after stage, with other work beside it as then."
    )
    said.append("Exports are not counted; each takes about the bytes of what it writes.")
    return said
