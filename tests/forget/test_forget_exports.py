"""Exports of every kind, real ones, that one sample is taken out of."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from tasks.audit.sheet import Shown
from tasks.exports.fashion_features import write_features
from tasks.exports.fashion_similar import SimilarRules, write_similar
from tasks.exports.fashion_tables import write_fashion_tables
from tasks.exports.m2p import M2PDataset
from tasks.exports.m2p_tables import export_m2p_tables
from tasks.exports.m2p_tree import export_m2p_tree
from tasks.exports.owned import OwnedFolder
from tasks.exports.parquet import export_parquet
from tasks.exports.pose_folders import export_pose_folders
from tasks.exports.pose_folders_check import check_pose_folders
from tasks.exports.verify_export import verify
from tasks.exports.webbody_bundle import export_bundles
from tasks.exports.webbody_check import check_webbody
from tasks.exports.webbody_facts import WHOLE, BundleConfig
from tasks.exports.webbody_folders import FOLDERS, export_folders
from tasks.fashion.audit import look_sheet
from tasks.forget.doomed import Doomed
from tasks.forget.exports import erase_from_exports
from tasks.forget.exports_names import Names
from tasks.forget.exports_patches import note_after
from tasks.forget.outside_search import search_for
from tasks.patches.pieces import Notes, Piece
from tasks.schema.fashion import GROUPED_SCHEMA, LOOK_SCHEMA, PREDICTED_SCHEMA, embedded_schema
from tasks.shards.files import LocalFiles
from tasks.shards.store import Store
from tasks.shards.tombstones import read_salt
from tests.exports.m2p_shards import Video
from tests.exports.m2p_shards import write_build as write_videos
from tests.exports.pose_shards import mixed_rows, write_build, write_shard
from tests.exports.test_exports_fashion_tables import photo, prediction
from tests.exports.webbody_shards import CARD, Build
from tests.fashion.made_weights import look_row, picture, png
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, PowerLossError

BODIES, POSES, CLIPS, LOOKS = "webbody", "poses", "m2p", "looks"


def tree(folder: Path) -> dict[str, bytes]:
    """All files that readers see, and our list of them."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def doomed(*sample_ids: str, uris: frozenset[str] = frozenset()) -> Doomed:
    return Doomed(frozenset(sample_ids), frozenset(), uris, frozenset())


def names_of(store: Store, gone: Doomed) -> Names:
    return Names.of(store, gone, read_salt(store).name)


def forget(store: Store, gone: Doomed) -> tuple[int, int]:
    """Things and rows that went."""
    told = erase_from_exports(store, names_of(store, gone))
    assert not [each for each in told.problems if "was not changed" in each]
    return told.things, told.rows


def faults(folder: Path) -> list[str]:
    """Of all exports below a folder."""
    return [fault for path in sorted(folder.rglob("contents.json")) for fault in verify(path.parent).faults]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def export_poses(store: Store) -> None:
    templates, photos = write_build(store.root / "in", mixed_rows(3, 2, 1))
    export_pose_folders(store, templates, photos, store.root / "exports" / POSES)
    export_parquet(templates, photos, store.root / "exports" / "tables", title="Poses")


def test_a_pose_leaves_folders_and_tables(store: Store) -> None:
    export_poses(store)
    folder = store.root / "exports" / POSES
    before = tree(folder)
    (gone,) = [row["sample_id"] for row in mixed_rows(3, 2, 1) if row["category"] == "sports"]
    told = forget(store, doomed(str(gone)))
    assert told[0] == 2 + 1 + 2  # pictures, metadata.json; its table and the card
    after = tree(folder)
    assert before.keys() - after.keys() == {"sports/sports_0000_image.jpg", "sports/sports_0000_conditioning.jpg"}
    changed = {"sports/metadata.json", "contents.json", ".mannequin/files.json"}
    assert {name for name in after if after[name] != before[name]} == changed
    assert (check_pose_folders(folder).problems, faults(store.root)) == ((), [])
    assert search_for([store.root / "exports"], [str(gone).encode(), b"sports_0000"]) == ()
    assert forget(store, doomed(str(gone))) == (0, 0)
    assert tree(folder) == after


def videos_of() -> list[Video]:
    return [Video(frames=(24, 30)), Video("dance_b", (26,), faceless=(0,), split="validation")]


