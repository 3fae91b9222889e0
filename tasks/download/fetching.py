"""Many URLs at once: threads that fetch, child processes that decode, answers as they come."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from tasks.download.address import parse_url
from tasks.download.client import Client, Fetched
from tasks.download.failure import RETRYABLE, Answer, FetchError
from tasks.download.hosts import HostQueue, Turn
from tasks.download.prepare import prepare
from tasks.download.waiting import Waiting
from tasks.images.decode import DecodeError
from tasks.images.isolate import Isolated
from tasks.schema.records import Frozen

AT_ONCE_AGAIN: Final = RETRYABLE
"""Failures that are worth a second try in the same run."""


class Patience(Frozen):
    """Tries within one run: a failure that may pass is tried again after `pause_s`, or after what the server asks for.

    A host that asks for more than `longest_wait_s` is left alone for the rest of the run.
    """

    tries: int = 2
    pause_s: float = 2.0
    longest_wait_s: float = 10.0


def utc_now() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Machine:
    """What the machine gives; decides no output.

    `threads` fetch, at most `per_host` of them from one host; `decoders` child processes decode and resize;
    `waiting_bytes` of pictures wait for them in memory, besides what the threads are reading.
    """

    threads: int = 64
    per_host: int = 8
    decoders: int = 1
    waiting_bytes: int = 256 << 20
    decode_timeout_s: float = 60.0


@dataclass(frozen=True)
class Finished:
    """All that became of one URL: `photo` (see `prepare`) or `error`.

    `sha256` and `received_bytes` are of the body as it came.
    """

    row: int
    tries: int
    at: datetime
    answer: Answer | None
    photo: dict[str, Any] | None = None
    error: FetchError | None = None
    sha256: str = ""
    received_bytes: int = 0


@dataclass
class Fetching:
    """One run over a list of URLs. `options` are those of `prepare`."""

    client: Client
    options: dict[str, Any]
    patience: Patience = field(default_factory=Patience)
    machine: Machine = field(default_factory=Machine)
    now: Callable[[], datetime] = utc_now

    def run(self, urls: Sequence[str]) -> Iterator[Finished]:
        """What became of every URL, once, in the order in which they finish.

        Raises:
            tasks.images.isolate.IsolationError: the decoder does not start, or has a defect.
        """
        self._pictures: Waiting[tuple[Turn, Fetched, datetime]] = Waiting(self.machine.waiting_bytes)
        self._finished: Waiting[Finished | BaseException] = Waiting(self.machine.waiting_bytes)
        self._queue = HostQueue((Turn(row, url, host_of(url)) for row, url in enumerate(urls)), self.machine.per_host)
        threads = min(self.machine.threads, max(1, len(urls)))
        with ThreadPoolExecutor(threads + self.machine.decoders, "download") as pool:
            try:
                for work in (*[self._fetch] * threads, *[self._decode] * self.machine.decoders):
                    pool.submit(self._guarded, work)
                for _ in urls:
                    finished = self._finished.get()
                    if isinstance(finished, BaseException):
                        raise finished
                    if finished is not None:
                        yield finished
            finally:
                self._queue.stop()
                self._pictures.close()
                self._finished.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever reads the results
            self._finished.put(error)

    def _fetch(self) -> None:
        while (turn := self._queue.take()) is not None:
            error = self._queue.closed(turn.host)
            if error is not None:
                self._fail(turn, turn.failure or error)
                continue
            turn.tries += 1
            try:
                fetched = self.client.fetch(turn.url)
            except FetchError as failure:
                self._failed(turn, failure)
            else:
                self._queue.heard(turn.host, answered=True)
                self._queue.done(turn)
                self._pictures.put((turn, fetched, self.now()), len(fetched.body))

    def _failed(self, turn: Turn, error: FetchError) -> None:
        silent = error.reason in RETRYABLE and (error.answer is None or error.answer.status is None)
        self._queue.heard(turn.host, answered=not silent)
        wait = error.retry_after_s or 0.0
        if wait > self.patience.longest_wait_s:
            detail = f"not asked: {turn.host} wants to be left alone for {wait:.0f} s"
            self._queue.close_host(turn.host, FetchError(error.reason, detail, None, wait))
        elif wait:
            self._queue.pause_host(turn.host, wait)
        if error.reason in AT_ONCE_AGAIN and turn.tries < self.patience.tries and wait <= self.patience.longest_wait_s:
            turn.failure = error
            self._queue.again(turn, max(wait, self.patience.pause_s))
        else:
            self._fail(turn, error)

    def _fail(self, turn: Turn, error: FetchError) -> None:
        self._queue.done(turn)
        self._finished.put(Finished(turn.row, turn.tries, self.now(), error.answer, error=error))

    def _decode(self) -> None:
        taken = self._pictures.get()
        if taken is None:
            return  # where nothing was fetched, no process is started
        with Isolated(prepare, self.options, self.machine.decode_timeout_s) as child:
            while taken is not None:
                turn, fetched, at = taken
                (decoded,) = child.map([fetched.body])
                failed = isinstance(decoded, DecodeError)
                finished = Finished(
                    row=turn.row,
                    tries=turn.tries,
                    at=at,
                    answer=fetched.answer,
                    photo=None if failed else decoded,
                    error=FetchError(decoded.reason, decoded.detail, fetched.answer) if failed else None,
                    sha256=sha256(fetched.body).hexdigest(),
                    received_bytes=len(fetched.body),
                )
                self._finished.put(finished, 0 if failed else len(decoded["jpeg"]))
                taken = self._pictures.get()


def host_of(url: str) -> str:
    """The host that a URL names; empty for one that cannot be asked."""
    try:
        return parse_url(url).hostname or ""
    except FetchError:
        return ""
