"""The page of a build with all that is known of it besides its manifest."""

from tasks.audit.flows import audited
from tasks.audit.section import error_section
from tasks.controls.show import control_section, read_controls
from tasks.reports.build_facts import BuildFacts
from tasks.reports.examples import Examples
from tasks.reports.page import report_page


def whole_page(build: BuildFacts, examples: Examples) -> str:
    """The page, with what its stages took, what came back of the controls, and error rates.

    Raises:
        StoreError: a shard, the ledger of verdicts or the controls do not read.
    """
    controls = read_controls(build.store, build.manifest.flow, build.digest)
    rates = audited(build.store, build.manifest)
    return report_page(
        build,
        examples,
        seconds=build.seconds(),
        controls=control_section(controls) if controls else None,
        sections=(error_section(rates),) if rates else (),
    )
