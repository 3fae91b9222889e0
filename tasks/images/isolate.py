"""Decoders in a child process: what hangs or crashes takes only the child with it.

Answers are believed as they come; a failure is never concluded from an answer's content. Only the child's death or
silence is evidence, and then only against a picture that does it alone, in a fresh child, again.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from threading import Thread
from typing import IO, Any, Self

from tasks.images.decode import DecodeError
from tasks.schema.errors import MannequinError
from tasks.schema.rejections import Reason
from tasks.shards.watchdog import SIGN_EVERY_S, alive

MEMORY_BYTES = 4 << 30
"""Address space for one decode; `MAX_PIXELS` of turned RGB, CMYK or RGBA take 2.6 GB (measured)."""

START_TIMEOUT_S = 60.0
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
"""The child reads files from strangers: it gets no credentials."""


class IsolationError(MannequinError):
    """The child does not start, or its function has a defect."""


def fatal(
    function: Callable[..., Any],
    options: dict[str, Any],
    timeout_s: float,
    silence_s: float | None = None,
    memory_bytes: int = 2 * MEMORY_BYTES,
) -> DecodeError | None:
    """Why no child process survives `function(b"", **options)`, tried twice; None: one does, whatever it answers.

    Args:
        silence_s: as for `Isolated`.
    """
    with Isolated(function, {}, timeout_s, memory_bytes, silence_s) as isolated:
        answer = isolated.map([b""], [options])[0]
    return answer if isinstance(answer, DecodeError) else None


class _NoAnswerError(Exception):
    """The child gave no answer: `reason` and `detail` say how."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Isolated:
    """Calls `function(data, **options)` for pictures, in order, in a child process that is replaced when it fails.

    Use as a context manager, from any thread or process; one instance serves one thread at a time.

    Args:
        function: importable by name; returns what JSON holds, raises DecodeError.
        options: passed on with every picture.
        timeout_s: for one picture, wall clock; a picture fails when it takes longer twice, the second time alone.
        memory_bytes: address space that a decode may take.
        silence_s: of a function that gives signs of life (see `tasks.shards.watchdog`): how long it may give none.
    Raises:
        IsolationError: the child cannot start, or `function` raised something else than DecodeError.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, Any],
        timeout_s: float = 60.0,
        memory_bytes: int = MEMORY_BYTES,
        silence_s: float | None = None,
    ) -> None:
        self._task = {
            "module": function.__module__,
            "function": function.__qualname__,
            "options": options,
            "memory_bytes": memory_bytes,
            "hang_guard_s": 1.5 * timeout_s + 1,
        }
        self._timeout_s, self._silence_s = timeout_s, silence_s or timeout_s
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        self._child = _Child(self._task)
        return self

    def __exit__(self, *_: object) -> None:
        self._replace(None)

    def map(self, pictures: Sequence[bytes], options: Sequence[dict[str, Any]] | None = None) -> list[Any]:
        """One answer for each picture: what the function returned, or a DecodeError (not raised).

        Args:
            pictures: encoded.
            options: for each picture, what holds for it in place of the options of all.
        """
        own = options if options is not None else [{}] * len(pictures)
        asked = [(json.dumps(o).encode(), picture) for o, picture in zip(own, pictures, strict=True)]
        answers: list[Any] = []
        while len(answers) < len(asked):
            try:
                self._ask(asked[len(answers) :], answers)
            except _NoAnswerError:
                self._replace(_Child(self._task))
                answers.append(self._alone(asked[len(answers)]))
        return answers

    def _alone(self, asked: tuple[bytes, bytes]) -> Any:
        answers: list[Any] = []
        try:
            self._ask([asked], answers)
        except _NoAnswerError as lost:
            self._replace(_Child(self._task))
            return DecodeError(lost.reason, lost.detail)
        return answers[0]

    def _ask(self, asked: Sequence[tuple[bytes, bytes]], answers: list[Any]) -> None:
        child = self._child or _Child(self._task)
        self._child = child
        child.await_ready()
        writer = Thread(target=child.send, args=(asked,), daemon=True)
        writer.start()
        try:
            for _ in asked:
                answer = child.answer(self._timeout_s, self._silence_s)
                answers.append(_understood(answer))
        except BaseException:
            child.end()
            self._child = None
            raise
        finally:
            writer.join()

    def _replace(self, child: "_Child | None") -> None:
        if self._child is not None:
            self._child.end()
        self._child = child


def _understood(answer: dict[str, Any]) -> Any:
    if "defect" in answer:
        raise IsolationError(f"A picture met a defect in this program:\n{answer['defect']}")
    if "reason" in answer:
        return DecodeError(Reason(answer["reason"]), str(answer["detail"]))
    return answer["value"]


class _Child:
    """One process and the pipes to it."""

    def __init__(self, task: dict[str, Any]) -> None:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100
        environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "tasks.images.child", json.dumps({**task, "parent": os.getpid()})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=environment,
            bufsize=0,
        )
        self._unread = b""
        self._ready = False

    def await_ready(self) -> None:
        """Wait until the child has imported what it needs.

        Raises:
            IsolationError: it did not.
        """
        if self._ready:
            return
        try:
            self._ready = bool(self.answer(START_TIMEOUT_S, START_TIMEOUT_S)["ready"])
        except _NoAnswerError as lost:
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace").strip()
            self.end()
            raise IsolationError(f"The process that decodes pictures does not start ({lost}).\n{said}") from lost

    def send(self, asked: Sequence[tuple[bytes, bytes]]) -> None:
        """Write pairs of options and picture until done or until the child is gone."""
        stdin = self._process.stdin
        with suppress(OSError, ValueError):
            for message in chain.from_iterable(asked):
                for part in (len(message).to_bytes(8, "big"), message):
                    view = memoryview(part)
                    while view and stdin is not None:
                        view = view[stdin.write(view) :]

    def answer(self, timeout_s: float, silence_s: float) -> dict[str, Any]:
        """The next answer of the child.

        Raises:
            _NoAnswerError: it died, gave no answer for `timeout_s`, or no sign of life for `silence_s`.
        """
        end = time.monotonic() + timeout_s
        while True:
            quiet = time.monotonic() + silence_s
            late = f"no answer within {timeout_s:g} s" if end <= quiet else f"no sign of life for {silence_s:g} s"
            said = self._line(min(end, quiet), late)
            if "alive" not in said:
                return said

    def _line(self, until: float, late: str) -> dict[str, Any]:
        stdout = self._process.stdout
        if stdout is None:
            raise _NoAnswerError(Reason.DECODER_CRASHED, "the decoder has no output")
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while b"\n" not in self._unread:
            alive()  # the limits of the child hold here
            left = until - time.monotonic()
            if left <= 0:
                raise _NoAnswerError(Reason.DECODER_TIMED_OUT, late)
            if not poll.poll(min(left, SIGN_EVERY_S) * 1000):
                continue
            read = os.read(stdout.fileno(), 1 << 16)
            if not read:
                raise _NoAnswerError(Reason.DECODER_CRASHED, f"the decoder died: {_ending(self._process.wait())}")
            self._unread += read
        line, self._unread = self._unread.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """End the process, whatever it does (it holds nothing to save), and leave nothing behind."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
