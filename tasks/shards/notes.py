"""What a run found and made, told while it runs: for people who watch, never part of a record or a manifest.

<root>/running/<run>/run.json                  who runs, when he was last heard of, and how it ended
<root>/running/<run>/<host>-<pid>-<n>.jsonl    what one process did: a line a shard, a line for what is to come

Nothing is noted unless a run was begun with `begin_run`. A disk that takes no notes does no harm. A file is added to
while the store is a folder; in a bucket, where nothing can be added to, it is written again, until it is large.
"""

import atexit
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path

from pydantic import Field, ValidationError

from tasks.schema.errors import MannequinError
from tasks.schema.records import Frozen, ShardRecord
from tasks.shards.store import Store

RUNNING = "running"

FLUSH_S = 1.0
"""Notes reach the disk at least this often ..."""

BUCKET_FLUSH_S = 15.0
"""... and a bucket this often: each time is a request."""

LARGE = 1 << 18
"""Bytes of a file in a bucket after which the next one is begun."""

KEEP = timedelta(days=7)
"""What a run told is removed so long after its last word."""


def _now() -> datetime:
    return datetime.now(UTC)


class RunHeader(Frozen):
    """Who runs: `run` is the id of the flow run, `host` and `pid` the process of its flow, heard of at `seen_at`.

    `ended` is how it ended, as Prefect names it (completed, failed, crashed, cancelled; empty while it runs), `said`
    why, where it did not end well.
    """

    run: str
    flow: str
    name: str
    started_at: datetime = Field(default_factory=_now)
    seen_at: datetime = Field(default_factory=_now)
    host: str = Field(default_factory=socket.gethostname)
    pid: int = Field(default_factory=os.getpid)
    ended: str = ""
    said: str = ""


@dataclass(frozen=True)
class Run:
    """A run that was begun, as its threads and processes hand it on; `task` is what they work on."""

    store: Store
    id: str
    task: str = ""

    @property
    def folder(self) -> Path:
        return self.store.root / RUNNING / self.id


@dataclass
class _Notes:
    """The notes of this process on one run; any thread may add to them."""

    run: Run
    _lines: list[str] = field(default_factory=list)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _flushing: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _number: int = 0
    _before: bytes = b""

    def __post_init__(self) -> None:
        threading.Thread(target=self._flush_now_and_then, name="notes", daemon=True).start()
        atexit.register(self.flush)

    @property
    def _in_bucket(self) -> bool:
        return bool(self.run.store.files.place)

    def add(self, line: str, about: tuple[str, str] | None = None) -> None:
        with self._lock:
            self._lines.append(line)
            if about is not None:
                self._told.add(about)

    def was_told(self, about: tuple[str, str]) -> bool:
        return about in self._told

    def flush(self) -> None:
        """Bring all notes to the store."""
        with self._flushing, suppress(OSError, MannequinError):
            with self._lock:
                lines = tuple(self._lines)
            if not lines:
                return
            data = "".join(lines).encode()
            path = self.run.folder / f"{socket.gethostname()}-{os.getpid()}-{self._number}.jsonl"
            if self._in_bucket:
                told = self._before + data
                self.run.store.put(path, told)
                self._number, self._before = (self._number, told) if len(told) < LARGE else (self._number + 1, b"")
            else:
                with path.open("ab") as stream:
                    stream.write(data)
            with self._lock:
                del self._lines[: len(lines)]

    def close(self) -> None:
        self._closed.set()
        atexit.unregister(self.flush)
        self.flush()

    def _flush_now_and_then(self) -> None:
        while not self._closed.wait(BUCKET_FLUSH_S if self._in_bucket else FLUSH_S):
            self.flush()


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)
_NOTES: dict[str, _Notes] = {}
"""By the id of the run."""
_OPENING = threading.Lock()


def begin_run(store: Store, header: RunHeader) -> None:
    """Say that a run begins, which others may join; this thread does. What old runs told is removed.

    Raises:
        OSError, StoreError: the store takes no notes.
    """
    run = Run(store, header.run)
    run.folder.mkdir(parents=True, exist_ok=True)
    write_header(run, header)
    join_run(store, header.run)
    drop_runs(store, lambda other: other.seen_at < _now() - KEEP)


