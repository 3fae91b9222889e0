"""Error rates from what people said, with exact bounds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.audit.draw import fair_sample
from tasks.audit.ledger import AuditVerdict
from tasks.audit.questions import RIGHT, UNSURE, WRONG, Question

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ErrorRate:
    """How often the answer to a question was "wrong".

    Args:
        question: what was asked.
        wrong: how many of the judged.
        judged: of the random sample that were answered with right or wrong.
        unsure: of the random sample for which nobody could tell.
        missing: of the random sample that nobody judged; the more, the less the bounds say.
        low, high: Clopper-Pearson bounds of the share, `CONFIDENCE`.
    """

    question: Question
    wrong: int
    judged: int
    unsure: int
    missing: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.wrong / self.judged


def clopper_pearson(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a share, at least `confidence` sure whatever the truth is. Source: Clopper, Pearson 1934.

    Raises:
        ValueError: there are no trials, or more hits than trials.
    """
    from scipy.stats import binomtest

    bounds = binomtest(count, total).proportion_ci(confidence, method="exact")
    return float(bounds.low), float(bounds.high)


def error_rates(
    sample_ids: Iterable[str], questions: Sequence[Question], verdicts: Iterable[AuditVerdict]
) -> tuple[ErrorRate, ...]:
    """The rate of each question that somebody answered.

    Args:
        sample_ids: of all rows of the dataset.
        questions: that were asked of them.
        verdicts: that stand.
    """
    ids = set(sample_ids)
    said: dict[str, dict[str, str]] = {question.name: {} for question in questions}
    for verdict in verdicts:
        if verdict.question in said and verdict.sample_id in ids:
            said[verdict.question][verdict.sample_id] = verdict.answer
    found = (_rate(question, ids, said[question.name]) for question in questions)
    return tuple(rate for rate in found if rate is not None)


def _rate(question: Question, ids: set[str], said: Mapping[str, str]) -> ErrorRate | None:
    fair = fair_sample(ids, said.keys())
    answers = [said[name] for name in fair.answered]
    wrong, judged = answers.count(WRONG), answers.count(RIGHT) + answers.count(WRONG)
    if not judged:
        return None
    low, high = clopper_pearson(wrong, judged)
    return ErrorRate(question, wrong, judged, answers.count(UNSURE), len(fair.missing), low, high)