@pytest.mark.slow
def test_a_clip_leaves_folders_tables_and_archives(store: Store) -> None:
    folder = store.root / "exports" / CLIPS
    shards, split = write_videos(store.root / "in", videos_of())
    export_m2p_tree(shards, split, folder)
    export_m2p_tables(shards, split, folder / "tables", ("parquet", "webdataset"), title="Dance")
    with OwnedFolder(folder / "overview", LocalFiles()) as out:
        out.put({"index.html": b"<img src='data:image/png;base64,AAAA'>", "dance_a_c000.mp4": b"a clip that plays"})
        out.finish()
    before = tree(folder)
    needles = [before["train/dance_a_c000/video.mp4"]]
    found = [path.suffix for path in search_for([folder], needles)]
    assert sorted(found) == [".mp4", ".parquet", ".tar"]
    forget(store, doomed("dance_a/c000"))
    assert search_for([folder], [*needles, b"dance_a/c000", b"dance_a_c000"]) == ()
    after = tree(folder)
    assert {name for name in after if "dance_b" in name or "c001" in name} == {
        name for name in before if "dance_b" in name or "c001" in name
    }
    assert all(before[name] == data for name, data in after.items() if "dance_b" in name or "c001" in name)
    assert not {name for name in after if name.startswith("overview/") and not name.startswith("overview/.")} - {
        "overview/contents.json",
        "overview/verify.py",
    }
    counts = json.loads(after["metadata.json"])["counts"]
    assert (counts["samples"], counts["train"], counts["frames"]) == (2, 1, 56)
    assert (faults(folder), len(M2PDataset(folder, sequence_length=24))) == ([], 1)
    assert forget(store, doomed("dance_a/c000")) == (0, 0)
    assert tree(folder) == after
    forget(store, doomed("dance_a", "dance_a/c001"))
    assert faults(folder) == []
    assert "- split: train" not in (folder / "tables/README.md").read_text()


@pytest.mark.slow
def test_rewritten_files_are_those_of_an_export_without_the_sample(store: Store, tmp_path: Path) -> None:
    videos = [Video(frames=(4, 5)), Video("dance_b", (6,), split="validation")]
    export_m2p_tree(*write_videos(store.root / "in", videos), store.root / "exports" / CLIPS)
    forget(store, doomed("dance_a/c000"))
    for rows in (*videos[0].rows.values(), videos[0].split):
        rows[:] = [row for row in rows if row["sample_id"] != "dance_a/c000"]
    change = export_m2p_tree(*write_videos(tmp_path / "less", videos), store.root / "exports" / CLIPS).change
    assert (change.written, change.removed) == (0, 0)


def export_bodies(store: Store) -> Build:
    build = Build()
    build.members = [row for row in build.members if "/p0/" in str(row["sample_id"])]
    for rows in (build.photos, build.people, build.faces, build.members):
        for row in rows:
            row["label"] = str(row["label"])[1:]
    shards = build.write(store.root / "in", per_shard=100)
    root = store.root / "exports" / BODIES
    every = BundleConfig(formats=("recordio", "webdataset", "parquet"))
    export_bundles(store, shards, root, every, card=CARD, threads=2)
    export_folders(shards.photos, shards.people, shards.faces, root, tuple(FOLDERS))
    return build


@pytest.mark.slow
@pytest.mark.parametrize("whole", [pytest.param(False, id="one photo"), pytest.param(True, id="an identity")])
def test_people_leave_bundles_and_intermediate_products(store: Store, whole: bool) -> None:
    build = export_bodies(store)
    root = store.root / "exports" / BODIES
    before = tree(root)
    photos = build.photos[1::4] if whole else build.photos[1:2]
    ids = {str(row["sample_id"]) for row in photos}
    below = {
        str(r["sample_id"])
        for rows in (build.people, build.faces)
        for r in rows
        if str(r["sample_id"]).rpartition("/p")[0] in ids
    }
    gone = doomed(*ids, *below, uris=frozenset(str(row["source_uri"]) for row in photos))
    pictures = [
        row["image"]["bytes"]
        for row in pq.read_table(root / WHOLE / "data/train-00000.parquet").to_pylist()
        if row["photo_id"] in ids
    ]
    assert len(pictures) == (3 if whole else 1)
    forget(store, gone)
    assert (
        search_for([root], [*pictures, *(str(row["source_uri"]).encode() for row in photos), *map(str.encode, ids)])
        == ()
    )
    assert [each for each in check_webbody(root).problems if "near-duplicate" not in each] == []
    assert faults(root) == []
    for product in FOLDERS.values():
        table = root / product / "0_parquet"
        assert len(list(table.iterdir())) == len({name for name in before if name.startswith(f"{product}/0_parquet/")})
    labels = pl.read_csv(root / WHOLE / "labels.csv")
    assert labels["identity"].to_list() == [f"id-{n}" for n in range(4) if not (whole and n == 1)]
    assert json.loads((root / WHOLE / "croissant.json").read_bytes())["description"].startswith(
        f"{labels['images'].sum()} p"
    )
    after = tree(root)
    assert forget(store, gone) == (0, 0)
    assert tree(root) == after


