"""Reports of controls: kept, read again, and shown."""

from pathlib import Path

import pytest

from tasks.controls.finding import ControlReport, Finding
from tasks.controls.show import control_rows, control_section, read_controls, save_controls, sentence
from tasks.schema.errors import StoreError
from tasks.shards.manifest import manifest_damage
from tasks.shards.store import Store

DIGEST = "0" * 64
FINE = Finding.at_most("inspect", "size <of> photos", 0, 0, "px")
WRONG = Finding.at_least("keypoints", "left and right", 0.25, 0.7, "share", "Of 4 joints.")
LATER = Finding.none_wrong("describe", "captions", {f"sample {n}": False for n in range(5)})


def report(*findings: Finding) -> ControlReport:
    return ControlReport(findings=findings, samples=7, seconds=1.5)


def test_a_report_is_kept_beside_the_manifest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert read_controls(store, "webbody", DIGEST) is None
    path = save_controls(store, "webbody", DIGEST, report(FINE))
    assert save_controls(store, "webbody", DIGEST, report(FINE, WRONG)) == path
    assert read_controls(store, "webbody", DIGEST) == report(FINE, WRONG)
    assert not manifest_damage(store)
    assert not list(store.tmp.iterdir())


def test_a_damaged_report_is_told_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = save_controls(store, "webbody", DIGEST, report(FINE))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match="run the flow webbody again"):
        read_controls(store, "webbody", DIGEST)
    assert [*manifest_damage(store)] == [path]


def test_the_first_failure_is_blamed() -> None:
    blamed = report(FINE, WRONG, LATER).blamed
    assert blamed == WRONG
    assert report(FINE).passed
    assert "2 failed, the first in the stage keypoints" in sentence(report(FINE, WRONG, LATER))
    assert LATER.detail.endswith("Wrong: sample 0, sample 1, sample 2 and 2 more.")


def test_a_value_that_is_no_number_does_not_pass() -> None:
    assert not Finding.at_most("embed", "distance", float("nan"), 1).passed
    assert not Finding.at_least("embed", "cosine", float("nan"), 0).passed


def test_what_failed_is_shown_first_and_escaped() -> None:
    assert [row["passed"] for row in control_rows(report(FINE, WRONG, LATER))] == ["no", "no", "yes"]
    section = control_section(report(FINE, WRONG))
    assert section.title == "Controls"
    assert "size &lt;of&gt; photos" in section.body
    assert section.body.index("left and right") < section.body.index("size &lt;of&gt;")
