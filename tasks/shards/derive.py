"""Derivations: what is to be made from what; `realise` finds it in the store or makes it, whatever was lost."""

from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import IO, Self

import pyarrow as pa

from tasks.schema.errors import MannequinError, StoreError
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.schema.rejections import REJECT_SCHEMA, Rejection, rejection_table
from tasks.shards.accounting import Accounts
from tasks.shards.attempts import attempted
from tasks.shards.files import temporary
from tasks.shards.notes import note_shard
from tasks.shards.parquet import Lookup, ShardWriter, read_batches
from tasks.shards.stage import Stage, Whole, stage_key
from tasks.shards.store import DamagedInputError, Store
from tasks.shards.times import note_seconds
from tasks.shards.tombstones import read_tombstones, stamp_of
from tasks.shards.watchdog import hang_limit_s, watched

REPAIRS = 8
"""Damaged outputs made again in one call before we say that the disk cannot be trusted."""


class StageNotRunError(MannequinError):
    """A stage is wanted whose input was not made yet, by a stage that was not asked for."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"The stage {stage} has not run on all of this yet: run it first, or ask for it too.")
        self.stage = stage


@dataclass(frozen=True)
class Made:
    """An output that was committed before, whatever made it; it can only be found, not made again."""

    ref: InputRef


@dataclass(frozen=True)
class Derivation:
    """A shard to be: a stage over further derivations. Equal derivations give the same shard on every machine.

    `inputs` are the primary inputs, whose rows the stage accounts for; `sides` match `stage.sides` one to one; `whole`
    are given to the stage to read by itself.
    """

    stage: Stage
    inputs: tuple["Derivation | Made", ...] = ()
    sides: tuple["Derivation | Made", ...] = ()
    whole: tuple["Derivation | Made", ...] = ()

    def __post_init__(self) -> None:
        if len(self.sides) != len(self.stage.sides):
            raise ValueError(f"{self.stage.name} wants {len(self.stage.sides)} side inputs, got {len(self.sides)}")


@dataclass(frozen=True)
class Outcome:
    """The record of a derivation, and the names of the stages that had to run for it (none: all was found)."""

    record: ShardRecord
    ran: tuple[str, ...] = ()

    @property
    def cached(self) -> bool:
        return not self.ran


def realise(
    derivation: Derivation, store: Store, *, erased_counts: bool = False, only: Collection[str] | None = None
) -> Outcome:
    """Find or make a derivation's shard; damaged or missing outputs on the way are made again.

    Outputs on the way that were erased on purpose count; they are made again only where something has to read them.

    Args:
        erased_counts: the shard itself is not wanted, only that it was made.
        only: names of the stages that may run; None: all.
    Raises:
        StageNotRunError: a stage would have to run that may not.
        StoreError: the store cannot be written, or gives back other bytes than were written again and again.
        AccountingError: a stage did not account for its rows.
    """
    ran: list[str] = []
    for _ in range(REPAIRS):
        try:
            record = _Realising(store, only, ran).record(derivation, readable=not erased_counts)
        except DamagedInputError as damage:
            store.mistrust(damage.ref.stage, damage.ref.key)
        else:
            return Outcome(record, tuple(ran))
    raise _untrusted(store)


def realise_whole(derivation: Derivation, store: Store, *, only: Collection[str] | None = None) -> Outcome:
    """`realise`, and read every byte of the shard once: for readers that cannot make it again."""
    ran: tuple[str, ...] = ()
    for _ in range(REPAIRS):
        outcome = realise(derivation, store, only=only)
        ran += outcome.ran
        if not store.damaged(outcome.record):
            return Outcome(outcome.record, ran)
        store.mistrust(outcome.record.stage, outcome.record.key)
    raise _untrusted(store)


def _untrusted(store: Store) -> StoreError:
    return StoreError(f"The store at {store.place} gives back other bytes than were written: check its disk.")


@dataclass(frozen=True)
class _Realising:
    """One way through a derivation; a shard that several others need is looked up once."""

    store: Store
    only: Collection[str] | None
    ran: list[str]
    _known: dict[int, ShardRecord] = field(default_factory=dict)

    def record(self, derivation: Derivation | Made, *, readable: bool) -> ShardRecord:
        """The record of a derivation; `readable`: its data must be there, not only have been there."""
        if isinstance(derivation, Made):
            return _made_before(derivation.ref, self.store, readable=readable)
        found = self._known.get(id(derivation))
        if found is not None and not (readable and found.erased):
            return found
        stage = derivation.stage
        inputs, sides = self._below(derivation, readable=False)
        key = stage_key(stage, tuple(r.data.digest for r in inputs), tuple(r.data.digest for r in sides))
        record = self.store.find(stage.name, key) or (None if readable else self.store.find_erased(stage.name, key))
        if record is None or not stage.holds(record):
            if self.only is not None and stage.name not in self.only:
                raise StageNotRunError(stage.name)
            inputs, sides = self._below(derivation, readable=True)
            begun = perf_counter()
            record = run_stage(stage, inputs, sides, self.store)
            took = perf_counter() - begun
            note_seconds(self.store, stage.name, key, took)
            note_shard(record, took)
            self.ran.append(stage.name)
        else:
            note_shard(record)
        self._known[id(derivation)] = record
        return record

    def _below(
        self, derivation: Derivation, *, readable: bool
    ) -> tuple[tuple[ShardRecord, ...], tuple[ShardRecord, ...]]:
        """The records of the primary inputs, and those of the side and whole inputs."""
        inputs = tuple(self.record(each, readable=readable) for each in derivation.inputs)
        return inputs, tuple(self.record(each, readable=readable) for each in (*derivation.sides, *derivation.whole))


def _made_before(ref: InputRef, store: Store, *, readable: bool) -> ShardRecord:
    record = store.find(ref.stage, ref.key) or (None if readable else store.find_erased(ref.stage, ref.key))
    if record is None or record.ref != ref:
        raise StoreError(f"{ref.stage}/{ref.key} of an earlier build is not in the store at {store.place} any more.")
    return record


def committed(derivation: Derivation | Made, store: Store) -> ShardRecord | None:
    """The record of a derivation that was made, whether or not its rows were erased since; makes nothing."""
    if isinstance(derivation, Made):
        return _made_before(derivation.ref, store, readable=False)
    below = [committed(each, store) for each in (*derivation.inputs, *derivation.sides, *derivation.whole)]
    records = [record for record in below if record is not None]
    if len(records) < len(below):
        return None
    digests = tuple(record.data.digest for record in records)
    primary = len(derivation.inputs)
    key = stage_key(derivation.stage, digests[:primary], digests[primary:])
    return store.find(derivation.stage.name, key) or store.find_erased(derivation.stage.name, key)


def run_stage(
    stage: Stage, inputs: tuple[ShardRecord, ...], sides: tuple[ShardRecord, ...], store: Store
) -> ShardRecord:
    """Run a stage over committed shards and commit its output.

    `sides` beyond those that the stage looks rows up in are its whole inputs. The inputs are hashed while they are
    read; nothing is committed unless every digest holds. Where a process died of this very work before, or native code
    hangs in it now, the stage runs in its cautious form.

    Raises:
        DamagedInputError: an input's bytes are not those its record promises.
        AccountingError: the stage did not account for its rows.
        StoreError: something was forgotten meanwhile: the output may hold it, and does not count.
        HangError: native code hangs in its cautious form too.
    """
    key = stage_key(stage, tuple(r.data.digest for r in inputs), tuple(r.data.digest for r in sides))
    return attempted(stage, store.attempt_path(stage.name, key), lambda form: _run(form, key, inputs, sides, store))


def _run(
    stage: Stage, key: str, inputs: tuple[ShardRecord, ...], sides: tuple[ShardRecord, ...], store: Store
) -> ShardRecord:
    since = stamp_of(store)
    data_tmp, rejects_tmp = temporary(store.tmp), temporary(store.tmp)
    with ExitStack() as stack:
        stack.callback(store.files.remove, data_tmp)
        stack.callback(store.files.remove, rejects_tmp)
        stack.enter_context(store.explained())
        store.bring((*inputs, *sides))
        checks = stack.enter_context(_Checks((*inputs, *sides), store))
        stream = stack.enter_context(store.files.create(data_tmp))
        accounts = Accounts(stage, read_tombstones(store))
        writer = stack.enter_context(ShardWriter(stream, stage.schema))
        looked_up, given = sides[: len(stage.sides)], sides[len(stage.sides) :]
        batches = _input_batches(stage, inputs, looked_up, store)
        whole = tuple(Whole(store.data_path(record)) for record in given)
        limit_s = 0.0 if stage.cautious() is None else hang_limit_s()
        outputs = watched(lambda: stage.process_with(accounts.watch(batches), whole), limit_s)
        for output in stack.enter_context(closing(outputs)):
            writer.write(accounts.book(output))
        accounts.balance(expected=sum(r.data.rows for r in inputs) if inputs else None)
        data = writer.finish("shard")
        store.files.sync(stream)
        same = next((record for record in inputs if record.data.digest == data.digest), None)
        if same is not None:  # all rows were handed on as they came: their bytes are kept once
            store.files.remove(data_tmp)
            store.files.link_exclusive(store.data_path(same), data_tmp)
        parts = {data.name: data_tmp}
        rejects = None
        if accounts.rejections:
            with store.files.create(rejects_tmp) as reject_stream:
                rejects = _write_rejects(stage.name, accounts.told, reject_stream)
                store.files.sync(reject_stream)
            parts[rejects.name] = rejects_tmp
        checks.demand()
        made = store.commit(
            ShardRecord(
                stage=stage.name,
                version=stage.version,
                key=key,
                inputs=tuple(r.ref for r in inputs),
                sides=tuple(r.ref for r in sides),
                params=stage.params(),
                models=stage.models(),
                execution=stage.execution(),
                rows_in=accounts.rows_in,
                rows_kept=accounts.rows_kept,
                rejected=accounts.rejected,
                children_rejected=accounts.children_rejected,
                facts=accounts.facts,
                data=data,
                rejects=rejects,
            ),
            parts,
        )
        if stamp_of(store) != since:  # after the commit: whoever forgets looks at all records after the tombstones
            store.withdraw(made)
            raise StoreError(f"Something was forgotten while {stage.name} ran: run again, what was made is found.")
        return made


def _write_rejects(stage: str, rejections: list[Rejection], stream: IO[bytes]) -> DataFile:
    with ShardWriter(stream, REJECT_SCHEMA) as writer:
        writer.write(rejection_table(stage, rejections))
        return writer.finish("rejects")


def _input_batches(
    stage: Stage, inputs: tuple[ShardRecord, ...], sides: tuple[ShardRecord, ...], store: Store
) -> Iterator[pa.RecordBatch]:
    """Primary rows in order, each batch with the columns looked up in the side inputs."""
    lookups = [
        Lookup(store.data_path(record), side.columns, side.on) for record, side in zip(sides, stage.sides, strict=True)
    ]
    for record in inputs:
        yield from read_batches(store.data_path(record), stage.batch_rows, lookups=lookups)


class _Checks:
    """The digests of a stage's inputs, computed beside the stage."""

    def __init__(self, records: tuple[ShardRecord, ...], store: Store) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._whole: dict[InputRef, Future[bool]] = {r.ref: self._pool.submit(store.holds, r.ref) for r in records}

    def demand(self) -> None:
        for ref, whole in self._whole.items():
            if not whole.result():
                raise DamagedInputError(ref)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, Exception) and not isinstance(error, DamagedInputError):
                self.demand()
        finally:
            self._pool.shutdown()
