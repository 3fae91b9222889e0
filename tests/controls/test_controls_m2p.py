"""A dance video of known truth through the real stages of music to pose."""

from pathlib import Path

import pytest

from tasks.controls.m2p import check_music_to_pose
from tasks.m2p.config import STEPS
from tests.controls.faults_films import dance_build
from tests.lineage.remake_builds import machine


@pytest.mark.slow
def test_what_needs_no_model_is_controlled_without_one(tmp_path: Path) -> None:
    report = check_music_to_pose(dance_build(until="dance"), machine(tmp_path), "build")
    assert report.blamed is None
    assert {each.stage for each in report.findings} == {"dance"}


@pytest.mark.real
def test_what_was_controlled_is_found_again_and_is_in_no_export(real_data: Path, tmp_path: Path) -> None:
    here = machine(tmp_path, real_data / "models")
    first = check_music_to_pose(dance_build(), here, "build")
    assert first.blamed is None
    assert {each.stage for each in first.findings} == {*STEPS} - {"exports"}
    made = {(record.stage, record.key) for record in here.store.records()}
    again = check_music_to_pose(dance_build(), here, "build")
    assert {(record.stage, record.key) for record in here.store.records()} == made
    assert again.model_copy(update={"seconds": first.seconds}) == first
    assert not (tmp_path / "exports").exists()
