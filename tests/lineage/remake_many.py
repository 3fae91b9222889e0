"""Remakes random rows of all builds of a store, and says how many are equal and how long each took.

    python -m tests.lineage.remake_many STORE COUNT [SEED [FLOW ...]]

Flows take turns; a row is drawn from all rows of all stages of the last build of a flow. Weights are found as the flows
find them. Nothing is written. Exit status 1 where a row is not equal.
"""

import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tasks.ingest.hub import HubAccess
from tasks.lineage.remake import remake_row
from tasks.lineage.remake_flows import OpenBuild, RemakeError, open_build, published
from tasks.lineage.remake_result import Outcome
from tasks.lineage.remake_text import remade_lines
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.shards.store import Store

Drawn = tuple[OpenBuild, str, str, str]
"""Build, stage, key, sample id."""


def drawn(builds: list[OpenBuild], count: int, seed: int) -> list[Drawn]:
    """Random rows, flows in turn."""
    draw = np.random.default_rng(seed)
    rows = {
        build.name: [(build, shard.stage, shard.key, path) for shard in build.manifest.shards
                     for path in [build.store.folder(shard.stage, shard.key) / shard.data.name]
                     if shard.data.rows and path.exists()
                     for _ in range(shard.data.rows)]
        for build in builds
    }  # fmt: skip
    found: list[Drawn] = []
    for number in range(count):
        every = rows[builds[number % len(builds)].name]
        build, stage, key, path = every[int(draw.integers(len(every)))]
        ids = pq.read_table(path, columns=["sample_id"])["sample_id"]
        found.append((build, stage, key, ids[int(draw.integers(len(ids)))].as_py()))
    return found


def main(store: str, count: str, seed: str = "0", *flows: str) -> None:
    """Print what came of it."""
    machine = Machine(Store(Path(store).resolve()), HubAccess(), Zoo.from_environment())
    last = {flow: digest for flow, digest in reversed(published(machine.store)) if not flow.endswith("_unfinished")}
    builds = [open_build(machine, *each) for each in sorted(last.items()) if not flows or each[0] in flows]
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, list[float]] = defaultdict(list)
    failed = 0
    for build, stage, key, sample_id in drawn(builds, int(count), int(seed)):
        began = time.monotonic()
        try:
            remade = remake_row(build, build.node(stage, key), sample_id)
        except RemakeError as error:
            failed += 1
            print(f"{build.name} {stage}: {error}")
            continue
        seconds[build.manifest.flow].append(time.monotonic() - began)
        for each in remade.stages:
            outcomes[each.stage][each.outcome.value] += 1
        if not remade.equal or any(each.outcome is Outcome.WITHIN for each in remade.stages):
            print("\n".join(remade_lines(remade)))
        failed += not remade.equal
    for stage, counted in sorted(outcomes.items()):
        print(f"{stage:20}", ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items())))
    every = [each for times in seconds.values() for each in times]
    for flow, times in (*sorted(seconds.items()), ("all", every)):
        first = f", the first {times[0]:.1f} s" if flow != "all" else ""
        median, late = np.median(times), np.quantile(times, 0.95)
        print(f"{flow:20} {len(times)} rows, median {median:.2f} s, p95 {late:.2f} s, most {max(times):.1f} s{first}")
    print(f"{int(count) - failed} of {count} equal", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
