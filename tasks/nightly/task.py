"""The tasks of the flow `nightly`: each refresh is a run of a deployment, on whichever worker serves its pool."""

import time
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import Flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelling
from prefect.tasks import Task

from tasks.machine.task import store_of
from tasks.nightly.changes import builds_of, change_of
from tasks.nightly.config import NightlyForm
from tasks.nightly.plan import (
    Deployed,
    Night,
    NightSummary,
    Outcome,
    RefreshCrashedError,
    RefreshFailedError,
    demand_all_well,
    plan_night,
    rows,
)
from tasks.schema.errors import MannequinError
from tasks.shards.notes import RUNNING, read_header

DATASET = "dataset"
"""Tag of the deployments that a night may refresh."""
_PAGE = 200
_ASK_S = 2.0
_SILENT_S = 900.0
"""How long a server may be away before a refresh is given up; it may be restarted in mid-run."""
_CANCELLED_S = 120.0


def _crashed(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), RefreshCrashedError)


@task(name="plan the night", cache_policy=NO_CACHE)
def read_plan(config: NightlyForm) -> Night:
    """What the server knows to be refreshed."""
    with get_client(sync_client=True) as client:
        night = plan_night(_deployed(client), config.deployments)
    for each in night.skipped:
        get_run_logger().warning("%s is skipped. %s", each.deployment, each.message)
    return night.model_copy(update={"refreshes": tuple(map(_with_builds, night.refreshes))})


@task(
    name="refresh",
    task_run_name="refresh {deployment.flow}/{deployment.name}",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=[60, 600],
    retry_condition_fn=_crashed,
)
def refresh(deployment: Deployed, config: NightlyForm) -> Outcome:
    """Run a deployment by the parameters that are saved on it, and wait for its end.

    Raises:
        RefreshFailedError: the run failed, was cancelled or took too long.
        RefreshCrashedError: no worker serves its pool, or the run lost its worker; it is tried again, after pauses.
    """
    with get_client(sync_client=True) as client:
        _demand_worker(client, deployment)
        run = cast("FlowRun", run_deployment(deployment.id, timeout=0))
        get_run_logger().info("%s runs as %s", deployment.full_name, run.name)
        state = _ended(client, run, time.monotonic() + config.hours * 3600)
        if state is None:
            _cancel(client, run.id)
            raise RefreshFailedError(f"Run {run.name} was cancelled after {config.hours:g} hours.")
    if state.is_crashed():
        raise RefreshCrashedError(f"Run {run.name} crashed: {state.message}")
    if not state.is_completed():
        raise RefreshFailedError(f"Run {run.name} ended {state.name}: {state.message}")
    return Outcome(deployment=deployment.full_name, state=str(state.name))


@task(name="tell", cache_policy=NO_CACHE)
def tell_night(night: Night, ended: tuple[Outcome, ...]) -> NightSummary:
    """What became of every dataset and of its rows, as an artifact of the run.

    Args:
        night: what was planned.
        ended: what became of each of its refreshes, in order.
    Raises:
        NightFailedError: something did not end well.
    """
    with get_client(sync_client=True) as client:
        runs = _begun(client, UUID(this_run.id))
    told = (_with_change(*each, night, runs) for each in zip(night.refreshes, ended, strict=True))
    outcomes = (*told, *night.skipped)
    create_table_artifact(rows(outcomes), key="night", description="What became of every dataset")
    demand_all_well(outcomes)
    return NightSummary(outcomes=outcomes)


def outcome_of(deployment: Deployed, future: "PrefectFuture[Outcome]") -> Outcome:
    """What became of a refresh that has ended, well or not."""
    found: object = cast("Any", future).result(raise_on_failure=False)
    if isinstance(found, Outcome):
        return found
    state = str(future.state.name)
    return Outcome(deployment=deployment.full_name, state=state, message=str(found), well=False)


