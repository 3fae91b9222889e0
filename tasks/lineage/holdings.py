"""What a store holds, as far as a story needs it: records, their order, and the builds they belong to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from tasks.lineage.builds import KnownBuild, known_builds
from tasks.schema.records import ShardRecord
from tasks.shards.store import Store

Ref = tuple[str, str]
"""Stage and key of an output."""


@dataclass(frozen=True)
class Holdings:
    """The records and builds of a store, read once. `notes` say what of them does not read."""

    store: Store
    records: tuple[ShardRecord, ...]
    builds: tuple[KnownBuild, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, store: Store) -> Self:
        """What a store holds now."""
        records, paths = tuple(store.records()), store.record_paths()
        builds, notes = known_builds(store)
        unread = len(paths) - len(records)
        said = (f"{unread} records do not read: `mannequin verify` names them.",) if unread else ()
        return cls(store, records, builds, (*notes, *said))

    @cached_property
    def by_ref(self) -> Mapping[Ref, ShardRecord]:
        return {(record.stage, record.key): record for record in self.records}

    def below(self, record: ShardRecord) -> Iterator[ShardRecord]:
        """What an output was made from directly: inputs and, for a retry, the output whose rejects it takes up."""
        for ref in record.inputs:
            found = self.by_ref.get((ref.stage, ref.key))
            if found is not None:
                yield found
        parent = record.params.get("parent")
        if isinstance(parent, dict):
            found = self.by_ref.get((str(parent.get("stage")), str(parent.get("key"))))
            if found is not None:
                yield found

    def above(self, records: Iterable[ShardRecord]) -> dict[Ref, ShardRecord]:
        """Everything that outputs were made from, on the way from the sources to them; not themselves."""
        found: dict[Ref, ShardRecord] = {}
        waiting = list(records)
        while waiting:
            for each in self.below(waiting.pop()):
                if (each.stage, each.key) not in found:
                    found[each.stage, each.key] = each
                    waiting.append(each)
        return found

    def depth(self, record: ShardRecord) -> int:
        """Steps on the longest way from a source."""
        return self._depths[record.stage, record.key]

    @cached_property
    def _depths(self) -> dict[Ref, int]:
        depths: dict[Ref, int] = {}
        for record in self.records:
            waiting = [record]
            while waiting:
                each = waiting[-1]
                open_below = [r for r in self.below(each) if (r.stage, r.key) not in depths and r not in waiting]
                if open_below:
                    waiting += open_below
                    continue
                waiting.pop()
                below = (depths.get((r.stage, r.key), -1) for r in self.below(each))
                depths[each.stage, each.key] = 1 + max(below, default=-1)
        return depths

    def in_order(self, records: Iterable[ShardRecord]) -> list[ShardRecord]:
        """Records from the sources on."""
        return sorted(records, key=lambda record: (self.depth(record), record.stage, record.key))

    def builds_with(self, record: ShardRecord) -> tuple[str, ...]:
        """The names of the builds that an output is a part of."""
        return tuple(build.name for build in self.builds if build.holds(record))
