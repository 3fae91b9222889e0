"""Models that are loaded: each once a process, whoever asks."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar, cast

T = TypeVar("T")

_loaded: dict[Hashable, object] = {}
_locks: dict[Hashable, Lock] = {}
_guard = Lock()


def load_once(key: Hashable, load: Callable[[], T]) -> T:
    """What `load` gave the first time that `key` was asked for in this process.

    Threads that ask for the same key wait for one load; other keys do not wait. A load that fails is tried again.

    Args:
        key: all that decides what is loaded: wrapper, digest, where it runs.
        load: called at most once at a time.
    """
    with _guard:
        lock = _locks.setdefault(key, Lock())
    with lock:
        if key not in _loaded:
            _loaded[key] = load()
        return cast(T, _loaded[key])
