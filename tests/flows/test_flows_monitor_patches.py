"""A build of patches, watched from a terminal and beside the run that makes it."""

import io
import json
import logging
import threading
from pathlib import Path

import pytest
from rich.console import Console

from flows import monitor_patches
from flows.monitor_patches import show_build, watching
from tasks.machine.load import Load, LoadMeter, RunLoad
from tasks.patches.build_plan import write_plan
from tasks.patches.progress import BuildProgress
from tasks.patches.view import BuildView, summary_line
from tasks.patches.watch import BuildWatch
from tasks.schema.errors import SourceError, StoreError
from tasks.shards.store import Store
from tasks.watching.words import duration, size
from tests.patches.patch_shards import SmallBuild, many_films

LOAD = Load(
    cores=4,
    cpu_percent=87.0,
    memory_used=12 * 10**9,
    memory_total=16 * 10**9,
    disk_free=41 * 10**9,
    disk_total=2 * 10**12,
    run=RunLoad(processes=5, cpu_percent=340.0, memory_bytes=3 * 10**9),
)


@pytest.fixture
def build(tmp_path: Path) -> SmallBuild:
    (tmp_path / "tree").mkdir()
    made = SmallBuild(Store(tmp_path / "store"), tmp_path / "tree", pieces=2)
    write_plan(made.tree, made.plan())
    return made


def terminal(width: int = 100, height: int = 50) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, _environ={"TERM": "xterm"})


def pipe(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, soft_wrap=True)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(progress: BuildProgress, width: int, height: int | None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height or 25, force_terminal=True, color_system=None)
    console.print(BuildView(progress, LOAD, spare=None if height is None else 0))
    return text(console).splitlines()


def test_a_pipe_gets_one_plain_table_of_everything(build: SmallBuild) -> None:
    build.cut("wall_e", [0])
    console = pipe()
    show_build(build.tree, None, console)
    said = text(console)
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) == 80
    for word in ("running", "wall_e", "avatar_2009", "video_unreadable", "tall_72", "scene_cut", "8/16", "75.0%"):
        assert word in said
    assert "1 running, 1 waiting, 1 rejected" in said


def test_json_for_scripts(build: SmallBuild) -> None:
    build.cut("wall_e", [0])
    console = terminal()
    show_build(build.tree, None, console, as_json=True)
    told = json.loads(text(console))
    assert told["build"]["windows_done"] == 8
    assert told["build"]["films"][1]["kept"] == 6
    assert told["machine"]["run"]["processes"] >= 1


def test_the_default_tree_is_that_of_the_store(
    build: SmallBuild, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(monitor_patches, "store_root", lambda name: build.store.root)
    with pytest.raises(SourceError, match=r"no folder .*exports/video_patches"):
        show_build(None, None, pipe())
    tree = build.store.root / "exports" / "video_patches"
    write_plan(tree, build.plan())
    console = pipe()
    show_build(None, None, console, once=True)
    assert "video patches" in text(console)


def test_a_folder_without_a_build_and_a_store_that_is_not_here_are_named(build: SmallBuild, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no build in"):
        show_build(tmp_path, None, pipe())
    write_plan(build.tree, build.plan().model_copy(update={"store": "/not/here"}))
    with pytest.raises(StoreError, match="--store"):
        show_build(build.tree, None, pipe())


def test_a_terminal_follows_a_build_to_its_end(build: SmallBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_patches, "EVERY_S", 0.05)
    console = terminal()
    viewer = threading.Thread(target=show_build, args=(build.tree, None, console))
    viewer.start()
    for film in build.films:
        build.cut(film, [0, 1])
    viewer.join(timeout=30)
    assert not viewer.is_alive()
    before, left, after = text(console).rpartition("\x1b[?1049l")
    assert left
    assert "running" in before
    assert "finished" in after
    assert "100.0%" in after


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 60), (140, 40), (140, 24), (200, 60), (40, 12), (20, 5)])
def test_the_view_fits_its_terminal(tmp_path: Path, width: int, height: int) -> None:
    progress = BuildWatch(many_films(497, 3), Store(tmp_path)).progress()
    lines = drawn(progress, width, height)
    assert len(lines) <= height
    assert {len(line) for line in lines} == {width}
    if (width, height) not in {(40, 12), (20, 5)}:
        said = "\n".join(lines)
        for word in ("Films", "497 waiting", "Formats", "general", "CPU", "free", "5 processes, 3.4 cores"):
            assert word in said