def export_looks(store: Store) -> tuple[list[str], dict[str, bytes]]:
    """Sample ids, and photo bytes, of four photos of the runway and nine of the street; two share a file name."""
    draw = np.random.default_rng(1)
    groups, predicted, looks, embedded, table = [], [], [], [], []
    given, photos = {}, {}
    for number in range(13):
        side = "runway" if number < 4 else "street"
        name = "same.jpg" if number in (5, 6) else f"{number}.jpg"
        path = f"{'train' if number % 2 else 'valid'}/{name}"
        row = photo(str(number), side, ["bag"] if number > 4 else None, image_path=path)
        groups.append(row | {"source_uri": f"coco://s/{path}"})
        sample_id = str(groups[-1]["sample_id"])
        pixels = png(picture(number, 60, 40))
        given[sample_id], photos[sample_id] = f"{side}_{number + 1:04d}", pixels
        looks.append(look_row(sample_id, pixels, side) | {"source_uri": groups[-1]["source_uri"]})
        embedded.append(looks[-1] | {"embedding": draw.normal(size=5).tolist(), "embedder": "m@0"})
        predicted.append(prediction(sample_id))
        told = {"sample_id": sample_id, "image_id": given[sample_id], "source": side}
        table.append(told | {"source_uri": groups[-1]["source_uri"], "phash": number << 40})
    shards = {
        name: write_shard(store.root / "in" / f"{name}.parquet", rows, schema)
        for name, rows, schema in (
            ("groups", groups, GROUPED_SCHEMA),
            ("predicted", predicted, PREDICTED_SCHEMA),
            ("looks", looks, LOOK_SCHEMA),
            ("embedded", embedded, embedded_schema(5)),
        )
    }
    frame = pl.DataFrame(table, schema_overrides={"phash": pl.UInt64})
    files, folder = LocalFiles(), store.root / "exports" / LOOKS
    with OwnedFolder(folder, files) as out:
        write_features(out, [shards["embedded"]], frame, files)
        index = folder / "data/image_features_index.csv"
        write_fashion_tables(out, files, shards["groups"], [shards["predicted"]], given, index, title="Looks")
        rules = SimilarRules(nearest=2, same_photo_bits=0)
        write_similar(out, [shards["embedded"]], frame, [shards["looks"]], rules, files)
        out.finish()
    chosen = [each for each in table if each["sample_id"] in ("s/5", "s/7")]
    audited = [Shown(r["sample_id"], {"image_id": r["image_id"]}, photos[r["sample_id"]]) for r in chosen]
    look_sheet(folder.with_name(f"{LOOKS}-audit-0123abcd"), audited, "Looks")
    return list(given), photos


