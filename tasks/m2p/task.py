"""The tasks of the flow `music_to_pose`: each finds or makes shards in the store, or hands them on."""

from typing import cast

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from tasks.audit.flows import audited
from tasks.lineage.remembered import publish_remembered
from tasks.m2p.build import Build, Joined, Summary, m2p_manifest, output_folder, summary_of, video_shards
from tasks.m2p.build import open_build as joined_by
from tasks.m2p.config import MusicToPoseForm
from tasks.m2p.derivations import VideoRead, chain
from tasks.m2p.exports import write_exports
from tasks.m2p.find import find_video
from tasks.m2p.report import overview_of, video_table
from tasks.m2p.sources import DanceEntry, DanceSource, list_videos
from tasks.machine.groups import each_of
from tasks.machine.places import PlaceNames
from tasks.machine.runner import Runner
from tasks.machine.task import GPU, RETRIED, as_found, gpu_slot, machine, named
from tasks.shards.derive import StageNotRunError, realise
from tasks.shards.manifest import read_manifest


@task(name="list videos", task_run_name="list {source.name}", **RETRIED)
def list_source(source: DanceSource, places: PlaceNames) -> tuple[DanceEntry, ...]:  # noqa: ARG001 - all tasks know where
    """The videos that a source offers now."""
    offer = list_videos(source)
    get_run_logger().info("%s: %d videos, %d rows repeat one", source.name, len(offer.entries), offer.repeated)
    return offer.entries


def _entry(entry: DanceEntry) -> str:
    return entry.name


@task(name="look at videos", task_run_name=named("look at", "entries", _entry), tags=[GPU], **RETRIED)
def look_at_videos(
    entries: tuple[DanceEntry, ...], config: MusicToPoseForm, places: PlaceNames, runner: Runner
) -> tuple[VideoRead, ...]:
    """Clips, poses, music and all else of some videos, as far as the run goes."""
    here = machine(places)

    def look(entry: DanceEntry) -> tuple[VideoRead, bool]:
        read = find_video(entry, config, here)
        outcome = realise(chain(read, config, here).of(config.last_per_video), here.store, only=config.steps)
        if not outcome.record.data.rows:
            get_run_logger().warning("Nothing of %s is left: the table of the videos says why.", entry.name)
        return read, outcome.cached

    with gpu_slot(runner):
        reads, found = each_of(entries, look, _entry)
    return as_found(found, reads)


@task(name="open build", **RETRIED)
def open_build(read: tuple[VideoRead, ...], config: MusicToPoseForm, places: PlaceNames) -> Build:
    """What is joined now, and which build it goes on from."""
    return joined_by(read, config, machine(places))


@task(name="split", **RETRIED)
def split_samples(build: Build, places: PlaceNames) -> int:
    """Songs, people and splits of all samples; returns how many there are."""
    here = machine(places)
    outcome = realise(Joined(build, here).samples, here.store, only=build.config.steps)
    for finding in cast("list[str]", outcome.record.facts["findings"]):
        get_run_logger().warning(finding)
    return as_found(outcome.cached, outcome.record.data.rows)


@task(name="publish", **RETRIED)
def publish_build(build: Build, places: PlaceNames) -> Build:
    """The manifest of what was made."""
    here = machine(places)
    return publish_remembered(here.store, m2p_manifest(build, here), build)


@task(name="export", **RETRIED)
def export_samples(build: Build, places: PlaceNames) -> tuple[str, ...]:
    """Folders, tables and pages, as asked for; returns where they are."""
    here = machine(places)
    manifest = read_manifest(here.store, build.flow, build.manifest)
    if not Joined(build, here).made("split"):
        raise StageNotRunError("split")
    videos, samples = video_shards(build, here)
    overview = overview_of(build, manifest, here)
    folder = output_folder(build.config, here)
    rates = audited(here.store, manifest)
    folders = write_exports(videos, samples, folder, build.config.exports, manifest, rates, overview)
    return tuple(str(each) for each in folders)


@task(name="report", **RETRIED)
def report_build(build: Build, exports: tuple[str, ...], places: PlaceNames) -> Summary:
    """What became of every video, as an artifact of the run; leftovers of kills are swept."""
    here = machine(places)
    here.store.sweep_temporary()
    manifest = read_manifest(here.store, build.flow, build.manifest)
    create_table_artifact(
        video_table(build, here), key="music-to-pose-videos", description="What became of every video"
    )
    return summary_of(build, manifest, here).model_copy(update={"exports": exports})