def test_all_films_are_shown_where_there_is_no_end_to_the_page(tmp_path: Path) -> None:
    progress = BuildWatch(many_films(497, 3), Store(tmp_path)).progress()
    assert sum("film_" in line for line in drawn(progress, 80, None)) == 497


def test_films_that_move_come_first(build: SmallBuild) -> None:
    watch = BuildWatch(many_films(40, 1), build.store)
    films = list(watch.progress().films)
    films[33] = films[33].model_copy(update={"state": "running", "film": "this_one", "last_at": 5.0})
    films[35] = films[35].model_copy(update={"state": "finished", "film": "that_one", "last_at": 9.0})
    lines = drawn(watch.progress().model_copy(update={"films": tuple(films)}), 80, 40)
    shown = [line.split()[1] for line in lines if line.startswith(("● ", "✔ ", "· "))]
    assert shown[:2] == ["this_one", "that_one"]


def test_nothing_is_drawn_where_there_is_no_terminal(build: SmallBuild) -> None:
    console = pipe()
    with watching(build.tree, build.store, console):
        build.cut("wall_e", [0])
    assert text(console) == ""


def test_a_run_is_watched_beside_its_log(build: SmallBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.logging.handlers import PrefectConsoleHandler

    monkeypatch.setattr(monitor_patches, "EVERY_S", 0.05)
    elsewhere = io.StringIO()
    handler = PrefectConsoleHandler(stream=elsewhere)
    handler.setFormatter(logging.Formatter("%(levelname)s | %(message)s"))
    log = logging.getLogger("a.run.of.patches")
    log.propagate = False
    log.addHandler(handler)
    own = handler.console
    console = terminal()
    try:
        with watching(build.tree, build.store, console):
            for film in build.films:
                build.cut(film, [0, 1])
                log.error("%s [is] cut", film)
                print(f"printed about {film}")
        log.error("afterwards")
    finally:
        log.removeHandler(handler)
    said = text(console)
    assert "wall_e [is] cut" in said
    assert "printed about wall_e" in said
    assert "✔ finished" in said
    assert handler.console is own
    assert elsewhere.getvalue() == "ERROR | afterwards\n"


def test_a_plan_of_an_earlier_run_is_not_shown_as_ours(build: SmallBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_patches, "EVERY_S", 0.02)
    write_plan(build.tree, build.plan().model_copy(update={"pid": 1}))
    console = terminal()
    with watching(build.tree, build.store, console):
        threading.Event().wait(0.1)
    assert "Looking at the films" in text(console)
    assert "windows" not in text(console).replace("their windows", "")


def test_a_plan_that_does_not_read_stops_the_view_and_not_the_run(build: SmallBuild) -> None:
    (build.tree / ".mannequin" / "build.json").write_text("{}")
    console = terminal()
    with watching(build.tree, build.store, console):
        pass
    assert "cannot be shown" in text(console)


def test_the_load_of_a_machine_and_a_run(tmp_path: Path) -> None:
    import psutil

    meter = LoadMeter(tmp_path)
    meter.read(psutil.Process())
    load = meter.read(psutil.Process())
    assert load.run is not None
    assert load.run.processes >= 1
    assert 10**7 < load.run.memory_bytes < load.memory_total
    assert 0 < load.memory_used < load.memory_total
    assert 0 <= load.disk_free <= load.disk_total
    assert LoadMeter(tmp_path).read().run is None


def test_times_and_sizes_as_people_say_them() -> None:
    assert [duration(each) for each in (0.4, 59.6, 725, 11220, 187200)] == [
        "0 s",
        "1 min 00 s",
        "12 min 05 s",
        "3 h 07 min",
        "2 d 4 h",
    ]
    assert [size(each) for each in (0, 999, 1500, 123456, 4.2e9, 4.16e14)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "123 kB",
        "4.2 GB",
        "416.00 TB",
    ]


def test_a_build_in_one_line(build: SmallBuild) -> None:
    build.cut("wall_e", [0])
    watch = BuildWatch(build.plan(), build.store)
    watch.look()
    assert summary_line(watch.progress()).startswith("1 of 4 pieces · 8 of 32 windows · 6 kept (75%)")
