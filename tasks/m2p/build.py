"""A build of music to pose: what is joined over all videos, and how it is summed up for a person."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import pyarrow.parquet as pq
from pydantic import Field

from tasks.dance.split import SplitClips
from tasks.exports.m2p_join import VideoShards
from tasks.m2p.config import PER_VIDEO, MusicToPoseForm
from tasks.m2p.derivations import VideoChain, VideoRead, chain
from tasks.machine.places import Machine
from tasks.models.cards import CARDS
from tasks.schema.errors import UnreadableError
from tasks.schema.forms import Form
from tasks.schema.home import absolute
from tasks.schema.records import InputRef, ShardRecord
from tasks.shards.derive import Derivation, Made, committed, realise_whole
from tasks.shards.manifest import Manifest, build_manifest, read_manifest

FLOW = "music_to_pose"

UNFINISHED = "music_to_pose_unfinished"
"""Builds that did not come to their samples: kept apart, so that the latest whole one is found."""


class Build(Form):
    """What is made of what: enough to find every shard of it again.

    `before` is the split that this build goes on from; `manifest` the digest of its manifest, under the name `flow`;
    `troubles` what went wrong with single videos.
    """

    config: MusicToPoseForm
    read: tuple[VideoRead, ...]
    before: tuple[InputRef, ...] = ()
    flow: str = FLOW
    manifest: str = ""
    troubles: tuple[str, ...] = ()


class Summary(Form):
    """The end of a run, for a person."""

    manifest: str = ""
    videos: int = 0
    kept: dict[str, int] = Field(default_factory=dict)
    minutes: float = Field(0.0, title="Minutes of clips")
    splits: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    exports: tuple[str, ...] = ()


class Joined:
    """The derivations of a build."""

    def __init__(self, build: Build, machine: Machine) -> None:
        self._build, self._machine = build, machine

    @cached_property
    def every(self) -> tuple[VideoChain, ...]:
        """The chains of all videos, in the order of the sources."""
        return tuple(chain(read, self._build.config, self._machine) for read in self._build.read)

    @cached_property
    def samples(self) -> Derivation:
        """The samples of the finished dataset."""
        looked_at = tuple(step for each in self.every for step in (each.dance, each.reference, each.music))
        before = tuple(Made(ref) for ref in self._build.before)
        audits = tuple(each.audit for each in self.every)
        return Derivation(SplitClips(self._build.config.split), audits, whole=(*looked_at, *before))

    def made(self, step: str) -> list[ShardRecord]:
        """The records of a step that are there; none of one beyond the run's last, whose models need not be here."""
        if step not in self._build.config.reached:
            return []
        derivations = [self.samples] if step == "split" else [each.of(step) for each in self.every]
        found = [committed(each, self._machine.store) for each in derivations]
        return [record for record in found if record is not None]


def open_build(read: tuple[VideoRead, ...], config: MusicToPoseForm, machine: Machine) -> Build:
    """What is joined now, and which split it goes on from: that of the build before.

    A build of the same audits goes on from what that one went on from, so that a run that finds nothing new finds its
    split too.
    """
    alone = Build(config=config, read=read)
    try:
        latest = read_manifest(machine.store, FLOW)
    except UnreadableError:
        return alone
    before = latest.outputs["split"]
    audits = {record.ref for record in Joined(alone, machine).made("audit")}
    if audits == set(latest.outputs["audit"]):
        before = tuple(InputRef.model_validate(ref) for ref in cast("list[object]", latest.params["before"]))
    there = tuple(ref for ref in before if machine.store.find(ref.stage, ref.key) is not None)
    return alone.model_copy(update={"before": there})


def m2p_manifest(build: Build, machine: Machine) -> Manifest:
    """The manifest of what was made so far; a build without its samples goes by another name."""
    joined = Joined(build, machine)
    # every step is named: empty shards of several videos are one shard, which leads back to the first of them alone
    outputs: dict[str, list[ShardRecord]] = {
        step: records for step in (*PER_VIDEO, "split") if (records := joined.made(step))
    }
    params = build.config.build_params() | {"before": [ref.model_dump(mode="json") for ref in build.before]}
    return build_manifest(machine.store, FLOW if "split" in outputs else UNFINISHED, params, outputs, CARDS)


def video_shards(build: Build, machine: Machine) -> tuple[list[VideoShards], Path]:
    """The files of all videos, and that of the samples; made again where they are not whole."""
    joined = Joined(build, machine)

    def whole(derivation: Derivation) -> Path:
        return machine.store.data_path(realise_whole(derivation, machine.store).record)

    return [
        VideoShards(
            dance=whole(each.dance),
            clips=whole(each.clips),
            cut=whole(each.cut_clips),
            music=whole(each.music),
            poses=whole(each.poses),
            reference=whole(each.reference),
            audit=whole(each.audit),
        )
        for each in joined.every
    ], whole(joined.samples)


def output_folder(config: MusicToPoseForm, machine: Machine) -> Path:
    """Where exports go: the folder that was asked for, or one in the store."""
    asked = config.exports.output
    return absolute(asked, "output") if asked else machine.store.root / "exports" / FLOW


def summary_of(build: Build, manifest: Manifest, machine: Machine) -> Summary:
    """The numbers of a build."""
    joined = Joined(build, machine)
    made = {step: records for step in PER_VIDEO if (records := joined.made(step))}
    clip_seconds = [cast("float", record.facts["clip_seconds"]) for record in made.get("clips", ())]
    return Summary(
        manifest=build.manifest,
        videos=len(build.read),
        kept={step: sum(record.data.rows for record in records) for step, records in made.items()},
        minutes=round(sum(clip_seconds) / 60, 1),
        splits=splits_of(joined.made("split"), machine),
        rejected=manifest.funnel.rejected,
    )


def splits_of(samples: Sequence[ShardRecord], machine: Machine) -> dict[str, int]:
    """How many samples each split has."""
    if not samples:
        return {}
    names = pq.read_table(machine.store.data_path(samples[0]), columns=["split"])["split"]
    return {entry["values"]: entry["counts"] for entry in names.value_counts().to_pylist()}
