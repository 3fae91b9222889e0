"""Where committed shards live: the only cache of the project.

<root>/shards/<stage>/<key>/shard-<digest>.parquet     the rows
<root>/shards/<stage>/<key>/rejects-<digest>.parquet   what was left out, if anything was
<root>/shards/<stage>/<key>/record.json                makes both count; created exclusively, last
<root>/attempts/<stage>-<key>                          marks of stages at work; see `tasks.shards.attempts`
<root>/times/                                          how long stages took; see `tasks.shards.times`
<root>/tmp/                                            what a killed run leaves behind; swept after a day
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tasks.schema.errors import StoreError
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.shards.files import LocalFiles, disk_errors_explained, file_digest, temporary

SWEEP_AFTER_S = 24 * 3600

_SEEN: dict[Path, tuple[int, int]] = {}
"""Root -> device and inode of the folder that this process first wrote into."""
FORGIVE_AFTER_S = 90 * SWEEP_AFTER_S
"""That a process died over work that nobody asked for since is of no interest any more."""


@dataclass(frozen=True)
class Store:
    """A folder of committed shards, shared by any number of processes.

    Raises:
        StoreError: the root is not an absolute path.
    """

    root: Path
    files: LocalFiles = field(default_factory=LocalFiles, compare=False)

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise StoreError(f"The store must be an absolute path, not {self.root}: runs start in different folders.")

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def folder(self, stage: str, key: str) -> Path:
        return Path(f"{self.root}/shards/{stage}/{key}")

    def record_path(self, stage: str, key: str) -> Path:
        return Path(f"{self.root}/shards/{stage}/{key}/record.json")

    def attempt_path(self, stage: str, key: str) -> Path:
        return self.root / "attempts" / f"{stage}-{key}"

    def data_path(self, record: ShardRecord) -> Path:
        return self.folder(record.stage, record.key) / record.data.name

    def rejects_path(self, record: ShardRecord) -> Path | None:
        return self.folder(record.stage, record.key) / record.rejects.name if record.rejects else None

    def find(self, stage: str, key: str) -> ShardRecord | None:
        """The committed output of a key, if its record reads and its files are there in full size."""
        record = self.read_record(stage, key)
        if record is None or record.erased:
            return None
        folder = f"{self.root}/shards/{stage}/{key}"
        whole = all(_has_size(f"{folder}/{f.name}", f.size) for f in (record.data, record.rejects) if f is not None)
        return record if whole else None

    def find_erased(self, stage: str, key: str) -> ShardRecord | None:
        """The record of an output that was made and then erased."""
        record = self.read_record(stage, key)
        return record if record is not None and record.erased else None

    def erase(self, record: ShardRecord) -> None:
        """Remove the rows of an output for good; that it was made, and what was made of it, counts on."""
        if self.find(record.stage, record.key) != record:
            return
        erased = record.model_copy(update={"erased": True})
        with disk_errors_explained(self.root):
            self.put(self.record_path(record.stage, record.key), erased.model_dump_json(indent=1).encode())
            self.files.remove(self.data_path(record))

    def withdraw(self, record: ShardRecord) -> None:
        """Remove an output and its files for good, unless its place was taken by another one."""
        if self.read_record(record.stage, record.key) == record:
            self.drop(record.stage, record.key)
            for file in (record.data, record.rejects):
                if file is not None:
                    self.files.remove(self.folder(record.stage, record.key) / file.name)

    def read_record(self, stage: str, key: str) -> ShardRecord | None:
        """The record of a key as it is on disk, whatever its files; None if it is missing or does not read."""
        with suppress(FileNotFoundError, ValidationError):
            record = ShardRecord.model_validate_json(self.record_path(stage, key).read_bytes())
            return record if (record.stage, record.key) == (stage, key) else None
        return None

    def demand_same(self) -> None:
        """See that the root is still the folder that this process began with, and not an empty one in its place.

        Raises:
            StoreError: its disk went away, or it was moved or replaced.
        """
        try:
            found = self.root.stat()
        except FileNotFoundError:
            found = None
        if found is not None:
            now = (found.st_dev, found.st_ino)
            if _SEEN.setdefault(self.root, now) == now:
                return
        elif self.root not in _SEEN:
            return
        raise StoreError(
            f"The store at {self.root} went away while it was in use: bring its disk or folder back, then run again; "
            "what was committed counts."
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Work on the store: what its disk says is told as one clear error.

        Raises:
            StoreError: the disk takes no more, or is not there any more.
        """
        self.demand_same()
        with disk_errors_explained(self.root):
            try:
                yield
            except FileNotFoundError:
                self.demand_same()
                raise

    def put(self, path: Path, data: bytes) -> None:
        """Make a file below the root hold these bytes, in place of others: whole or not at all, durable then.

        Raises:
            StoreError: the disk takes no more, or is not there any more.
        """
        with self.explained():
            written = temporary(self.tmp)
            try:
                with self.files.create(written) as stream:
                    stream.write(data)
                    self.files.sync(stream)
                self.files.replace(written, path)
            finally:
                self.files.remove(written)
            self.files.sync_folder(path.parent)

    def drop(self, stage: str, key: str) -> None:
        """Make an output not count any more; its files stay until they are made again or swept."""
        self.files.remove(self.record_path(stage, key))

    def commit(self, record: ShardRecord, parts: dict[str, Path]) -> ShardRecord:
        """Publish finished, synced temporary files under a record; the first writer wins.

        Args:
            record: describes `parts`.
            parts: name in the record -> temporary file.
        Returns:
            the record that counts: ours, or that of a writer who was first.
        """
        folder = self.folder(record.stage, record.key)
        with self.explained():
            for name, path in parts.items():
                self.files.replace(path, folder / name)
            self.files.sync_folder(folder)
            written = temporary(self.tmp)
            try:
                with self.files.create(written) as stream:
                    stream.write(record.model_dump_json(indent=1).encode())
                    self.files.sync(stream)
                while not self.files.link_exclusive(written, self.record_path(record.stage, record.key)):
                    first = self.find(record.stage, record.key)
                    if first is not None:
                        self._remove_unused(folder, parts, first)
                        return first
                    self.drop(record.stage, record.key)
                self.files.sync_folder(folder)
            finally:
                self.files.remove(written)
        return record

    def _remove_unused(self, folder: Path, parts: dict[str, Path], winner: ShardRecord) -> None:
        used = {file.name for file in (winner.data, winner.rejects) if file is not None}
        for name in parts.keys() - used:
            self.files.remove(folder / name)

    def damaged(self, record: ShardRecord) -> list[str]:
        """Names of the record's files that are missing or do not have their digest; reads every byte."""
        folder = self.folder(record.stage, record.key)
        files = (None if record.erased else record.data, record.rejects)
        return [f.name for f in files if f is not None and not _is_whole(folder / f.name, f)]

    def holds(self, ref: InputRef) -> bool:
        """Whether the bytes that `ref` names are there and whole; reads every byte."""
        record = self.read_record(ref.stage, ref.key)
        return (
            record is not None and record.data.digest == ref.digest and _is_whole(self.data_path(record), record.data)
        )

    def records(self) -> list[ShardRecord]:
        """All committed records, ordered by stage and key."""
        found = sorted((self.root / "shards").glob("*/*/record.json"))
        read = [self.read_record(path.parent.parent.name, path.parent.name) for path in found]
        return [record for record in read if record is not None]

    def sweep_temporary(self, older_than_s: float = SWEEP_AFTER_S) -> list[Path]:
        """Remove what killed runs left in the making; returns what was removed."""
        forgiven = self._remove_old((self.root / "attempts").glob("*"), max(older_than_s, FORGIVE_AFTER_S))
        return [*self._remove_old(self.tmp.glob("*"), older_than_s), *forgiven]

    def sweep(self, older_than_s: float = SWEEP_AFTER_S) -> list[Path]:
        """The same, and data files that no record counts: reads every record. A record that another version of the
        code wrote, and that does not read, keeps its files.
        """
        used = {
            self.folder(record.stage, record.key) / file.name
            for record in self.records()
            for file in (record.data, record.rejects)
            if file is not None
        }
        known = {path.parent for path in used}
        orphans = (
            path
            for path in (self.root / "shards").glob("*/*/*.parquet")
            if path not in used and (path.parent in known or not path.with_name("record.json").exists())
        )
        return sorted([*self.sweep_temporary(older_than_s), *self._remove_old(orphans, older_than_s)])

    def _remove_old(self, paths: Iterable[Path], older_than_s: float) -> list[Path]:
        oldest = time.time() - older_than_s
        stale = sorted(path for path in paths if _modified(path) < oldest)
        for path in stale:
            self.files.remove(path)
        return stale


def _has_size(path: str | Path, size: int) -> bool:
    try:
        return os.stat(path).st_size == size  # noqa: PTH116 - a hit is two of these, and Path doubles their cost
    except FileNotFoundError:
        return False


def _is_whole(path: Path, file: DataFile) -> bool:
    return _has_size(path, file.size) and file_digest(path) == file.digest


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
