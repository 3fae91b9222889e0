"""What a random sample that people judged says of the whole."""

from pathlib import Path

import numpy as np
import pytest

from tasks.audit.draw import audit_sample, fair_sample
from tasks.audit.ledger import AuditVerdict, add_audit_verdicts, read_audit_verdicts
from tasks.audit.questions import ASKED, JUDGED, Question
from tasks.audit.rates import clopper_pearson, error_rates
from tasks.shards.store import Store

ASKS = Question("face", "Is it?", JUDGED)


def said(name: str, answer: str) -> AuditVerdict:
    return AuditVerdict(flow="webbody", sample_id=name, question="face", answer=answer)


def test_a_sample_is_random_and_the_same_everywhere() -> None:
    names = [f"runway/{i}" for i in range(1000)]
    drawn = audit_sample(names, 200)
    assert drawn == audit_sample(reversed(names), 200)
    assert audit_sample(names, 50) == drawn[:50]
    assert audit_sample(names, 200, seed=1) != drawn
    assert len(set(drawn)) == 200
    assert 400 < np.mean([names.index(each) for each in drawn]) < 600
    assert audit_sample(names[:3], 10) == audit_sample(names[:3], 3)


def test_bounds_are_those_of_the_tables_and_hold_what_they_promise() -> None:
    from scipy.stats import beta, binom

    assert clopper_pearson(0, 100) == pytest.approx((0.0, 1 - 0.025 ** (1 / 100)))
    assert clopper_pearson(7, 200) == pytest.approx((beta.ppf(0.025, 7, 194), beta.ppf(0.975, 8, 193)))
    for truth in (0.003, 0.02, 0.1, 0.5):
        covered = sum(
            binom.pmf(k, 120, truth) for k in range(121) if (bounds := clopper_pearson(k, 120))[0] <= truth <= bounds[1]
        )
        assert covered >= 0.95


def test_rows_that_came_and_went_leave_a_fair_sample() -> None:
    before = [f"row/{i}" for i in range(2000)]
    judged = audit_sample(before, 300)
    gone, came = set(before[::7]), {f"later/{i}" for i in range(500)}
    now = (set(before) - gone) | came
    fair = fair_sample(now, judged)
    assert set(fair.answered) == set(judged) - gone
    assert set(fair.missing) <= came
    # the draw of the new build of the same reach is exactly those two
    assert {*fair.answered, *fair.missing} == set(audit_sample(now, len(fair.answered) + len(fair.missing)))


def test_what_was_not_drawn_or_is_gone_does_not_count() -> None:
    names = [f"row/{i}" for i in range(50)]
    drawn = audit_sample(names, 10)
    verdicts = [said(name, "wrong" if at < 2 else "right") for at, name in enumerate(drawn[:8])]
    verdicts += [said(drawn[9], "unsure"), said("row/gone", "wrong")]
    (rate,) = error_rates(names, (ASKS,), verdicts)
    assert (rate.wrong, rate.judged, rate.unsure, rate.missing) == (2, 8, 1, 1)
    assert rate.low < rate.share < rate.high
    assert error_rates(names, (ASKS,), ()) == ()


def test_verdicts_stand_until_others_come(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert add_audit_verdicts(store, [said("a", "wrong"), said("b", "right")]) == 2
    assert add_audit_verdicts(store, [said("a", "wrong"), said("b", "unsure")]) == 1
    other = AuditVerdict(flow="video_patches", sample_id="a", question="clean", answer="right")
    assert add_audit_verdicts(store, [other]) == 1
    assert [(v.sample_id, v.answer) for v in read_audit_verdicts(store, "webbody")] == [("a", "wrong"), ("b", "unsure")]


def test_questions_have_names_of_their_own() -> None:
    for questions in ASKED.values():
        names = [question.name for question in questions]
        assert len(set(names)) == len(names)
        assert not {"sample_id", "thumbnail", "reviewer"} & set(names)
