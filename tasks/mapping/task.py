"""Tasks mapped over groups of shards, in threads, processes or on Ray; who dies there takes nobody along."""

import inspect
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture, wait
from prefect.logging.handlers import APILogWorker
from prefect.states import Crashed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task, TaskRunNameCallbackWithParameters
from prefect.utilities.annotations import quote

from tasks.machine.groups import grouped
from tasks.machine.runner import SINGLE_TASK_RUNS, Runner
from tasks.machine.task import GPU
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.home import HOME_VARIABLE, home
from tasks.shards.distribute import RAY_TRIES, leave_interrupts_to_the_caller
from tasks.shards.notes import expect_members

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner  # type: ignore[import-untyped]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

Call = dict[str, Any]
Future = PrefectFuture[Any]
RunAll = Callable[[Task[Any, Any], list[Call]], list[Future]]

PROCESS_TRIES = 3
"""How often a group is tried whose process dies; what killed it runs in its cautious form from the second time on."""

RECORDED_S = 10.0
"""The server writes task runs down some time after they began; whom it does not know after this never began."""

LISTENS_S = 10.0
"""How long an address of Ray may take to answer at all."""

SENT_S = 5.0
"""How long a worker of Ray waits at the end of a task run for a server to take what was said."""

_HANDED_ON = ("MANNEQUIN_", "WEBBODY_DATA_ROOT")
"""Beginnings of the variables that workers of a cluster are given as this process has them."""


class _Untouched(quote):
    """A parameter that Prefect hands on as it is; its own `quote` comes out of a pickle wrapped twice."""

    def __reduce__(self) -> tuple[type[Self], tuple[Any]]:
        return type(self), (self.unwrap(),)


@dataclass(frozen=True)
class _Lost:
    """A task run that died.

    Attributes:
        name: that it has, or would have given itself.
        message: what happened.
    """

    name: str
    message: str


class Mapper:
    """Maps tasks over shards in groups; at most half of the task runs that are left go to one mapping.

    Args:
        runner: how many task runs, and how many at once.
        run_all: runs a task once for each call, and returns when all have ended.
    """

    def __init__(self, runner: Runner, run_all: RunAll) -> None:
        self._width = runner.width
        self._left = runner.most_task_runs - SINGLE_TASK_RUNS
        self._run_all = run_all

    @property
    def most(self) -> int:
        """Groups that the next mapping may make."""
        return max(1, min(self._width, self._left), self._left // 2)

    def __call__(
        self,
        task: Task[Concatenate[tuple[T, ...], P], tuple[R, ...]],
        members: Sequence[T],
        *shared: P.args,
        **named: P.kwargs,
    ) -> tuple[R, ...]:
        """Run a task over groups of members; returns the results of all members, in order.

        Args:
            task: takes a group and what is shared, and returns a result for each member.
            shared: what every group is given besides; Prefect does not look into it for futures.
        Raises:
            Exception: the error of the first group that failed, when all have ended.
        """
        expect_members(task.name, len(members))
        groups = grouped(members, self.most)
        self._left -= len(groups)
        signature = inspect.signature(task.fn)
        calls = [
            {name: _Untouched(value) for name, value in signature.bind(group, *shared, **named).arguments.items()}
            for group in groups
        ]
        results = [future.result() for future in self._run_all(task, calls)]
        return tuple(result for group in results for result in group)


@contextmanager
def mapping(runner: Runner) -> Iterator[Mapper]:
    """Map tasks in this block where `runner` says; pools and a Ray that were opened for it end with it.

    Raises:
        ConfigError: Ray is chosen and not installed, does not answer, or has not the GPUs that are asked for.
    """
    with ExitStack() as opened:
        if runner.kind == "threads":
            yield Mapper(runner, _submitted_to(opened.enter_context(ThreadPoolTaskRunner(max_workers=runner.width))))
        elif runner.kind == "processes":
            yield Mapper(runner, opened.enter_context(_Processes(runner.width)).run_all)
        else:
            yield Mapper(runner, _submitted_to(opened.enter_context(_ray(runner)), runner.gpus))


def _submitted_to(pool: TaskRunner[Any], gpus: float | None = None) -> RunAll:
    """Give all calls to a runner of Prefect at once; `gpus`: it is Ray, and reserves so many for each task."""

    def run_all(task: Task[Any, Any], calls: list[Call]) -> list[Future]:
        with nullcontext() if gpus is None else _ray_options(task, gpus):
            futures = [pool.submit(task, call) for call in calls]
        wait(futures)
        if gpus is not None:
            _demand_none_given_up(task, calls, futures)
        return futures

    return run_all


class _Processes:
    """So many processes, each a pool of its own: one that dies is replaced, and its group alone is tried again."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pools: SimpleQueue[ProcessPoolTaskRunner] = SimpleQueue()
        self._lost: dict[UUID, _Lost] = {}

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._pools.put(_process())
        return self

    def __exit__(self, *error: object) -> None:
        for _ in range(self._count):
            self._pools.get().__exit__(None, None, None)

    def run_all(self, task: Task[Any, Any], calls: list[Call]) -> list[Future]:
        threads = ThreadPoolExecutor(self._count)
        try:
            asked = [threads.submit(copy_context().run, self._run, task, call) for call in calls]
            return [each.result() for each in asked]
        finally:
            threads.shutdown(cancel_futures=True)
            _tell_crashed(self._lost)
            self._lost.clear()

    def _run(self, task: Task[Any, Any], call: Call) -> Future:
        pool = self._pools.get()
        try:
            for _ in range(PROCESS_TRIES):
                future = pool.submit(task, call)
                try:
                    future.wait()
                except BrokenProcessPool:
                    pool.__exit__(None, None, None)
                    pool = _process()
                    self._lost[future.task_run_id] = _Lost(_name_of(task, call), "Its process died.")
                else:
                    return future
        finally:
            self._pools.put(pool)
        raise StoreError(f"A process that worked on {task.name!r} died {PROCESS_TRIES} times: is there memory enough?")


def _process() -> ProcessPoolTaskRunner:
    return ProcessPoolTaskRunner(max_workers=1, initializer=leave_interrupts_to_the_caller).__enter__()


@contextmanager
def _ray(runner: Runner) -> "Iterator[RayTaskRunner[Any]]":
    try:
        import ray
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise ConfigError("Ray is chosen and not installed: install mannequin[ray], or choose processes.") from error
    _demand_listener(runner.address)
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    options: dict[str, Any] = {"runtime_env": {"env_vars": handed_on | {HOME_VARIABLE: str(home())}}}
    if not runner.address:
        options |= {"num_cpus": runner.width, "include_dashboard": False}
    with ExitStack() as opened:
        if not ray.is_initialized():
            opened.callback(ray.shutdown)
        pool = RayTaskRunner[Any](runner.address or "local", options)
        pool._run_prefect_task = _run_and_send  # noqa: SLF001 - what its workers run, for which there is no other way in
        try:
            opened.enter_context(pool)
        except ConnectionError as error:
            raise ConfigError(
                f"The Ray at {runner.address} does not take us: {str(error).rstrip('.')}. If it wants a token, set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH here as where it was started."
            ) from error
        there: float = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]
        if runner.gpus > there:
            raise ConfigError(f"A task wants {runner.gpus:g} GPUs (runner.gpus), and this Ray has {there:g}.")
        yield pool


def _demand_listener(address: str) -> None:
    """Look whether anybody listens at an address of Ray, who himself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), timeout=LISTENS_S).close()
        except OSError as error:
            raise ConfigError(f"There is no Ray at {address}: {error.strerror or error}.") from error


