"""Remakes random rows of all builds of a store, and says how many are equal and how long each took.

    python -m tests.lineage.remake_many STORE COUNT LIST [SECONDS [FLOW ...]]

Flows take turns; a row is drawn from all rows of all stages of the last build of a flow. What came of each row is added
to LIST, a file of JSON lines; the next call goes on behind its last line. Weights are found as the flows find them.
Nothing is written into the store. Exit status 1 where a row is not equal, 2 where rows are left for another call.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.ingest.hub import HubAccess
from tasks.lineage.remake import remake_row
from tasks.lineage.remake_flows import OpenBuild, RemakeError, open_build, published
from tasks.lineage.remake_text import remade_lines
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.shards.store import Store

Drawn = tuple[OpenBuild, str, str, str]
"""Build, stage, key, sample id."""


def drawn(builds: Sequence[OpenBuild], count: int) -> Iterator[Drawn]:
    """Random rows, flows in turn: the first of a larger count are those of a smaller one."""
    draw = np.random.default_rng(0)
    rows = {
        build.name: [(build, shard.stage, shard.key, path) for shard in build.manifest.shards
                     for path in [build.store.folder(shard.stage, shard.key) / shard.data.name]
                     if shard.data.rows and path.exists()
                     for _ in range(shard.data.rows)]
        for build in builds
    }  # fmt: skip
    for number in range(count):
        every = rows[builds[number % len(builds)].name]
        build, stage, key, path = every[int(draw.integers(len(every)))]
        ids = pq.read_table(path, columns=["sample_id"])["sample_id"]
        yield build, stage, key, ids[int(draw.integers(len(ids)))].as_py()


def remade(build: OpenBuild, stage: str, key: str, sample_id: str) -> dict[str, Any]:
    """What came of a row."""
    began, processor = time.monotonic(), time.process_time()
    told: dict[str, Any] = {"flow": build.manifest.flow, "stage": stage, "sample_id": sample_id}
    try:
        made = remake_row(build, build.node(stage, key), sample_id)
    except RemakeError as error:
        return told | {"equal": False, "stages": [], "seconds": None, "why": [str(error)]}
    taken = {"seconds": time.monotonic() - began, "processor": time.process_time() - processor}
    stages = [[each.stage, each.outcome.value] for each in made.stages]
    whole = all(outcome in ("equal", "taken over") for _, outcome in stages)
    return told | taken | {"equal": made.equal, "stages": stages, "why": [] if whole else remade_lines(made)}


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Outcomes by stage, and times by flow; the first row of a flow in a process loads its models."""
    outcomes = Counter((stage, outcome) for row in rows for stage, outcome in row["stages"])
    lines = [f"{stage:20} {number} {outcome}" for (stage, outcome), number in sorted(outcomes.items())]
    for flow in (*sorted({row["flow"] for row in rows}), "all"):
        of = [row for row in rows if flow in (row["flow"], "all") and row["seconds"] is not None]
        seconds, processor = ([row[name] for row in of] for name in ("seconds", "processor"))
        if seconds:
            median, late = np.median(seconds), np.quantile(seconds, 0.95)
            said = f"{flow:20} {len(of)} rows, median {median:.2f} s, p95 {late:.2f} s, most {max(seconds):.1f} s"
            lines.append(f"{said}; of one core {np.median(processor):.2f} s")
    return [*lines, f"{sum(row['equal'] for row in rows)} of {len(rows)} equal"]


def main(store: str, count: str, ledger: str, seconds: str = "100", *flows: str) -> int:
    """Remake on, and print what came of all so far."""
    began = time.monotonic()
    machine = Machine(Store(Path(store).resolve()), HubAccess(), Zoo.from_environment())
    last = {flow: digest for flow, digest in reversed(published(machine.store)) if not flow.endswith("_unfinished")}
    builds = [open_build(machine, *each) for each in sorted(last.items()) if not flows or each[0] in flows]
    path = Path(ledger)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a") as stream:
        for number, each in enumerate(drawn(builds, int(count))):
            if time.monotonic() - began > float(seconds):
                break
            if number >= len(rows):
                rows.append(remade(*each))
                print(json.dumps(rows[-1]), file=stream, flush=True)
                if rows[-1]["why"]:
                    print("\n".join(rows[-1]["why"]))
    print("\n".join(summary(rows)), flush=True)
    if not all(row["equal"] for row in rows):
        return 1
    return 0 if len(rows) >= int(count) else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
