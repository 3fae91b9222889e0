"""Many shards at once: threads, processes, or Ray.

A worker gets whole derivations and commits to the store by itself, so that nothing but names travels. img2dataset's own
distributors are not used: the one for processes waits for ever for a process that was killed, the one for Ray returns
at the first worker that is lost.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

from tasks.schema.errors import ConfigError
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store

Distributor = Literal["threads", "multiprocessing", "ray"]

RAY_TRIES = 3
"""How often Ray starts a shard again whose worker was lost."""


@dataclass(frozen=True)
class Realised:
    """What became of one derivation: its record, or one sentence on why there is none. `ran`: it was made just now."""

    record: ShardRecord | None
    error: str | None = None
    ran: bool = False


@dataclass(frozen=True)
class Realiser:
    """Makes a derivation in the process that calls it."""

    store: Store

    def realise(self, derivation: Derivation) -> Realised:
        try:
            outcome = realise(derivation, self.store)
        except Exception as error:  # noqa: BLE001 - one shard's trouble stays its own; the caller is told
            return Realised(None, f"{type(error).__name__}: {error}")
        return Realised(outcome.record, None, not outcome.cached)


def distribute(
    derivations: Sequence[Derivation], store: Store, processes_count: int, distributor: Distributor
) -> tuple[Realised, ...]:
    """Find or make every derivation; one that fails, or whose process dies, leaves the others alone.

    Args:
        derivations: picklable, except for threads.
        store: at the same path for every worker.
        processes_count: workers; for Ray the cluster decides.
        distributor: what the workers are. Processes are spawned: the main module must be importable.
    Returns:
        one result for each, in order.
    """
    if distributor == "ray":
        return _on_ray(derivations, store)
    pool: Callable[[int], Executor] = ThreadPoolExecutor if distributor == "threads" else _processes
    realiser = Realiser(store)
    results: dict[int, Realised] = {}
    waiting = deque(range(len(derivations)))
    while waiting:
        lost = _work(pool, max(1, processes_count), waiting, derivations, realiser, results)
        for row in lost:
            if _work(pool, 1, deque([row]), derivations, realiser, results):
                results[row] = Realised(None, "its process died twice, the second time alone")
    return tuple(results[row] for row in range(len(derivations)))


def _processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def _work(
    pool: Callable[[int], Executor],
    count: int,
    waiting: deque[int],
    derivations: Sequence[Derivation],
    realiser: Realiser,
    results: dict[int, Realised],
) -> list[int]:
    """Take rows from `waiting` until there are none or a process dies; returns the rows that were under way then."""
    flying: dict[Future[Realised], int] = {}
    lost: list[int] = []
    with pool(count) as workers:
        while (waiting or flying) and not lost:
            while waiting and len(flying) < count:
                row = waiting.popleft()
                try:
                    flying[workers.submit(realiser.realise, derivations[row])] = row
                except BrokenProcessPool:
                    lost.append(row)
                    break
            done, _ = wait(flying, return_when=FIRST_COMPLETED) if flying else (set(), set())
            for future in done:
                row = flying.pop(future)
                try:
                    results[row] = future.result()
                except BrokenProcessPool:
                    lost.append(row)
        for future, row in flying.items():
            try:
                results[row] = future.result()
            except BrokenProcessPool:
                lost.append(row)
    return sorted(lost)


def _on_ray(derivations: Sequence[Derivation], store: Store) -> tuple[Realised, ...]:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is chosen and not installed: install mannequin[ray], or choose processes.") from error
    make = ray.remote(max_retries=RAY_TRIES)(Realiser.realise)
    asked = [make.remote(Realiser(store), each) for each in derivations]
    results = []
    for each in asked:
        try:
            results.append(ray.get(each))
        except ray.exceptions.RayError as error:
            results.append(Realised(None, f"{type(error).__name__}: {str(error).splitlines()[0]}"))
    return tuple(results)
