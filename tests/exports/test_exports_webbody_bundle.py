"""Bundles: what they hold, in each format, and that nothing but the members decides it."""

import errno
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.exports import webbody_pieces
from tasks.exports.webbody_bundle import BundlesExport, export_bundles
from tasks.exports.webbody_check import check_bundle
from tasks.exports.webbody_cut import BUNDLE_SCHEMA
from tasks.exports.webbody_facts import SUBSETS, WHOLE, BundleConfig
from tasks.exports.webbody_join import WebBodyShards
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.rejections import REJECT_SCHEMA
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tests.exports.recordio_reader import read_indexed
from tests.exports.webbody_shards import CARD, Build, face_bytes, member_row, person_row, photo_row

EVERY = BundleConfig(formats=("recordio", "webdataset", "parquet"))
RECORDS = BundleConfig(subsets=("wb4m",))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbody_pieces, "PIECE_ROWS", 5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def export(store: Store, shards: WebBodyShards, root: Path, config: BundleConfig = RECORDS) -> BundlesExport:
    return export_bundles(store, shards, root, config, card=CARD, threads=2)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def seen(files: dict[str, bytes]) -> dict[str, bytes]:
    """What a reader sees of a tree."""
    return {name: data for name, data in files.items() if ".mannequin" not in name}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "rows.parquet", partitioning=None).to_pylist()


def test_the_whole_and_each_subset_in_every_format(tmp_path: Path, store: Store) -> None:
    build = Build()
    done = export(store, build.write(tmp_path / "in"), tmp_path / "out", EVERY)
    sizes = {name: (facts.rows, facts.identities) for name, facts in done.bundles.items()}
    assert sizes == {WHOLE: (16, 4), "wb4m": (4, 1), "wb12m": (12, 3), "wb_testing": (4, 1)}
    for name in (WHOLE, *SUBSETS):
        assert check_bundle(tmp_path / "out" / name).problems == ()
    whole = rows_of(tmp_path / "out" / WHOLE)
    assert [row["sample_id"] for row in whole] == [face["sample_id"] for face in build.faces]
    assert {row["identity"]: row["label"] for row in whole} == {f"id-{i}": i for i in range(4)}
    alone = rows_of(tmp_path / "out/wb12m")
    assert {row["identity"]: (row["label"], row["number"]) for row in alone} == {
        "id-1": (0, 1),
        "id-2": (1, 2),
        "id-3": (2, 3),
    }


def test_records_are_those_of_the_reference(tmp_path: Path, store: Store) -> None:
    build = Build(photos=3, identities=2)
    export(store, build.write(tmp_path / "in"), tmp_path / "out")
    folder = tmp_path / "out" / WHOLE
    read = read_indexed(folder / "train.rec", folder / "train.idx")
    assert [header for header, _ in read.values()] == [(0, label, i, 0) for i, label in enumerate([0, 1, 1, 0])]
    listed = ["0\tq0/0_0.jpg\t0", "1\tq0/0_1.jpg\t1", "2\tq1/1_0.jpg\t1", "3\tq2/2_0.jpg\t0"]
    assert (folder / "train.tsv").read_text().splitlines() == listed
    with Image.open(io.BytesIO(read[0][1])) as body:
        assert (body.size, body.mode, body.format) == ((384, 384), "RGB", "JPEG")
        pixels = np.array(body)
    assert pixels[:, :32].min() > 245
    assert pixels[10:370, 60:320].mean() < 240
    faces = read_indexed(folder / "face.rec", folder / "face.idx")
    assert [data for _, data in faces.values()] == [face_bytes(i) for i in (0, 1, 1, 2)]
    assert (folder / "face.tsv").read_bytes() == (folder / "train.tsv").read_bytes()
    assert (folder / "shapes.csv").read_text().splitlines()[1] == "0,0,0,50,40"
    assert (folder / "subset_config/wb4m.csv").read_text().splitlines() == [
        "local_idx,path,label",
        "1,q0/0_1.jpg,1",
        "2,q1/1_0.jpg,1",
    ]
    assert (folder / "subset_config/test.tsv").read_text().splitlines() == [listed[0], listed[3]]
    assert (folder / "labels.csv").read_text().splitlines()[1:] == ["0,0,id-0,2", "1,1,id-1,2"]


