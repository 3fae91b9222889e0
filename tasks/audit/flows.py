"""Sheets of a build, and what people said of its samples until now."""

from pathlib import Path

from tasks.audit.draw import audit_sample
from tasks.audit.ledger import AuditVerdict, read_audit_verdicts
from tasks.audit.pictures import shown_samples
from tasks.audit.questions import ASKED
from tasks.audit.rates import ErrorRate, error_rates
from tasks.audit.sheet import read_sheet, write_sheet
from tasks.machine.places import Machine
from tasks.reports.build_facts import BuildFacts
from tasks.reports.distributions import final_ids
from tasks.schema.errors import ConfigError, SourceError
from tasks.shards.manifest import Manifest
from tasks.shards.store import Store

ADVICE = "Answer every question about the sample that is shown; where nobody could tell, tick “?”."


def write_audit(facts: BuildFacts, count: int, folder: Path, machine: Machine) -> int:
    """Write a sheet of random samples of a build; returns how many are on it.

    Raises:
        ConfigError: something is in the folder already: a sheet that somebody fills in is never replaced. Or nothing
            can be there.
        NothingAskedError: there are no questions for the flow.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"No sheet can be written to {folder} ({error.strerror}): give a new folder.") from error
    if taken:
        raise ConfigError(f"{folder} is not empty: give the sheet a folder of its own.")
    flow = facts.manifest.flow
    drawn = audit_sample(final_ids(facts).to_pylist(), count)
    samples = shown_samples(facts, drawn, machine)
    return write_sheet(folder, samples, f"Audit of {facts.name}", ADVICE, ASKED.get(flow, ()))


def read_audit(path: Path, facts: BuildFacts) -> list[AuditVerdict]:
    """What was said in the table of a sheet of a build, a verdict for each question that was answered.

    Raises:
        SourceError: the table cannot be read, has faults, or is of a flow of which nothing is asked.
    """
    flow = facts.manifest.flow
    if flow not in ASKED:
        raise SourceError(f"Nothing is asked of samples of {flow}: there are {', '.join(ASKED)}.")
    return [
        AuditVerdict(flow=flow, sample_id=said.sample_id, question=question, answer=answers[0], reviewer=said.reviewer)
        for said in read_sheet(path, ASKED[flow], set(final_ids(facts).to_pylist()))
        for question, answers in said.answers.items()
    ]


def audited(store: Store, manifest: Manifest) -> tuple[ErrorRate, ...]:
    """The error rates of a published build as far as people judged its samples; none: nobody did."""
    flow = manifest.flow
    verdicts = read_audit_verdicts(store, flow) if flow in ASKED else ()
    if not verdicts:
        return ()
    return error_rates(final_ids(BuildFacts(store, manifest, manifest.digest)).to_pylist(), ASKED[flow], verdicts)


def audited_lines(facts: BuildFacts) -> list[str]:
    """The error rates of a build for the command line, a line each."""
    return [
        f"{rate.question.name}: {rate.wrong} of {rate.judged} wrong, {rate.share:.1%} "
        f"({rate.low:.1%} to {rate.high:.1%}); {rate.unsure} nobody could tell, {rate.missing} of the draw left"
        for rate in audited(facts.store, facts.manifest)
    ]
