"""What came of making a row again, as lines of text."""

from collections.abc import Iterator

from tasks.lineage.remake_result import Outcome, Remade, StageCompared
from tasks.lineage.remake_rules import rule_of

_SHOWN = 3
"""Ids and columns that a line names."""


def remade_lines(remade: Remade) -> list[str]:
    """What a person reads: the stages from the source on, and the verdict."""
    lines = [f"{remade.sample_id}  of {remade.build}", ""]
    for each in remade.stages:
        lines += [f"  {line}" for line in _stage(each)]
    return [*lines, "", _verdict(remade)]


def _stage(stage: StageCompared) -> Iterator[str]:
    more = f" and {len(stage.sample_ids) - _SHOWN:,} more" if len(stage.sample_ids) > _SHOWN else ""
    of = ", ".join(stage.sample_ids[:_SHOWN]) + more
    outcome = stage.way.value if stage.outcome is Outcome.TAKEN_OVER else stage.outcome.value
    yield f"{stage.stage:18} {stage.key[:12]}  {outcome}  ({of})"
    for each in stage.differences:
        yield f"{'':20}{each.column}: {each.how}{', allowed' if each.allowed else ''}"
    if stage.outcome is Outcome.WITHIN:
        rule = rule_of(stage.stage)
        yield f"{'':20}allowed are {rule.tolerance:g} of a number: {rule.why}"
    if stage.detail:
        yield f"{'':20}{stage.detail}"


def _verdict(remade: Remade) -> str:
    different = [each.stage for each in remade.stages if each.outcome is Outcome.DIFFERENT]
    if different:
        return f"Not equal: {', '.join(different)}."
    taken = sum(each.outcome is Outcome.TAKEN_OVER for each in remade.stages)
    within = sum(each.outcome is Outcome.WITHIN for each in remade.stages)
    made = len(remade.stages) - taken
    said = f"Equal: {made} stage{'' if made == 1 else 's'} made again"
    said += f", {within} within the tolerance" if within else ""
    return said + (f"; {taken} taken over." if taken else ".")
