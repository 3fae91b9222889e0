"""Pose templates: photos from Hugging Face and other sources -> keypoints -> descriptions -> Postgres `pose_templates`.

Requires: the blocks named by `places` (each has a default that needs no service and no account).
"""

from prefect import flow

from tasks.machine.places import PlaceNames
from tasks.machine.runner import HERE_RUNNER, Runner
from tasks.mapping.task import Mapper, mapping
from tasks.poses.build import BuildSummary
from tasks.poses.config import PoseTemplatesForm
from tasks.poses.derivations import SourceRead
from tasks.poses.task import (
    combine_sources,
    describe_parts,
    export_folders,
    export_parquet,
    fill_postgres,
    list_parts,
    publish_previews,
    report_build,
    select_templates,
)
from tasks.poses.waves import next_wave
from tasks.reports.task import send_controls, show_build
from tasks.schema.sources import PhotoSource
from tasks.watching.task import WATCHED

DEFAULTS = PoseTemplatesForm()
HERE = PlaceNames()


@flow(name="pose_templates", **WATCHED)
def pose_templates(
    config: PoseTemplatesForm = DEFAULTS, places: PlaceNames = HERE, runner: Runner = HERE_RUNNER
) -> BuildSummary:
    """Build the pose templates and bring Postgres to them; what was made before is found, not made again."""
    with mapping(runner) as mapped:
        read = tuple(read_source(source, config, places, runner, mapped) for source in config.sources)
    build = combine_sources.submit(read, config, places).result()
    pictures = publish_previews(build, places)
    wanted = {export_folders: config.exports.folders, export_parquet: config.exports.parquet}
    exports = tuple(export(build, places) for export in wanted if wanted[export])
    if config.controls:
        send_controls(build, places)
    report_build(build, places)
    show_build(build, places)
    seeded = fill_postgres(build, config.seeding, places) if config.seeding.enabled else None
    return BuildSummary(
        manifest=build.manifest,
        templates=build.templates,
        rejected=build.rejected,
        pictures=pictures,
        exports=exports,
        seeded=seeded,
    )


def read_source(
    source: PhotoSource, config: PoseTemplatesForm, places: PlaceNames, runner: Runner, mapped: Mapper
) -> SourceRead:
    """Describe a source's photos wave by wave, until enough of them are kept or there are no more."""
    listing = list_parts(source, config, places)
    read = opened = SourceRead.upto(source, listing, 0)
    kept: dict[str, int] = {}
    while wave := next_wave(listing, len(read.parts), config.quotas(source), kept):
        mapped(describe_parts, wave, opened, config, places, runner)
        read = SourceRead.upto(source, listing, len(read.parts) + len(wave))
        kept = select_templates.submit(read, config, places).result()
    return read