def test_a_photo_leaves_tables_features_and_sheets(store: Store) -> None:
    export_looks(store)
    folder = store.root / "exports" / LOOKS
    features = np.load(folder / "data/image_features_m.npy")
    forget(store, doomed("s/5"))
    assert search_for([folder], [features[5].tobytes(), b"street_0006", b"s/5"]) == ()
    np.testing.assert_array_equal(np.load(folder / "data/image_features_m.npy"), np.delete(features, 5, axis=0))
    index = pl.read_csv(folder / "data/image_features_index.csv")
    assert index["feature_row"].to_list() == list(range(12))
    looks = pl.read_parquet(folder / "looks/train-00000.parquet", hive_partitioning=False)
    assert looks.select("image_id", "feature_row").equals(index)
    told = pl.read_csv(folder / "data/master_metadata_with_category.csv")
    assert told.select("image_id", "feature_row").equals(index)
    labels = pl.read_csv(folder / "data/modanet_labels.csv")["image_filename"].to_list()
    assert labels == ["valid/same.jpg", *(f"{n}.jpg" for n in range(7, 13))]
    assert pl.read_csv(folder / "data/master_metadata_initial.csv").height == 12
    assert not list(folder.glob("similar/*.jpg"))
    assert faults(folder) == []
    after = tree(folder)
    assert forget(store, doomed("s/5")) == (0, 0)
    assert tree(folder) == after


def test_a_window_leaves_its_tree_of_patches(store: Store, tmp_path: Path) -> None:
    root = store.root / "exports" / "patches"
    names = [f"Space/Learn/Patches/{part}/small_w{n:06d}_space.png" for n in range(3) for part in ("GT", "LR_5frames")]
    sequence = [f"Space/Learn/Patches/sequences/GT/small/w{n:06d}_space/im4.png" for n in range(3)]
    with Piece(root, "small-0123", [*names, *sequence], temporary=None, files=LocalFiles()) as piece:
        written = piece.put({name: name.encode() for name in (*names, *sequence)})
        piece.end()
    with OwnedFolder(root, LocalFiles()) as out:
        out.put({"README.md": b"# Patches\n\nof small/w000001_space\n", "contact_sheet.jpg": b"a sheet"})
        out.finish(beside={name: digest for name, (_, digest) in written.items()})
    notes = Notes(root, LocalFiles())
    gone = names_of(store, doomed("small/w000001_space"))
    before = blake3(notes.bytes_of("small-0123") or b"").hexdigest()
    expected = note_after([store.root, root], "small-0123", before, gone)
    forget(store, doomed("small/w000001_space"))
    assert blake3(notes.bytes_of("small-0123") or b"").hexdigest() == expected != before
    assert note_after([root], "small-0123", expected, gone) == expected
    left = notes.read("small-0123") or {}
    assert len(left) == 6
    assert all((root / name).read_bytes() == name.encode() for name in left)
    assert not (root / "Space/Learn/Patches/sequences/GT/small/w000001_space").exists()
    assert search_for([root], [b"w000001"]) == ()
    assert faults(root) == []
    forget(store, doomed("small", *(f"small/w{n:06d}_space" for n in range(3))))
    assert (sorted(path.name for path in root.iterdir()), faults(root)) == (
        [".mannequin", "README.md", "contents.json", "verify.py"],
        [],
    )


@pytest.mark.slow
def test_stopped_anywhere_the_next_call_ends_it(tmp_path: Path) -> None:
    top = Store(tmp_path / "kept")
    export_m2p_tree(*write_videos(top.root / "in", videos_of()), top.root / "exports" / CLIPS)
    read_salt(top)

    def begun(name: str, files: LocalFiles) -> Store:
        shutil.copytree(top.root, tmp_path / name)
        store = Store(tmp_path / name, files)
        erase_from_exports(store, names_of(store, doomed("dance_a/c000")))
        return store

    counting = CountingFiles()
    calm = tree(begun("calm", counting).root)
    for at in range(len(counting.log)):
        with suppress(PowerLossError):
            begun(f"at-{at}", ForgetfulFiles(at, seed=1))
        store = Store(tmp_path / f"at-{at}")
        forget(store, doomed("dance_a/c000"))
        assert tree(store.root) == calm, at
        assert forget(store, doomed("dance_a/c000")) == (0, 0)
        shutil.rmtree(store.root)


@pytest.mark.slow
def test_what_cannot_be_changed_is_told_and_the_rest_is_done(store: Store, tmp_path: Path) -> None:
    export_poses(store)
    (store.root / "exports" / "tables" / ".mannequin" / "files.json").write_text("no list")
    gone = str(mixed_rows(3, 2, 1)[0]["sample_id"])
    told = erase_from_exports(store, names_of(store, doomed(gone)), [tmp_path / "nowhere"])
    assert told.things == 4
    assert [each.split()[0] for each in told.problems] == ["There", str(store.root / "exports" / "tables")]
