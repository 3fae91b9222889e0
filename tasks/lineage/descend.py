"""Looks for a sample from the sources down: what was made of none of its rows is not looked into."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tasks.lineage.scan import Found, Look, scan
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store


def descend(store: Store, records: Sequence[ShardRecord], look: Look) -> Iterator[Found]:
    """`scan`, but for outputs that can hold no row that passes.

    A stage keeps and rejects rows of its inputs, which the engine holds it to, or children of them. So `look` must
    pass, with a row, the one that it was made of: with an id, those that it begins with. An output is looked into where
    one of its inputs has a row that passes, was erased, does not read, or is not among `records`.
    """
    made_of: defaultdict[tuple[str, str], list[ShardRecord]] = defaultdict(list)
    there = {record.ref for record in records}
    waiting = []
    for record in records:
        if not record.inputs or not there.issuperset(record.inputs):
            waiting.append(record)
        for ref in set(record.inputs):
            made_of[ref.stage, ref.key].append(record)
    seen = {_name(record) for record in waiting}
    while waiting:
        passed = {_name(record) for record in waiting if record.erased}
        for found in scan(store, waiting, look):
            if not found.rejected:
                passed.add(_name(found.record))
            yield found
        below = {_name(record): record for name in passed for record in made_of[name]}
        waiting = [record for name, record in below.items() if name not in seen]
        seen |= below.keys()


def _name(record: ShardRecord) -> tuple[str, str]:
    return record.stage, record.key