def test_joints_lie_where_the_photo_has_them(tmp_path: Path, store: Store) -> None:
    build = Build(photos=1, identities=1)
    nan = [None, None]
    xy = [*[25.5, 29.5], *[5.5, 4.5], *[45.5, 54.5], *nan, *[5.0, 20.0], *[20.0, 20.0] * 12]
    build.people = [person_row(build.photos[0], keypoints_xy=xy, keypoints_confidence=[0.9] * 16 + [0.49])]
    build.faces, build.members = build.faces[:1], build.members[:1]
    export(store, build.write(tmp_path / "in"), tmp_path / "out", EVERY)
    row = rows_of(tmp_path / "out" / WHOLE)[0]
    scale, left = 384 / 50, (384 - 307) // 2
    points = np.array(row["keypoints_xy"]).reshape(17, 2)
    assert points[0] == pytest.approx([left + 307 * 20 / 40 - 0.5, 25 * scale - 0.5], abs=0.01)
    assert points[1] == pytest.approx([left - 0.5, -0.5])
    assert points[2] == pytest.approx([left + 307 - 0.5, 383.5])
    assert (points[[3, 4, 16]] == -1).all()
    assert (points[5:16] > 0).all()
    listed = (tmp_path / "out" / WHOLE / "kps_xyn.csv").read_text().splitlines()[1].split(",")
    assert listed[3:5] == [f"{(left + 307 / 2) / 384:.5f}", "0.50000"]
    assert listed[7:13] == [f"{(left + 307) / 384:.5f}", "1.00000", "-1", "-1", "-1", "-1"]


def test_equal_members_give_equal_bytes_however_their_shards_are_cut(tmp_path: Path) -> None:
    trees: list[dict[str, Any]] = []
    for per_shard, threads, piece in ((1, 1, 3), (5, 2, 7), (100, 3, 1000)):
        top = tmp_path / str(per_shard)
        shards = Build().write(top / "in", per_shard)
        webbody_pieces.PIECE_ROWS = piece
        config = BundleConfig(formats=EVERY.formats, subsets=())
        export_bundles(Store(top / "store"), shards, top / "out", config, card=CARD, threads=threads)
        made = tree(top / "out")
        facts = json.loads(made[f"{WHOLE}/bundle.json"])
        trees.append({name: data for name, data in made.items() if not name.endswith(".json")} | facts["files"])
    assert trees[0] == trees[1] == trees[2]


def test_one_bad_photo_costs_its_own_members(tmp_path: Path, store: Store) -> None:
    build = Build()
    broken = build.photos[4]["image"]
    assert isinstance(broken, dict)
    broken["bytes"] = broken["bytes"][:200]
    build.photos[7]["image"] = {"bytes": b"", "path": "x"}
    build.people[11] |= {"crop_xyxy": [70.0, 5.0, 90.0, 50.0]}
    build.people[12] |= {"photo_width": 81}
    done = export(store, build.write(tmp_path / "in"), tmp_path / "out", EVERY)
    facts = done.bundles[WHOLE]
    assert facts.rows == 12
    assert sum(facts.rejected.values()) == 4
    table = pq.read_table(tmp_path / "out" / WHOLE / "rejects.parquet", partitioning=None)
    assert table.schema.equals(REJECT_SCHEMA)
    lost = {row["sample_id"]: row for row in table.to_pylist()}
    assert set(lost) == {build.faces[i]["sample_id"] for i in (6, 10, 11, 12)}
    assert "does not decode" in lost["list/0004/p0/f0"]["detail"]
    assert "not inside 80 x 60" in lost[str(build.faces[11]["sample_id"])]["detail"]
    assert "81 x 60" in lost[str(build.faces[12]["sample_id"])]["detail"]
    assert "| left out: image_empty | 1 |" in (tmp_path / "out" / WHOLE / "README.md").read_text()
    assert check_bundle(tmp_path / "out" / WHOLE).problems == ()


