"""Where the mapped tasks of a run work: threads, processes or Ray; decides nothing about what is made."""

import os
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.schema.forms import Form
from tasks.shards.distribute import Distributor

Kind = Literal["threads", "processes", "ray"]

AsAsked = Literal["runner", "threads", "multiprocessing", "ray"]
"""How one task spreads what it makes: as the run's runner says, or in a way of its own."""

SINGLE_TASK_RUNS = 100
"""Task runs of a flow run that are kept for what is not mapped: lists, joins, exports, reports."""


class Runner(Form):
    """Where the mapped tasks of a run work, and in how many groups."""

    kind: Kind = Field(
        "threads", title="Kind", description="Threads of the flow's process, processes beside it, or Ray."
    )
    workers: int = Field(
        0, title="Workers", ge=0, le=4096, description="Tasks at once; 0: one a core. A Ray that runs already decides."
    )
    address: str = Field(
        "",
        title="Address of Ray",
        pattern=r"^(ray://[^\s/]+:\d+|[^\s/:]+:\d+|auto)?$",
        description="As ray://head:10001 or head:6379; empty: a Ray of its own on this machine.",
    )
    gpus: float = Field(
        0.0,
        title="GPUs a task",
        ge=0,
        le=16,
        description="Of tasks that run models. Ray reserves them, as 0.25 for four tasks a GPU; elsewhere each such "
        "task takes a slot of the concurrency limit gpu. 0: nobody counts.",
    )
    most_task_runs: int = Field(
        1500,
        title="Most task runs",
        ge=2 * SINGLE_TASK_RUNS,
        le=10_000,
        description="Of a flow run: shards are mapped in groups. Prefect's server loses records beyond a few thousand.",
    )

    @model_validator(mode="after")
    def _address_is_used(self) -> Self:
        if self.address and self.kind != "ray":
            raise ValueError(f"address: {self.address} is a Ray, and the kind is {self.kind}")
        return self

    @property
    def width(self) -> int:
        """Tasks at once on this machine."""
        return self.workers or os.cpu_count() or 2

    @property
    def takes_slots(self) -> bool:
        """Whether tasks that run models take a slot of a concurrency limit; Ray counts GPUs by itself."""
        return self.gpus > 0 and self.kind != "ray"


HERE_RUNNER = Runner()
"""Threads, one a core."""


def distributor_of(asked: AsAsked, workers: int, runner: Runner) -> tuple[Distributor, int]:
    """How a task that stays in the flow's process spreads what it makes, and over how many workers.

    Args:
        asked: "runner": on Ray where the run works on Ray; else in processes, which native code cannot take along when
            it crashes.
        workers: for processes, where the runner says nothing about them.
    """
    if asked != "runner":
        return asked, workers
    if runner.kind == "ray":
        return "ray", runner.width
    return "multiprocessing", runner.width if runner.kind == "processes" else workers
