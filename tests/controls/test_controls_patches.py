"""Films of known truth through the real stages of video patches."""

from pathlib import Path
from typing import Any

import pytest

from tasks.controls import place
from tasks.controls.patches import check_video_patches
from tasks.controls.place import control_store
from tasks.shards.store import Store
from tests.controls.faults_films import patch_build
from tests.lineage.remake_builds import machine
from tests.patches.film_builds import CATEGORIES, FORMATS

SMALL: dict[str, Any] = {"categories": CATEGORIES, "formats": FORMATS}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_was_controlled_is_found_again_and_is_in_no_export(tmp_path: Path) -> None:
    here = machine(tmp_path)
    first = check_video_patches(patch_build(**SMALL), here, "build")
    assert first.blamed is None
    assert {each.stage for each in first.findings} == {"film", "windows", "patches"}
    before = files_of(tmp_path)
    assert not any(name.startswith(("exports/", "builds/")) for name in before)
    again = check_video_patches(patch_build(**SMALL), here, "build")
    assert files_of(tmp_path) == before
    assert again.model_copy(update={"seconds": first.seconds}) == first
    check_video_patches(patch_build(**SMALL), here, "another build")
    assert len(files_of(tmp_path / "shards" / "patches")) > len({n for n in before if n.startswith("shards/patches/")})


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        {"layout": "sequences", "planning": {"seed": 7}},
        {"ground_truth": "native", "layout": "both"},
        {"until": "windows"},
        {"categories": [{"name": "general", "folder": "a", "formats": {"fullhd_1920": 1.0}}]},
    ],
    ids=["sequences", "native", "windows", "full_hd"],
)
def test_clean_builds_give_no_alarm(other: dict[str, Any], tmp_path: Path) -> None:
    report = check_video_patches(patch_build(**other), machine(tmp_path), "build")
    assert report.blamed is None
    if "until" in other:
        assert {each.stage for each in report.findings} == {"film", "windows"}


def test_controls_of_old_marks_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    old, new = (control_store(store, "video_patches", mark).root for mark in ("old", "new"))
    assert old.exists()
    monkeypatch.setattr(place, "KEPT_S", -1.0)
    assert control_store(store, "video_patches", "new").root == new
    assert not old.exists()
