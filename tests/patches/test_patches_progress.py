"""What a build has got so far: its plan, the numbers, and looking at the store."""

import os
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.patches.build_plan import PLAN_PATH, FilmPlan, film_plan, read_plan, write_plan
from tasks.patches.progress import (
    BuildProgress,
    Tally,
    film_progress,
    format_progress,
    time_shares,
    windows_per_minute,
)
from tasks.patches.watch import BuildWatch
from tasks.schema.errors import SourceError
from tasks.schema.records import DataFile, ShardRecord
from tasks.shards.store import Store
from tests.patches.patch_shards import SmallBuild, many_films


@pytest.fixture
def build(tmp_path: Path) -> SmallBuild:
    (tmp_path / "tree").mkdir()
    return SmallBuild(Store(tmp_path / "store"), tmp_path / "tree")


def numbers(progress: BuildProgress) -> tuple[int, int, int]:
    return progress.pieces_done, progress.windows_done, progress.kept


def at(record: ShardRecord, store: Store, when: float) -> None:
    os.utime(store.record_path(record.stage, record.key), (when, when))


def test_the_plan_is_read_as_it_was_written(build: SmallBuild) -> None:
    plan = build.plan()
    (build.tree / ".mannequin").mkdir()
    (build.tree / ".mannequin" / "left.part").touch()
    written = write_plan(build.tree, plan)
    assert read_plan(build.tree) == plan
    assert [path.name for path in written.parent.iterdir()] == [PLAN_PATH.name]


def test_a_tree_without_a_build_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no build in .*run of video_patches"):
        read_plan(tmp_path / "nothing")
    (tmp_path / ".mannequin").mkdir()
    (tmp_path / PLAN_PATH).write_text('{"pieces": 3}')
    with pytest.raises(SourceError, match="does not read"):
        read_plan(tmp_path)


def test_a_film_plan_adds_up_its_pieces() -> None:
    def windows(moved: dict[str, dict[str, dict[str, int]]], left: int) -> ShardRecord:
        return ShardRecord(
            stage="windows",
            version=1,
            key="k",
            inputs=(),
            rows_in=1,
            rows_kept=1,
            rejected={},
            children_rejected={"format_does_not_fit": left} if left else {},
            facts={
                "wanted": {"space": {"a": 2, "b": 3}},
                "planned": {"space": {"a": 4, "b": 1 - left}},
                "redistributed": moved,
            },
            data=DataFile(name="n", digest="d", size=0, rows=5),
            rejects=None,
        )

    plan = film_plan("f", {"space": 12}, [windows({"space": {"b": {"a": 2}}}, 0), windows({}, 1)], ["one", "two"])
    assert plan.wanted == {"space": {"a": 4, "b": 6}}
    assert plan.redistributed == {"space": {"b": {"a": 2}}}
    assert plan.left_out == {"format_does_not_fit": 1}
    assert [piece.key for piece in plan.pieces] == ["one", "two"]
    assert plan.reason == ""


def test_progress_follows_the_store(build: SmallBuild) -> None:
    plan = build.plan()
    watch = BuildWatch(plan, build.store)
    assert watch.look() == 0
    assert numbers(watch.progress()) == (0, 0, 0)
    build.cut("avatar_2009", [0, 1])
    assert watch.look() == 2
    progress = watch.progress()
    assert progress.state == "running"
    assert numbers(progress) == (2, 16, 12)
    assert (progress.pieces, progress.windows) == (6, 48)
    assert progress.rejected == {"scene_cut": 2, "patch_flat": 2}
    assert [film.state for film in progress.films] == ["running", "waiting", "rejected"]
    assert progress.films[0].success == 0.75
    build.cut("avatar_2009", [2])
    build.cut("wall_e", [0, 1, 2])
    assert watch.look() == 4
    progress = watch.progress()
    assert progress.state == "finished"
    assert [film.state for film in progress.films] == ["finished", "finished", "rejected"]
    assert progress.eta_s is None
    on_disk = sum(path.stat().st_size for path in build.tree.rglob("*.png"))
    assert progress.written_bytes == on_disk
    assert sum(each.kept for each in progress.formats) == progress.kept == 36


def test_a_fresh_look_at_a_finished_build_is_the_same(build: SmallBuild) -> None:
    plan = build.plan()
    followed = BuildWatch(plan, build.store)
    for film in build.films:
        for piece in range(build.pieces):
            build.cut(film, [piece])
            followed.look()
    late = BuildWatch(plan, build.store)
    late.look()
    assert late.progress(now=2e9) == followed.progress(now=2e9)