def test_an_identity_without_pictures_leaves_no_gap(tmp_path: Path, store: Store) -> None:
    build = Build(photos=8, identities=4)
    for photo in build.photos:
        if photo["idx"] in "0156":
            photo["image"] = {"bytes": b"no picture", "path": "x"}
    done = export(store, build.write(tmp_path / "in"), tmp_path / "out")
    listed = (tmp_path / "out" / WHOLE / "labels.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:3] for line in listed] == [["0", "0", "id-0"], ["1", "2", "id-2"], ["2", "3", "id-3"]]
    assert done.bundles["wb4m"].rows == done.bundles["wb4m"].identities == 0
    assert [check_bundle(tmp_path / "out" / name).problems for name in (WHOLE, "wb4m")] == [(), ()]


def test_numbers_stay_and_labels_follow(tmp_path: Path, store: Store) -> None:
    build = Build()
    export(store, build.write(tmp_path / "a"), tmp_path / "out")
    more = Build()
    more.photos.append(photo_row(99))
    more.people.append(person_row(more.photos[-1]))
    more.faces.append(build.faces[0] | {"sample_id": "list/0099/p0/f0", "parent_id": "list/0099/p0"})
    more.members.insert(0, member_row(more.faces[-1], "a-new-one"))
    export(store, more.write(tmp_path / "b"), tmp_path / "out")
    before = {row["identity"]: row["label"] for row in rows_of(tmp_path / "out" / WHOLE)}
    assert before == {"id-0": 0, "id-1": 1, "id-2": 2, "id-3": 3, "a-new-one": 4}
    less = Build()
    less.members = [row for row in less.members if row["identity"] != "id-1"]
    done = export(store, less.write(tmp_path / "c"), tmp_path / "out")
    after = {row["identity"]: (row["label"], row["number"]) for row in rows_of(tmp_path / "out" / WHOLE)}
    assert after == {"id-0": (0, 0), "id-2": (1, 2), "id-3": (2, 3)}
    assert done.bundles["wb4m"].rows == 0


def test_again_smaller_and_damaged(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Build().write(tmp_path / "in")
    config = BundleConfig(formats=("recordio", "webdataset"), subsets=("wb4m",))
    export(store, shards, tmp_path / "out", config)
    before = tree(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(webbody_pieces, "cut_members", None)
        again = export(store, shards, tmp_path / "out", config)
    assert {(change.written, change.removed) for change in again.changes.values()} == {(0, 0)}
    assert tree(tmp_path / "out") == before
    damaged = tmp_path / "out/wb4m/train.rec"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    assert "wb4m: train.rec is not the file that was written" in check_bundle(tmp_path / "out/wb4m").problems
    mended = export(store, shards, tmp_path / "out", config)
    assert mended.changes["wb4m"].written == 1
    assert tree(tmp_path / "out") == before
    fewer = export(store, shards, tmp_path / "out", RECORDS)
    assert fewer.changes[WHOLE].removed == 2
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_lists_may_share_their_numbers(tmp_path: Path, store: Store) -> None:
    build = Build(photos=2, identities=2)
    other = photo_row(1, sample_id="other list/0001", label="q1")
    strange = photo_row(5, idx="a\tb/c", label="..")
    for photo in (other, strange):
        build.photos.append(photo)
        build.people.append(person_row(photo | {"idx": "1"}, idx=photo["idx"], sha256=photo["sha256"]))
        build.faces.append(build.faces[0] | {
            "sample_id": f"{photo['sample_id']}/p0/f0", "parent_id": f"{photo['sample_id']}/p0",
            "photo_id": photo["sample_id"], "idx": photo["idx"], "label": photo["label"],
        })  # fmt: skip
        build.members.append(member_row(build.faces[-1] | {"idx": "1"}, "id-1", idx=photo["idx"]))
    export(store, build.write(tmp_path / "in"), tmp_path / "out")
    paths = [line.split("\t")[1] for line in (tmp_path / "out" / WHOLE / "train.tsv").read_text().splitlines()]
    assert paths == [
        "q0/0_0.jpg",
        "q0/0_1.jpg",
        "list%2F0001/q1/1_0.jpg",
        "other%20list%2F0001/q1/1_0.jpg",
        "%2E%2E/a%09b%2Fc_0.jpg",
    ]
    assert check_bundle(tmp_path / "out" / WHOLE).problems == ()


def test_a_member_without_photo_face_or_place_is_told(tmp_path: Path, store: Store) -> None:
    shards = Build().write(tmp_path / "in")
    for what in ("photos", "people", "faces"):
        fewer = WebBodyShards(**{**vars(shards), what: getattr(shards, what)[:-1]})
        with pytest.raises(StoreError, match=r"members have no (photo|person|face) in the shards"):
            export(store, fewer, tmp_path / "out")
        twice = WebBodyShards(**{**vars(shards), what: (*getattr(shards, what), getattr(shards, what)[0])})
        with pytest.raises(StoreError, match="is there twice"):
            export(store, twice, tmp_path / "out")
    with pytest.raises(StoreError, match="members are there twice"):
        export(store, WebBodyShards(**{**vars(shards), "members": shards.members * 2}), tmp_path / "out")
    with pytest.raises(StoreError, match="has not the columns"):
        export(store, WebBodyShards(**{**vars(shards), "faces": shards.people}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("subsets", [(WHOLE,), ("train",), ("../x",), ("wb4m", "wb4m")])
def test_names_that_cannot_be(tmp_path: Path, store: Store, subsets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="subset"):
        export(store, Build().write(tmp_path / "in"), tmp_path / "out", BundleConfig(subsets=subsets))


def test_a_build_without_members(tmp_path: Path, store: Store) -> None:
    build = Build()
    build.members = []
    done = export(store, build.write(tmp_path / "in"), tmp_path / "out", EVERY)
    assert done.bundles[WHOLE].rows == 0
    assert check_bundle(tmp_path / "out" / WHOLE).problems == ()
    table = pq.read_table(tmp_path / "out" / WHOLE / "data/train-00000.parquet", partitioning=None)
    assert table.schema.equals(BUNDLE_SCHEMA)


class Dying(LocalFiles):
    """Raises at operation number `at`, once."""

    def __init__(self, at: int, error: Exception) -> None:
        self.at, self.error, self.done = at, error, 0

    def _count(self) -> None:
        self.done += 1
        if self.done == self.at:
            raise self.error

    def create(self, path: Path) -> IO[bytes]:
        self._count()
        return super().create(path)

    def sync(self, stream: IO[bytes]) -> None:
        self._count()
        super().sync(stream)

    def replace(self, source: Path, target: Path) -> None:
        self._count()
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._count()
        super().remove(path)


class KilledError(Exception):
    pass


@pytest.mark.slow
def test_killed_anywhere_it_ends_the_same(tmp_path: Path) -> None:
    config = BundleConfig(formats=("parquet",), subsets=("wb4m",))
    old, new = Build(photos=4).write(tmp_path / "old"), Build(photos=6).write(tmp_path / "new")

    def fresh(folder: Path) -> Path:
        export(Store(folder / "store"), old, folder / "out", config)
        return folder

    clean = fresh(tmp_path / "clean")
    counted = Dying(-1, KilledError())
    before = tree(clean / "out")
    export(Store(clean / "store", counted), new, clean / "out", config)
    after = tree(clean / "out")
    touched = []
    for at in range(1, counted.done + 1, 7):
        folder = fresh(tmp_path / str(at))
        with pytest.raises(KilledError):
            export(Store(folder / "store", Dying(at, KilledError())), new, folder / "out", config)
        touched.append(seen(tree(folder / "out")) != seen(before))
        export(Store(folder / "store"), new, folder / "out", config)
        assert tree(folder / "out") == after, at
    assert touched == sorted(touched)
    assert touched.count(False) >= 6


def test_pieces_survive_a_kill(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Build().write(tmp_path / "in")
    cut: list[slice] = []
    real: Callable[..., Any] = webbody_pieces.cut_members

    def counting(plan: Any, rows: slice, *rest: Any) -> Any:
        if len(cut) == 2:
            cut.clear()
            raise KilledError
        cut.append(rows)
        return real(plan, rows, *rest)

    monkeypatch.setattr(webbody_pieces, "cut_members", counting)
    with pytest.raises(KilledError):
        export(store, shards, tmp_path / "out")
    monkeypatch.setattr(
        webbody_pieces, "cut_members", lambda plan, rows, *rest: cut.append(rows) or real(plan, rows, *rest)
    )
    export(store, shards, tmp_path / "out")
    assert [rows.start for rows in cut] == [10, 15]
    assert not list((tmp_path / "out").rglob("pieces*"))


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    shards = Build(photos=3).write(tmp_path / "in")
    Store(tmp_path / "store")
    full = Dying(12, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StoreError, match="is full: make room"):
        export(Store(tmp_path / "store", full), shards, tmp_path / "out")
