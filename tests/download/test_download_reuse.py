"""What servers say about reuse."""

import pytest

from tasks.download.consent import Consent, ConsentPolicy, Said

YES, NO = True, False


@pytest.mark.parametrize(
    ("lines", "opts_out"),
    [
        ([], NO),
        (["noai"], YES),
        (["NoAI"], YES),
        (["noimageai"], YES),
        (["noindex, nofollow"], YES),
        (["noimageindex"], YES),
        (["none"], YES),
        (["all"], NO),
        (["nofollow, noarchive"], NO),
        (["max-image-preview: large"], NO),
        (["max-snippet: -1, max-image-preview: large, noai"], YES),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], NO),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], YES),
        (["otherbot: noai"], NO),
        (["otherbot: noindex, nofollow"], NO),
        (["otherbot: nofollow, mannequinbot: noai"], YES),
        (["MannequinBot: noai"], YES),
        (["img2dataset: noai"], YES),
        (["*: noai"], YES),
        (["mannequinbot: nofollow, noimageai"], YES),
        (["otherbot: noai", "noimageai"], YES),
        (["googlebot: max-snippet: 20, noindex"], NO),
        (["", ",", ":", "noai extra"], NO),
    ],
)
def test_robots_tags(lines: list[str], opts_out: bool) -> None:
    said = Said((), headers={"x-robots-tag": "\n".join(lines)} if lines else {})
    assert bool(Consent().judge().objection(said)) is opts_out


@pytest.mark.parametrize(("value", "opts_out"), [("1", YES), (" 1 ", YES), ("0", NO), ("true", NO), ("", NO)])
def test_tdm_reservation(value: str, opts_out: bool) -> None:
    assert bool(Consent().judge().objection(Said((), headers={"tdm-reservation": value}))) is opts_out


def test_the_header_that_said_no_is_evidence() -> None:
    said_no = Consent().judge().objection(Said((), headers={"x-robots-tag": "nofollow\notherbot: all, *: noimageai"}))
    assert said_no is not None
    assert (said_no.kind, said_no.rule) == ("header", "noimageai")
    assert "otherbot: all, *: noimageai" in said_no.evidence()["opt_out"]
    assert "noimageai" in said_no.detail


def test_a_policy_says_what_counts() -> None:
    policy = Consent.of(ConsentPolicy(directives=("NoAI ",), tdm_reservation=False))
    assert policy.judge().objection(Said((), headers={"x-robots-tag": "noindex", "tdm-reservation": "1"})) is None
    assert policy.judge().objection(Said((), headers={"x-robots-tag": "noai"}))
    none = Consent.of(ConsentPolicy(), respect=False)
    assert none.judge().objection(Said((), headers={"x-robots-tag": "noai", "tdm-reservation": "1"})) is None
