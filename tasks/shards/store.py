"""Where committed shards live: the only cache of the project.

<root>/shards/<stage>/<key>/shard-<digest>.parquet     the rows
<root>/shards/<stage>/<key>/rejects-<digest>.parquet   what was left out, if anything was
<root>/shards/<stage>/<key>/record.json                makes both count; created exclusively, last
<root>/attempts/<stage>-<key>                          marks of stages at work; see `tasks.shards.attempts`
<root>/times/                                          how long stages took; see `tasks.shards.times`
<root>/tmp/                                            what a killed run leaves behind; swept after a day

Of a store in a bucket (`tasks.shards.bucket_files`) the folder is a working copy, into which `data_path` and `fresh`
bring what somebody reads.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tasks.schema.errors import StoreError
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.shards.files import LocalFiles, disk_errors_explained, has_size, is_whole, temporary

SWEEP_AFTER_S = 24 * 3600

_SEEN: dict[Path, tuple[int, int]] = {}
"""Root -> device and inode of the folder that this process first wrote into."""
FORGIVE_AFTER_S = 90 * SWEEP_AFTER_S
"""That a process died over work that nobody asked for since is of no interest any more."""


class DamagedInputError(StoreError):
    """The bytes of a committed output are not those its record promises; the next run makes it again."""

    def __init__(self, ref: InputRef) -> None:
        super().__init__(f"The output {ref.stage}/{ref.key} is damaged: run the flow again, it is made anew.")
        self.ref = ref


@dataclass(frozen=True)
class Store:
    """A folder of committed shards, shared by any number of processes; `files` says what it is a folder of.

    Raises:
        StoreError: the root is not an absolute path.
    """

    root: Path
    files: LocalFiles = field(default_factory=LocalFiles, compare=False)

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise StoreError(f"The store must be an absolute path, not {self.root}: runs start in different folders.")

    @property
    def place(self) -> str:
        """Where the store is, for people: its bucket, or its folder."""
        return self.files.place or str(self.root)

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
        """The rows of an output, as a file to read.

        Raises:
            DamagedInputError: a bucket holds other bytes than were written, or none; they do not count any more.
        """
        return self.path_of(record, record.data)

    def rejects_path(self, record: ShardRecord) -> Path | None:
        """What an output left out, as `data_path`; None: nothing."""
        return self.path_of(record, record.rejects) if record.rejects else None

    def path_of(self, record: ShardRecord, file: DataFile) -> Path:
        """One of the files of an output, as `data_path`."""
        path = self.folder(record.stage, record.key) / file.name
        if not (record.erased and file == record.data) and not self.files.bring(path, file):
            if self.read_record(record.stage, record.key) == record:
                self.drop(record.stage, record.key)
            raise DamagedInputError(record.ref)
        return path

    def bring(self, records: Iterable[ShardRecord]) -> None:
        """Have the rows of outputs here before they are read, several at once."""
        away = [
            each for each in records if not has_size(self.folder(each.stage, each.key) / each.data.name, each.data.size)
        ]
        if away:
            with ThreadPoolExecutor(max_workers=min(8, len(away))) as pool:
                for _ in pool.map(self.data_path, away):
                    pass

    def fresh(self, folder: str) -> Path:
        """A folder below the root, its small files as they are now."""
        path = self.root / folder
        self.files.fresh(path)
        return path

    def find(self, stage: str, key: str) -> ShardRecord | None:
        """The committed output of a key, if its record reads and its files are there in full size."""
        record = self.read_record(stage, key)
        if record is None or record.erased:
            return None
        folder = f"{self.root}/shards/{stage}/{key}"
        files = (record.data, record.rejects)
        whole = all(self.files.has_size(f"{folder}/{f.name}", f.size) for f in files if f is not None)
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
            self.files.remove(self.folder(record.stage, record.key) / record.data.name)

    def withdraw(self, record: ShardRecord) -> None:
        """Remove an output and its files for good, unless its place was taken by another one."""
        if self.read_record(record.stage, record.key) == record:
            self.drop(record.stage, record.key)
            for file in (record.data, record.rejects):
                if file is not None:
                    self.files.remove(self.folder(record.stage, record.key) / file.name)

    def read_record(self, stage: str, key: str) -> ShardRecord | None:
        """The record of a key as it is on disk, whatever its files; None if it is missing or does not read."""
        with suppress(FileNotFoundError):
            return _read_as(stage, key, self.files.read(self.record_path(stage, key)))
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

    def mistrust(self, stage: str, key: str) -> None:
        """What was read of an output is not what was written: a damaged copy goes, else the output counts no more."""
        record = self.read_record(stage, key)
        files = (record.data, record.rejects) if record is not None else ()
        discarded = [self.files.discard(self.folder(stage, key) / f.name, f) for f in files if f is not None]
        if not any(discarded):
            self.drop(stage, key)

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
        files = [f for f in (None if record.erased else record.data, record.rejects) if f is not None]
        return [f.name for f in files if not (self.files.bring(folder / f.name, f) and is_whole(folder / f.name, f))]

    def holds(self, ref: InputRef) -> bool:
        """Whether the bytes that `ref` names are there and whole; reads every byte."""
        record = self.read_record(ref.stage, ref.key)
        return record is not None and record.data.digest == ref.digest and is_whole(self.data_path(record), record.data)

    def records(self) -> list[ShardRecord]:
        """All committed records, ordered by stage and key."""
        read = map(_read_from, self.record_paths())
        return [record for record in read if record is not None]

    def record_paths(self) -> list[Path]:
        """Where all records are, whether or not they read."""
        return sorted(self.fresh("shards").glob("*/*/record.json"))

    def sweep_temporary(self, older_than_s: float = SWEEP_AFTER_S) -> list[Path]:
        """Remove what killed runs left in the making; returns what was removed."""
        marks, left = (self.files.ages(folder, "*") for folder in (self.root / "attempts", self.tmp))
        forgiven = self._remove_old(marks, max(older_than_s, FORGIVE_AFTER_S))
        return [*self._remove_old(left, older_than_s), *forgiven]

    def sweep(self, older_than_s: float = SWEEP_AFTER_S) -> list[Path]:
        """The same, and data files that no record counts: reads every record. A record that another version of the
        code wrote, and that does not read, keeps its files.
        """
        data = self.files.ages(self.root / "shards", "*/*/*.parquet")  # first: records of what comes meanwhile are read
        used = {
            self.folder(record.stage, record.key) / file.name
            for record in self.records()
            for file in (record.data, record.rejects)
            if file is not None
        }
        known = {path.parent for path in used}
        unread = {path.parent for path in self.record_paths()} - known
        orphans = {path: age for path, age in data.items() if path not in used and path.parent not in unread}
        return sorted([*self.sweep_temporary(older_than_s), *self._remove_old(orphans, older_than_s)])

    def _remove_old(self, ages: Mapping[Path, float], older_than_s: float) -> list[Path]:
        oldest = time.time() - older_than_s
        stale = sorted(path for path, age in ages.items() if age < oldest)
        for path in stale:
            self.files.remove(path)
        return stale


def _read_from(path: Path) -> ShardRecord | None:
    with suppress(FileNotFoundError):
        return _read_as(path.parent.parent.name, path.parent.name, path.read_bytes())
    return None


def _read_as(stage: str, key: str, data: bytes) -> ShardRecord | None:
    """The record of a key from its bytes; None: they do not read, or are of another one."""
    with suppress(ValidationError):
        record = ShardRecord.model_validate_json(data)
        return record if (record.stage, record.key) == (stage, key) else None
    return None
