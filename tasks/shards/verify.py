"""Reads every byte of a store, or of one build, and says what is not as it was written."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.schema.columns import SAMPLE_FIELDS, shard_schema
from tasks.schema.errors import UnreadableError
from tasks.schema.records import DataFile, ShardRecord
from tasks.schema.rejections import REJECT_SCHEMA
from tasks.shards.files import file_digest
from tasks.shards.funnel import unaccounted
from tasks.shards.manifest import Manifest, manifest_damage
from tasks.shards.numbers import ledgers, read_ledger
from tasks.shards.store import Store

_BATCH_ROWS = 64


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: a path below the store's root and a sentence.

    `stage` and `key` name the output that a run would make again once its record is dropped; empty: nothing to drop.
    """

    path: str
    problem: str
    stage: str = ""
    key: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """What was read, and what was wrong. `dropped` counts the outputs that do not count any more."""

    records: int
    files: int
    rows: int
    bytes: int
    damage: tuple[Damage, ...]
    dropped: int = 0

    @property
    def ok(self) -> bool:
        return not self.damage


@dataclass(frozen=True)
class _Checked:
    problems: tuple[tuple[str, str], ...]
    files: int
    rows: int
    bytes: int


def verify_store(
    store: Store, manifest: Manifest | None = None, *, threads: int = 2, drop_damaged: bool = False
) -> VerifyReport:
    """Check the records, digests, rows, Parquet and row equations of a build; without one, of the whole store.

    Memory stays bounded whatever the size of the shards. Nothing is changed unless `drop_damaged`: then the records of
    damaged outputs go, so that the next run makes them again; their files stay for `sweep`.
    """
    damage: list[Damage] = []
    records: list[ShardRecord] = []
    if manifest is None:
        store.files.fresh(store.root)
    wanted = _of_store(store) if manifest is None else [(s.stage, s.key, s.data) for s in manifest.shards]
    for stage, key, data in wanted:
        path = _below(store, store.record_path(stage, key))
        record = store.read_record(stage, key)
        if record is None:
            damage.append(Damage(path, "the record is missing or does not read", stage, key))
        elif data is not None and record.data != data:
            damage.append(Damage(path, "the record is of other bytes than the build's: run the flow again"))
        else:
            records.append(record)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        checked = list(pool.map(lambda record: _check(store, record), records))
    for record, found in zip(records, checked, strict=True):
        folder = store.folder(record.stage, record.key)
        damage += [
            Damage(_below(store, folder / name), problem, record.stage, record.key) for name, problem in found.problems
        ]
    if manifest is None:
        damage += _beside_shards(store)
    dropped = {(each.stage, each.key) for each in damage if each.key} if drop_damaged else set()
    for stage, key in sorted(dropped):
        store.drop(stage, key)
    return VerifyReport(
        records=len(records),
        files=sum(found.files for found in checked),
        rows=sum(found.rows for found in checked),
        bytes=sum(found.bytes for found in checked),
        damage=tuple(damage),
        dropped=len(dropped),
    )


def _of_store(store: Store) -> list[tuple[str, str, DataFile | None]]:
    return [(path.parent.parent.name, path.parent.name, None) for path in store.record_paths()]


def _beside_shards(store: Store) -> list[Damage]:
    damage = [Damage(_below(store, path), problem) for path, problem in manifest_damage(store).items()]
    for name in ledgers(store):
        try:
            read_ledger(store, name)
        except UnreadableError as error:
            damage.append(Damage(f"ledgers/{name}", str(error)))
    return damage


def _below(store: Store, path: Path) -> str:
    return path.relative_to(store.root).as_posix()


def _check(store: Store, record: ShardRecord) -> _Checked:
    folder = store.folder(record.stage, record.key)
    files = [file for file in (None if record.erased else record.data, record.rejects) if file is not None]
    problems: list[tuple[str, str]] = []
    wrong = unaccounted(record, _known_inputs(store, record))
    if wrong:
        problems.append(("record.json", wrong))
    for file in files:
        check = _check_data if file is record.data else _check_rejects
        try:
            store.files.renew(folder / file.name)
            problems += [(file.name, problem) for problem in _check_bytes(folder / file.name, file)] or [
                (file.name, problem) for problem in check(folder / file.name, record)
            ]
        except (OSError, pa.ArrowException) as error:
            problems.append((file.name, f"does not read: {str(error).partition(chr(10))[0]}"))
    return _Checked(tuple(problems), len(files), sum(f.rows for f in files), sum(f.size for f in files))


def _known_inputs(store: Store, record: ShardRecord) -> list[ShardRecord]:
    """The primary inputs' records, if all of them are still those that the stage read."""
    inputs = [store.read_record(ref.stage, ref.key) for ref in record.inputs]
    found = [each for each in inputs if each is not None]
    return found if [each.ref for each in found] == list(record.inputs) else []


def _check_bytes(path: Path, file: DataFile) -> list[str]:
    if not path.exists():
        return ["is missing"]
    size = path.stat().st_size
    if size != file.size:
        return [f"has {size} bytes instead of {file.size}"]
    if file_digest(path) != file.digest:
        return ["does not have its digest"]
    return [] if file.digest[:16] in file.name else ["its name does not hold its digest"]


def _check_data(path: Path, record: ShardRecord) -> Iterator[str]:
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        samples = len(SAMPLE_FIELDS)
        if list(schema)[:samples] != list(SAMPLE_FIELDS):
            yield "does not begin with the columns that every shard has"
            return
        if shard_schema(*list(schema)[samples:]).metadata != schema.metadata:
            yield "its schema metadata does not describe its columns"
        rows, ids = 0, set[str]()
        for batch in file.iter_batches(_BATCH_ROWS):
            rows += batch.num_rows
            ids.update(batch["sample_id"].to_pylist())
        yield from _check_count(rows, record.data)
        if len(ids) != rows:
            yield f"{rows - len(ids)} sample ids are there twice"


def _check_rejects(path: Path, record: ShardRecord) -> Iterator[str]:
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        if not file.schema_arrow.equals(REJECT_SCHEMA):
            yield "does not have the columns of rejects"
            return
        rows, reasons = 0, Counter[str]()
        for batch in file.iter_batches(_BATCH_ROWS):
            rows += batch.num_rows
            reasons.update(batch["reason"].to_pylist())
        if record.rejects is not None:
            yield from _check_count(rows, record.rejects)
        if reasons != Counter(record.rejected) + Counter(record.children_rejected):
            yield "its reasons are not those that the record counts"


def _check_count(rows: int, file: DataFile) -> Iterator[str]:
    if rows != file.rows:
        yield f"holds {rows} rows instead of {file.rows}"
