"""Removes everything that one stage ever made from a store; the next run makes again what it needs."""

import shutil
from collections import Counter
from dataclasses import dataclass

from tasks.schema.errors import StoreError
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store


@dataclass(frozen=True)
class StageOutputs:
    """The outputs of a stage that a store holds, and how many outputs of which stages were made of them directly."""

    stage: str
    records: tuple[ShardRecord, ...]
    made_of_them: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(record.data.rows for record in self.records)

    @property
    def bytes(self) -> int:
        files = [file for record in self.records for file in (record.data, record.rejects) if file is not None]
        return sum(file.size for file in files)


def outputs_of(store: Store, stage: str) -> StageOutputs:
    """What `delete_outputs` would remove; nothing is changed.

    Raises:
        StoreError: the store holds no output of such a stage.
    """
    everything = store.records()
    records = tuple(record for record in everything if record.stage == stage)
    if not records:
        known = ", ".join(sorted({record.stage for record in everything})) or "nothing yet"
        raise StoreError(f"The store at {store.place} holds no output of a stage {stage!r}; it holds {known}.")
    refs = {record.ref for record in records}
    users = Counter(each.stage for each in everything if not refs.isdisjoint((*each.inputs, *each.sides)))
    return StageOutputs(stage, records, dict(sorted(users.items())))


def delete_outputs(store: Store, outputs: StageOutputs) -> None:
    """Remove the outputs, each record before its files; what other stages made of them stays and counts on."""
    for record in outputs.records:
        store.drop(record.stage, record.key)
        for path in store.files.ages(store.folder(record.stage, record.key), "*"):
            store.files.remove(path)
        shutil.rmtree(store.folder(record.stage, record.key), ignore_errors=True)
