"""The seed's folders: exactly its names and fields, kept up to date, whatever interrupts."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.exports.owned import OwnedFolder
from tasks.exports.pose_folders import PoseFoldersExport, export_pose_folders
from tasks.exports.pose_folders_check import check_pose_folders
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tests.exports.pose_shards import mixed_rows, photo, picture, template, write_build
from tests.shards.faulty_files import CountingFiles, KilledFiles

ROOT = Path(__file__).parents[2]


def export(tmp_path: Path, rows: list[dict[str, object]], **more: object) -> PoseFoldersExport:
    templates, photos = write_build(tmp_path / "build", rows, **more)  # type: ignore[arg-type]
    return export_pose_folders(Store(tmp_path / "store"), templates, photos, tmp_path / "out")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def metadata(tmp_path: Path, category: str) -> list[dict[str, object]]:
    return json.loads((tmp_path / "out" / category / "metadata.json").read_bytes())  # type: ignore[no-any-return]


def test_the_forms_of_the_seed(tmp_path: Path) -> None:
    done = export(tmp_path, mixed_rows())
    assert done.rows == {"fashion": 6, "lifestyle": 4, "sports": 2}
    assert (done.change.written, done.change.kept, done.change.removed) == (6 * 3 + 4 * 2 + 2 * 2 + 3, 0, 0)
    first = metadata(tmp_path, "fashion")[0]
    assert list(first.items()) == [
        ("id", "fashion_0000"),
        ("category", "fashion"),
        ("gender", "women"),
        ("pose", "front"),
        ("cloth", "dress"),
        ("caption", "woman in dress number 0"),
        ("pid", "id_0"),
        ("image_filename", "fashion_0000_image.jpg"),
        ("mask_filename", "fashion_0000_mask.jpg"),
        ("mask_overlay_filename", "fashion_0000_overlay.jpg"),
    ]
    assert list(metadata(tmp_path, "lifestyle")[3].items()) == [
        ("id", "lifestyle_0003"),
        ("category", "lifestyle"),
        ("text", "woman in dress number 3"),
        ("image_filename", "lifestyle_0003_image.jpg"),
        ("conditioning_filename", "lifestyle_0003_conditioning.jpg"),
    ]
    assert [e["id"] for e in metadata(tmp_path, "sports")] == ["sports_0000", "sports_0001"]
    check = check_pose_folders(tmp_path / "out")
    assert check.problems == ()
    assert [(c.category, c.entries, c.files) for c in check.categories] == [
        ("fashion", 6, 18),
        ("lifestyle", 4, 8),
        ("sports", 2, 4),
    ]
    assert check.categories[0].sizes["overlay"] == {"48 x 64": 6}


def test_upright_jpegs_are_copied_and_the_rest_is_encoded_upright(tmp_path: Path) -> None:
    rows = [template(i) for i in range(3)]
    photos = [
        photo(rows[0]),
        photo(rows[1], image={"bytes": picture(1, orientation=6, size=(64, 48)), "path": ""}),
        photo(rows[2], image={"bytes": picture(2, "PNG"), "path": ""}),
    ]
    export(tmp_path, rows, photos=photos)
    folder = tmp_path / "out/fashion"
    assert (folder / "fashion_0000_image.jpg").read_bytes() == picture(0)
    for name in ("fashion_0001_image.jpg", "fashion_0002_image.jpg"):
        with Image.open(folder / name) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (48, 64), "RGB")
            assert 0x0112 not in image.getexif()
    with Image.open(BytesIO(picture(2, "PNG"))) as source, Image.open(folder / "fashion_0002_image.jpg") as image:
        assert np.abs(np.asarray(source, np.int16) - np.asarray(image, np.int16)).mean() < 3
    with Image.open(folder / "fashion_0000_mask.jpg") as image:
        assert image.mode == "L"
        values = np.asarray(image)
    assert (np.minimum(values, 255 - values) < 16).all()


def test_what_the_source_does_not_say(tmp_path: Path) -> None:
    silent = {"caption": None, "source_gender": None, "source_pose": None, "cloth": None, "pid": None}
    rows = [
        template(0, **silent, gender=None, pose_class="unknown"),
        template(1, **silent, gender="male", pose_class="sitting"),
        template(2, "lifestyle", **silent),
        template(3, gender=None, source_gender="MEN"),
    ]
    photos = [photo(row, mask=None, mask_overlay={"bytes": None, "path": None}, conditioning=None) for row in rows]
    export(tmp_path, rows, photos=photos)
    empty, man, said = metadata(tmp_path, "fashion")
    assert [empty[k] for k in ("gender", "pose", "cloth", "caption", "pid")] == [""] * 5
    assert (empty["mask_filename"], empty["mask_overlay_filename"]) == (None, None)
    assert (man["gender"], man["pose"], said["gender"]) == ("men", "sitting", "men")
    assert metadata(tmp_path, "lifestyle")[0] | {"id": 0} == {
        "id": 0,
        "category": "lifestyle",
        "text": "",
        "image_filename": "lifestyle_0000_image.jpg",
        "conditioning_filename": None,
    }
    assert check_pose_folders(tmp_path / "out").ok


def test_pictures_that_do_not_decode_cost_only_themselves(tmp_path: Path) -> None:
    rows = [template(i) for i in range(3)]
    photos = [
        photo(rows[0], mask={"bytes": b"no picture", "path": ""}),
        photo(rows[1], image={"bytes": picture(1)[:400], "path": ""}),
        photo(rows[2]),
    ]
    done = export(tmp_path, rows, photos=photos)
    assert {(u.sample_id, u.column) for u in done.unreadable} == {("fashion/0000", "mask"), ("fashion/0001", "image")}
    assert [(e["id"], e["mask_filename"]) for e in metadata(tmp_path, "fashion")] == [
        ("fashion_0000", None),
        ("fashion_0002", "fashion_0002_mask.jpg"),
    ]
    assert done.rows["fashion"] == 2
    assert check_pose_folders(tmp_path / "out").ok


def test_a_second_export_touches_nothing(tmp_path: Path) -> None:
    export(tmp_path, mixed_rows())
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file() and p.name != "lock"}
    again = export(tmp_path, mixed_rows())
    assert (again.change.written, again.change.removed) == (0, 0)
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_numbers_stay_when_rows_come_and_go(tmp_path: Path) -> None:
    export(tmp_path, mixed_rows(fashion=4))
    mine = tmp_path / "out/fashion/holiday.jpg"
    mine.write_bytes(picture(3))
    changed = tmp_path / "out/fashion/fashion_0001_mask.jpg"
    changed.write_bytes(b"somebody painted here")
    kept = [row for row in mixed_rows(fashion=6) if row["sample_id"] != "fashion/0001"]
    done = export(tmp_path, kept)
    assert [e["id"] for e in metadata(tmp_path, "fashion")] == [f"fashion_{i:04d}" for i in (0, 2, 3, 4, 5)]
    assert done.change.removed == 2
    assert mine.exists()
    assert changed.exists()
    problems = check_pose_folders(tmp_path / "out").problems
    assert problems == (
        "fashion/fashion_0001_mask.jpg is in no entry of metadata.json",
        "fashion/holiday.jpg is in no entry of metadata.json",
    )


def test_damaged_files_of_ours_are_written_again(tmp_path: Path) -> None:
    export(tmp_path, mixed_rows())
    before = tree(tmp_path / "out")
    (tmp_path / "out/fashion/fashion_0000_image.jpg").write_bytes(b"cut")
    (tmp_path / "out/sports/sports_0001_conditioning.jpg").unlink()
    (tmp_path / "out/lifestyle/metadata.json").write_text("[]")
    assert len(check_pose_folders(tmp_path / "out").problems) == 2 + 8
    assert export(tmp_path, mixed_rows()).change.written == 3
    assert tree(tmp_path / "out") == before


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    theirs = tmp_path / "out/fashion/fashion_0002_image.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="not ours and in the way"):
        export(tmp_path, mixed_rows())
    assert theirs.read_bytes() == b"mine"
    theirs.unlink()
    export(tmp_path, mixed_rows())
    assert check_pose_folders(tmp_path / "out").ok


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/fashion").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="no place"):
        export(tmp_path, mixed_rows())
    assert list(elsewhere.iterdir()) == []


def test_a_list_of_ours_that_names_other_places_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"")
    (tmp_path / "out/.mannequin").mkdir(parents=True)
    listed = {"../secret": ["af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", ""]}
    (tmp_path / "out/.mannequin/files.json").write_text(json.dumps(listed))
    with pytest.raises(StoreError, match="damaged"):
        export(tmp_path, mixed_rows())
    assert secret.exists()


def test_one_export_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.exports.owned import OwnedFolder
    from tasks.shards.files import LocalFiles

    monkeypatch.setattr("tasks.exports.owned.TURN_S", 0.2)
    with (
        OwnedFolder(tmp_path / "out", LocalFiles()),
        pytest.raises(ConfigError, match="Another export"),
    ):
        export(tmp_path, mixed_rows())


def test_a_photo_that_two_shards_hold_is_written_once(tmp_path: Path) -> None:
    done = export(tmp_path, [template(0)], photos=[photo(template(0))] * 2, per_shard=1)
    assert sum(done.rows.values()) == 1


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder form"):
        export(tmp_path, [template(0) | {"category": "../evil"}])
    with pytest.raises(StoreError, match="have no picture"):
        export(tmp_path, mixed_rows(), photos=[photo(row) for row in mixed_rows()[:-1]])
    with pytest.raises(StoreError, match="there twice"):
        export(tmp_path, [template(0), template(0)], photos=[photo(template(0))])
    _, photos = write_build(tmp_path / "build", mixed_rows())
    with pytest.raises(StoreError, match="no shard of templates"):
        export_pose_folders(Store(tmp_path / "store"), photos, photos, tmp_path / "out")
    with pytest.raises(ConfigError, match="absolute"):
        export_pose_folders(Store(tmp_path / "store"), [], [], Path("relative"))


def test_no_rows_give_empty_lists(tmp_path: Path) -> None:
    done = export(tmp_path, [], photos=[])
    assert done.rows == {"fashion": 0, "lifestyle": 0, "sports": 0}
    assert [metadata(tmp_path, c) for c in done.rows] == [[], [], []]
    assert check_pose_folders(tmp_path / "out").ok


def test_check_sees_what_is_wrong_with_folders_of_others(tmp_path: Path) -> None:
    export(tmp_path, mixed_rows(fashion=2, lifestyle=1, sports=0))
    place = tmp_path / "out/fashion"
    entries = metadata(tmp_path, "fashion")
    entries[0]["mask_filename"] = "../../../etc/passwd"
    entries[1]["id"] = "fashion_0000"
    entries[1]["image_filename"] = None
    entries[1].pop("pid")
    (place / "metadata.json").write_text(json.dumps(entries))
    (tmp_path / "out/lifestyle/metadata.json").write_text("{")
    (tmp_path / "out/sports/metadata.json").unlink()
    (place / "fashion_0000_overlay.jpg").write_bytes(picture(0, "PNG"))
    said = "\n".join(check_pose_folders(tmp_path / "out").problems)
    for part in (
        "names '../../../etc/passwd'",
        "fashion_0000 is there twice",
        "has no image",
        "has the fields",
        "is no JPEG but PNG",
        "fashion_0001_image.jpg is in no entry",
        "lifestyle/metadata.json does not read",
        "sports/metadata.json is missing",
    ):
        assert part in said


class OneKill(KilledFiles):
    """Files are written by several threads: count and die in one step."""

    _counting = threading.Lock()

    def _before(self, operation: str) -> None:
        with self._counting:
            super()._before(operation)


def interrupted(top: str, step: int, kills: int) -> None:
    """Run in a fresh interpreter: killed at every `step`th write point, then at random; reruns give the same tree."""
    root = Path(top)
    before, after = mixed_rows(2, 1, 1), [row for row in mixed_rows(3, 1, 0) if row["sample_id"] != "fashion/0001"]
    builds = [write_build(root / f"build-{i}", rows) for i, rows in enumerate((before, after))]

    def both(name: str, files: CountingFiles) -> Path:
        folder = root / name
        for templates, photos in builds:
            export_pose_folders(Store(folder / "store", files), templates, photos, folder / "out")
        return folder

    def in_child(name: str, files: CountingFiles, after_s: float | None = None) -> int:
        child = os.fork()
        if child == 0:
            both(name, files)
            os._exit(0)
        if after_s is not None:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    counting = CountingFiles()
    started = time.perf_counter()
    calm = tree(both("calm", counting) / "out")
    took = time.perf_counter() - started
    assert check_pose_folders(root / "calm/out").ok
    points = len(counting.log)
    assert points > 60
    for at in range(0, points, step):
        assert in_child(f"at-{at}", OneKill(at, "before")) == -signal.SIGKILL
        assert tree(both(f"at-{at}", CountingFiles()) / "out") == calm, at
    chance = np.random.default_rng(5)
    for kill in range(kills):
        for _ in range(3):
            in_child(f"random-{kill}", CountingFiles(), float(chance.uniform(0, took)))
        assert tree(both(f"random-{kill}", CountingFiles()) / "out") == calm, kill
    print(f"{points} write points, {kills} x 3 random kills")


@pytest.mark.slow
@pytest.mark.parametrize(("step", "kills"), [(19, 2), pytest.param(1, 30, marks=pytest.mark.timeout(900))])
def test_killed_anywhere_it_ends_with_the_same_tree(tmp_path: Path, step: int, kills: int) -> None:
    code = (
        f"from tests.exports.test_exports_pose_folders import interrupted as i; i({str(tmp_path)!r}, {step}, {kills})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=900)


@pytest.mark.real
def test_real_photos(tmp_path: Path, real_data: Path) -> None:
    sources = sorted((real_data / "people").rglob("*.jpg"))[:12]
    sources += sorted((real_data / "badinputs").glob("pillow_hopper_orientation_[3-8].jpg"))
    assert len(sources) > 12
    rows = [template(i) for i in range(len(sources))]
    photos = [
        photo(row, image={"bytes": path.read_bytes(), "path": path.name}, mask=None)
        for row, path in zip(rows, sources, strict=True)
    ]
    done = export(tmp_path, rows, photos=photos)
    assert done.unreadable == ()
    check = check_pose_folders(tmp_path / "out")
    assert check.ok
    copied = [
        (tmp_path / f"out/fashion/fashion_{i:04d}_image.jpg").read_bytes() == p.read_bytes()
        for i, p in enumerate(sources)
    ]
    assert not any(copied[-6:])
    assert sum(copied) >= 10


def test_a_name_is_free_unless_somebody_elses_file_has_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("theirs")
    for content in (b"first", b"second"):
        with OwnedFolder(tmp_path, LocalFiles()) as folder:
            assert not folder.is_free("README.md")
            assert folder.is_free("card.md")
            folder.put({"card.md": content})
            folder.finish()
    assert (tmp_path / "card.md").read_bytes() == b"second"
