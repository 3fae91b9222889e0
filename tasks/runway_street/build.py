"""A build of runway to street: what is joined over all photos, and how it is summed up for a person."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import Field

from tasks.fashion.audit_ledger import LookVerdict, LookVerdicts, read_look_verdicts
from tasks.fashion.classifier import LearnClassifier
from tasks.fashion.groups import GroupLooks
from tasks.fashion.trends import Trends
from tasks.machine.places import Machine
from tasks.models.cards import CARDS
from tasks.runway_street.config import PER_PART, STEPS, RunwayStreetForm
from tasks.runway_street.derivations import PartChain, PartRead, chain, prediction
from tasks.schema.forms import Form
from tasks.schema.home import absolute
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, committed
from tasks.shards.manifest import Manifest, build_manifest, read_manifest
from tasks.shards.store import Store

FLOW = "runway_street"

UNFINISHED = "runway_street_unfinished"
"""Builds that did not come to their trends: kept apart, so that the latest whole one is found."""


class Build(Form):
    """What is made of what: enough to find every shard of it again.

    `verdicts` are those that stood when it began; `manifest` the digest of its manifest, under the name `flow`.
    """

    config: RunwayStreetForm
    read: tuple[PartRead, ...]
    verdicts: tuple[LookVerdict, ...] = ()
    flow: str = FLOW
    manifest: str = ""


class Summary(Form):
    """The end of a run, for a person."""

    manifest: str = ""
    photos: dict[str, int] = Field(default_factory=dict)
    kept: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    accuracy: str = ""
    exports: tuple[str, ...] = ()


class Joined:
    """The derivations of a build."""

    def __init__(self, build: Build, machine: Machine) -> None:
        self._build, self._machine = build, machine

    @cached_property
    def every(self) -> tuple[PartChain, ...]:
        """The chains of all parts, in the order of the sources."""
        return tuple(chain(read, self._build.config, self._machine) for read in self._build.read)

    @cached_property
    def groups(self) -> Derivation:
        """All photos, each once."""
        return Derivation(GroupLooks(self._build.config.grouping), tuple(each.labels for each in self.every))

    @cached_property
    def classifier(self) -> Derivation:
        """What was learned from the street."""
        embeddings = tuple(each.embed for each in self.every)
        return Derivation(LearnClassifier(self._build.config.classifier), whole=(self.groups, *embeddings))

    @cached_property
    def predictions(self) -> tuple[Derivation, ...]:
        """What the photos of each part are taken for."""
        return tuple(prediction(each, self.classifier) for each in self.every)

    @cached_property
    def trends(self) -> Derivation:
        """The runway against the street."""
        verdicts = Derivation(LookVerdicts.of(self._build.verdicts))
        return Derivation(Trends(self._build.config.trends), whole=(self.groups, verdicts, *self.predictions))

    def of(self, step: str) -> tuple[Derivation, ...]:
        """The derivations of a step."""
        if step in PER_PART:
            return tuple(each.of(step) for each in self.every)
        return self.predictions if step == "predict" else (getattr(self, step),)

    def made(self, step: str) -> list[ShardRecord]:
        """The records of a step that are there; none of one beyond the run's last, whose models need not be here."""
        if step not in self._build.config.reached:
            return []
        found = [committed(each, self._machine.store) for each in self.of(step)]
        return [record for record in found if record is not None]


def open_build(read: tuple[PartRead, ...], config: RunwayStreetForm, machine: Machine) -> Build:
    """What is joined now, with what people said of photos until now."""
    return Build(config=config, read=read, verdicts=read_look_verdicts(machine.store))


def looks_manifest(build: Build, machine: Machine) -> Manifest:
    """The manifest of what was made so far; a build without its trends goes by another name."""
    joined = Joined(build, machine)
    # every step is named: empty shards of several parts are one shard, which leads back to the first of them alone
    outputs: dict[str, list[ShardRecord]] = {
        step: records for step in STEPS if step != "exports" and (records := joined.made(step))
    }
    flow = FLOW if "trends" in outputs else UNFINISHED
    return build_manifest(machine.store, flow, build.config.build_params(), outputs, CARDS)


def known_looks(store: Store) -> set[str]:
    """The sample ids of the build that was published last.

    Raises:
        StoreError: there is none.
    """
    refs = read_manifest(store, FLOW).outputs["groups"]
    records = [record for ref in refs if (record := store.find(ref.stage, ref.key)) is not None]
    tables = [pq.read_table(store.data_path(record), columns=["sample_id"]) for record in records]
    return {sample_id for table in tables for sample_id in table["sample_id"].to_pylist()}


def output_folder(config: RunwayStreetForm, machine: Machine) -> Path:
    """Where exports go: the folder that was asked for, or one in the store."""
    asked = config.exports.output
    return absolute(asked, "output") if asked else machine.store.root / "exports" / FLOW


def rows_of(records: Sequence[ShardRecord]) -> int:
    """How many rows they have together."""
    return sum(record.data.rows for record in records)
