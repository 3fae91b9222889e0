"""The page of a build with all that is known of it besides its manifest."""

from tasks.audit.flows import audited
from tasks.audit.section import error_section
from tasks.controls.show import control_section, read_controls
from tasks.reports.build_facts import BuildFacts
from tasks.reports.page import report_page
from tasks.reports.patches import patches_section


def whole_page(build: BuildFacts) -> str:
    """The page, with what its stages took, patches, what came back of the controls, and error rates.

    Raises:
        StoreError: a shard, the ledger of verdicts or the controls do not read.
    """
    controls = read_controls(build.store, build.manifest.flow, build.digest)
    rates, patches = audited(build.store, build.manifest), patches_section(build)
    return report_page(
        build,
        seconds=build.seconds(),
        controls=control_section(controls) if controls else None,
        sections=(*((patches,) if patches else ()), *((error_section(rates),) if rates else ())),
    )
