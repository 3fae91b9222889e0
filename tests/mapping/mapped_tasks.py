"""Tasks of the tests of mappings, where the processes of all runners can import them."""

import os
import signal
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.machine.groups import each_of
from tasks.machine.runner import Runner
from tasks.machine.task import GPU, as_found, gpu_slot, named
from tasks.mapping.task import mapping
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.shards.test_shards_distribute import Fate, FateConfig

FATES = ("lives", "fails", "dies", "dies once")


@task(name="work", task_run_name=named("work on", "numbers", str), tags=[GPU], cache_policy=NO_CACHE)
def work(numbers: tuple[int, ...], fates: dict[int, str], root: str, runner: Runner) -> tuple[tuple[int, int], ...]:
    """Make the shard of each number; returns numbers and processes."""
    store = Store(Path(root))

    def make(number: int) -> tuple[tuple[int, int], bool]:
        fate = fates.get(number, "lives")
        marker = Path(root) / f"{number}.died"
        if fate == "dies once":
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            fate = "lives"
        outcome = realise(Derivation(Fate(FateConfig(number=number, fate=fate))), store)
        return (number, os.getpid()), outcome.cached

    get_run_logger().info("working on %s", list(numbers))
    with gpu_slot(runner):
        made, found = each_of(numbers, make, str)
    if numbers[0] == 0:
        create_markdown_artifact("made", key="mapped-work")
    return as_found(found, made)


@flow(name="mapped_tasks")
def work_on(count: int, fates: dict[int, str], root: str, runner: Runner) -> tuple[tuple[int, int], ...]:
    """Make the shards of so many numbers."""
    with mapping(runner) as mapped:
        return mapped(work, range(count), fates, root, runner)
