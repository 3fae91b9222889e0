"""Many shards at once: threads, processes, or Ray.

A worker gets whole derivations and commits to the store by itself, so that nothing but names travels. img2dataset's own
distributors are not used: the one for processes waits for ever for a process that was killed, the one for Ray returns
at the first worker that is lost.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Literal

from tasks.schema.errors import ConfigError, StoreUnreachableError
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.notes import Run, current_run, noting
from tasks.shards.store import Store

Distributor = Literal["threads", "multiprocessing", "ray"]

RAY_TRIES = 3
"""How often Ray starts a shard again whose worker was lost."""


@dataclass(frozen=True)
class Realised:
    """What became of one derivation: its record, or one sentence on why there is none.

    `ran`: it was made just now; `may_pass`: the store did not answer, and another try may end better.
    """

    record: ShardRecord | None
    error: str | None = None
    ran: bool = False
    may_pass: bool = False


@dataclass(frozen=True)
class Realiser:
    """Makes a derivation in the process that calls it, for the run that asks for it."""

    store: Store
    run: Run | None = field(default_factory=current_run)

    def realise(self, derivation: Derivation) -> Realised:
        try:
            with noting(self.run):
                outcome = realise(derivation, self.store)
        except Exception as error:  # noqa: BLE001 - one shard's trouble stays its own; the caller is told
            return Realised(None, f"{type(error).__name__}: {error}", may_pass=isinstance(error, StoreUnreachableError))
        return Realised(outcome.record, None, not outcome.cached)


def distribute(
    derivations: Sequence[Derivation], store: Store, workers: int, distributor: Distributor
) -> Iterator[tuple[int, Realised]]:
    """Find or make every derivation; one that fails, or whose process dies, leaves the others alone.

    Args:
        derivations: picklable, except for threads.
        store: at the same path for every worker.
        workers: how many; for Ray the cluster decides.
        distributor: what they are. Processes are spawned: the main module must be importable.
    Yields:
        the position of a derivation and what became of it, each once, as they end.
    """
    if distributor == "ray":
        yield from _on_ray(derivations, store)
        return
    pool: Callable[[int], Executor] = ThreadPoolExecutor if distributor == "threads" else _processes
    waiting = deque(range(len(derivations)))
    while waiting:
        lost = []
        for row, result in _work(pool(max(1, workers)), max(1, workers), waiting, derivations, store):
            if result is None:
                lost.append(row)
            else:
                yield row, result
        for row in sorted(lost):
            for _, result in _work(pool(1), 1, deque([row]), derivations, store):
                yield row, result or Realised(None, "its process died twice, the second time alone")


def _processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=leave_interrupts_to_the_caller)


def leave_interrupts_to_the_caller() -> None:
    """Ctrl+C reaches every process of a terminal; what is under way is finished, and nothing new begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(
    pool: Executor, count: int, waiting: deque[int], derivations: Sequence[Derivation], store: Store
) -> Iterator[tuple[int, Realised | None]]:
    """Take rows from `waiting` until there are none or a process dies; None for what was under way then."""
    realiser = Realiser(store)
    flying: dict[Future[Realised], int] = {}
    broken = False
    with pool:
        while flying or (waiting and not broken):
            while waiting and not broken and len(flying) < count:
                row = waiting.popleft()
                try:
                    flying[pool.submit(realiser.realise, derivations[row])] = row
                except BrokenProcessPool:
                    broken = True
                    yield row, None
            done, _ = wait(flying, return_when=FIRST_COMPLETED) if flying else (set(), set())
            for future in done:
                try:
                    result = future.result()
                except BrokenProcessPool:
                    broken, result = True, None
                yield flying.pop(future), result


def _on_ray(derivations: Sequence[Derivation], store: Store) -> Iterator[tuple[int, Realised]]:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is chosen and not installed: install mannequin[ray], or choose processes.") from error
    make = ray.remote(max_retries=RAY_TRIES)(Realiser.realise)
    asked = {make.remote(Realiser(store), each): row for row, each in enumerate(derivations)}
    while asked:
        (done,), _ = ray.wait(list(asked), num_returns=1)
        try:
            result = ray.get(done)
        except ray.exceptions.RayError as error:
            result = Realised(None, f"{type(error).__name__}: {str(error).splitlines()[0]}")
        yield asked.pop(done), result