def _run_and_send(*waited_for: Any, **asked: Any) -> Any:
    """A task run in a worker of Ray, which is killed with the flow run: lines and states are sent before it returns."""
    from prefect_ray import RayTaskRunner

    try:
        return RayTaskRunner._run_prefect_task(*waited_for, **asked)  # noqa: SLF001
    finally:
        for sender in (APILogWorker, EventsWorker):
            sender.drain_all(timeout=SENT_S)


def _ray_options(task: Task[Any, Any], gpus: float) -> Any:
    from prefect_ray.context import remote_options  # type: ignore[import-untyped]

    return remote_options(max_retries=RAY_TRIES, **({"num_gpus": gpus} if gpus and GPU in task.tags else {}))


def _demand_none_given_up(task: Task[Any, Any], calls: Sequence[Call], futures: Sequence[Future]) -> None:
    """Raise where Ray tried no more, as workers died again and again."""
    lost = {
        future.task_run_id: _Lost(_name_of(task, call), future.state.message or "")
        for call, future in zip(calls, futures, strict=True)
        if future.state.is_crashed()
    }
    if lost:
        _tell_crashed(lost)
        said = next(iter(lost.values())).message.partition("\n")[0]
        raise StoreError(f"Ray gave up {len(lost)} groups of {task.name!r}, whose workers died: {said}")


def _name_of(task: Task[Any, Any], call: Call) -> str:
    """What the run of a call is named, once it has lived long enough to say so."""
    values = {name: value.unwrap() for name, value in call.items()}
    name = cast("str | TaskRunNameCallbackWithParameters", task.task_run_name)
    return name.format(**values) if isinstance(name, str) else name(parameters=values)


def _tell_crashed(lost: Mapping[UUID, _Lost]) -> None:
    """Tell the server of task runs that are no more, which it hears of from themselves alone; stops nobody.

    Args:
        lost: names and what happened, by task run. One that died before it could say anything has no record.
    """
    deadline, waiting = time.monotonic() + RECORDED_S, dict(lost)
    with get_client(sync_client=True) as client:
        while waiting:
            for task_run, died in tuple(waiting.items()):
                with suppress(httpx.HTTPError, ObjectNotFound):
                    client.set_task_run_name(task_run, died.name)
                    client.set_task_run_state(task_run, Crashed(message=died.message), force=True)
                    del waiting[task_run]
            if time.monotonic() > deadline:
                return
            if waiting:
                time.sleep(0.5)
