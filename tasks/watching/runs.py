"""Runs on a store, followed through what they tell (`tasks.shards.notes`), at little cost: new lines alone are read."""

import os
import socket
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import dropwhile
from json import loads
from pathlib import Path
from typing import Any, Literal

import psutil  # type: ignore[import-untyped]

from tasks.schema.records import Frozen
from tasks.shards.notes import RUNNING, RunHeader, read_header
from tasks.shards.store import Store

RATE_S = 300.0
LONG_RATE_S = 1800.0
RATE_SHARDS = 8
"""A rate is that of the last five minutes, or of the last thirty where fewer than eight shards ended in those."""

SILENT_S = 60.0
"""A run on another machine that was not heard of for so long is told to be silent; it speaks every 5 to 15 s."""

GONE_S = 600.0
"""... and to be gone after so long."""

FRESH_S = 10.0
"""How often a bucket is asked for what is new."""

CLOCK_SLACK_S = 60.0
"""How far the start of a process, counted from that of the machine, may lie beside the clock."""

RunState = Literal["running", "silent", "gone", "completed", "failed", "crashed", "cancelled"]


class StageProgress(Frozen):
    """What a run did at a stage so far.

    `shards` are done, `made` of them by this run, the others found; `known` how many there will be, None where nobody
    said. `rows_out` counts rows written (children, where a row becomes several), `rows_in == rows_kept +
    sum(rejected.values())`. `seconds` is what the made ones took together. `rate` is in rows in a second, None where
    nothing ended lately; `eta_s` in seconds, None where it cannot be told.
    """

    stage: str
    shards: int
    made: int
    known: int | None
    rows_in: int
    rows_kept: int
    rows_out: int
    rejected: dict[str, int]
    bytes: int
    seconds: float
    rate: float | None
    eta_s: float | None


class RunProgress(Frozen):
    """A run at a moment. `share` is that of all shards that are known to come, 0 to 1, None while none is known.

    `eta_s` is that of the slowest stage whose shards are known: what is joined from all of them comes on top.
    `elapsed_s` runs to now, or to its end, or to its last word where its process has gone.
    """

    run: str
    flow: str
    name: str
    state: RunState
    said: str
    started_at: datetime
    elapsed_s: float
    host: str
    pid: int
    share: float | None
    eta_s: float | None
    stages: tuple[StageProgress, ...]

    @property
    def alive(self) -> bool:
        return self.state in ("running", "silent")


@dataclass
class _Stage:
    """A stage's notes, added up.

    `task` is the one that first worked on it; `ends` are (Unix time, rows in) of late shards; `keys` says of each shard
    whether it was made.
    """

    task: str = ""
    shards: int = 0
    made: int = 0
    rows_in: int = 0
    rows_kept: int = 0
    rows_out: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    ends: list[tuple[float, int]] = field(default_factory=list)
    keys: dict[str, bool] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        """Count a line; of what several processes tell of one shard, that it was made outweighs that it was found."""
        key, took = line["key"], line.get("s")
        before = self.keys.get(key)
        if before is None:
            self.shards += 1
            self.rows_in += line["in"]
            self.rows_kept += line["kept"]
            self.rows_out += line["out"]
            self.bytes += line["bytes"]
            self.rejected.update(line.get("rejected", {}))
            self.ends.append((line["at"], line["in"]))
        if took is not None:
            self.made += not before
            self.seconds += took
        self.keys[key] = bool(before) or took is not None

    def late(self, since: float, now: float) -> tuple[list[tuple[float, int]], float]:
        """What ended lately, and since when that is; what is older than `LONG_RATE_S` is dropped."""
        if self.ends and self.ends[0][0] < now - 2 * LONG_RATE_S:
            self.ends = sorted(each for each in self.ends if each[0] >= now - LONG_RATE_S)
        ends, recent, start = sorted(self.ends), [], since
        for span in (RATE_S, LONG_RATE_S):
            start = max(since, now - span)
            recent = ends[bisect_left(ends, (start, -1)) :]
            if len(recent) >= RATE_SHARDS or start == since:
                break
        return recent, start


