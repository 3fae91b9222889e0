"""Sample sheets."""

from pathlib import Path

import numpy as np

from tasks.exports.webbody_cut import CutConfig
from tasks.exports.webbody_sheets import FaceRow, identities_sheet, sample_sheets, with_joints
from tests.exports.webbody_shards import Build


def test_the_sheets_of_a_build(tmp_path: Path) -> None:
    build = Build()
    build.photos[2]["image"] = {"bytes": b"", "path": "x"}
    build.faces[5]["aligned"] = {"bytes": b"", "path": "x"}
    sheets = sample_sheets(build.write(tmp_path), CutConfig(), samples=8)
    assert [title.split()[0] for title in sheets] == ["Bodies", "Their", "Largest", "Doubtful"]
    for sheet in sheets.values():
        assert sheet.dtype == np.uint8
        assert sheet.min() < 120
    *_, largest, doubtful = sheets.values()
    assert largest.shape == doubtful.shape


def test_a_build_without_members_has_empty_sheets(tmp_path: Path) -> None:
    build = Build()
    build.members = []
    for sheet in sample_sheets(build.write(tmp_path), CutConfig()).values():
        assert (sheet == 250).all()


def test_joints_are_drawn_where_they_are_seen() -> None:
    body = np.full((384, 384, 3), 200, np.uint8)
    xy = np.full((17, 2), -1.0)
    xy[0], xy[5], xy[6] = (100, 50), (150.5, 200), (250, 200)
    drawn = with_joints(body, xy)
    assert (body == 200).all()
    changed = (drawn != 200).any(axis=2)
    assert changed[50, 100]
    assert changed[200, 150:251].all()
    assert not changed[120, :].any()
    assert not changed[:20, :20].any()


def test_each_identity_has_a_row() -> None:
    face = np.zeros((40, 40, 3), np.uint8)
    sheet = identities_sheet([FaceRow("a", [face], ["0.1"]), FaceRow("b", [face] * 4, ["0.2"] * 4)], columns=3)
    dark = (sheet.reshape(sheet.shape[0], -1) == 0).any(axis=1)
    assert np.count_nonzero(np.diff(dark.astype(int)) == 1) == 2
