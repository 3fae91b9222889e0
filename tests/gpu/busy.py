"""How fast something goes, and how busy the GPU is meanwhile."""

import threading
from collections.abc import Callable
from statistics import mean
from time import perf_counter

from tasks.machine.load import read_gpus

SECONDS = 3.0
"""How long something is repeated."""

EVERY_S = 0.1


def pace(what: str, items: int, work: Callable[[], object], seconds: float = SECONDS) -> str:
    """Repeat work on some items, after it has run once, and say in one line how fast it goes."""
    work()
    busy: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(EVERY_S):
            busy.extend(gpu.busy_percent for gpu in read_gpus()[:1])

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    rounds, began = 0, perf_counter()
    while not rounds or perf_counter() - began < seconds:
        work()
        rounds += 1
    rate = rounds * items / (perf_counter() - began)
    ended.set()
    watch.join()
    share = f"GPU busy {mean(busy):.0f} %" if busy else "no GPU was read"
    return f"{what}: {rate:,.0f} a second, {share}"
