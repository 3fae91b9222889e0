"""Controls of pose templates without weights: nothing is alarming, found again, made anew for another build."""

from pathlib import Path

import pytest

from tasks.shards.store import Store
from tests.controls.faults_photos import DRAWN, poses_check
from tests.lineage.remake_builds import machine


def test_a_clean_build_passes_and_is_found_again(tmp_path: Path) -> None:
    here = machine(tmp_path)
    check = poses_check(DRAWN, "", here)
    first = check("one build")
    assert first.blamed is None
    stages = list(dict.fromkeys(finding.stage for finding in first.findings))
    assert stages == ["controls", "inspect", "keypoints", "describe", "preview", "select", "combine"]
    made = keys(here.store)
    again = check("one build")
    assert (again.findings, again.samples) == (first.findings, first.samples)
    assert keys(here.store) == made


@pytest.mark.slow
def test_another_build_makes_its_controls_anew(tmp_path: Path) -> None:
    here = machine(tmp_path)
    check = poses_check(DRAWN, "", here)
    assert check("one build").passed
    made = keys(here.store)
    assert check("another build").passed
    assert len(keys(here.store)) == 2 * len(made)


def keys(store: Store) -> set[tuple[str, str]]:
    return {(record.stage, record.key) for record in store.records()}
