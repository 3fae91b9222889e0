"""Many shards at once: threads, processes, or Ray through img2dataset's own distributor.

A worker gets whole derivations and commits to the store by itself, so that nothing but names travels. img2dataset's
multiprocessing distributor is not used: it waits for ever for a process that was killed.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

from tasks.download.upstream import submodule
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, committed, realise
from tasks.shards.store import Store

Distributor = Literal["threads", "multiprocessing", "ray"]
Row = tuple[int, Derivation]

RAY_ROUNDS = 3
"""img2dataset's Ray distributor returns at the first worker that is lost; what is missing then is asked for again."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Realised:
    """What became of one derivation: its record, or one sentence on why there is none. `ran`: it was made just now."""

    record: ShardRecord | None
    error: str | None = None
    ran: bool = False


@dataclass(frozen=True)
class Realiser:
    """Makes a derivation in the process that calls it; takes and returns what img2dataset's distributors expect."""

    store: Store

    def __call__(self, row: Row) -> tuple[bool, Row]:
        result = self.realise(row[1])
        if result.error is not None:
            _LOG.error("shard %d: %s", row[0], result.error)
        return result.error is None, row

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
    found = {row: record for row, each in enumerate(derivations) if (record := committed(each, store)) is not None}
    results = {row: Realised(record) for row, record in found.items()}
    for _ in range(RAY_ROUNDS):
        rows = [(row, each) for row, each in enumerate(derivations) if row not in results]
        if not rows:
            break
        try:
            submodule("distributor").ray_distributor(1, Realiser(store), rows, None, 0)
        except Exception as error:  # noqa: BLE001 - Ray's, for a worker that is gone
            _LOG.warning("Ray lost a worker: %s", error)
        for row, each in rows:
            if (record := committed(each, store)) is not None:
                results[row] = Realised(record, None, ran=True)
    missing = Realised(None, "it was not made: the worker's log says why")
    return tuple(results.get(row, missing) for row in range(len(derivations)))
