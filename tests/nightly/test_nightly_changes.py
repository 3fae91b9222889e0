"""What a night tells of a dataset's rows, on small builds."""

from pathlib import Path

import pytest

from tasks.nightly.changes import Change, builds_of, change_of
from tasks.reports.build_facts import BuildFacts
from tasks.schema.errors import StoreError
from tasks.shards.store import Store
from tests.reports.made_builds import JudgeConfig, build, erased, store_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path)


def change(before: dict[str, str], now: BuildFacts) -> Change:
    found = change_of(now.store, now.manifest.flow.removesuffix("_unfinished"), before)
    assert found is not None
    return found


def test_where_nothing_was_made_there_is_nothing_to_tell(store: Store) -> None:
    assert builds_of(store, "webbody") == {}
    assert change_of(store, "webbody", {}) is None


def test_a_first_build_is_all_new_and_the_same_again_is_not(store: Store) -> None:
    now = build(store)
    flow = now.manifest.flow
    found = change({}, now)
    assert (found.rows_before, found.rows, found.new, found.dropped) == (0, 32, 32, 0)
    assert found.rejected == dict(now.manifest.funnel.rejected)
    assert found.builds == (now.digest,)
    assert builds_of(store, flow) == {flow: now.digest}
    assert change(builds_of(store, flow), now) == Change(
        rows_before=32, rows=32, new=0, dropped=0, rejected={}, builds=(now.digest,)
    )


def test_rows_that_came_and_went_and_new_rejects_are_counted(store: Store) -> None:
    before = build(store)
    known = builds_of(store, before.manifest.flow)
    moved = change(known, build(store, parts=((20, 40), (40, 45))))
    assert (moved.rows_before, moved.rows, moved.new, moved.dropped) == (32, 25, 5, 12)
    assert moved.builds[0] == before.digest
    stricter = change(known, build(store, judged=JudgeConfig(threshold=0.5)))
    assert (stricter.new, stricter.dropped, stricter.rejected) == (0, 12, {"person_score_low": 12})


def test_an_unfinished_build_is_told_of_where_only_that_changed(store: Store) -> None:
    whole = build(store)
    flow = whole.manifest.flow
    known = builds_of(store, flow)
    part = build(store, judged=JudgeConfig(threshold=0.5), flow=f"{flow}_unfinished")
    assert builds_of(store, flow) == known | {f"{flow}_unfinished": part.digest}
    assert (change(known, part).rows_before, change(known, part).rows) == (0, 20)
    assert change(builds_of(store, flow), part).rows == 32, "nothing changed: of the whole one"


def test_rows_that_were_erased_are_not_told_as_new(store: Store) -> None:
    before = build(store)
    known = builds_of(store, before.manifest.flow)
    now = build(store, judged=JudgeConfig(threshold=0.5))
    erased(before, before.final_stage)
    with pytest.raises(StoreError, match=r"32 rows of .* were erased or are lost"):
        change(known, now)
