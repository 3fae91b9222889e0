"""The tasks of the flow `pose_templates`: each finds or makes shards in the store, or hands them on."""

import logging
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, create_table_artifact

from blocks import load_database, load_store
from tasks.audit.flows import audited
from tasks.catalog.embedded import psql_line, start_embedded
from tasks.catalog.seed import Listing, seed_templates
from tasks.catalog.similar import upsert_vectors
from tasks.exports.parquet import export_parquet as write_parquet
from tasks.exports.pose_folders import export_pose_folders
from tasks.exports.pose_folders_check import check_pose_folders
from tasks.exports.previews import publish_previews as write_previews
from tasks.ingest.mannequins import list_mannequins
from tasks.ingest.photos import list_source
from tasks.lineage.remembered import remember_build
from tasks.machine.groups import each_of
from tasks.machine.places import Machine, PlaceNames
from tasks.machine.runner import Runner
from tasks.machine.task import GPU, RETRIED, as_found, gpu_slot, machine, named
from tasks.models.cards import CARDS
from tasks.poses.build import FLOW, PREVIEWS, Build, Seeded, SourceFiles
from tasks.poses.config import PoseTemplatesForm, Seeding
from tasks.poses.derivations import PartChain, SourceRead, part_chain, selection, templates
from tasks.poses.report import expected_and_found, pose_vectors, sample_uris, seed_rows
from tasks.schema.errors import DatabaseError
from tasks.schema.sources import PhotoSource, SourceKind, SourceListing, SourcePart
from tasks.shards.derive import Derivation, Outcome, realise, realise_whole
from tasks.shards.manifest import build_manifest, publish_manifest, read_manifest
from tasks.shards.store import Store

SPARE_MANNEQUINS = 4
"""Mannequins on offer for each one wanted; some poses hide too many joints."""


@task(name="list source", task_run_name="list {source.name}", tags=["network"], **RETRIED)
def list_parts(source: PhotoSource, config: PoseTemplatesForm, places: PlaceNames) -> SourceListing:
    """What the source offers now, in parts of `config.shard_rows` rows."""
    if source.kind is SourceKind.MANNEQUINS:
        return list_mannequins(source, SPARE_MANNEQUINS * sum(config.quotas(source).values()), config.shard_rows)
    listing = list_source(source, machine(places).hub, config.shard_rows)
    rows = sum(part.rows for part in listing.parts)
    get_run_logger().info("%s: %d rows in %d parts at %s", source.name, rows, len(listing.parts), listing.revision)
    return listing


def _part(part: SourcePart) -> str:
    return str(part.first_row)


@task(name="describe parts", task_run_name=named("describe {read.source.name}", "parts", _part), tags=[GPU], **RETRIED)
def describe_parts(
    parts: tuple[SourcePart, ...], read: SourceRead, config: PoseTemplatesForm, places: PlaceNames, runner: Runner
) -> tuple[int, ...]:
    """Some parts of a source through all stages, from photos to previews; returns the rows that are left of each."""
    here = machine(places)

    def describe(part: SourcePart) -> tuple[int, bool]:
        outcome = realise(part_chain(read, part, config, here).preview, here.store)
        return outcome.record.data.rows, outcome.cached

    with gpu_slot(runner):
        rows, found = each_of(parts, describe, _part)
    return as_found(found, rows)


@task(name="select", task_run_name="select {read.source.name}", **RETRIED)
def select_templates(read: SourceRead, config: PoseTemplatesForm, places: PlaceNames) -> dict[str, int]:
    """The templates of a source so far, by category."""
    here = machine(places)
    outcome = realise_whole(selection(read, config, here), here.store)
    kept = _categories(here.store, outcome)
    wanted = sum(config.quotas(read.source).values())
    get_run_logger().info(
        "%s: %d of %d templates after %d rows", read.source.name, sum(kept.values()), wanted, read.rows
    )
    create_progress_artifact(
        progress=min(100.0, 100 * sum(kept.values()) / wanted),
        key=f"pose-templates-{read.source.name.replace('_', '-')}",
        description=f"{read.source.name}: {sum(kept.values())} of {wanted} templates after {read.rows} rows",
    )
    return as_found(outcome.cached, kept)


@task(name="combine", **RETRIED)
def combine_sources(read: tuple[SourceRead, ...], config: PoseTemplatesForm, places: PlaceNames) -> Build:
    """The templates of all sources, and the manifest of the build."""
    here = machine(places)
    outcome = realise_whole(templates(read, config, here), here.store)
    chains = [part_chain(each, part, config, here) for each in read for part in each.parts]
    # every step is named: empty shards of several parts are one shard, which leads back to the first of them alone
    steps = {
        "photos": [chain.photos for chain in chains],
        "inspected": [chain.inspected for chain in chains],
        "keypoints": [chain.keypoints for chain in chains],
        "described": [chain.described for chain in chains],
        "selected": [selection(each, config, here) for each in read],
        "previews": [chain.preview for chain in chains],
    }
    manifest = build_manifest(
        here.store,
        FLOW,
        config.build_params(),
        {
            "templates": [outcome.record],
            **{name: [realise(step, here.store).record for step in steps[name]] for name in steps},
        },
        CARDS,
    )
    publish_manifest(here.store, manifest)
    build = Build.of(config, read, manifest, _categories(here.store, outcome))
    remember_build(here.store, manifest, build)
    return as_found(outcome.cached, build)


