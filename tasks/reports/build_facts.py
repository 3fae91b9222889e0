"""A published build as all who show it read it: the page, the command line, artifacts, and the comparison."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from tasks.models.cards import CARDS
from tasks.schema.errors import StoreError
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.shards.funnel import FunnelLine
from tasks.shards.manifest import BuildModel, BuildShard, Manifest, latest_digest, read_manifest
from tasks.shards.parquet import read_batches
from tasks.shards.store import Store
from tasks.shards.times import seconds_of

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEAST_DIGITS = 4
_BATCH_ROWS = 4096
_REF_KEYS = {"stage", "key", "digest"}

Ref = tuple[str, str]
"""Stage and key of an output."""


@dataclass(frozen=True)
class BuildFacts:
    """A build and where its rows lie. `digest` is the name of its manifest, as it was published.

    Rows that were erased on purpose, or whose files are not in the store any more, are passed over and counted.
    """

    store: Store
    manifest: Manifest
    digest: str

    @classmethod
    def of(cls, store: Store, flow: str, digest: str = "") -> Self:
        """A build of a flow; without a digest the one published last.

        Raises:
            StoreError: there is none, or its manifest is damaged.
        """
        digest = digest or latest_digest(store, flow)
        return cls(store, read_manifest(store, flow, digest), digest)

    @classmethod
    def named(cls, store: Store, name: str) -> Self:
        """The build that a person means: a flow's name (its last build), or the beginning of a digest.

        Raises:
            StoreError: there is none, or there are several; the message names those there are.
        """
        folder = store.fresh("builds")
        found = [path for path in sorted(folder.glob("*/*.json")) if _DIGEST.fullmatch(path.stem)]
        if (folder / name / "latest.json").is_file() and "/" not in name:
            return cls.of(store, name)
        meant = [path for path in found if len(name) >= _LEAST_DIGITS and path.stem.startswith(name)]
        if len(meant) == 1:
            return cls.of(store, meant[0].parent.name, meant[0].stem)
        there = ", ".join(f"{path.parent.name} {path.stem[:12]}" for path in meant or found) or "none yet"
        if len(name) < _LEAST_DIGITS and any(path.stem.startswith(name) for path in found):
            raise StoreError(f"{name!r} is too short: name a build by {_LEAST_DIGITS} digits. There is: {there}.")
        raise StoreError(f"{'Several builds begin' if meant else 'No build begins'} with {name!r}. There is: {there}.")

    @property
    def name(self) -> str:
        """`webbody 1a2b3c4d5e6f`, a short name for people."""
        return f"{self.manifest.flow} {self.digest[:12]}"

    @cached_property
    def records(self) -> Mapping[Ref, ShardRecord]:
        """The records of the build that are still in the store and say the same as its manifest."""
        found: dict[Ref, ShardRecord] = {}
        for shard in self.manifest.shards:
            record = self.store.read_record(shard.stage, shard.key)
            if record is not None and record.data.digest == shard.data.digest:
                found[shard.stage, shard.key] = record
        return found

    def own(self, ref: InputRef) -> Ref:
        """The output of the build that an input is: a record names the one of whoever made it first."""
        named = (ref.stage, ref.key)
        return named if named in self.records else self._alike.get((ref.stage, ref.digest), named)

    @cached_property
    def _alike(self) -> Mapping[tuple[str, str], Ref]:
        """Stage and digest -> the output with these bytes that is nearest to the sources."""
        return {(record.stage, record.data.digest): ref for ref, record in reversed([*self.records.items()])}

    @cached_property
    def flow_refs(self) -> frozenset[Ref]:
        """Outputs whose rows flow into the build, through primary inputs; the others were only looked up in."""
        refs: set[Ref] = set()
        waiting = [(ref.stage, ref.key) for each in self.manifest.outputs.values() for ref in each]
        while waiting:
            ref = waiting.pop()
            if ref not in refs:
                refs.add(ref)
                record = self.records.get(ref)
                waiting.extend(self.own(below) for below in (record.inputs if record else ()))
        return frozenset(refs)

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, from the sources on, each once."""
        return tuple(dict.fromkeys(line.stage for line in self.manifest.funnel.lines))

    @cached_property
    def final_stage(self) -> str:
        """The last stage whose rows came down from a source: those of the dataset.

        A stage that only reads others whole (a classifier, a table of trends) makes something about the dataset.
        """
        flow = [line.stage for line in self.manifest.funnel.lines if not line.beside]
        carrying = {stage for (stage, key) in self.flow_refs if (r := self.records.get((stage, key))) and r.inputs}
        return next((stage for stage in reversed(flow) if stage in carrying), flow[-1] if flow else "")

    def line(self, stage: str) -> FunnelLine:
        """The funnel's line of a stage: of the rows that flow, where there are such."""
        lines = [line for line in self.manifest.funnel.lines if line.stage == stage]
        return next((line for line in lines if not line.beside), lines[0])

    def flows(self, shard: BuildShard) -> bool:
        """Whether a shard's rows flow into the build; others were only looked up in, as those of the build before."""
        return (shard.stage, shard.key) in self.flow_refs

    def shards_of(self, stage: str) -> list[BuildShard]:
        """The shards of a stage that flow into the build; those looked up in, of a stage that has no others."""
        shards = self._shards.get(stage, [])
        return [shard for shard in shards if self.flows(shard)] or shards

    @cached_property
    def _shards(self) -> Mapping[str, list[BuildShard]]:
        found: dict[str, list[BuildShard]] = {}
        for shard in self.manifest.shards:
            found.setdefault(shard.stage, []).append(shard)
        return found

    def all_shards_of(self, stage: str) -> list[BuildShard]:
        """The shards of a stage, whether they flow into the build or were looked up in."""
        return self._shards.get(stage, [])

    def path(self, shard: BuildShard) -> Path | None:
        """The file of a shard's rows; None where they were erased, or are lost."""
        return self._there(shard, shard.data)

    def paths(self, stage: str) -> list[Path]:
        """The files of a stage's shards (see `shards_of`) that can be read, those without rows left out."""
        shards = (shard for shard in self.shards_of(stage) if shard.data.rows)
        return [path for shard in shards if (path := self.path(shard)) is not None]

    def unreadable(self, stage: str) -> int:
        """Rows of a stage that were erased, or whose files are lost."""
        return sum(shard.data.rows for shard in self.shards_of(stage) if shard.data.rows and self.path(shard) is None)

    def schema(self, stage: str) -> pa.Schema:
        """The columns of a stage's rows; empty where none can be read."""
        path = next((p for shard in self.shards_of(stage) if (p := self.path(shard)) is not None), None)
        return pa.schema([]) if path is None else pq.read_schema(path)

    def rejects(self, columns: tuple[str, ...] | None = None) -> Iterator[tuple[BuildShard, pa.RecordBatch]]:
        """Samples that the build left out (`REJECT_SCHEMA`), with the shard that did; in bounded memory."""
        for shard in self.manifest.shards:
            path = self._there(shard, shard.rejects) if shard.rejects is not None else None
            if path is not None:
                for batch in read_batches(path, _BATCH_ROWS, columns):
                    yield shard, batch

    def above(self, shard: BuildShard) -> dict[Ref, ShardRecord]:
        """Everything that a shard was made from, nearest first; not itself."""
        found: dict[Ref, ShardRecord] = {}
        waiting = [(shard.stage, shard.key)]
        while waiting:
            record = self.records.get(waiting.pop(0))
            for ref in map(self.own, (*record.inputs, *record.sides) if record else ()):
                below = self.records.get(ref)
                if below is not None and ref not in found:
                    found[ref] = below
                    waiting.append(ref)
        return found

    @cached_property
    def models(self) -> tuple[BuildModel, ...]:
        """The models; also those that only our card of today knows to be non-commercial are marked so."""
        marked = {card.name for card in CARDS if card.non_commercial}
        return tuple(
            model.model_copy(update={"non_commercial": True}) if model.name in marked else model
            for model in self.manifest.models
        )

    def models_behind(self, refs: Iterable[InputRef]) -> tuple[BuildModel, ...]:
        """Models that decided rows of outputs, themselves or on the way to them."""
        seen: set[Ref] = set()
        used: set[tuple[str, str]] = set()
        waiting = [(ref.stage, ref.key) for ref in refs]
        while waiting:
            ref = waiting.pop()
            record = self.records.get(ref)
            if ref not in seen and record is not None:
                used.update(record.models.items())
                waiting.extend(map(self.own, (*record.inputs, *record.sides)))
            seen.add(ref)
        return tuple(model for model in self.models if (model.name, model.sha256) in used)

    def seconds(self) -> dict[str, float]:
        """Stage -> what it took for its shards together, when they were made; where nothing is known, none."""
        keys = {stage: {shard.key for shard in self.shards_of(stage)} for stage in self.stages}
        took = {stage: seconds_of(self.store, stage, of) for stage, of in keys.items()}
        return {stage: seconds for stage, seconds in took.items() if seconds is not None}

    def output_rows(self) -> dict[str, int]:
        """Rows of each output, by what it is for."""
        rows = {(shard.stage, shard.key): shard.data.rows for shard in self.manifest.shards}
        return {
            name: sum(rows.get((ref.stage, ref.key), 0) for ref in refs) for name, refs in self.manifest.outputs.items()
        }

    def _there(self, shard: BuildShard, file: DataFile) -> Path | None:
        path = self.store.folder(shard.stage, shard.key) / file.name
        return path if self.store.files.bring(path, file) and path.is_file() else None


