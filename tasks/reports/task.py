"""What every flow does with a build that it published: its controls, and its page."""

from prefect import get_run_logger, task
from prefect.artifacts import create_table_artifact

from tasks.controls.checks import Published, control_build
from tasks.controls.show import control_rows, read_controls, save_controls, sentence
from tasks.machine.places import PlaceNames
from tasks.machine.task import RETRIED, as_found, machine
from tasks.reports.build_facts import BuildFacts
from tasks.reports.page import write_report
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
    create_table_artifact(
        control_rows(report), key=f"{build.flow.replace('_', '-')}-controls", description=f"Controls: {said}"
    )
    if not report.passed:
        get_run_logger().warning("Controls: %s", said)
    return as_found(found is not None, said)


@task(name="page", **RETRIED)
def write_page(build: Published, places: PlaceNames) -> str:
    """The offline page on a build; returns where it is."""
    facts = BuildFacts.of(machine(places).store, build.flow, build.manifest)
    return str(write_report(facts, whole_page(facts)))
