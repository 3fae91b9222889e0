"""Two builds of one flow: exact counts of what came, went and changed, and why."""

from pathlib import Path

import pytest

from tasks.reports.build_facts import BuildFacts
from tasks.reports.compare import Comparison, StageCompared, compare, comparison_lines
from tasks.reports.compare_page import comparison_page
from tasks.schema.errors import ConfigError, StoreError
from tests.reports.made_builds import FREE, JudgeConfig, build, erased, store_in


def stage(found: Comparison, name: str) -> StageCompared:
    return next(each for each in found.stages if each.stage == name)


def counts(found: StageCompared) -> tuple[int, int, int, int, int]:
    return found.before, found.after, found.came, found.went, found.changed


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> BuildFacts:
    return build(store_in(tmp_path_factory.mktemp("store")))


def test_a_build_is_the_same_as_itself(before: BuildFacts) -> None:
    found = compare(before, before)
    assert found.same
    assert "same rows" in comparison_lines(found)[1]


def test_a_stricter_threshold_is_why_rows_went(before: BuildFacts) -> None:
    found = compare(before, build(before.store, judged=JudgeConfig(threshold=0.5)))
    assert [str(each) for each in found.params] == ["judge.threshold: 0.2 -> 0.5"]
    assert stage(found, "offer").same
    for name in ("judge", "order"):
        assert counts(stage(found, name)) == (32, 20, 0, 12, 0)
        (why,) = stage(found, name).why_went
        assert (why.stage, why.count) == ("judge", 12)
        assert why.told == "rejected by judge (person_score_low); in judge otherwise: threshold: 0.2 -> 0.5"
        assert why.names[0] == "web/n0008/p0"
    back = compare(build(before.store, judged=JudgeConfig(threshold=0.5)), before)
    (why,) = stage(back, "order").why_came
    assert why.count == 12


def test_rows_of_a_source_part_that_is_gone_were_not_offered(before: BuildFacts) -> None:
    found = compare(before, build(before.store, parts=((20, 40), (40, 45))))
    assert counts(stage(found, "offer")) == (40, 25, 5, 20, 0)
    assert stage(found, "offer").shards == (1, 1, 1)
    (gone,) = stage(found, "offer").parts_went
    assert "list#0-20" in gone
    assert gone.endswith("(20 rows)")
    assert counts(stage(found, "order")) == (32, 25, 5, 12, 0)
    assert [why.told for why in stage(found, "order").why_went] == ["not offered by a source"]


def test_changed_rows_are_counted_and_their_columns_named(before: BuildFacts) -> None:
    found = compare(before, build(before.store, judged=JudgeConfig(bonus=1.0), model=FREE))
    judge = stage(found, "judge")
    assert counts(judge) == (32, 32, 0, 0, 32)
    assert judge.changed_columns == ("score",)
    assert {each.name for each in judge.changes} == {"bonus", "models"}
    assert counts(stage(found, "order"))[2:] == (0, 0, 0)
    assert {each.name.split(".")[0] for each in found.models} == {"retinaface-mobilenet0", "yolov8n-pose"}
    page = comparison_page(found)
    assert "changed in score: 32" in page
    assert "<script" not in page


def test_erased_rows_are_not_taken_for_gone(tmp_path: Path) -> None:
    first = build(store_in(tmp_path))
    second = build(first.store, judged=JudgeConfig(threshold=0.5))
    found = compare(erased(first, "judge"), second)
    assert counts(stage(found, "judge")) == (32, 20, 0, 0, 0)
    assert stage(found, "judge").unread == 32
    assert stage(found, "order").went == 12


def test_builds_are_found_by_what_a_person_writes(before: BuildFacts, tmp_path: Path) -> None:
    other = build(before.store, flow="other")
    assert BuildFacts.named(before.store, "other").digest == other.digest
    assert BuildFacts.named(before.store, before.digest[:10]) == before
    with pytest.raises(StoreError, match="No build begins with 'zzzz'"):
        BuildFacts.named(before.store, "zzzz")
    with pytest.raises(StoreError, match="none yet"):
        BuildFacts.named(store_in(tmp_path), "sample")
    with pytest.raises(ConfigError, match="different flows"):
        compare(before, other)