@contextmanager
def damage_explained(*builds: BuildFacts) -> Iterator[None]:
    """Turn a file that does not read into an error that says what to do.

    Raises:
        StoreError: the block met such a file.
    """
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowSerializationError, pa.ArrowCapacityError, OSError) as error:
        place, named = builds[0].store.root, " or ".join(build.name for build in builds)
        advice = "`mannequin verify --drop-damaged` finds it, and the next run of the flow makes it again"
        raise StoreError(f"A shard of {named} in the store at {place} does not read: {advice}.") from error


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Nested values under dotted names, each once; what stands in a list goes by its own name, or else its number."""
    if isinstance(value, Mapping) and value:
        if value.keys() == _REF_KEYS:
            yield name, f"{value['stage']} {str(value['key'])[:12]}"
            return
        for key in sorted(value):
            yield from leaves(value[key], f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        names = [each.get("name") if isinstance(each, dict) else None for each in value]
        told = names if all(isinstance(each, str) for each in names) and len(set(names)) == len(names) else None
        for at, each in zip(told or range(len(value)), value, strict=True):
            rest = {key: inner for key, inner in each.items() if key != "name"} if told else each
            yield from leaves(rest, f"{name}.{at}")
    elif name:
        yield name, value


def said(value: JsonValue, most: int = 160) -> str:
    """A value in one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