def test_records_that_go_are_forgotten_and_found_again(build: SmallBuild) -> None:
    watch = BuildWatch(build.plan(), build.store)
    first, second = build.cut("avatar_2009", [0, 1])
    watch.look(now=1000.0)
    shutil.rmtree(build.store.folder(first.stage, first.key))
    watch.look(now=1001.0)
    assert watch.progress().pieces_done == 1
    build.store.drop(second.stage, second.key)
    watch.look(now=1002.0)
    assert watch.progress().pieces_done == 1
    watch.look(now=1040.0)
    assert watch.progress().pieces_done == 0
    build.cut("avatar_2009", [0, 1])
    assert watch.look(now=1041.0) == 2


def test_a_store_that_does_not_exist_yet_is_an_empty_one(tmp_path: Path) -> None:
    watch = BuildWatch(many_films(2, 2), Store(tmp_path / "later"))
    assert watch.look() == 0
    assert watch.progress().windows_done == 0


def test_who_makes_a_build_decides_whether_it_runs(build: SmallBuild) -> None:
    plan = build.plan()
    dead = plan.model_copy(update={"pid": 2**22 - 1})
    older = plan.model_copy(update={"created_at": datetime.now(UTC) - timedelta(days=365)})
    elsewhere = plan.model_copy(update={"host": f"not-{socket.gethostname()}"})
    silent = elsewhere.model_copy(update={"created_at": datetime.now(UTC) - timedelta(hours=1)})
    states = [BuildWatch(each, build.store).progress().state for each in (plan, dead, older, elsewhere, silent)]
    assert states == ["running", "stopped", "stopped", "running", "stopped"]


def test_a_build_without_pieces_is_finished(build: SmallBuild) -> None:
    plan = build.plan().model_copy(update={"films": (FilmPlan(film="f", asked={"general": 3}, reason="video_bomb"),)})
    progress = BuildWatch(plan, build.store).progress()
    assert progress.state == "finished"
    assert (progress.windows, progress.success, progress.rate) == (0, None, None)
    assert progress.categories[0].asked == 3


def test_rate_and_time_left_are_of_this_run(build: SmallBuild) -> None:
    plan = build.plan()
    start = plan.created_at.timestamp()
    records = [*build.cut("avatar_2009", [0, 1, 2]), *build.cut("wall_e", [0])]
    at(records[0], build.store, start - 5000)
    for number, record in enumerate(records[1:], 1):
        at(record, build.store, start + 60 * number)
    watch = BuildWatch(plan, build.store)
    watch.look()
    progress = watch.progress(now=start + 240)
    assert progress.rate == pytest.approx(3 * 8 / 4)
    assert progress.eta_s == pytest.approx(60 * 16 / 6)
    assert progress.elapsed_s == pytest.approx(240)
    assert {film.film: film.seconds for film in progress.films} == pytest.approx(
        {"avatar_2009": 120, "wall_e": 60, "broken": 0}
    )


def test_the_rate_reaches_further_back_where_little_ended() -> None:
    often = [(float(second), 5) for second in range(0, 4000, 10)]
    assert windows_per_minute(often, 0, 4000) == pytest.approx(30, rel=0.05)
    seldom = [(1000.0, 100), (1900.0, 100), (2800.0, 100), (3700.0, 100)]
    assert windows_per_minute(seldom, 0, 4000) == pytest.approx(60 * 200 / 1800)
    assert windows_per_minute(often, 4100, 4200) is None
    assert windows_per_minute([], 0, 100) is None
    assert windows_per_minute([(5.0, 1)], 5, 5) is None


def test_time_is_shared_and_pauses_are_nobodys() -> None:
    ends = [(1e9 + at, film) for at, film in ((100, "a"), (130, "b"), (5000, "a"), (9010, "b"), (9040, "a"))]
    assert time_shares(ends, since=1e9 + 9000) == {"b": 40.0, "a": 30.0}
    assert time_shares(ends, since=1e9 + 90) == {"a": 40.0, "b": 30.0}


def test_shares_are_of_the_category() -> None:
    shares = {"space": {"a": 0.3, "b": 0.7}}
    kept = {("space", "a"): 1, ("space", "b"): 3, ("toon", "z"): 2}
    rows = format_progress(shares, {}, {}, kept)
    assert [(row.category, row.format, row.share_kept) for row in rows] == [
        ("space", "a", 0.25),
        ("space", "b", 0.75),
        ("toon", "z", 1.0),
    ]
    assert rows[0].points_off == pytest.approx(-5)
    assert format_progress(shares, {}, {}, {})[0].share_kept is None


def test_a_film_of_no_finished_window_has_no_success() -> None:
    assert film_progress(FilmPlan(film="f", asked={}), 0, Tally(), 0.0).success is None
