"""The controls of a build for people, and where they are kept.

<root>/builds/<flow>/<manifest digest>.controls.json

Not part of the manifest: how long the controls took is in it.
"""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tasks.controls.finding import ControlReport, Finding
from tasks.reports.elements import Html, caution, folded, inside, table, tiles
from tasks.reports.page import Section
from tasks.schema.errors import StoreError
from tasks.shards.manifest import CONTROLS_SUFFIX
from tasks.shards.store import Store

_HEAD: Final = ("stage", "control", "measured", "bound", "unit", "", "what was compared")


def save_controls(store: Store, flow: str, digest: str, report: ControlReport) -> Path:
    """Keep the report of a published build, in place of an earlier one; whole or not at all.

    Raises:
        StoreError: the store cannot be written.
    """
    path = _path(store, flow, digest)
    store.put(path, (report.model_dump_json(indent=1) + "\n").encode())
    return path


def read_controls(store: Store, flow: str, digest: str) -> ControlReport | None:
    """The report of a build; None: it was built without controls.

    Raises:
        StoreError: it does not read.
    """
    path = _path(store, flow, digest)
    try:
        return ControlReport.model_validate_json(store.files.read(path))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(f"{path} is damaged, or of another version: run the flow {flow} again.") from error


def _path(store: Store, flow: str, digest: str) -> Path:
    return store.root / "builds" / flow / f"{digest}{CONTROLS_SUFFIX}"


def sentence(report: ControlReport) -> str:
    """What came of the controls, in one sentence."""
    blamed, failed = report.blamed, sum(not finding.passed for finding in report.findings)
    sent = f"{report.samples} sample{'s' * (report.samples != 1)} of known truth, {len(report.findings)} comparisons"
    if blamed is None:
        return f"{sent}: all came back as they must."
    return f"{sent}, {failed} failed, the first in the stage {blamed.stage}: {blamed.control}."


def control_rows(report: ControlReport) -> list[dict[str, str]]:
    """A table for people: one row a finding, those that failed first."""
    ordered = sorted(report.findings, key=lambda finding: finding.passed)
    return [dict(zip((*_HEAD[:5], "passed", "detail"), _cells(finding), strict=True)) for finding in ordered]


def control_section(report: ControlReport) -> Section:
    """A part of the build's report: what failed at once, everything else when it is asked for."""
    failed = [finding for finding in report.findings if not finding.passed]
    parts = [tiles((("samples", report.samples), ("comparisons", len(report.findings)), ("failed", len(failed))))]
    if failed:
        parts += [caution(sentence(report)), _table(failed)]
    else:
        parts.append(Html(f"<p>{inside(sentence(report))}</p>\n"))
    by_stage = _by_stage(report)
    parts.append(table(("stage", "comparisons", "failed"), by_stage))
    parts.append(folded(f"All {len(report.findings)} comparisons", _table(report.findings)))
    parts.append(Html(f'<p class="fine">The controls took {report.seconds:.1f} s.</p>\n'))
    return Section("Controls", Html("".join(parts)))


def _by_stage(report: ControlReport) -> list[tuple[str, int, int | None]]:
    stages = dict.fromkeys(finding.stage for finding in report.findings)
    found = {stage: [f for f in report.findings if f.stage == stage] for stage in stages}
    return [(stage, len(each), sum(not f.passed for f in each) or None) for stage, each in found.items()]


def _table(findings: tuple[Finding, ...] | list[Finding]) -> Html:
    return table(
        _HEAD,
        [(*_cells(f)[:5], Html('<span class="bad">failed</span>') if not f.passed else "", f.detail) for f in findings],
    )


def _cells(finding: Finding) -> tuple[str, ...]:
    numbers = (f"{finding.measured:.4g}", f"{finding.bound:.4g}")
    return (finding.stage, finding.control, *numbers, finding.unit, "yes" if finding.passed else "no", finding.detail)