def cancel_refreshes(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """A hook: whoever cancels a night cancels what it runs."""
    with get_client(sync_client=True) as client:
        for run in _begun(client, flow_run.id):
            if run.state is None or not run.state.is_final():
                client.set_flow_run_state(run.id, Cancelling())


def _begun(client: SyncPrefectClient, night: UUID) -> list[FlowRun]:
    """The refreshes that a night began."""
    begun = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[night]))
    return client.read_flow_runs(flow_run_filter=begun)


def _with_builds(deployment: Deployed) -> Deployed:
    """The same with what its store holds of it; without where that cannot be told: the refresh will say why."""
    with suppress(MannequinError):
        return deployment.model_copy(update={"builds": builds_of(store_of(deployment.store), deployment.flow)})
    return deployment


def _with_change(deployment: Deployed, outcome: Outcome, night: Night, runs: list[FlowRun]) -> Outcome:
    """The same with the time of its runs and what became of its rows, where that can be told."""
    mine = [run for run in runs if run.deployment_id == deployment.id]
    seconds = sum(run.total_run_time.total_seconds() for run in mine)
    change, unknown = None, ""
    try:
        store = store_of(deployment.store)
        if not any(read_header(store.fresh(f"{RUNNING}/{run.id}")) for run in mine):
            unknown = "its store is on another machine"  # a run tells of itself in its own store
        elif deployment.builds is None:
            unknown = "its store did not answer before"
        elif night.share_a_store(deployment):
            unknown = f"another deployment of {deployment.flow} publishes its builds in the same store"
        else:
            change = change_of(store, deployment.flow, deployment.builds)
    except MannequinError as error:
        unknown = str(error)
    message = outcome.message or (f"What is new is not known: {unknown}" if unknown else "")
    known = {"store": deployment.store, "seconds": seconds, "change": change, "message": message}
    return outcome.model_copy(update=known)


def _deployed(client: SyncPrefectClient) -> list[Deployed]:
    found: list[Deployed] = []
    flows: dict[UUID, str] = {}
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[DATASET]))
    while page := client.read_deployments(deployment_filter=tagged, limit=_PAGE, offset=len(found)):
        for each in page:
            flow = flows.setdefault(each.flow_id, "") or client.read_flow(each.flow_id).name
            flows[each.flow_id] = flow
            places = each.parameters.get("places")
            found.append(
                Deployed(
                    id=each.id,
                    flow=flow,
                    name=each.name,
                    pool=each.work_pool_name or "",
                    store=places.get("store", "default") if isinstance(places, dict) else "default",
                    configured="config" in each.parameters,
                )
            )
    return found


def _demand_worker(client: SyncPrefectClient, deployment: Deployed) -> None:
    workers = client.read_workers_for_work_pool(deployment.pool)
    if not any(each.status is WorkerStatus.ONLINE for each in workers):
        raise RefreshCrashedError(
            f"No worker serves the work pool {deployment.pool!r} of {deployment.full_name}: start one, "
            f"`prefect worker start --pool {deployment.pool}`."
        )


def _ended(client: SyncPrefectClient, run: FlowRun, deadline: float) -> State[Any] | None:
    """The state in which a run ends, or None where it does not before the deadline (of the monotonic clock)."""
    heard = time.monotonic()
    while time.monotonic() < deadline:
        try:
            state = client.read_flow_run(run.id).state
            heard = time.monotonic()
        except httpx.HTTPError as error:
            if time.monotonic() - heard > _SILENT_S:
                raise RefreshFailedError(f"The server has not answered for {_SILENT_S / 60:.0f} minutes.") from error
        else:
            if state is not None and state.is_final():
                return state
        time.sleep(_ASK_S)
    return None


def _cancel(client: SyncPrefectClient, run: UUID) -> None:
    """End a run; its worker ends the process, whatever code it is in."""
    client.set_flow_run_state(run, Cancelling())
    with suppress(RefreshFailedError):
        _ended(client, client.read_flow_run(run), time.monotonic() + _CANCELLED_S)
