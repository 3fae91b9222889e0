"""A folder that we share: what is listed when an export has ended, when one was stopped, and what is not read again."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from blake3 import blake3

from tasks.exports import contents
from tasks.exports.contents import Disjoint, MadeBy
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.verify_export import verify
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.files import LocalFiles
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, PowerLossError

OLD = {"a.csv": b"id,split\n1,train\n", "b/c.bin": b"old", "gone.bin": b"gone"}
NEW = {"a.csv": b"id,split\n1,train\n2,test\n", "b/c.bin": b"new", "b/d.bin": b"more"}


def export(folder: Path, files: Mapping[str, bytes], disk: LocalFiles | None = None, **more: str) -> FolderChange:
    with OwnedFolder(folder, disk or LocalFiles()) as out:
        for name, data in files.items():
            if not out.keep(name, made_from := blake3(data).hexdigest()):
                out.put({name: data}, {name: made_from})
        out.declare(Disjoint(("*.csv",), ("id",)))
        return out.finish(MadeBy("flow", "manifest"), more)


def test_every_export_has_its_list_and_its_check(tmp_path: Path) -> None:
    change = export(tmp_path, OLD)
    assert (change.written, change.kept, change.removed) == (3, 0, 0)
    found = verify(tmp_path, expect=change.contents)
    assert (found.faults, found.warnings) == ([], [])
    assert found.contents is not None
    assert sorted(found.contents.files) == ["a.csv", "b/c.bin", "gone.bin", "verify.py"]
    assert found.contents.made_by == {"flow": "flow", "manifest": "manifest"}
    again = export(tmp_path, OLD)
    assert (again.written, again.kept, again.removed, again.contents) == (0, 3, 0, change.contents)
    assert export(tmp_path, NEW).removed == 1
    assert verify(tmp_path).warnings == []


def test_files_that_stay_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = export(tmp_path, OLD)
    read: list[str] = []
    real = contents.verify_export.file_facts
    monkeypatch.setattr(
        contents.verify_export, "file_facts", lambda path, name, also: read.append(name) or real(path, name, also)
    )
    export(tmp_path, OLD)
    assert read == []
    noted = tmp_path / ".mannequin/files.json"
    earlier = json.dumps({name: said[:2] for name, said in json.loads(noted.read_bytes()).items()})
    noted.write_text(earlier)
    assert export(tmp_path, OLD).contents == first.contents
    assert sorted(read) == ["a.csv", "b/c.bin", "gone.bin"]
    read.clear()
    assert export(tmp_path, OLD | {"new": b"new"}).kept == 3
    assert sorted(read) == ["contents.json", "new"]


def test_files_that_others_look_after_are_listed_and_never_removed(tmp_path: Path) -> None:
    theirs = tmp_path / "patches/a film.png"
    theirs.parent.mkdir()
    theirs.write_bytes(b"png")
    export(tmp_path, OLD, **{"patches/a film.png": blake3(b"png").hexdigest()})
    assert verify(tmp_path).warnings == verify(tmp_path).faults == []
    theirs.write_bytes(b"PNG")
    assert len(verify(tmp_path).faults) == 1
    with pytest.raises(StoreError, match=r"a film\.png does not hold what was written: remove it"):
        export(tmp_path, OLD, **{"patches/a film.png": blake3(b"other").hexdigest()})
    export(tmp_path, OLD)
    assert theirs.exists()
    assert len(verify(tmp_path).warnings) == 1


@pytest.mark.parametrize("name", ["verify.py", "contents.json"])
def test_somebody_elses_file_is_told_before_anything_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="not ours and in the way"):
        export(tmp_path, OLD)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("step", [14, pytest.param(1, marks=pytest.mark.slow)])
def test_stopped_anywhere_the_list_is_the_old_or_the_new_one(tmp_path: Path, step: int) -> None:
    """And verify.py says so unless the export that it lists is there, whole."""
    counting = CountingFiles()
    listed = [export(tmp_path / "calm", files, counting).contents for files in (OLD, NEW)]
    points = len(counting.log)
    assert points > 60
    passed = []
    for at in range(1, points, step):
        folder = tmp_path / str(at)
        with pytest.raises(PowerLossError):
            [export(folder, files, disk) for disk in [ForgetfulFiles(at, seed=1)] for files in (OLD, NEW)]
        found = verify(folder)
        if (folder / "contents.json").exists():
            assert found.contents is not None
            assert found.contents.digest in listed
        if not found.faults:
            passed.append(at)
        else:
            assert found.contents is None or "was stopped" in found.faults[0]
        assert [export(folder, files).contents for files in (OLD, NEW)] == listed
        assert verify(folder).faults == []
    assert 0 < len(passed) < points / step / 2
