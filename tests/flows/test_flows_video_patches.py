"""The flow on a local server and a small film: funnel, resuming, damage, changes, and a film that cannot be used."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort

from flows.video_patches import video_patches
from tasks.patches.build import Summary
from tasks.patches.config import VideoPatchesForm
from tasks.schema.errors import StoreError
from tasks.shards.derive import StageNotRunError
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.golden.films import FILM
from tests.patches.film_builds import CATEGORIES, FORMATS

pytestmark = pytest.mark.timeout(180)

MACHINE = {"distributor": "threads", "workers": 2, "min_free_gb": 0.1}


def form(tree: Path, *more: dict[str, Any], **changes: Any) -> VideoPatchesForm:
    film = {"name": "One cut", "path": str(FILM), "categories": {"general": 1.0, "space": 0.5}, "licence": "own"}
    given = {
        "films": [film, *more],
        "output": str(tree),
        "windows_per_film": 4,
        "categories": CATEGORIES,
        "formats": FORMATS,
        "machine": MACHINE,
        "controls": False,
    }
    return VideoPatchesForm.model_validate(given | changes)


def files(tree: Path) -> dict[str, bytes]:
    """Every picture below a tree."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*.png"))}


def run(config: VideoPatchesForm) -> Summary:
    state: State[Summary] = video_patches(config, return_state=True)
    return state.result()


def artifact(key: str) -> Any:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return found[0].data


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tree")


@pytest.fixture(scope="module")
def first(home: Path, tree: Path) -> Summary:
    return run(form(tree))


def test_every_window_is_in_the_tree_or_rejected(first: Summary, home: Path, tree: Path) -> None:
    assert (first.films, first.windows, sum(first.kept.values())) == (1, 6, 6)
    manifest = read_manifest(Store(home), "video_patches", first.manifest)
    assert [line.stage for line in manifest.funnel.lines] == ["film", "windows", "patches"]
    assert manifest.funnel.line("patches").rows_kept == 6
    assert Counter(name.split("/")[-2] for name in files(tree)) == {"GT": 6, "LR_5frames": 6, "LR_7frames": 6}
    assert "One cut" not in (tree / "README.md").read_text()
    assert "one_cut" in (tree / "README.md").read_text()
    assert verify_store(Store(home)).ok


def test_a_run_shows_numbers_and_pictures(first: Summary) -> None:
    assert {row["stage"] for row in json.loads(artifact("video-patches-funnel"))} == {"film", "windows", "patches"}
    assert sum(row["kept"] for row in json.loads(artifact("video-patches-formats"))) == 6
    assert json.loads(artifact("video-patches-films"))[0]["success"] == "100.0%"
    assert "![Ground truth beside its stacks" in artifact("video-patches-sheet")


def test_the_page_of_a_build_shows_patches(first: Summary, home: Path) -> None:
    page = (home / "reports" / "video_patches" / f"{first.manifest}.html").read_text()
    assert "Ground truth beside its stacks" in page


def test_a_second_run_changes_nothing_and_lost_files_come_back(first: Summary, tree: Path) -> None:
    before = files(tree)
    written = {name: (tree / name).stat().st_mtime_ns for name in before}
    assert run(form(tree)) == first
    assert {name: (tree / name).stat().st_mtime_ns for name in before} == written
    lost = min(before)
    (tree / lost).unlink()
    assert run(form(tree)) == first
    assert files(tree) == before


@pytest.mark.slow
def test_films_that_cannot_be_used_are_told_and_the_others_made(first: Summary, tree: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(FILM.read_bytes()[:9000])
    more = [
        {"name": "Broken", "path": str(broken), "categories": {"general": 1.0}},
        {"name": "Missing", "path": str(tmp_path / "missing.mkv"), "categories": {"general": 1.0}},
    ]
    summary = run(form(tree, *more))
    assert summary.kept == first.kept
    assert summary.rejected == {"film_missing": 1, "video_truncated": 1}
    assert {row["film"]: row["state"] for row in json.loads(artifact("video-patches-films"))} == {
        "one_cut": "finished",
        "broken": "rejected",
        "missing": "rejected",
    }


@pytest.mark.slow
def test_what_is_no_part_of_the_build_goes_and_what_is_not_ours_stays(home: Path, tmp_path: Path) -> None:
    run(form(tmp_path))
    before = files(tmp_path)
    mine = tmp_path / "Universal" / "Mastermodell" / "Learn" / "Patches" / "GT" / "mine.png"
    mine.write_bytes(b"mine")
    summary = run(form(tmp_path, windows_per_film=2))
    after = files(tmp_path)
    assert mine.read_bytes() == b"mine"
    assert len(after) - 1 == 3 * sum(summary.kept.values()) < len(before)
    assert (summary.removed or 0) > 0


def test_a_run_up_to_the_plan_writes_no_pictures(home: Path, tmp_path: Path) -> None:
    summary = run(form(tmp_path, until="windows", planning={"seed": 9}))
    assert (summary.kept, files(tmp_path)) == ({}, {})
    with pytest.raises(StageNotRunError, match="windows"):
        run(form(tmp_path, only_stages=["patches"], planning={"seed": 10}))


def test_a_run_up_to_the_plan_leaves_the_tree_alone(first: Summary, tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()}
    assert run(form(tree, until="windows")).kept == first.kept
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*") if path.is_file()} == before


def test_a_full_disk_stops_before_it_is_full(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="make room"):
        run(form(tmp_path, machine=MACHINE | {"min_free_gb": 10_000_000}))
    assert files(tmp_path) == {}
