"""The order in which windows are tried: by time, so that a film is decoded once from its start to its end."""

import heapq
from collections.abc import Iterator, Sequence


class Tries:
    """Times of rows, each with replacements; iterate over it, and say `next_of` for a row whose try was no good.

    A next try that lies ahead is reached on the way; one behind waits for a further pass over the film. Which times a
    row tries, one after the other, depends on nothing but the row.
    """

    def __init__(self, times: Sequence[Sequence[float]]) -> None:
        self._times = times
        self._ahead = [(tries[0], row, 0) for row, tries in enumerate(times) if tries]
        self._behind: list[tuple[float, int, int]] = []
        self._now: dict[int, int] = {}
        self._time = 0.0
        heapq.heapify(self._ahead)

    def __iter__(self) -> Iterator[tuple[float, list[tuple[int, int]]]]:
        """Times, ascending within a pass, with the rows that try them and the number of their try."""
        while self._ahead or self._behind:
            if not self._ahead:
                self._ahead, self._behind = self._behind, []
                heapq.heapify(self._ahead)
            self._time = self._ahead[0][0]
            self._now = {}
            while self._ahead and self._ahead[0][0] == self._time:
                _, row, number = heapq.heappop(self._ahead)
                self._now[row] = number
            yield self._time, list(self._now.items())

    def next_of(self, row: int) -> bool:
        """Let a row that was just yielded try its next time; False: it has none."""
        number = self._now[row] + 1
        if number == len(self._times[row]):
            return False
        time = self._times[row][number]
        if time > self._time:
            heapq.heappush(self._ahead, (time, row, number))
        else:
            self._behind.append((time, row, number))
        return True
