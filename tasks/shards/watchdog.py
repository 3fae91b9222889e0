"""Stages that may hang in native code: they run in a thread of their own, which is left where it is when they do.

Nothing interrupts a native call. So the caller waits beside it, for signs of life: every output is one, and decoding
loops give theirs with `alive`. Without one for `HANG_VARIABLE` seconds the thread is left behind, and the caller goes
on. The thread ends at its next sign of life; if it never gives one, it goes with its process.

A native call that also holds the interpreter lets nobody wait beside it. After twice that time a timer in C then prints
the stacks of all threads and ends the process with exit code 1; what was committed counts, and the mark of the stage
tells the next run.

Time in which a machine sleeps is no silence, and neither is that in which a job is stopped, or a container paused; the
timer in C counts the latter two.
"""

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread, local
from typing import Final, Generic, TypeVar

from tasks.schema.errors import ConfigError, MannequinError

HANG_VARIABLE: Final = "MANNEQUIN_HANG_S"
"""Environment variable: seconds without a sign of life after which native code counts as hanging; 0: wait for ever."""
HANG_S: Final = 1800.0
"""Decoding one frame takes seconds at most; what else a decoding stage does between two signs of life (loading a model,
describing the music of two hours) takes minutes on a slow machine."""
LEAVE_S: Final = 10.0
"""How long who is interrupted waits for the thread to end by itself."""
SIGN_EVERY_S: Final = 1.0
"""How often those tell of their signs who cannot be seen from here: child processes."""
_TICKS: Final = 20
_LONGEST_TICK_S: Final = 5.0
_STDERR: Final = 2

T = TypeVar("T")


class HangError(MannequinError):
    """Native code gave no sign of life; the thread that it runs in was left behind."""


class _LeftBehindError(BaseException):
    """Ends a thread that nobody waits for any more."""


class _Here(local):
    """What the thread at hand reports to."""

    sign: Callable[[], None] | None = None


_HERE = _Here()


def alive() -> None:
    """Give a sign of life of the stage that runs in this thread; called between two native calls that may hang."""
    if _HERE.sign is not None:
        _HERE.sign()


@contextmanager
def signs_go_to(sign: Callable[[], None]) -> Iterator[None]:
    """Let `sign` be called at every sign of life of this thread."""
    before, _HERE.sign = _HERE.sign, sign
    try:
        yield
    finally:
        _HERE.sign = before


def hang_limit_s() -> float:
    """Seconds without a sign of life that are a hang, as the operator of this machine wants it; 0: none are.

    Raises:
        ConfigError: the variable holds no number of seconds.
    """
    said = os.environ.get(HANG_VARIABLE, "")
    try:
        seconds = float(said) if said else HANG_S
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 1e6:
        raise ConfigError(f"{HANG_VARIABLE} must be a number of seconds from 0 (never) to 1000000, not {said!r}.")
    return seconds


def watched(items: Callable[[], Iterator[T]], limit_s: float) -> Generator[T]:
    """The items of an iterator that runs in a thread of its own, one by one as they are asked for.

    Args:
        items: makes the iterator, in that thread; what it raises is raised here.
        limit_s: without a sign of life; 0: it runs in the caller's thread, unwatched. Debuggers also want that.
    Raises:
        HangError: that time is over; says where the thread stands.
    """
    if not limit_s or sys.gettrace() is not None:
        yield from items()
        return
    work = _Work(items)
    try:
        while (item := work.next(limit_s)) is not None:
            yield item[0]
    finally:
        work.end()


class _Work(Generic[T]):
    """A thread that makes items, and what it says to who waits for them."""

    def __init__(self, items: Callable[[], Iterator[T]]) -> None:
        self._items = items
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._made: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
        self._signs = 0
        self._left_behind = False
        self._patience_s: float | None = None
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="stage", daemon=True)
        self._thread.start()

    def next(self, limit_s: float) -> tuple[T] | None:
        """The next item, in a tuple; None at the end."""
        self._wanted.put(True)
        try:
            made = self._await(limit_s)
        except BaseException as error:
            self._left_behind = True
            self._patience_s = 0 if isinstance(error, HangError) else LEAVE_S
            raise
        if isinstance(made, BaseException):
            raise made
        return made

    def end(self) -> None:
        """Let the thread end, and wait for it where it does not hang."""
        self._wanted.put(False)
        self._thread.join(self._patience_s)

    def _await(self, limit_s: float) -> tuple[T] | BaseException | None:
        tick_s = min(_LONGEST_TICK_S, limit_s / _TICKS)
        silent_s, signs = 0.0, self._signs
        with _TIMER.running(2 * limit_s):
            while True:
                try:
                    return self._made.get(timeout=tick_s)
                except Empty:
                    _TIMER.wind()
                silent_s = silent_s + tick_s if signs == self._signs else 0.0
                signs = self._signs
                if silent_s >= limit_s:
                    told = f"Native code gave no sign of life for {limit_s:g} s, at {self._place()}"
                    raise HangError(f"{told}: run again, or allow it more time with {HANG_VARIABLE}.")

    def _place(self) -> str:
        """Where the thread stands: the innermost call, in the innermost one of a stage."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - documented
        calls = traceback.extract_stack(frame) if frame else []
        engine = Path(__file__).parent
        ours = [
            call
            for call in calls
            if Path(call.filename).is_relative_to(engine.parent) and Path(call.filename).parent != engine
        ]
        told = dict.fromkeys(f"{each.name} ({each.filename}:{each.lineno})" for each in (*calls[-1:], *ours[-1:]))
        return " in ".join(told)

    def _run(self) -> None:
        items = None
        try:
            with signs_go_to(self._sign):
                while self._wanted.get():
                    items = self._items() if items is None else items
                    made = next(((item,) for item in items), None)
                    self._made.put(made)
                    if made is None:
                        return
        except _LeftBehindError:
            return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are wanted
            self._made.put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _sign(self) -> None:
        self._signs += 1
        if self._left_behind:
            raise _LeftBehindError


class _Timer:
    """The timer in C, one for the process; wound up by whoever waits."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[float] = []

    @contextmanager
    def running(self, limit_s: float) -> Iterator[None]:
        with self._lock:
            self._waiting.append(limit_s)
        self.wind()
        try:
            yield
        finally:
            with self._lock:
                self._waiting.remove(limit_s)
            self.wind()

    def wind(self) -> None:
        with self._lock:
            if self._waiting:
                faulthandler.dump_traceback_later(max(self._waiting), exit=True, file=_STDERR)
            else:
                faulthandler.cancel_dump_traceback_later()


_TIMER = _Timer()
