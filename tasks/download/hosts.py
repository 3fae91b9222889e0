"""Whose turn it is: many hosts at once, few connections to each, pauses where a host asks for them."""

import heapq
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Condition

from tasks.download.failure import FetchError
from tasks.schema.rejections import Reason

DEAD_AFTER = 5
"""Requests to a host that stay without any answer, one after the other, before the rest of its URLs is left alone."""


@dataclass
class Turn:
    """One URL to fetch: its row, its host, how often it was tried, and what became of the last try."""

    row: int
    url: str
    host: str
    tries: int = 0
    failure: FetchError | None = None


class HostQueue:
    """Hands out URLs, hosts in rotation, at most `per_host` of one host at a time; for many threads.

    Every turn taken is given back by `done` or `again`.
    """

    def __init__(self, turns: Iterable[Turn], per_host: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_host = per_host
        self._clock = clock
        self._changed = Condition()
        self._waiting: dict[str, deque[Turn]] = defaultdict(deque)
        for turn in turns:
            self._waiting[turn.host].append(turn)
        self._left = sum(len(waiting) for waiting in self._waiting.values())
        self._rotation = deque(self._waiting)
        self._rotating = set(self._waiting)
        self._active: Counter[str] = Counter()
        self._later: list[tuple[float, int, str, Turn | None]] = []
        self._sequence = 0
        self._paused: dict[str, float] = {}
        self._silent: Counter[str] = Counter()
        self._closed: dict[str, FetchError] = {}
        self._stopped = False

    def take(self) -> Turn | None:
        """The next URL, as soon as one may be asked for; None: all are done, or the queue was stopped."""
        with self._changed:
            while self._left and not self._stopped:
                now = self._clock()
                self._wake(now)
                while self._rotation:
                    host = self._rotation.popleft()
                    self._rotating.discard(host)
                    if self._may_go(host, now):
                        turn = self._waiting[host].popleft()
                        self._active[host] += 1
                        self._rotate(host)
                        return turn
                self._changed.wait(self._later[0][0] - now if self._later else None)
            return None

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, _, host, turn = heapq.heappop(self._later)
            if turn is not None:
                self._waiting[host].append(turn)
            self._rotate(host)

    def _may_go(self, host: str, now: float) -> bool:
        return (
            bool(self._waiting[host])
            and self._active[host] < self._per_host
            and (self._paused.get(host, now) <= now or host in self._closed)
        )

    def _rotate(self, host: str) -> None:
        if host not in self._rotating and self._may_go(host, self._clock()):
            self._rotating.add(host)
            self._rotation.append(host)
            self._changed.notify()

    def _after(self, seconds: float, host: str, turn: Turn | None) -> None:
        self._sequence += 1
        heapq.heappush(self._later, (self._clock() + seconds, self._sequence, host, turn))
        self._changed.notify()

    def closed(self, host: str) -> FetchError | None:
        """Why no URL of this host is tried any more."""
        return self._closed.get(host)

    def close_host(self, host: str, why: FetchError) -> None:
        """Try no URL of this host any more: what is left of them is handed out at once, to be refused."""
        with self._changed:
            self._closed.setdefault(host, why)
            self._rotate(host)

    def pause_host(self, host: str, seconds: float) -> None:
        """Hand out no URL of this host for a while."""
        with self._changed:
            self._paused[host] = max(self._paused.get(host, 0.0), self._clock() + seconds)
            self._after(seconds, host, None)

    def heard(self, host: str, *, answered: bool) -> None:
        """Book whether a host answered; one that stays silent `DEAD_AFTER` times is closed."""
        with self._changed:
            self._silent[host] = silent = 0 if answered else self._silent[host] + 1
        if silent >= DEAD_AFTER:
            detail = f"not asked: {host} answered none of the last {silent} requests"
            self.close_host(host, FetchError(Reason.CONNECTION_FAILED, detail))

    def done(self, turn: Turn) -> None:
        """Give back a turn that is finished."""
        with self._changed:
            self._left -= 1
            self._active[turn.host] -= 1
            self._rotate(turn.host)
            if not self._left:
                self._changed.notify_all()

    def again(self, turn: Turn, after_s: float) -> None:
        """Give back a turn that is to be tried once more after a pause."""
        with self._changed:
            self._active[turn.host] -= 1
            self._after(after_s, turn.host, turn)
            self._rotate(turn.host)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
