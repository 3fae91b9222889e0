"""Published previews and their addresses."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.exports.previews import preview_url, publish_previews
from tasks.schema.errors import StoreError
from tasks.schema.ids import template_id
from tasks.shards.store import Store
from tests.exports.pose_shards import picture, write_previews
from tests.shards.faulty_files import CountingFiles, KilledFiles

TOP = Path(__file__).parents[2]
IDS = ["fashion/1", "../../evil", "life style/ü"]
URI = "made://preview"
WANTED = dict.fromkeys(IDS, URI)


def test_template_ids_are_stable() -> None:
    assert template_id("fashion/1") == "pt_82d59c0417e70bf639511c3a"
    assert all(len(template_id(i)) == 27 for i in IDS)
    assert len({template_id(i) for i in IDS}) == 3


def test_previews_lie_under_their_template_id_and_are_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    shard = write_previews(tmp_path / "previews.parquet", [*IDS, "not/selected"])
    paths = publish_previews(store, [shard], WANTED)
    assert paths == {i: f"pose_templates/{template_id(i)}.jpg" for i in IDS}
    public = store.root / "public"
    files = sorted(p for p in (tmp_path / "store").rglob("*") if p.is_file())
    assert len(files) == 9
    name = template_id(IDS[1])
    assert (public / paths[IDS[1]]).read_bytes() == picture(1)
    assert (public / f"pose_templates/{name}_skeleton.png").read_bytes() == picture(1, "PNG")
    assert (public / f"pose_templates/{name}_thumbnail.jpg").read_bytes() == picture(1, size=(12, 16))
    times = [p.stat().st_mtime_ns for p in files]
    (public / paths[IDS[0]]).write_bytes(picture(5))
    assert publish_previews(store, [shard], WANTED) == paths
    changed = [p.name for p, t in zip(files, times, strict=True) if p.stat().st_mtime_ns != t]
    assert changed == [f"{template_id(IDS[0])}.jpg"]
    assert (public / paths[IDS[0]]).read_bytes() == picture(0)


def test_nothing_to_publish_and_nothing_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert publish_previews(store, [], {}) == {}
    with pytest.raises(StoreError, match="have no picture"):
        publish_previews(store, [write_previews(tmp_path / "previews.parquet", IDS)], {"other": URI})


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        (None, "pose_templates/a.jpg"),
        ("", "pose_templates/a.jpg"),
        ("https://cdn.example", "https://cdn.example/pose_templates/a.jpg"),
        ("https://cdn.example/", "https://cdn.example/pose_templates/a.jpg"),
        ("https://cdn.example/x/y/", "https://cdn.example/x/y/pose_templates/a.jpg"),
        ("https://cdn.example:8443/x?sig=1%2F2", "https://cdn.example:8443/x/pose_templates/a.jpg?sig=1%2F2"),
        ("s3://bucket/prefix", "s3://bucket/prefix/pose_templates/a.jpg"),
        ("/static", "/static/pose_templates/a.jpg"),
    ],
)
def test_addresses_join(public: str | None, expected: str) -> None:
    assert preview_url(public, "pose_templates/a.jpg") == expected
    if public:
        assert preview_url(public, "a b#?.jpg").partition("?sig")[0].endswith("/a%20b%23%3F.jpg")


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted((root / "public").rglob("*")) if p.is_file()}


def kill_everywhere(top: str, templates: int) -> None:
    """Run in a fresh interpreter: nothing was published before, or other pictures of some were.

    A reader finds a file as it was or as it will be; the next run ends as an undisturbed one.
    """
    wanted = {f"fashion/{i}": URI for i in range(templates)}
    some = dict(list(wanted.items())[templates // 2 :])
    older = write_previews(Path(top) / "older.parquet", ["another", *wanted])
    shard = write_previews(Path(top) / "previews.parquet", list(wanted))
    for name, before in (("first", {}), ("changed", some)):
        counting = CountingFiles()
        calm = Store(Path(top) / name / "calm", counting)
        publish_previews(calm, [older], before)
        old, earlier = tree(calm.root), len(counting.log)
        publish_previews(calm, [shard], wanted)
        expected, points = tree(calm.root), len(counting.log) - earlier
        assert (len(expected), points) == (3 * templates, 9 * templates + 1)
        for at in range(points):
            for when in ("before", "after"):
                root = Path(top) / name / f"{at}-{when}"
                publish_previews(Store(root), [older], before)
                child = os.fork()
                if child == 0:
                    publish_previews(Store(root, KilledFiles(at, when)), [shard], wanted)
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
                assert all(data in (old.get(file), expected[file]) for file, data in tree(root).items()), (name, at)
                publish_previews(Store(root), [shard], wanted)
                Store(root).sweep(older_than_s=-1)
                assert tree(root) == expected, (name, at, when)
                assert not list(Store(root).tmp.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("templates", [1, 3])
def test_publishing_is_killed_at_every_write_point(tmp_path: Path, templates: int) -> None:
    code = f"from tests.exports.test_exports_previews import kill_everywhere as k; k({str(tmp_path)!r}, {templates})"
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True, timeout=100)
