"""What a night does and what it tells, without a server."""

from uuid import uuid4

import pytest

from tasks.nightly.changes import Change
from tasks.nightly.plan import Deployed, NightFailedError, Outcome, demand_all_well, plan_night, rows
from tasks.schema.errors import ConfigError


def deployed(full_name: str, *, configured: bool = True, pool: str = "local") -> Deployed:
    flow, name = full_name.split("/")
    return Deployed(id=uuid4(), flow=flow, name=name, pool=pool, store="default", configured=configured)


def names(refreshes: tuple[Deployed, ...]) -> list[str]:
    return [each.full_name for each in refreshes]


def test_all_that_is_configured_is_refreshed_and_what_is_not_is_told() -> None:
    night = plan_night(
        [
            deployed("webbody/gpu", pool="gpu"),
            deployed("webbody/webbody", configured=False),
            deployed("video_patches/video_patches", configured=False),
            deployed("pose_templates/gpu", configured=False),
            deployed("pose_templates/pose_templates"),
        ],
        (),
    )
    assert names(night.refreshes) == ["pose_templates/pose_templates", "webbody/gpu"]
    assert [each.deployment for each in night.skipped] == ["video_patches/video_patches"]
    assert "mannequin save video_patches/video_patches" in night.skipped[0].message
    assert night.skipped[0].well


def test_who_names_deployments_chooses_the_order_and_hears_of_each() -> None:
    known = [deployed("a/a"), deployed("b/b"), deployed("b/gpu", configured=False)]
    night = plan_night(known, ("b/gpu", "b/b", "a/a", "b/b"))
    assert names(night.refreshes) == ["b/b", "a/a"]
    assert [each.deployment for each in night.skipped] == ["b/gpu"]
    with pytest.raises(ConfigError, match=r"no deployment c/c; there is a/a, b/b, b/gpu"):
        plan_night(known, ("c/c",))
    with pytest.raises(ConfigError, match="none with the tag"):
        plan_night([], ("c/c",))


def test_what_failed_is_named_with_its_reason() -> None:
    well = Outcome(deployment="a/a", state="Completed", seconds=3.21)
    skipped = Outcome(deployment="b/b", state="Skipped", message="It has no configuration.")
    failed = Outcome(deployment="c/c", state="Failed", message="No such film.", well=False)
    demand_all_well([well, skipped])
    with pytest.raises(NightFailedError, match=r"1 of 3 did not end well.*c/c Failed: No such film\."):
        demand_all_well([well, skipped, failed])
    assert str(well) == "a/a Completed, 3 s."
    assert str(failed) == "c/c Failed, 0 s. No such film."


def test_the_table_says_what_is_new() -> None:
    change = Change(
        rows_before=7, rows=9, new=3, dropped=1, rejected={"opted_out": 2, "gone": 1}, builds=("a" * 64, "b" * 64)
    )
    told = Outcome(deployment="a/a", state="Completed", seconds=90, change=change)
    same = change.model_copy(update={"builds": change.builds[:1]})
    first, second, third = rows(
        [told, told.model_copy(update={"change": same}), told.model_copy(update={"change": None})]
    )
    assert first == {
        "deployment": "a/a",
        "state": "Completed",
        "minutes": 1.5,
        "rows before": 7,
        "rows": 9,
        "new": 3,
        "dropped": 1,
        "newly rejected": "opted_out 2, gone 1",
        "compare": f"mannequin compare {'a' * 12} {'b' * 12}",
        "message": "",
    }
    assert second["compare"] == ""
    (elsewhere,) = rows([told.model_copy(update={"store": "prod"})])
    assert str(elsewhere["compare"]).endswith(" --store prod")
    assert list(third) == list(first)
    assert third["rows"] == ""
    assert str(told) == "a/a Completed, 90 s. 3 new rows, 1 dropped."
