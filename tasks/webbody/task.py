"""The tasks of the flow `webbody`: each finds or makes shards in the store, or hands them on."""

import os
from collections.abc import Sequence
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from tasks.exports.webbody_bundle import export_bundles as write_bundles
from tasks.exports.webbody_check import check_webbody
from tasks.exports.webbody_folders import FOLDERS, export_folders
from tasks.exports.webbody_join import WebBodyShards
from tasks.ingest.url_lists import list_urls as read_list
from tasks.lineage.remembered import publish_remembered
from tasks.machine.groups import each_of
from tasks.machine.places import Machine, PlaceNames
from tasks.machine.runner import Runner
from tasks.machine.task import GPU, RETRIED, as_found, gpu_slot, machine, named
from tasks.schema.home import absolute
from tasks.schema.url_sources import UrlSource
from tasks.shards.derive import Derivation, StageNotRunError, committed, realise, realise_whole
from tasks.shards.manifest import read_manifest
from tasks.webbody.build import Summary
from tasks.webbody.config import WebBodyForm
from tasks.webbody.derivations import ListRead, PartRead, chains, fetched, urls
from tasks.webbody.joined import FLOW, Build, Joined
from tasks.webbody.joined import open_build as joined_by
from tasks.webbody.linkage import LinkageForm, linkage_of
from tasks.webbody.report import (
    build_card,
    bundle_config,
    ledger_tables,
    summary_of,
    warnings_of,
    webbody_manifest,
    write_review,
)

DATA_ROOT = "WEBBODY_DATA_ROOT"
"""Where exports go; the seed's variable."""


@task(name="list URLs", task_run_name="list {source.name}", tags=["network"], **RETRIED)
def list_urls(source: UrlSource, config: WebBodyForm, places: PlaceNames) -> ListRead:
    """What the list offers now, in parts of `config.part_rows` rows."""
    here = machine(places)
    listing = read_list(source, here.hub, here.store, config.part_rows)
    get_run_logger().info(
        "%s: %d rows in %d parts, %d malformed, %d repeated",
        *(source.name, listing.rows, len(listing.parts), listing.malformed, listing.repeated),
    )
    return ListRead(source=source, listing=listing)


def _part(read: PartRead) -> str:
    """A part of a list as people read it."""
    return f"{read.source.name} {read.part.first_row}"


@task(name="download", task_run_name=named("download", "parts", _part), tags=["network"], **RETRIED)
def download_parts(parts: tuple[PartRead, ...], config: WebBodyForm, places: PlaceNames) -> tuple[PartRead, ...]:
    """The photos of some parts: what was fetched before is found, what failed is tried again when it is due."""
    here = machine(places)
    if config.steps == ("urls",):

        def fetch(part: PartRead) -> tuple[PartRead, bool]:
            return part.model_copy(update={"attempts": 0}), realise(urls(part), here.store).cached

    else:

        def fetch(part: PartRead) -> tuple[PartRead, bool]:
            return fetched(part, config, here)

    reads, found = each_of(parts, fetch, _part)
    return as_found(found, reads)


@task(name="look", task_run_name=named("look at", "parts", _part), tags=[GPU], **RETRIED)
def look_at_parts(
    parts: tuple[PartRead, ...], config: WebBodyForm, places: PlaceNames, runner: Runner
) -> tuple[int, ...]:
    """People, faces and embeddings of some parts' photos, as far as the run goes; returns the rows of its last step."""
    here, step = machine(places), str(config.last_look)

    def look(part: PartRead) -> tuple[int, bool]:
        outcomes = [
            realise(chain.of(step), here.store, erased_counts=True, only=config.stages)
            for chain in chains(part, config, here)
        ]
        return sum(outcome.record.data.rows for outcome in outcomes), all(outcome.cached for outcome in outcomes)

    with gpu_slot(runner):
        rows, found = each_of(parts, look, _part)
    return as_found(found, rows)


@task(name="open build", **RETRIED)
def open_build(read: tuple[PartRead, ...], config: WebBodyForm, places: PlaceNames) -> Build:
    """What is joined now, and which build it goes on from."""
    return joined_by(read, config, machine(places))


@task(name="neighbours", **RETRIED)
def find_neighbours(build: Build, places: PlaceNames) -> int:
    """The nearest faces of every face; returns how many faces have some."""
    return _made(Joined(build, machine(places)).neighbours, build, places)


@task(name="link apart", **RETRIED)
def link_apart(form: LinkageForm, places: PlaceNames) -> int:
    """Faces to identities by the manifest of a build alone; returns the faces that have one."""
    here = machine(places)
    outcome = realise(linkage_of(form, here), here.store, only=("identities",))
    rows = outcome.record.data.rows
    return as_found(outcome.cached, rows)


@task(name="link", **RETRIED)
def link_faces(build: Build, places: PlaceNames) -> int:
    """Faces to identities, going on from the build before; returns the faces that have one."""
    return _made(Joined(build, machine(places)).identities, build, places)


