"""What a plan says of a build, against arithmetic, against what is shipped, and against the build itself."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.planning.costs import FlowCosts, StageCost, better_of, costs_of
from tasks.planning.plan import Wanted, plan_build
from tasks.planning.shapes import SHAPES
from tasks.planning.shipped import SHIPPED
from tasks.schema.errors import ConfigError
from tests.lineage.remake_builds import machine, pose_templates, template_form


def cost(stage: str, rows: int, seconds: float | None = 1.0, **more: object) -> StageCost:
    known = {"shards": 4, "rows_out": rows, "rejected": 0, "bytes": 1000, "timed_rows": rows}
    return StageCost.model_validate({"stage": stage, "rows_in": rows, "seconds": seconds} | known | more)


def costs(*stages: StageCost, flow: str = "webbody", items: int = 1000, minutes: float | None = None) -> FlowCosts:
    return FlowCosts(flow=flow, items=items, minutes=minutes, where="here", stages=stages)


def test_work_is_shared_by_workers_and_joined_work_is_not() -> None:
    known = costs(cost("urls", 1000, 3.6), cost("faces", 1000, 36.0), cost("clean", 1000, 0.36))
    plan = plan_build(known, Wanted(items=10_000_000, part_rows=1000, workers=10))
    by_stage = {each.stage: each for each in plan.stages}
    assert by_stage["faces"].work_hours == pytest.approx(100)
    assert by_stage["faces"].hours == pytest.approx(10)
    assert by_stage["clean"].hours == by_stage["clean"].work_hours == pytest.approx(1)
    assert (by_stage["faces"].shards, by_stage["clean"].shards) == (10_000, 1)
    assert plan.hours == pytest.approx(1 + 10 + 1)
    assert (plan.slowest, plan.peak_bytes) == ("faces", 30_000_000)


def test_a_network_bounds_the_download_and_neighbours_grow_with_the_square() -> None:
    known = costs(cost("download", 1000, 1.0, bytes=10**8), cost("neighbours", 1000, 1.0))
    plan = plan_build(known, Wanted(items=100_000, part_rows=1000, mbit_s=100))
    assert plan.stages[0].hours == pytest.approx(8 * 10**10 / 1e8 / 3600)
    assert plan.stages[1].hours == pytest.approx(100**2 / 3600)


def test_work_on_a_gpu_is_shared_by_gpus() -> None:
    known = costs(cost("people", 1000, 36.0, gpu=True), cost("urls", 1000, 36.0))
    plan = plan_build(known, Wanted(items=100_000, part_rows=1000, workers=10, gpus=2))
    assert [(each.pool, each.hours) for each in plan.stages] == [
        ("gpu", pytest.approx(0.5)),
        ("cpu", pytest.approx(0.1)),
    ]
    assert not any("measured on a GPU" in note for note in plan.notes)


def test_task_runs_stay_below_what_a_server_takes() -> None:
    for flow, known in SHIPPED.items():
        for items, workers in ((1, 1), (497, 32), (400_000_000, 5000)):
            plan = plan_build(known, Wanted(items=items, part_rows=1000, workers=workers))
            assert plan.task_runs <= 1500, flow
            assert plan.server_bytes == plan.task_runs * 20_000


def test_films_are_planned_by_their_windows_and_minutes() -> None:
    known = costs(cost("film", 2, 60.0), cost("patches", 200, 20.0), flow="video_patches", items=2, minutes=4.0)
    plan = plan_build(known, Wanted(items=497, minutes=120, windows=3000))
    film, patches = plan.stages
    assert film.work_hours == pytest.approx(497 * 60 * 30 / 3600)
    assert patches.rows_in == 497 * 3000
    assert patches.work_hours == pytest.approx(497 * 3000 * 0.1 / 3600)


def test_few_joined_rows_say_nothing_of_many() -> None:
    plan = plan_build(costs(cost("members", 10), items=10), Wanted(items=1_000_000))
    assert plan.stages[0].hours is None
    assert any("members" in note for note in plan.notes)


def test_shipped_costs_stand_in_where_a_store_timed_fewer_rows() -> None:
    few = costs(cost("people", 10, 9.0), cost("urls", 10**6, 1.0), items=10)
    found = better_of(few, SHIPPED["webbody"])
    shipped = next(each for each in SHIPPED["webbody"].stages if each.stage == "people")
    assert shipped.seconds is not None
    assert found.stages[0].seconds == pytest.approx(10 * shipped.seconds / shipped.rows_in)
    assert found.stages[1].seconds == 1.0
    assert "people" in found.where


def test_nothing_to_plan_from_or_for_is_said() -> None:
    with pytest.raises(ConfigError, match="planned from 0"):
        plan_build(costs(cost("urls", 0), items=0), Wanted(items=5))


def test_shipped_costs_are_of_every_flow() -> None:
    assert set(SHIPPED) == set(SHAPES)


def test_the_command_line_plans_without_a_server_or_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    ran = CliRunner().invoke(app, ["plan", "webbody", "--rows", "12e6", "--workers", "32", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["items"] == 12_000_000
    for words, said in (
        (["webbody", "--films", "3"], "planned by --rows"),
        (["webbody"], "Say how many"),
        (["webbody", "--rows", "3", "--minutes", "5"], "not by --minutes"),
        (["video_patches", "--films", "3", "--mbit", "5"], "not by --mbit"),
    ):
        wrong = CliRunner().invoke(app, ["plan", *words])
        assert wrong.exit_code == 1
        assert said in wrong.output.replace("\n", " ")
    for words in (["--rows", "inf"], ["--rows", "nan"], ["--rows", "-3"]):
        assert CliRunner().invoke(app, ["plan", "webbody", *words]).exit_code == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_plan_from_a_small_build_holds_for_one_ten_times_as_large(tmp_path: Path) -> None:
    small, large = machine(tmp_path / "small"), machine(tmp_path / "large")
    pose_templates(small, template_form(6))
    pose_templates(large, template_form(60))
    plan = plan_build(costs_of(small.store, "pose_templates"), Wanted(items=60, part_rows=120))
    found = costs_of(large.store, "pose_templates")
    for planned, real in zip(plan.stages, found.stages, strict=True):
        assert planned.rows_in == pytest.approx(real.rows_in, rel=0.05)
    written, took = sum(each.bytes for each in found.stages), sum(each.seconds or 0.0 for each in found.stages)
    print(f"bytes {plan.peak_bytes / written:.3f} of the real ones, hours {3600 * plan.hours / took:.2f}")
    assert plan.peak_bytes == pytest.approx(written, rel=0.1)
    assert 0.5 < 3600 * plan.hours / took < 2