@dataclass
class RunWatch:
    """One run, kept up to date by `look`."""

    folder: Path
    header: RunHeader
    _stages: dict[str, _Stage] = field(default_factory=dict)
    _members: Counter[str] = field(default_factory=Counter)
    _expected: dict[str, int] = field(default_factory=dict)
    _offsets: dict[str, int] = field(default_factory=dict)

    def look(self) -> int:
        """Read what was told since the last look; returns the number of lines."""
        new = 0
        for line in self._lines():
            new += 1
            try:
                if "members" in line:
                    self._members[line["task"]] += line["members"]
                elif "shards" in line:
                    self._expected[line["stage"]] = line["shards"]
                else:
                    self._stages.setdefault(line["stage"], _Stage(line["task"])).add(line)
            except (KeyError, TypeError, ValueError):
                continue
        self.header = read_header(self.folder) or self.header
        return new

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            entries = sorted(os.scandir(self.folder), key=lambda each: each.name)
        except OSError:
            return
        for entry in entries:
            before = self._offsets.get(entry.name, 0)
            try:
                if not entry.name.endswith(".jsonl") or entry.stat().st_size <= before:
                    continue
                with Path(entry.path).open("rb") as stream:
                    stream.seek(before)
                    told = stream.read()
            except FileNotFoundError:  # what a run told is removed some time after its end
                continue
            whole = told.rfind(b"\n") + 1  # the rest is being written
            self._offsets[entry.name] = before + whole
            for line in told[:whole].splitlines():
                try:
                    said = loads(line)
                except ValueError:
                    continue
                if isinstance(said, dict):
                    yield said

    @property
    def process(self) -> psutil.Process | None:
        """The process of the run's flow, if it is on this machine and lives; another one may have its number by now."""
        if self.header.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.header.pid)
            began = process.create_time() <= self.header.started_at.timestamp() + CLOCK_SLACK_S
            return process if began and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def progress(self, now: float | None = None) -> RunProgress:
        """The run as of the last look."""
        now = time.time() if now is None else now
        header, state = self.header, self._state(now)
        started = header.started_at.timestamp()
        until = now if state == "running" else max(started, header.seen_at.timestamp())
        stages = tuple(
            _stage_progress(name, stage, self._known(name, stage), started, until, live=state == "running")
            for name, stage in self._stages.items()
        )
        told = [each for each in stages if each.known]
        wanted = sum(max(each.known or 0, each.shards) for each in told)
        return RunProgress(
            run=header.run,
            flow=header.flow,
            name=header.name,
            state=state,
            said=header.said,
            started_at=header.started_at,
            elapsed_s=until - started,
            host=header.host,
            pid=header.pid,
            share=sum(each.shards for each in told) / wanted if wanted else None,
            eta_s=max((each.eta_s for each in told if each.eta_s is not None), default=None),
            stages=stages,
        )

    def _known(self, name: str, stage: _Stage) -> int | None:
        """How many shards a stage will have: as was said, or one for each member that its task is mapped over.

        Members may go through different stages before they meet in one: when that has them all, no more will come.
        """
        members = self._members.get(stage.task)
        later = dropwhile(lambda each: each is not stage, self._stages.values())
        if members is not None and any(each.task == stage.task and each.shards >= members for each in later):
            members = stage.shards
        return self._expected.get(name) or members

    def _state(self, now: float) -> RunState:
        if self.header.ended:
            return self.header.ended  # type: ignore[return-value]
        if self.header.host == socket.gethostname():
            return "running" if self.process is not None else "gone"
        unheard_s = now - self.header.seen_at.timestamp()
        return "running" if unheard_s < SILENT_S else "silent" if unheard_s < GONE_S else "gone"


@dataclass
class StoreWatch:
    """All runs on a store, those that ended too; new ones are noticed."""

    store: Store
    _runs: dict[str, RunWatch] = field(default_factory=dict)
    _fresh_at: float = -FRESH_S

    def look(self) -> list[RunWatch]:
        """All runs, the one that began last first.

        Raises:
            StoreError: a bucket does not answer.
        """
        folder = self.store.root / RUNNING
        if self.store.files.place and time.monotonic() - self._fresh_at > FRESH_S:
            self.store.files.fresh(folder)
            self._fresh_at = time.monotonic()
        try:
            names = {each.name for each in os.scandir(folder)}
        except OSError:
            names = set()
        for name in names - self._runs.keys():
            header = read_header(folder / name)
            if header is not None:
                self._runs[name] = RunWatch(folder / name, header)
        for name in self._runs.keys() - names:
            del self._runs[name]
        for run in self._runs.values():
            run.look()
        return sorted(self._runs.values(), key=lambda run: run.header.started_at, reverse=True)


def _stage_progress(
    name: str, stage: _Stage, known: int | None, started: float, until: float, *, live: bool
) -> StageProgress:
    recent, since = stage.late(started, until)
    span = until - since
    rows = sum(rows for _, rows in recent)
    left = max(0, known - stage.shards) if known is not None else 0
    per_second = len(recent) / span if recent and span > 0 else None
    return StageProgress(
        stage=name,
        shards=stage.shards,
        made=stage.made,
        known=None if known is None else max(known, stage.shards),
        rows_in=stage.rows_in,
        rows_kept=stage.rows_kept,
        rows_out=stage.rows_out,
        rejected=dict(stage.rejected.most_common()),
        bytes=stage.bytes,
        seconds=stage.seconds,
        rate=rows / span if per_second is not None else None,
        eta_s=left / per_second if live and per_second is not None and left else None,
    )