def drop_runs(store: Store, unwanted: Callable[[RunHeader], bool]) -> None:
    """Remove what some runs told: nothing but their own words is lost."""
    for folder in sorted(store.fresh(RUNNING).glob("*")):
        header = read_header(folder)
        if header is not None and unwanted(header):
            for path in folder.iterdir():
                store.files.remove(path)
            shutil.rmtree(folder, ignore_errors=True)


def end_run(store: Store, run_id: str, state: str, said: str = "") -> None:
    """Say how a run ended; nothing where it was never begun.

    Raises:
        OSError, StoreError: the store takes no notes.
    """
    run = Run(store, run_id)
    notes = _NOTES.pop(run_id, None)
    if notes is not None:
        notes.close()
    now = _RUN.get()
    if now is not None and now.id == run_id:
        _RUN.set(None)
    header = read_header(run.folder)
    if header is not None:
        write_header(run, header.model_copy(update={"ended": state, "seen_at": _now(), "said": said}))


def read_header(folder: Path) -> RunHeader | None:
    """Who runs, or ran; None where that does not read."""
    with suppress(OSError, ValidationError):
        return RunHeader.model_validate_json((folder / "run.json").read_bytes())
    return None


def write_header(run: Run, header: RunHeader) -> None:
    """Say who runs; whoever reads sees the old words or the new ones.

    Raises:
        OSError, StoreError: the store takes no notes.
    """
    run.store.put(run.folder / "run.json", header.model_dump_json(indent=1).encode())


def join_run(store: Store, run_id: str, task: str = "") -> None:
    """What this thread finds and makes from now on belongs to a run, if that was begun: to a task of it."""
    run = Run(store, run_id, task)
    _RUN.set(run if _notes(run) is not None else None)


@contextmanager
def noting(run: Run | None) -> Iterator[None]:
    """What is found and made inside belongs to what another thread or process gave as `current_run()`."""
    before = _RUN.set(run)
    try:
        if run is not None:
            _notes(run)
        yield
    finally:
        _RUN.reset(before)


def current_run() -> Run | None:
    """The run that this thread belongs to: to be handed to other threads and processes."""
    return _RUN.get()


def note_shard(record: ShardRecord, seconds: float | None = None) -> None:
    """Tell the run, if there is one, that a shard was found, or made in so many seconds; found is told once."""
    run = _RUN.get()
    if run is None or (notes := _NOTES.get(run.id)) is None:
        return
    about = (record.stage, record.key)
    if seconds is None and notes.was_told(about):
        return
    took = "" if seconds is None else f',"s":{seconds:.3f}'
    rejected = f',"rejected":{dumps(record.rejected)}' if record.rejected else ""
    notes.add(
        f'{{"stage":"{record.stage}","task":"{run.task}","key":"{record.key[:16]}","at":{time.time():.1f},'
        f'"in":{record.rows_in},"kept":{record.rows_kept},"out":{record.data.rows},"bytes":{record.data.size}'
        f"{took}{rejected}}}\n",
        about,
    )


def expect_members(task: str, count: int) -> None:
    """Tell the run, if there is one, that a task is mapped over so many members more: each a shard of every stage."""
    run = _RUN.get()
    if run is not None and (notes := _NOTES.get(run.id)) is not None:
        notes.add(dumps({"members": count, "task": task}) + "\n")


def expect_shards(stage: str, count: int) -> None:
    """Tell the run, if there is one, how many shards of a stage there will be; said again, the last word counts."""
    run = _RUN.get()
    if run is not None and (notes := _NOTES.get(run.id)) is not None:
        notes.add(dumps({"shards": count, "stage": stage}) + "\n")


def flush_notes(run_id: str) -> None:
    """Bring what this process told of a run to the store."""
    if (notes := _NOTES.get(run_id)) is not None:
        notes.flush()


def _notes(run: Run) -> _Notes | None:
    """The notes of this process on a run that was begun and has not ended."""
    if run.id not in _NOTES:
        header = read_header(run.folder)
        if header is None and run.store.files.place:
            with suppress(OSError, MannequinError):
                run.store.files.fresh(run.folder)
            header = read_header(run.folder)
        if header is None or header.ended:
            return None
        with _OPENING:
            if run.id not in _NOTES:
                _NOTES[run.id] = _Notes(Run(run.store, run.id))
    return _NOTES[run.id]