@task(name="clean", **RETRIED)
def clean_identities(build: Build, places: PlaceNames) -> int:
    """Identities to those that are one person each; returns their faces."""
    return _made(Joined(build, machine(places)).clean, build, places)


@task(name="divide", **RETRIED)
def divide_members(build: Build, places: PlaceNames) -> int:
    """Splits and subsets of the clean identities; returns the members."""
    return _made(Joined(build, machine(places)).members, build, places)


def _made(derivation: Derivation, build: Build, places: PlaceNames) -> int:
    outcome = realise(derivation, machine(places).store, only=build.config.stages)
    rows = outcome.record.data.rows
    return as_found(outcome.cached, rows)


@task(name="erase embeddings", **RETRIED)
def erase_embeddings(build: Build, places: PlaceNames) -> int:
    """Remove the embeddings of a finished build; what was made of them counts on. Returns how many shards went."""
    here = machine(places)
    made = [
        committed(step, here.store) for chain in Joined(build, here).every for step in (chain.recognised, chain.gated)
    ]
    records = [record for record in made if record is not None and not record.erased]
    for record in records:
        here.store.erase(record)
    return len(records)


@task(name="publish", **RETRIED)
def publish_build(build: Build, places: PlaceNames) -> Build:
    """The manifest of what was made."""
    here = machine(places)
    manifest = webbody_manifest(build, here)
    if "exports" in build.config.steps and manifest.flow != FLOW:
        raise StageNotRunError("members")
    return publish_remembered(here.store, manifest, build)


@task(name="export", **RETRIED)
def export_bundles(build: Build, places: PlaceNames) -> tuple[str, ...]:
    """Bundles of the whole and of the subsets, in the formats asked for; returns their folders."""
    here = machine(places)
    if not build.config.exports.formats:
        return ()
    manifest = read_manifest(here.store, FLOW, build.manifest)
    root = data_root(here)
    done = write_bundles(
        here.store,
        _shards(build, here),
        root,
        bundle_config(build.config),
        card=build_card(build, manifest, here),
    )
    checked = check_webbody(root)
    create_table_artifact(
        [
            {"bundle": name, "rows": facts.rows, "identities": facts.identities, "rejected": str(facts.rejected or "")}
            for name, facts in done.bundles.items()
        ],
        key="webbody-bundles",
        description="Read again: " + ("; ".join(checked.problems) or "no problems"),
    )
    return tuple(str(root / name) for name in done.bundles)


@task(name="export folders", **RETRIED)
def export_intermediate(build: Build, places: PlaceNames) -> tuple[str, ...]:
    """Photos, bodies and faces under the seed's folder names; returns their parent."""
    here = machine(places)
    if not build.config.exports.intermediate:
        return ()
    shards, root = _shards(build, here), data_root(here)
    done = export_folders(shards.photos, shards.people, shards.faces, root, tuple(FOLDERS))
    return tuple(str(root / FOLDERS[product]) for product in done)


@task(name="export review", **RETRIED)
def export_review(build: Build, places: PlaceNames) -> tuple[str, ...]:
    """Doubtful faces for people to look at, in the form asked for; returns the folder."""
    here = machine(places)
    form = build.config.exports.review
    if form == "none":
        return ()
    folder = data_root(here) / "review" / f"{form}-{build.manifest[:12]}"
    if not folder.exists():
        written = write_review(form, folder, build, here)
        get_run_logger().info("%d doubtful pairs in %s", written, folder)
    return (str(folder),)


@task(name="report", **RETRIED)
def report_build(build: Build, places: PlaceNames) -> Summary:
    """States of the URLs, as artifacts of the run; leftovers of kills are swept."""
    here = machine(places)
    here.store.sweep_temporary()
    manifest = read_manifest(here.store, build.flow, build.manifest)
    states, hosts = ledger_tables(build, here)
    for warning in warnings_of(states):
        get_run_logger().warning(warning)
    create_table_artifact(states, key="webbody-urls", description="How the URLs ended")
    if hosts:
        create_table_artifact(hosts, key="webbody-hosts", description="Hosts that fail most")
    return summary_of(build, manifest, states, here)


def _shards(build: Build, here: Machine) -> WebBodyShards:
    joined = Joined(build, here)
    every = joined.every
    return WebBodyShards(
        members=(_whole(joined.members, here),),
        faces=_all_whole([chain.faces for chain in every], here),
        people=_all_whole([chain.people for chain in every], here),
        photos=_all_whole([chain.photos for chain in every], here),
    )


def _all_whole(derivations: Sequence[Derivation], here: Machine) -> tuple[Path, ...]:
    return tuple(_whole(each, here) for each in derivations)


def _whole(derivation: Derivation, here: Machine) -> Path:
    """The file of a shard, made again where it is not whole."""
    return here.store.data_path(realise_whole(derivation, here.store).record)


def data_root(here: Machine) -> Path:
    """`WEBBODY_DATA_ROOT`, or a folder in the store."""
    named = os.environ.get(DATA_ROOT)
    return absolute(named, DATA_ROOT) if named else here.store.root / "exports" / FLOW
