"""What one thread made and another has not taken yet, bounded by its bytes."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """A queue whose `put` waits while `max_bytes` wait already; `close` ends all waiting, what is left is dropped."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: deque[tuple[T, int]] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: T, size: int = 0) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._bytes or self._bytes + size <= self._max_bytes)
            if not self._closed:
                self._items.append((item, size))
                self._bytes += size
                self._changed.notify_all()

    def get(self) -> T | None:
        """The oldest item, when there is one; None: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                return None
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
