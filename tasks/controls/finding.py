"""What came back of a control: what a stage gave against what is known to be true."""

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field

from tasks.schema.records import Frozen

_NAMED = 3
"""Samples that a sentence names."""


class Finding(Frozen):
    """What one control says of one stage.

    `stage` is the stage's name as in records, `control` what was sent through (a short phrase for people), `measured`
    and `bound` are in `unit`; `passed` is whether the bound holds; `detail` one sentence that says what was compared.
    """

    stage: str
    control: str
    measured: float
    bound: float
    unit: str = ""
    passed: bool
    detail: str = ""

    @classmethod
    def at_most(cls, stage: str, control: str, measured: float, bound: float, unit: str = "", detail: str = "") -> Self:
        """The measured value may be the bound and no more; one that is no number does not pass."""
        passed = bool(measured <= bound)
        return cls(
            stage=stage, control=control, measured=measured, bound=bound, unit=unit, passed=passed, detail=detail
        )

    @classmethod
    def at_least(
        cls, stage: str, control: str, measured: float, bound: float, unit: str = "", detail: str = ""
    ) -> Self:
        """The measured value may be the bound and no less; one that is no number does not pass."""
        passed = bool(measured >= bound)
        return cls(
            stage=stage, control=control, measured=measured, bound=bound, unit=unit, passed=passed, detail=detail
        )

    @classmethod
    def none_wrong(cls, stage: str, control: str, right: Mapping[str, bool], detail: str = "") -> Self:
        """No sample is wrong; the sentence names the first that are.

        Args:
            right: sample -> whether it came back as it should.
        """
        wrong = [name for name, fine in right.items() if not fine]
        named = ", ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else "")
        said = f"{detail} Wrong: {named}." if wrong else detail
        return cls.at_most(stage, control, len(wrong), 0, f"wrong of {len(right)}", said)


class ControlReport(Frozen):
    """All findings of the controls of a build, in the order in which its stages run.

    `samples` went through in `seconds`.
    """

    findings: tuple[Finding, ...]
    samples: int
    seconds: float = Field(ge=0.0)

    @property
    def blamed(self) -> Finding | None:
        """The first finding that did not pass: what fails after it may only follow from it."""
        return first_failed(self.findings)

    @property
    def passed(self) -> bool:
        return self.blamed is None


def first_failed(findings: Sequence[Finding]) -> Finding | None:
    """The first finding that did not pass."""
    return next((finding for finding in findings if not finding.passed), None)
