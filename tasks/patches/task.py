"""The tasks of the flow `video_patches`: each finds or makes shards in the store, or hands them on."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from tasks.lineage.remembered import publish_remembered
from tasks.machine.groups import each_of
from tasks.machine.places import PlaceNames
from tasks.machine.runner import Runner, distributor_of
from tasks.machine.task import RETRIED, as_found, machine, named
from tasks.patches.build import (
    Build,
    Summary,
    demand_writable,
    is_made,
    made,
    patches_manifest,
    plan_of,
    summary_of,
    tree_of,
    why_rejected,
)
from tasks.patches.build_plan import write_plan
from tasks.patches.config import FilmSource, VideoPatchesForm
from tasks.patches.derivations import FilmRead, count_pieces, film, pieces, windows
from tasks.patches.finished import Report, finish_tree
from tasks.patches.listing import with_films_listed
from tasks.schema.errors import StoreError, StoreUnreachableError
from tasks.shards.derive import StageNotRunError, realise
from tasks.shards.distribute import distribute
from tasks.shards.manifest import read_manifest
from tasks.shards.notes import expect_shards
from tasks.video.films import film_digest

TELL_EVERY_S = 2.0
"""How often a progress artifact is brought up to date."""


def _film(source: FilmSource) -> str:
    return source.name


@task(name="list films", **RETRIED)
def list_films(config: VideoPatchesForm, places: PlaceNames) -> VideoPatchesForm:  # noqa: ARG001 - all tasks know where
    """The parameters with the films that lie in their folders now."""
    listed = with_films_listed(config)
    if config.folders:
        get_run_logger().info("%d films, %d of them named", len(listed.films), len(config.films))
    return listed


@task(name="look at films", task_run_name=named("look at", "sources", _film), tags=["cpu"], **RETRIED)
def look_at_films(
    sources: tuple[FilmSource, ...], config: VideoPatchesForm, places: PlaceNames
) -> tuple[FilmRead, ...]:
    """What some films are, and the windows of all of their pieces."""
    here = machine(places)

    def look(source: FilmSource) -> tuple[FilmRead, bool]:
        try:
            digest = film_digest(Path(source.path))
        except OSError:
            digest = ""
        outcome = realise(film(source, digest), here.store, only=config.steps)
        read = FilmRead(source=source, digest=digest)
        if not outcome.record.data.rows:
            get_run_logger().warning("%s is left out: %s", source.name, why_rejected(read, here)[1])
        elif config.until != "film":
            count = count_pieces(source, here.store.data_path(outcome.record), config)
            read = read.model_copy(update={"pieces": count})
        planned = [realise(windows(read, piece, config), here.store, only=config.steps) for piece in range(read.pieces)]
        return read, outcome.cached and all(each.cached for each in planned)

    reads, found = each_of(sources, look, _film)
    return as_found(found, reads)


@task(name="open build", **RETRIED)
def open_build(read: tuple[FilmRead, ...], config: VideoPatchesForm, places: PlaceNames) -> Build:
    """What is made now; written down in the tree for `mannequin monitor`."""
    here = machine(places)
    build = Build(config=config, read=read)
    if "patches" in config.steps:
        demand_writable(config, here)
        plan = plan_of(build, here, datetime.now(UTC))
        write_plan(tree_of(build, here), plan)
        expect_shards("patches", sum(len(film.pieces) for film in plan.films))
    return build


@task(name="cut", task_run_name="cut {films[0].source.name}", tags=["cpu"], **RETRIED)
def cut_pieces(films: tuple[FilmRead, ...], build: Build, places: PlaceNames, runner: Runner) -> tuple[str, ...]:
    """The patches of some films; returns what went wrong with single pieces, which leaves the others alone.

    Raises:
        StoreUnreachableError: the store's bucket did not answer for some of them.
    """
    here, config = machine(places), build.config
    wanted = {
        f"{read.source.name}, piece {number}": each
        for read in films
        for number, each in enumerate(pieces(read, config, here))
    }
    missing = {name: each for name, each in wanted.items() if not is_made(each, here)}
    if not missing:
        return as_found(True, ())
    if "patches" not in config.steps:
        raise StageNotRunError("patches")
    demand_writable(config, here)
    shown = cast(
        "UUID", create_progress_artifact(0.0, description="Pieces of " + ", ".join(read.source.name for read in films))
    )
    names, troubles, away, last_told = list(missing), [], [], 0.0
    distributor, workers = distributor_of(config.machine.distributor, config.machine.workers, runner)
    ended = distribute(list(missing.values()), here.store, workers, distributor)
    for done, (row, result) in enumerate(ended, 1):
        if result.error is not None:
            troubles.append(f"{names[row]}: {result.error}")
            away += troubles[-1:] if result.may_pass else []
            get_run_logger().error(troubles[-1])
        if time.monotonic() - last_told > TELL_EVERY_S or done == len(names):
            last_told = time.monotonic()
            update_progress_artifact(shown, progress=100 * done / len(names))
    if away:
        raise StoreUnreachableError(f"{len(away)} pieces were not made, as {away[0]}")
    return tuple(troubles)


@task(name="publish", **RETRIED)
def publish_build(build: Build, cuts: tuple[tuple[str, ...], ...], places: PlaceNames) -> Build:
    """The manifest of what was made."""
    here = machine(places)
    published = publish_remembered(here.store, patches_manifest(build, here), build)
    return published.model_copy(update={"troubles": tuple(trouble for each in cuts for trouble in each)})


@task(name="report", **RETRIED)
def report_build(build: Build, places: PlaceNames) -> Summary:
    """Statistics, contact sheet and card; files of earlier builds that belong to none of these patches go.

    Raises:
        StoreError: single pieces were not made; the others are, and are reported.
    """
    here = machine(places)
    here.store.sweep_temporary()
    manifest = read_manifest(here.store, build.flow, build.manifest)
    records = tuple(made(build, here))
    if "patches" not in build.config.steps or not records:
        return summary_of(build, manifest, records, here)
    report = Report.of(build, manifest, records, here)
    create_table_artifact(report.statistics, key="video-patches-formats", description="Wanted, planned and kept")
    create_table_artifact(report.films, key="video-patches-films", description="What became of every film")
    for warning in report.warnings:
        get_run_logger().warning(warning)
    if build.troubles:
        raise StoreError(
            f"{len(build.troubles)} pieces were not made, the first: {build.troubles[0]}. All others are: run again."
        )
    removed = finish_tree(build, records, report, here)
    return summary_of(build, manifest, records, here).model_copy(update={"removed": removed or None})
