"""How the tasks of every flow find their machine, are tried again, and say that they found their output."""

from typing import Any, TypeVar, cast

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task

from blocks import load_hub, load_models, load_network, load_store
from tasks.ingest.hub import HubAccess
from tasks.machine.places import Machine, Network, PlaceNames
from tasks.models.zoo import Zoo
from tasks.schema.errors import DatabaseUnreachableError, MannequinError
from tasks.shards.store import Store
from tasks.shards.tombstones import demand_nothing_under_way

T = TypeVar("T")


def _worth_another_try(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """What is wrong stays wrong; a crash, or a database that is restarting, may not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, DatabaseUnreachableError) or not isinstance(error, (MannequinError, ValueError, TypeError))


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
    return here


def machine_of(places: PlaceNames) -> Machine:
    """What the named blocks say, as plain values."""
    hub, models, network = load_hub(places.hub), load_models(places.models), load_network(places.network)
    trust = models.trust_unknown_digest or Zoo.from_environment().trust_unknown_digest
    return Machine(
        store=Store(load_store(places.store).root),
        hub=HubAccess(token=hub.token, endpoint=hub.endpoint),
        zoo=Zoo(models.folder, models.given, trust),
        network=Network(network.allow_networks, network.contact),
    )


def as_found(found: bool, value: T) -> T:
    """The value; where nothing had to run, as a state named Cached, which a future's `result()` unpacks."""
    return cast("T", Completed(name="Cached", data=value)) if found else value
