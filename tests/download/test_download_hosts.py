"""Whose turn it is."""

import threading
from collections import Counter

from tasks.download.failure import FetchError
from tasks.download.hosts import DEAD_AFTER, HostQueue, Turn
from tasks.download.waiting import Waiting
from tasks.schema.rejections import Reason


class Clock:
    """Time that passes when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def turns(*hosts: str) -> list[Turn]:
    return [Turn(row, f"http://{host}/{row}", host) for row, host in enumerate(hosts)]


def taken(queue: HostQueue, count: int) -> list[Turn]:
    got = [queue.take() for _ in range(count)]
    return [turn for turn in got if turn is not None]


def would_wait(queue: HostQueue) -> bool:
    """Whether `take` has nothing now."""
    done = threading.Event()
    threading.Thread(target=lambda: (queue.take(), done.set()), daemon=True).start()
    return not done.wait(0.05)


def test_hosts_take_turns_and_have_limits() -> None:
    queue = HostQueue(turns("a", "a", "a", "a", "b", "c"), per_host=2)
    assert Counter(turn.host for turn in taken(queue, 4)) == {"a": 2, "b": 1, "c": 1}
    assert would_wait(queue)
    queue.stop()


def test_a_slot_given_back_is_used() -> None:
    queue = HostQueue(turns("a", "a"), per_host=1)
    first = queue.take()
    assert first is not None
    queue.done(first)
    second = queue.take()
    assert second is not None
    assert second.row == 1
    queue.done(second)
    assert queue.take() is None


def test_a_second_try_waits_for_its_pause() -> None:
    clock = Clock()
    queue = HostQueue(turns("a", "a"), per_host=1, clock=clock)
    first = taken(queue, 1)[0]
    queue.again(first, 5)
    other = taken(queue, 1)[0]
    assert other.row == 1
    queue.done(other)
    clock.now += 5
    again = taken(queue, 1)[0]
    assert again is first
    queue.done(again)
    assert queue.take() is None


def test_a_host_that_asks_for_a_pause_gets_it() -> None:
    clock = Clock()
    queue = HostQueue(turns("a", "a", "b"), per_host=8, clock=clock)
    first = taken(queue, 1)[0]
    queue.pause_host("a", 3)
    assert [turn.host for turn in taken(queue, 1)] == ["b"]
    assert would_wait(queue)
    queue.done(first)
    queue.stop()
    clock.now += 3


def test_a_paused_host_goes_on_afterwards() -> None:
    clock = Clock()
    queue = HostQueue(turns("a", "a"), per_host=8, clock=clock)
    taken(queue, 1)
    queue.pause_host("a", 3)
    clock.now += 3
    assert [turn.row for turn in taken(queue, 1)] == [1]


def test_a_silent_host_is_closed_and_the_rest_of_its_urls_come_at_once() -> None:
    queue = HostQueue(turns(*["a"] * (DEAD_AFTER + 3)), per_host=100)
    for turn in taken(queue, DEAD_AFTER):
        assert queue.closed("a") is None
        queue.heard("a", answered=False)
        queue.done(turn)
    closed = queue.closed("a")
    assert closed is not None
    assert closed.reason is Reason.CONNECTION_FAILED
    assert len(taken(queue, 3)) == 3


def test_an_answer_in_between_keeps_a_host_open() -> None:
    queue = HostQueue(turns("a"), per_host=1)
    for _ in range(3):
        for _ in range(DEAD_AFTER - 1):
            queue.heard("a", answered=False)
        queue.heard("a", answered=True)
    assert queue.closed("a") is None


def test_closing_ends_a_pause() -> None:
    queue = HostQueue(turns("a", "a"), per_host=1)
    first = taken(queue, 1)[0]
    queue.pause_host("a", 1000)
    queue.done(first)
    queue.close_host("a", FetchError(Reason.HTTP_RATE_LIMITED, "enough"))
    assert len(taken(queue, 1)) == 1


def test_many_threads_see_every_url_once() -> None:
    queue = HostQueue(turns(*[f"h{row % 5}" for row in range(500)]), per_host=3)
    seen: list[int] = []
    active: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        while (turn := queue.take()) is not None:
            with lock:
                active[turn.host] += 1
                most[turn.host] = max(most[turn.host], active[turn.host])
            if turn.row % 7 == 0 and turn.tries == 0:
                turn.tries = 1
                with lock:
                    active[turn.host] -= 1
                queue.again(turn, 0.001)
                continue
            with lock:
                active[turn.host] -= 1
                seen.append(turn.row)
            queue.done(turn)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == list(range(500))
    assert max(most.values()) <= 3


def test_what_waits_is_bounded_by_its_bytes() -> None:
    waiting: Waiting[int] = Waiting(100)
    waiting.put(1, 60)
    second = threading.Thread(target=waiting.put, args=(2, 60), daemon=True)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    assert waiting.get() == 1
    second.join(5)
    assert waiting.get() == 2
    waiting.put(3, 1000)
    assert waiting.get() == 3
    waiting.close()
    assert waiting.get() is None
    waiting.put(4, 1)
