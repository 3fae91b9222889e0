"""Looks at a build of patches in the store, again and again, at little cost.

A record that was read is remembered. Whether there are new ones is asked of one folder, `<store>/shards/patches`, whose
time changes with every new key; only keys that have a folder and no record are looked at one by one.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import psutil  # type: ignore[import-untyped]

from tasks.patches.build_plan import BuildPlan, Counts, flat, read_plan, total
from tasks.patches.progress import (
    PAUSE_S,
    BuildProgress,
    BuildState,
    Finished,
    Tally,
    category_progress,
    film_progress,
    format_progress,
    time_shares,
    windows_per_minute,
)
from tasks.schema.records import ShardRecord
from tasks.shards.files import changed
from tasks.shards.store import Store

STAGE = "patches"
"""The stage whose records make a piece done."""

LIST_AGAIN_S = 30.0
"""The folder is listed, and every record looked for, at least this often: file servers may tell times late, and a run
drops the records of pieces whose files are gone."""

SETTLED_S = 2.0
"""A folder whose time is younger than this may change again without a new time."""

CLOCK_SLACK_S = 60.0
"""How far the start of a process, counted from that of the machine, may lie beside the clock."""


@dataclass
class BuildWatch:
    """The finished pieces of a plan, kept up to date by `look`."""

    plan: BuildPlan
    store: Store
    _finished: dict[str, Finished] = field(default_factory=dict)
    _tallies: dict[str, Tally] = field(default_factory=dict)
    _listed_at: float = 0.0
    _folder_time: int = -1
    _without_record: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        films = self.plan.films
        self._film_of = {piece.key: film.film for film in films for piece in film.pieces}
        self._windows_of = {film.film: sum(total(piece.planned) for piece in film.pieces) for film in films}
        self._planned: Counter[tuple[str, str]] = Counter()
        self._wanted: Counter[tuple[str, str]] = Counter()
        self._asked: Counter[str] = Counter()
        for film in films:
            self._asked.update(film.asked)
            self._wanted.update(flat(film.wanted))
            for piece in film.pieces:
                self._planned.update(flat(piece.planned))
        self._process = _process_of(self.plan)

    def look(self, now: float | None = None) -> int:
        """Read the records that came since the last look; returns how many."""
        now = time.time() if now is None else now
        self._list(now)
        new = 0
        for key in sorted(self._without_record):
            record = self.store.find(STAGE, key) or self.store.find_erased(STAGE, key)
            if record is not None:
                piece = _finished(record, self._film_of[key], self.store)
                self._finished[key] = piece
                self._tallies.setdefault(piece.film, Tally()).add(piece)
                self._without_record.discard(key)
                new += 1
        return new

    def _list(self, now: float) -> None:
        """Find out which pieces may have a record by now, and forget those whose record is gone."""
        folder = self.store.root / "shards" / STAGE
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        again = now - self._listed_at >= LIST_AGAIN_S
        if changed == self._folder_time and not again:
            return
        names = set(os.listdir(folder)) if changed else set()  # noqa: PTH208 - names alone, for 100,000 of them
        self._folder_time = changed if changed < (now - SETTLED_S) * 1e9 else -1
        self._forget(self._finished.keys() - names)
        if again:
            self._listed_at = now
            self._forget({key for key in self._finished if not self.store.record_path(STAGE, key).exists()})
        self._without_record = (names & self._film_of.keys()) - self._finished.keys()

    def _forget(self, gone: Collection[str]) -> None:
        if not gone:
            return
        for key in gone:
            del self._finished[key]
        self._tallies = {}
        for piece in self._finished.values():
            self._tallies.setdefault(piece.film, Tally()).add(piece)

    def progress(self, now: float | None = None) -> BuildProgress:
        """The build as of the last look."""
        now = time.time() if now is None else now
        started = self.plan.created_at.timestamp()
        pieces = sorted(self._finished.values(), key=lambda piece: piece.at)
        ends = [(piece.at, piece.windows) for piece in pieces]
        state = self._state(now, ends[-1][0] if ends else 0.0)
        until = now if state == "running" else max(started, ends[-1][0] if ends else 0.0)
        seconds = time_shares(((piece.at, piece.film) for piece in pieces), started)
        everything = Tally()
        for tally in self._tallies.values():
            everything.join(tally)
        windows = sum(self._windows_of.values())
        rate = windows_per_minute(ends, started, until)
        kept = everything.kept.total()
        return BuildProgress(
            state=state,
            config=self.plan.config,
            created_at=self.plan.created_at,
            elapsed_s=until - started,
            pieces=len(self._film_of),
            pieces_done=everything.pieces,
            windows=windows,
            windows_done=everything.windows,
            kept=kept,
            success=kept / everything.windows if everything.windows else None,
            written_bytes=everything.written_bytes,
            rate=rate,
            eta_s=60 * (windows - everything.windows) / rate if rate and state == "running" else None,
            redistributed=sum(total(moved) for film in self.plan.films for moved in film.redistributed.values()),
            rejected=dict(everything.rejected.most_common()),
            categories=category_progress(tuple(self.plan.shares), self._asked, self._planned, everything.kept),
            formats=format_progress(self.plan.shares, self._wanted, self._planned, everything.kept),
            films=tuple(
                film_progress(
                    film,
                    self._windows_of[film.film],
                    self._tallies.get(film.film, Tally()),
                    seconds.get(film.film, 0.0),
                )
                for film in self.plan.films
            ),
        )

    @property
    def process(self) -> psutil.Process | None:
        """The process that makes the build, while it runs on this machine."""
        if self._process is not None and not _alive(self._process):
            self._process = None
        return self._process

    def _state(self, now: float, last: float) -> BuildState:
        if len(self._finished) == len(self._film_of):
            return "finished"
        if self.plan.host == socket.gethostname():
            return "running" if self.process is not None else "stopped"
        silent = now - max(last, self.plan.created_at.timestamp())
        return "running" if silent < PAUSE_S else "stopped"


def watch(tree: Path, store: Store) -> BuildWatch:
    """A watch over the build that was last started in a tree.

    Raises:
        SourceError: there is none.
    """
    return BuildWatch(read_plan(tree), store)


def _finished(record: ShardRecord, film: str, store: Store) -> Finished:
    facts = record.facts
    return Finished(
        film=film,
        windows=record.rows_in,
        kept=cast("Counts", facts["kept"]),
        rejected=record.rejected,
        written_bytes=cast("int", facts["bytes"]),
        at=changed(store.record_path(record.stage, record.key)),
    )


def _process_of(plan: BuildPlan) -> psutil.Process | None:
    """The process that wrote a plan, if it still runs here; another one may have its number by now."""
    if plan.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(plan.pid)
        return process if process.create_time() <= plan.created_at.timestamp() + CLOCK_SLACK_S else None
    except psutil.Error:
        return None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