def _categories(store: Store, outcome: Outcome) -> dict[str, int]:
    column = pq.read_table(store.data_path(outcome.record), columns=["category"])["category"]
    return dict(sorted(Counter(column.to_pylist()).items()))


def _whole(derivation: Derivation, here: Machine) -> Path:
    """The file of a shard, made again where it is not whole."""
    return here.store.data_path(realise_whole(derivation, here.store).record)


def _templates(build: Build, here: Machine) -> Path:
    return _whole(templates(build.read, build.config, here), here)


def _parts(build: Build, here: Machine) -> list[PartChain]:
    return [part_chain(read, part, build.config, here) for read in build.read for part in read.parts]


def _source_files(build: Build, read: SourceRead, here: Machine) -> SourceFiles:
    chains = [part_chain(read, part, build.config, here) for part in read.parts]
    stages = [stage for chain in chains for stage in (chain.photos, chain.inspected, chain.keypoints, chain.described)]
    records = {
        record.key: record
        for record in (realise(stage, here.store).record for stage in (*stages, selection(read, build.config, here)))
    }
    return SourceFiles(
        source=read.source.model_copy(update={"limit": sum(build.config.quotas(read.source).values())}),
        photos=tuple(_whole(chain.photos, here) for chain in chains),
        inspected=tuple(_whole(chain.inspected, here) for chain in chains),
        rejected=dict(sum((Counter(record.rejected) for record in records.values()), Counter())),
    )


@task(name="publish previews", **RETRIED)
def publish_previews(build: Build, places: PlaceNames) -> str:
    """Write the rendered pictures where a web server finds them; returns their folder."""
    here = machine(places)
    previews = [_whole(chain.preview, here) for chain in _parts(build, here)]
    published = write_previews(here.store, previews, sample_uris(_templates(build, here)))
    folder = here.store.root / PREVIEWS
    get_run_logger().info("%d previews in %s", len(published), folder)
    return str(folder)


@task(name="export folders", **RETRIED)
def export_folders(build: Build, places: PlaceNames) -> str:
    """The folders fashion/, lifestyle/ and sports/ with their metadata.json; returns their parent."""
    here = machine(places)
    photos = [_whole(chain.photos, here) for chain in _parts(build, here)]
    done = export_pose_folders(here.store, [_templates(build, here)], photos, here.store.root / "exports" / FLOW)
    checked = check_pose_folders(done.folder)
    create_table_artifact(
        [
            {"folder": each.category, "entries": each.entries, "files": each.files, "MB": each.bytes / 1e6}
            for each in checked.categories
        ],
        key="pose-templates-folders",
        description="metadata.json against files, both ways: " + ("; ".join(checked.problems) or "no problems"),
    )
    return str(done.folder)


@task(name="export Parquet", **RETRIED)
def export_parquet(build: Build, places: PlaceNames) -> str:
    """A dataset folder that Hugging Face `datasets` loads, with its card; returns it."""
    here = machine(places)
    manifest = read_manifest(here.store, FLOW, build.manifest)
    done = write_parquet(
        [_templates(build, here)],
        [_whole(chain.photos, here) for chain in _parts(build, here)],
        here.store.root / "exports" / f"{FLOW}_parquet",
        title="Pose templates",
        manifest=manifest,
        audited=audited(here.store, manifest),
    )
    return str(done.folder)


@task(name="report", **RETRIED)
def report_build(build: Build, places: PlaceNames) -> None:
    """What was expected and found, as an artifact of the run; leftovers of kills are swept."""
    here = machine(places)
    here.store.sweep_temporary()
    table = _templates(build, here)
    sources = [_source_files(build, read, here) for read in build.read]
    create_table_artifact(
        expected_and_found(table, sources), key="pose-templates-expected", description="What was expected and found"
    )


@task(name="fill Postgres", tags=["database"], **RETRIED)
def fill_postgres(build: Build, seeding: Seeding, places: PlaceNames) -> Seeded:
    """Bring the table `pose_templates` to the build; what belongs to the application is left alone."""
    here, database = machine(places), load_database(places.database)
    public_url = load_store(places.store).public_url
    if not public_url:
        level = logging.WARNING if database.url else logging.INFO
        get_run_logger().log(level, "The Store block has no public URL: previewUrl holds paths below its public/.")
    uri = database.url or start_embedded(database.embedded_folder)
    table = _templates(build, here)
    rows = seed_rows(table, public_url, seeding)
    complete = frozenset(each.source.name for each in build.read if each.listing.complete)
    report = seed_templates(uri, rows, build.manifest, Listing(complete, force=seeding.force_retire))
    if report.rows != sum(build.templates.values()):
        raise DatabaseError(f"The build has {sum(build.templates.values())} templates, {report.rows} were offered.")
    for notice in report.notices:
        get_run_logger().warning(notice)
    upsert_vectors(uri, *pose_vectors(table))
    return Seeded.of(report, psql_line(uri))
