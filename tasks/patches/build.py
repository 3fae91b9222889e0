"""A build of video patches, as tasks hand it to each other and as it is summed up for a person."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import cast

import pyarrow.parquet as pq
from pydantic import Field

from tasks.machine.places import Machine
from tasks.patches.build_plan import BuildPlan, Counts, FilmPlan, film_plan
from tasks.patches.config import VideoPatchesForm
from tasks.patches.derivations import FLOW, GIGABYTE, FilmRead, film, pieces, tree_root, windows
from tasks.patches.pieces import demand_room, demand_same_disk
from tasks.schema.forms import Form
from tasks.schema.home import absolute
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, committed
from tasks.shards.files import disk_errors_explained
from tasks.shards.manifest import Manifest, build_manifest
from tasks.shards.stage import stage_key

UNFINISHED = "video_patches_unfinished"
"""Builds that did not come to all of their patches: kept apart, so that the latest whole one is found."""

PIECES_A_WORKER = 8
"""Films are cut in groups of so many pieces a worker, at least."""


class Build(Form):
    """What is made of what: enough to find every shard of it again.

    `manifest` is the digest of its manifest, under the name `flow`; `troubles` what went wrong with single pieces.
    """

    config: VideoPatchesForm
    read: tuple[FilmRead, ...]
    flow: str = FLOW
    manifest: str = ""
    troubles: tuple[str, ...] = ()


class Summary(Form):
    """The end of a run, for a person."""

    tree: str = ""
    manifest: str = ""
    films: int = 0
    windows: int = 0
    kept: dict[str, int] = Field(default_factory=dict)
    success: str = ""
    rejected: dict[str, int] = Field(default_factory=dict)
    removed: int | None = Field(None, title="Stale files removed")


def groups_of(build: Build, most: int) -> list[tuple[FilmRead, ...]]:
    """Films in the groups that one task cuts each, so many at most: their pieces keep all workers busy."""
    if "patches" not in build.config.steps:
        return []
    total = sum(read.pieces for read in build.read)
    least = max(PIECES_A_WORKER * build.config.machine.workers, -(-total // most))
    groups: list[tuple[FilmRead, ...]] = []
    group: list[FilmRead] = []
    for read in build.read:
        if read.pieces:
            group.append(read)
        if sum(each.pieces for each in group) >= least:
            groups.append(tuple(group))
            group = []
    return [*groups, tuple(group)] if group else groups


def plan_of(build: Build, machine: Machine, now: datetime) -> BuildPlan:
    """What the run set out to make, for whoever watches it."""
    config = build.config
    said = dumps(config.build_params(), sort_keys=True).encode()
    return BuildPlan(
        config=sha256(said).hexdigest(),
        created_at=now,
        store=str(machine.store.root),
        shares={category.name: dict(category.formats) for category in config.categories},
        films=tuple(_film_plan(read, config, machine) for read in build.read),
    )


def _film_plan(read: FilmRead, config: VideoPatchesForm, machine: Machine) -> FilmPlan:
    name = read.source.short_name
    asked = {each.name: each.windows for each in config.wanted(read.source).categories}
    found = [_committed(windows(read, piece, config), machine) for piece in range(read.pieces)]
    if not found:
        reason, detail = why_rejected(read, machine)
        return FilmPlan(film=name, asked=asked, reason=reason, detail=detail)
    whole = _committed(film(read.source, read.digest), machine)
    keys = [
        stage_key(cut.stage, (record.data.digest,), (whole.data.digest,))
        for cut, record in zip(pieces(read, config, machine), found, strict=True)
    ]
    return film_plan(name, asked, found, keys)


def why_rejected(read: FilmRead, machine: Machine) -> tuple[str, str]:
    """Reason and sentence of a film that was rejected; empty where it was not."""
    path = machine.store.rejects_path(_committed(film(read.source, read.digest), machine))
    rows = pq.read_table(path).to_pylist() if path else []
    return (rows[0]["reason"], rows[0]["detail"]) if rows else ("", "")


def made(build: Build, machine: Machine) -> Iterator[ShardRecord]:
    """The records of all pieces that were cut so far."""
    for read in build.read:
        for each in pieces(read, build.config, machine):
            record = committed(each, machine.store)
            if record is not None:
                yield record


def patches_manifest(build: Build, machine: Machine) -> Manifest:
    """The manifest of what was made so far; a build without all of its patches goes by another name."""
    store, config = machine.store, build.config
    every = sum(read.pieces for read in build.read)
    cut = list(made(build, machine))
    outputs: dict[str, Sequence[ShardRecord]] = {
        "films": [_committed(film(read.source, read.digest), machine) for read in build.read],
        "windows": [
            _committed(windows(read, piece, config), machine) for read in build.read for piece in range(read.pieces)
        ],
        "patches": cut,
    }
    flow = FLOW if len(cut) == every and "patches" in config.steps else UNFINISHED
    return build_manifest(store, flow, config.build_params(), {name: each for name, each in outputs.items() if each})


def demand_writable(config: VideoPatchesForm, machine: Machine) -> None:
    """Look whether the tree can be written, before anything is decoded.

    Raises:
        ConfigError: the temporary folder lies on another disk.
        StoreError: the disk is full, as the configuration counts it.
    """
    tree = tree_root(config, machine)
    with disk_errors_explained(tree):
        tree.mkdir(parents=True, exist_ok=True)
        if config.machine.temporary:
            demand_same_disk(tree, absolute(config.machine.temporary, "temporary"))
        demand_room(tree, 0, int(config.machine.min_free_gb * GIGABYTE))


def is_made(piece: Derivation, machine: Machine) -> bool:
    """Whether a piece is committed and all of its files are in the tree."""
    record = committed(piece, machine.store)
    return record is not None and piece.stage.holds(record)


def tree_of(build: Build, machine: Machine) -> Path:
    """The folder of the patches."""
    return tree_root(build.config, machine)


def _committed(derivation: Derivation, machine: Machine) -> ShardRecord:
    record = committed(derivation, machine.store)
    if record is None:
        raise LookupError(f"{derivation.stage.name} was made by this run and is gone")
    return record


def summary_of(build: Build, manifest: Manifest, records: Sequence[ShardRecord], machine: Machine) -> Summary:
    """The numbers of a build."""
    kept: Counter[str] = Counter()
    for record in records:
        kept.update({name: sum(formats.values()) for name, formats in cast("Counts", record.facts["kept"]).items()})
    offered = sum(record.rows_in for record in records)
    return Summary(
        tree=str(tree_of(build, machine)),
        manifest=build.manifest,
        films=sum(bool(read.pieces) for read in build.read),
        windows=offered,
        kept=dict(kept),
        success=f"{kept.total() / offered:.1%}" if offered else "",
        rejected=manifest.funnel.rejected,
    )
