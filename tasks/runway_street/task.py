"""The tasks of the flow `runway_street`: each finds or makes shards in the store, or hands them on."""

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.fashion.looks import list_looks
from tasks.fashion.sources import LookSource
from tasks.lineage.remembered import publish_remembered
from tasks.machine.groups import each_of
from tasks.machine.places import PlaceNames
from tasks.machine.runner import Runner
from tasks.machine.task import GPU, RETRIED, as_found, gpu_slot, machine, named
from tasks.runway_street.build import Build, Joined, Summary, looks_manifest
from tasks.runway_street.build import open_build as joined_by
from tasks.runway_street.config import RunwayStreetForm
from tasks.runway_street.derivations import PartRead, SourceRead, chain, prediction
from tasks.runway_street.exports import write_exports
from tasks.runway_street.report import similar_markdown, source_table, summary_of, trend_markdown
from tasks.schema.records import InputRef
from tasks.shards.derive import Made, StageNotRunError, realise, realise_whole
from tasks.shards.manifest import read_manifest


@task(name="list source", task_run_name="list {source.name}", **RETRIED)
def list_source(source: LookSource, config: RunwayStreetForm, places: PlaceNames) -> SourceRead:
    """The photos that a source offers now, in parts."""
    listing = list_looks(source, machine(places).hub, config.part_rows)
    rows = sum(part.rows for part in listing.parts)
    get_run_logger().info("%s: %d photos in %d parts", source.name, rows, len(listing.parts))
    return SourceRead(source=source, listing=listing)


def _part(read: PartRead) -> str:
    """A part of a source as people read it."""
    return f"{read.source.name} {read.part.first_row}"


@task(name="look at parts", task_run_name=named("look at", "parts", _part), tags=[GPU], **RETRIED)
def look_at_parts(
    parts: tuple[PartRead, ...], config: RunwayStreetForm, places: PlaceNames, runner: Runner
) -> tuple[int, ...]:
    """Labels and embeddings of some parts, as far as the run goes; returns how many photos are left of each."""
    here = machine(places)

    def look(read: PartRead) -> tuple[int, bool]:
        outcome = realise(chain(read, config, here).of(config.last_per_part), here.store, only=config.steps)
        return outcome.record.data.rows, outcome.cached

    with gpu_slot(runner):
        rows, found = each_of(parts, look, _part)
    return as_found(found, rows)


@task(name="open build", **RETRIED)
def open_build(read: tuple[PartRead, ...], config: RunwayStreetForm, places: PlaceNames) -> Build:
    """What is joined now."""
    return joined_by(read, config, machine(places))


@task(name="group", **RETRIED)
def group_looks(build: Build, places: PlaceNames) -> int:
    """All photos, each once, with those that belong together; returns how many there are."""
    here = machine(places)
    outcome = realise(Joined(build, here).groups, here.store, only=build.config.steps)
    return as_found(outcome.cached, outcome.record.data.rows)


@task(name="learn categories", tags=["cpu"], **RETRIED)
def learn_categories(build: Build, places: PlaceNames) -> InputRef:
    """A classifier of the street's labels, whole: those who predict by it have only it."""
    here = machine(places)
    outcome = realise_whole(Joined(build, here).classifier, here.store, only=build.config.steps)
    return as_found(outcome.cached, outcome.record.ref)


@task(name="predict parts", task_run_name=named("predict", "parts", _part), tags=["cpu"], **RETRIED)
def predict_parts(
    parts: tuple[PartRead, ...], classifier: InputRef, config: RunwayStreetForm, places: PlaceNames
) -> tuple[int, ...]:
    """What the photos of some parts are taken for; returns how many there are in each."""
    here = machine(places)

    def predict(read: PartRead) -> tuple[int, bool]:
        outcome = realise(prediction(chain(read, config, here), Made(classifier)), here.store, only=config.steps)
        return outcome.record.data.rows, outcome.cached

    rows, found = each_of(parts, predict, _part)
    return as_found(found, rows)


@task(name="compare sides", tags=["cpu"], **RETRIED)
def compare_sides(build: Build, places: PlaceNames) -> int:
    """The runway against the street; returns how many shares were compared."""
    here = machine(places)
    outcome = realise(Joined(build, here).trends, here.store, only=(*build.config.steps, "look_verdicts"))
    return as_found(outcome.cached, outcome.record.data.rows)


@task(name="publish", **RETRIED)
def publish_build(build: Build, places: PlaceNames) -> Build:
    """The manifest of what was made."""
    here = machine(places)
    return publish_remembered(here.store, looks_manifest(build, here), build)


@task(name="export", **RETRIED)
def export_build(build: Build, places: PlaceNames) -> tuple[str, ...]:
    """Tables, features, the classifier and pages; returns where they are."""
    here = machine(places)
    if not Joined(build, here).made("trends"):
        raise StageNotRunError("trends")
    manifest = read_manifest(here.store, build.flow, build.manifest)
    folders = write_exports(build, manifest, here)
    create_markdown_artifact(
        trend_markdown(build, here), key="runway-street-trends", description="The runway against the street"
    )
    if similar := similar_markdown(folders[0]):
        create_markdown_artifact(similar, key="runway-street-similar", description="Looks and those most like them")
    return tuple(str(folder) for folder in folders)


@task(name="report", **RETRIED)
def report_build(build: Build, exports: tuple[str, ...], places: PlaceNames) -> Summary:
    """What became of every source, as an artifact of the run; leftovers of kills are swept."""
    here = machine(places)
    here.store.sweep_temporary()
    manifest = read_manifest(here.store, build.flow, build.manifest)
    create_table_artifact(
        source_table(build, here), key="runway-street-sources", description="What became of every source"
    )
    return summary_of(build, manifest, here).model_copy(update={"exports": exports})
