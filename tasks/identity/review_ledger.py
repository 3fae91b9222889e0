"""What people said about faces: a ledger that is only ever added to, by sample ids, so that it survives every rebuild.

<root>/verdicts/<name>/000001.json ...     segments, created exclusively

Of two writers of one segment the first wins; the other reads it and writes the next. What a killed run leaves is a
whole segment or none. Of two verdicts on the same faces the later counts.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import ValidationError, model_validator

from tasks.schema.columns import shard_schema
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.records import Frozen
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.stage import Stage, StageOutput
from tasks.shards.store import Store

Word = Literal["same", "different", "remove", "unsure"]
"""One person; two people; `face_a` is no use; nothing (takes an earlier verdict back)."""

DEFAULT_LEDGER = "faces"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Verdict(Frozen):
    """A word on two faces, in the order of their ids, or (`remove`) on one."""

    face_a: str
    face_b: str | None
    verdict: Word
    reviewer: str = ""

    @model_validator(mode="after")
    def _faces_fit(self) -> "Verdict":
        wrong = self.verdict in ("same", "different") if self.face_b is None else self.verdict == "remove"
        if wrong or self.face_a == self.face_b:
            raise ValueError(f"{self.verdict!r} does not fit the faces {self.face_a!r} and {self.face_b!r}")
        if self.face_b is not None and self.face_b < self.face_a:
            raise ValueError("the faces stand in the order of their ids")
        return self

    @classmethod
    def of(cls, verdict: Word, face_a: str, face_b: str | None = None, reviewer: str = "") -> "Verdict":
        """The same, with the faces put in order."""
        if face_b is not None and face_b < face_a:
            face_a, face_b = face_b, face_a
        return cls(face_a=face_a, face_b=face_b, verdict=verdict, reviewer=reviewer)

    @property
    def about(self) -> tuple[str, str | None]:
        return self.face_a, self.face_b


class _Segment(Frozen):
    verdicts: tuple[Verdict, ...]
    sha256: str

    @classmethod
    def of(cls, verdicts: tuple[Verdict, ...]) -> "_Segment":
        return cls(verdicts=verdicts, sha256=_digest(verdicts))


def add_verdicts(store: Store, verdicts: Sequence[Verdict], ledger: str = DEFAULT_LEDGER) -> int:
    """Put verdicts down; those that stand already are not repeated. Durable when this returns.

    Returns:
        how many were new.
    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged, or the store cannot be written.
    """
    folder = _folder(store, ledger)
    latest = {verdict.about: verdict for verdict in verdicts}
    standing: dict[tuple[str, str | None], Verdict] = {}
    read = 0
    with disk_errors_explained(store.root):
        while True:
            for segment in _segments(folder, read):
                read += 1
                standing.update((verdict.about, verdict) for verdict in segment.verdicts)
            fresh = tuple(v for about, v in latest.items() if _word(standing.get(about)) != v.verdict)
            if not fresh:
                _make_durable(store, folder)
                return 0
            if _append(store, folder, read + 1, _Segment.of(fresh)):
                _make_durable(store, folder)
                return len(fresh)


def read_verdicts(store: Store, ledger: str = DEFAULT_LEDGER) -> tuple[Verdict, ...]:
    """The verdicts that stand, ordered by faces.

    Raises:
        ConfigError: `ledger` is not a short lower-case name.
        StoreError: the ledger is damaged.
    """
    standing: dict[tuple[str, str | None], Verdict] = {}
    for segment in _segments(_folder(store, ledger), 0):
        standing.update((verdict.about, verdict) for verdict in segment.verdicts)
    found = (verdict for verdict in standing.values() if verdict.verdict != "unsure")
    return tuple(sorted(found, key=lambda v: (v.face_a, v.face_b or "")))


class VerdictsConfig(Frozen):
    """`digest`: of the verdicts that stand."""

    digest: str


@dataclass(frozen=True)
class Verdicts(Stage):
    """The verdicts that stand, as a shard that other stages read whole. A source: made with `of`."""

    config: VerdictsConfig
    verdicts: tuple[Verdict, ...]

    name: ClassVar[str] = "verdicts"
    version: ClassVar[int] = 1

    @classmethod
    def of(cls, verdicts: tuple[Verdict, ...]) -> "Verdicts":
        return cls(VerdictsConfig(digest=_digest(verdicts)), verdicts)

    @property
    def schema(self) -> pa.Schema:
        return shard_schema(
            pa.field("face_a", pa.string(), nullable=False),
            pa.field("face_b", pa.string()),
            pa.field("verdict", pa.string(), nullable=False),
            pa.field("reviewer", pa.string(), nullable=False),
        )

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        del batches
        rows = [
            {
                "sample_id": f"{verdict.face_a}|{verdict.face_b or ''}",
                "parent_id": None,
                "source_uri": f"verdict://{verdict.reviewer}",
                "licence": "",
                **verdict.model_dump(),
            }
            for verdict in self.verdicts
        ]
        yield StageOutput(pa.Table.from_pylist(rows, schema=self.schema))


def _word(verdict: Verdict | None) -> str:
    return "unsure" if verdict is None else verdict.verdict


def _digest(verdicts: tuple[Verdict, ...]) -> str:
    said = json.dumps([verdict.model_dump() for verdict in verdicts], separators=(",", ":"), sort_keys=True)
    return sha256(said.encode()).hexdigest()


def _folder(store: Store, ledger: str) -> Path:
    if _NAME.fullmatch(ledger) is None:
        raise ConfigError(f"A ledger has a short lower-case name, not {ledger!r}.")
    return store.root / "verdicts" / ledger


def _segments(folder: Path, read: int) -> Iterator[_Segment]:
    last = max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)
    for index in range(read + 1, last + 1):
        path = folder / f"{index:06d}.json"
        try:
            segment = _Segment.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            raise StoreError(f"The ledger of verdicts is damaged: restore {path} from a backup.") from error
        if segment.sha256 != _digest(segment.verdicts):
            raise StoreError(f"The ledger of verdicts is damaged: restore {path} from a backup.")
        yield segment


def _append(store: Store, folder: Path, index: int, segment: _Segment) -> bool:
    """Create a segment; False if somebody else was first."""
    written = temporary(store.tmp)
    try:
        with store.files.create(written) as stream:
            stream.write(segment.model_dump_json(indent=0).encode())
            store.files.sync(stream)
        return store.files.link_exclusive(written, folder / f"{index:06d}.json")
    finally:
        store.files.remove(written)


def _make_durable(store: Store, folder: Path) -> None:
    for place in (folder, folder.parent, store.root):
        if place.is_dir():
            store.files.sync_folder(place)
