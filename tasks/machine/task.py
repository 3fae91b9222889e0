"""How the tasks of every flow find their machine, are tried again, are named, and say that they found their output."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, cast

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.runtime import flow_run, task_run
from prefect.states import Completed
from prefect.tasks import Task, TaskRunNameCallbackWithParameters

from blocks import load_hub, load_models, load_network, load_store
from tasks.ingest.hub import HubAccess
from tasks.machine.groups import may_pass
from tasks.machine.places import Machine, Network, PlaceNames
from tasks.machine.runner import Runner
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError
from tasks.shards.notes import join_run
from tasks.shards.opening import open_store
from tasks.shards.store import Store
from tasks.shards.tombstones import demand_nothing_under_way

T = TypeVar("T")

GPU = "gpu"
"""Tag of tasks that run models, and name of the concurrency limit whose slots they take where GPUs are counted."""

LEASE_S = 120.0
"""A slot whose holder was killed is free after this long; holders that live renew it."""


def _worth_another_try(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    return may_pass(state.result(raise_on_failure=False))


RETRIED: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_condition_fn": _worth_another_try,
}
"""Options of a task that works on shards: the store is the only cache."""


def machine(places: PlaceNames) -> Machine:
    """What the named blocks say, as plain values, for a task that works on the store.

    Raises:
        StoreError: something is being taken out of the store, or that was interrupted.
    """
    here = machine_of(places)
    demand_nothing_under_way(here.store)
    if (run := flow_run.id) is not None:
        join_run(here.store, run, task_run.task_name or "")
    return here


def machine_of(places: PlaceNames) -> Machine:
    """What the named blocks say, as plain values."""
    hub, models, network = load_hub(places.hub), load_models(places.models), load_network(places.network)
    trust = models.trust_unknown_digest or Zoo.from_environment().trust_unknown_digest
    return Machine(
        store=store_of(places.store),
        hub=HubAccess(token=hub.token, endpoint=hub.endpoint),
        zoo=Zoo(models.folder, models.given, trust),
        network=Network(network.allow_networks, network.contact),
    )


def store_of(name: str) -> Store:
    """The store that a Store block says.

    Raises:
        ConfigError: there is no such block, or what it says does not fit together.
        StoreError: its bucket cannot be used.
    """
    place = load_store(name)
    return open_store(place.root, place.url, endpoint=place.endpoint, key=place.key, secret=place.secret)


def as_found(found: bool, value: T) -> T:
    """The value; where nothing had to run, as a state named Cached, which a future's `result()` unpacks."""
    return cast("T", Completed(name="Cached", data=value)) if found else value


@contextmanager
def gpu_slot(runner: Runner) -> Iterator[None]:
    """A slot of the limit `gpu` for the time of the block, where the runner wants one; waits until one is free.

    A slot comes back when the block ends, and after `LEASE_S` when its process died. A server that is away for a while
    interrupts nobody who has one.

    Raises:
        ConfigError: there is no such limit.
    """
    with ExitStack() as held:
        if runner.takes_slots:
            slot = concurrency(GPU, occupy=1, strict=True, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False)
            try:
                held.enter_context(slot)
            except ConcurrencySlotAcquisitionError as error:
                raise ConfigError(
                    f"GPUs are counted (runner.gpus is {runner.gpus:g}), and the server has no concurrency limit "
                    f"{GPU!r}: `make up` makes one, or `prefect gcl create {GPU} --limit 1`."
                ) from error
        yield


def named(verb: str, group: str, name: Callable[[Any], str]) -> TaskRunNameCallbackWithParameters:
    """Names of the runs of a task that takes a group: what it does, and to which members.

    Args:
        verb: may hold parameters of the task, as `{read.source.name}`.
        group: the task's parameter that holds the members.
        name: of a member.
    """

    def name_of(parameters: dict[str, Any]) -> str:
        members = parameters[group]
        last = f" to {name(members[-1])}" if len(members) > 1 else ""
        return f"{verb.format(**parameters)} {name(members[0])}{last}"

    return cast("TaskRunNameCallbackWithParameters", name_of)
