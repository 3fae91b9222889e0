"""A rerun that finds 200 shards x 5 stages: by the engine alone, as 200 tasks (a segment each), as 1,000 tasks.

    python tests/benchmarks/bench_cached_flow.py

Runs against a Prefect server of its own; the flow runner has four threads.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

from bench_engine import Copy, Pictures, Size
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.testing.utilities import prefect_test_harness

from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store


def chain(shard: int, stages: int) -> Derivation:
    """The first `stages` stages of a shard."""
    made = Derivation(Pictures(Size(rows=2, image_bytes=100, round=shard)))
    for step in range(stages - 1):
        made = Derivation(Copy(Size(round=shard), step=step), (made,))
    return made


@task(cache_policy=NO_CACHE)
def find(root: str, shard: int, stages: int) -> str:
    """Find the shard as it is after so many stages."""
    return realise(chain(shard, stages), Store(Path(root))).record.key


@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))  # type: ignore[arg-type]
def find_all(root: str, shards: int, depths: list[int]) -> int:
    """One task for each shard and depth."""
    futures = [find.submit(root, shard, depth) for depth in depths for shard in range(shards)]
    wait(futures)
    return len([future.result() for future in futures])


def main() -> None:
    """Fill a store, then find everything in three ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--stages", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=120):
        store = Store(Path(folder).resolve())
        for shard in range(options.shards):
            realise(chain(shard, options.stages), store)
        began = time.perf_counter()
        for shard in range(options.shards):
            assert realise(chain(shard, options.stages), store).cached
        alone = time.perf_counter() - began
        print(f"engine alone: {alone:.2f} s")
        for told, depths in (("segments", [options.stages]), ("single stages", list(range(1, options.stages + 1)))):
            began = time.perf_counter()
            count = find_all(str(store.root), options.shards, depths)
            took = time.perf_counter() - began
            print(f"{told}: {count} tasks in {took:.1f} s, {took / count * 1e3:.0f} ms a task")


if __name__ == "__main__":
    main()
