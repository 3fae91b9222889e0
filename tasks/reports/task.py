"""What every flow does with a build that it published: its controls, and its page."""

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.controls.checks import Published, control_build
from tasks.controls.show import control_rows, read_controls, save_controls, sentence
from tasks.machine.places import PlaceNames
from tasks.machine.task import RETRIED, as_found, machine
from tasks.reports.build_facts import BuildFacts
from tasks.reports.examples import Examples
from tasks.reports.page import write_report
from tasks.reports.sheet import sheet_markdown
from tasks.reports.whole import whole_page


@task(name="controls", tags=["cpu"], **RETRIED)
def send_controls(build: Published, places: PlaceNames) -> str:
    """Send samples of known truth through the stages of a build; returns what came of it. Alarms stop nothing."""
    here = machine(places)
    found = read_controls(here.store, build.flow, build.manifest)
    report = found or control_build(build, here)
    if found is None:
        save_controls(here.store, build.flow, build.manifest, report)
    said = sentence(report)
    create_table_artifact(control_rows(report), key=_key(build, "controls"), description=f"Controls: {said}")
    if not report.passed:
        get_run_logger().warning("Controls: %s", said)
    return as_found(found is not None, said)


@task(name="show", **RETRIED)
def show_build(build: Published, places: PlaceNames) -> str:
    """Funnel and sample sheet as artifacts of the run, and the offline page on the build; returns where that is."""
    facts = BuildFacts.of(machine(places).store, build.flow, build.manifest)
    create_table_artifact(
        facts.manifest.funnel.rows(), key=_key(build, "funnel"), description="Rows in, kept and rejected at every stage"
    )
    examples = Examples.of(facts)
    create_markdown_artifact(
        sheet_markdown(facts, examples), key=_key(build, "sheet"), description="Some samples, kept and rejected"
    )
    return str(write_report(facts, whole_page(facts, examples)))


def _key(build: Published, name: str) -> str:
    """The same for all builds of a flow, so that the UI shows one after the other."""
    return f"{build.flow.removesuffix('_unfinished').replace('_', '-')}-{name}"
