"""Work that overlaps: the next rows are prepared in threads while the caller works on these."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Row = TypeVar("Row")
T = TypeVar("T")


def runs_under(rows: Iterable[Row], size: Callable[[Row], int], limit: int) -> Iterator[list[Row]]:
    """Consecutive rows whose sizes stay under `limit` together; a row that is larger goes alone."""
    run: list[Row] = []
    total = 0
    for row in rows:
        needed = size(row)
        total += needed
        if run and total > limit:
            yield run
            run, total = [], needed
        run.append(row)
    if run:
        yield run


def one_ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[Row], T], chunks: Iterable[list[Row]]
) -> Iterator[tuple[list[Row], list[T]]]:
    """Each chunk with what `prepare` made of its rows; the next chunk is prepared while the caller works on one."""
    waiting: tuple[list[Row], list[Future[T]]] | None = None
    for rows in chunks:
        submitted = (rows, [pool.submit(prepare, row) for row in rows])
        if waiting:
            yield waiting[0], [future.result() for future in waiting[1]]
        waiting = submitted
    if waiting:
        yield waiting[0], [future.result() for future in waiting[1]]
