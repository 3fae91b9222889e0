"""A store of many shards, made of a small one: the same stages, columns and builds, more rows under other ids.

    python -m tests.lineage.large_store FROM TO [PARTS [TIMES]]

Every shard of FROM stands in TO once for each part, its rows as often as TIMES says. Nothing in FROM was erased.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.shards.files import temporary
from tasks.shards.manifest import build_manifest, publish_manifest, read_manifest
from tasks.shards.parquet import ShardWriter
from tasks.shards.store import Store

Ref = tuple[str, str]


@dataclass(frozen=True)
class Multiplied:
    """The records of a store, again and again in another one."""

    small: Store
    large: Store
    times: int
    _made: dict[tuple[Ref, int], ShardRecord] = field(default_factory=dict)

    @cached_property
    def roots(self) -> frozenset[str]:
        """The ids of all sources."""
        sources = [record for record in self.small.records() if not record.inputs]
        paths = [path for each in sources for path in (self._path(each), self.small.rejects_path(each)) if path]
        return frozenset(one for path in paths for one in pq.read_table(path, columns=["sample_id"])[0].to_pylist())

    def record(self, ref: Ref, part: int) -> ShardRecord:
        """A record of the small store as it is in a part of the large one; made if it is not there."""
        if (ref, part) not in self._made:
            self._made[ref, part] = self._multiplied(self.small.read_record(*ref), part)
        return self._made[ref, part]

    def _multiplied(self, record: ShardRecord, part: int) -> ShardRecord:
        def refs(given: tuple[InputRef, ...]) -> tuple[InputRef, ...]:
            return tuple(self.record((each.stage, each.key), part).ref for each in given)

        inputs, sides = refs(record.inputs), refs(record.sides)
        key = sha256(f"{record.key} {part}".encode()).hexdigest()
        files = {"shard": self._path(record), "rejects": self.small.rejects_path(record)}
        written = {kind: self._written(path, kind, part) for kind, path in files.items() if path is not None}
        counted = {name: getattr(record, name) * self.times for name in ("rows_in", "rows_kept")}
        rejected = {
            name: {reason: number * self.times for reason, number in getattr(record, name).items()}
            for name in ("rejected", "children_rejected")
        }
        data, rejects = written["shard"][1], written["rejects"][1] if "rejects" in written else None
        told = {"key": key, "inputs": inputs, "sides": sides, "data": data, "rejects": rejects, **counted, **rejected}
        parts = {file.name: path for path, file in written.values()}
        return self.large.commit(record.model_copy(update=told), parts)

    def _path(self, record: ShardRecord) -> Path:
        return self.small.data_path(record)

    def _written(self, path: Path, kind: str, part: int) -> tuple[Path, DataFile]:
        table = pq.read_table(path)
        made = temporary(self.large.tmp)
        made.parent.mkdir(parents=True, exist_ok=True)
        with made.open("wb") as stream, ShardWriter(stream, table.schema) as writer:
            for time in range(self.times):
                writer.write(_renamed(table, lambda each, time=time: self._id(each, part, time)))
            return made, writer.finish(kind)

    def _id(self, sample_id: str, part: int, time: int) -> str:
        """The id of a sample in another part: its source is another one."""
        slashes = (at for at, letter in enumerate(f"{sample_id}/") if letter == "/")
        root = next((sample_id[:at] for at in slashes if sample_id[:at] in self.roots), sample_id)
        other = sha256(f"{root} {part} {time}".encode()).hexdigest()[:24]
        folder = root.rpartition("/")[0]
        return (f"{folder}/{other}" if folder else f"{root}-{other}") + sample_id[len(root) :]


def _renamed(table: pa.Table, new: Callable[[str], str]) -> pa.Table:
    for name in {"sample_id", "parent_id"} & set(table.column_names):
        ids = [None if each is None else new(each) for each in table[name].to_pylist()]
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(ids, pa.string()))
    return table


def large_store(small: Path, large: Path, parts: int = 18, times: int = 10) -> Store:
    """Multiply a store; what is there already is found."""
    made = Multiplied(Store(small.resolve()), Store(large.resolve()), times)
    for record in made.small.records():
        for part in range(parts):
            made.record((record.stage, record.key), part)
    for flow in sorted(path.name for path in (made.small.root / "builds").iterdir()):
        manifest = read_manifest(made.small, flow)
        outputs = {
            name: [made.record((ref.stage, ref.key), part) for part in range(parts) for ref in refs]
            for name, refs in manifest.outputs.items()
        }
        publish_manifest(made.large, build_manifest(made.large, flow, manifest.params, outputs))
    return made.large


if __name__ == "__main__":
    store = large_store(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
    print(f"{len(store.records()):,} records in {store.root}")
