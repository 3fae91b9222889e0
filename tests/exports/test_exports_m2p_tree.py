"""The folders of music and poses: what is in them, and that nothing but the build decides it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.body.wholebody import OPENPOSE_134
from tasks.exports.m2p_files import FACE_WIDTH, FPS, JOINTS, MUSIC_WIDTH
from tasks.exports.m2p_join import folder_name, joined_samples
from tasks.exports.m2p_tree import M2PTreeExport, export_m2p_tree
from tasks.schema.clips import CLIP_FPS, EMBEDDING_WIDTH, WHOLEBODY_JOINTS
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.files import LocalFiles
from tests.exports.m2p_shards import LAYOUT, Video, music_of, poses_of, reference_bytes, write_build
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, PowerLossError

ALWAYS = ("contents.json", "metadata.json", "verify.py")


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return [Video(faceless=(1,)), Video("dance_b", (24,), split="validation")]


def export(folder: Path, videos: list[Video], name: str = "in") -> M2PTreeExport:
    return export_m2p_tree(*write_build(folder / name, videos), folder / "out")


def tree(folder: Path) -> dict[str, bytes]:
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if ".mannequin" not in name}


def without(video: Video, number: int) -> Video:
    """The same video, of which one clip is no sample."""
    less = Video.__new__(Video)
    less.rows, less.split = video.rows, [row for n, row in enumerate(video.split) if n != number]
    return less


def test_numbers_agree_with_the_shards() -> None:
    assert (FPS, JOINTS, FACE_WIDTH) == (CLIP_FPS, WHOLEBODY_JOINTS, EMBEDDING_WIDTH)


def test_the_seeds_tree(tmp_path: Path, videos: list[Video]) -> None:
    done = export(tmp_path, videos)
    assert (done.samples, done.with_face) == ({"train": 2, "validation": 1}, 2)
    files = tree(tmp_path / "out")
    every = ("face_embedding.npy", "music_features.npy", "pose_annotations.json", "reference_image.jpg", "video.mp4")
    samples = ("train/dance_a_c000", "train/dance_a_c001", "validation/dance_b_c000")
    wanted = {f"{sample}/{name}" for sample in samples for name in every} - {"train/dance_a_c001/face_embedding.npy"}
    assert set(files) == {*wanted, *ALWAYS}
    folder = tmp_path / "out/train/dance_a_c000"
    assert (folder / "video.mp4").read_bytes() == videos[0].rows["cut"][0]["clip"]["bytes"]
    assert (folder / "reference_image.jpg").read_bytes() == reference_bytes(0)
    music = np.load(folder / "music_features.npy")
    assert (music.shape, music.dtype) == ((30, MUSIC_WIDTH), np.float32)
    np.testing.assert_array_equal(music[:, :3], music_of(0, 30))
    assert not music[:, 3:].any()
    face = np.load(folder / "face_embedding.npy")
    assert (face.shape, face.dtype, np.linalg.norm(face)) == ((512,), np.float32, 1)


def test_poses_have_exactly_the_seeds_form(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    said = json.loads((tmp_path / "out/train/dance_a_c000/pose_annotations.json").read_text())
    assert list(said) == ["video_id", "fps", "duration", "poses"]
    assert (said["video_id"], said["fps"], said["duration"]) == ("dance_a_c000", 24, 1.25)
    assert [(pose["frame_id"], pose["timestamp"]) for pose in said["poses"]] == [(n, n / 24) for n in range(30)]
    assert all(list(pose) == ["frame_id", "timestamp", "keypoints"] for pose in said["poses"])
    joints = said["poses"][7]["keypoints"]
    assert [joint["joint_type"] for joint in joints] == list(OPENPOSE_134.joints)
    assert joints[2] == {"x": None, "y": None, "confidence": 0, "joint_type": "right_shoulder"}
    numbers = np.array([[joint["x"], joint["y"], joint["confidence"]] for joint in joints], np.float64)
    wanted = poses_of(30)[7]
    np.testing.assert_allclose(numbers[:, :2], wanted[:, :2], atol=0.00501)
    np.testing.assert_allclose(numbers[:, 2], wanted[:, 2], atol=0.0000501)


def test_a_faint_joint_is_not_written_as_missing(tmp_path: Path) -> None:
    video = Video(frames=(24,))
    video.rows["poses"][0]["confidence"][0] = 1e-6
    export(tmp_path, [video])
    said = json.loads((tmp_path / "out/train/dance_a_c000/pose_annotations.json").read_text())
    assert said["poses"][0]["keypoints"][0] == {"x": 0, "y": 0, "confidence": 1e-4, "joint_type": "nose"}


def test_metadata(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    said: dict[str, Any] = json.loads((tmp_path / "out/metadata.json").read_text())
    assert said["counts"] == {
        "samples": 3,
        "train": 2,
        "validation": 1,
        "with_face": 2,
        "videos": 2,
        "frames": 104,
        "song_groups": 2,
        "person_groups": 1,
        "groups": 2,
    }
    assert said["without_face"] == {"the best face has … pixels": 1}
    assert said["licences"] == {"CC-BY-4.0": 3}
    music = said["music_features.npy"]
    assert (music["real_columns"], music["layout"]) == (3, list(LAYOUT))
    poses = said["pose_annotations.json"]
    assert (poses["joints"], len(poses["skeleton"])) == (list(OPENPOSE_134.joints), len(OPENPOSE_134.limbs))
    assert len(poses["models"]["test-wholebody"]["produces"]) == 90
    sample = said["samples"]["dance_a_c001"]
    assert (sample["sample_id"], sample["split"], sample["group"]) == ("dance_a/c001", "train", "group-dance_a")
    assert (sample["start_s"], sample["frames"], sample["beats_s"]) == (1.25, 50, [0.5, 1.0])
    assert (sample["has_face"], sample["embedding_missing"]) == (False, "the best face has 31.5 pixels")
    assert sample["findings"] == ["a little dark"]


def test_a_second_export_touches_nothing(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file() and p.name != "lock"}
    again = export(tmp_path, videos, "again")
    assert (again.change.written, again.change.removed) == (0, 0)
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_another_build_changes_what_differs(tmp_path: Path, videos: list[Video]) -> None:
    export(tmp_path, videos)
    out = tmp_path / "out"
    (out / "train/dance_a_c000/notes.txt").write_text("mine")
    (out / "train/dance_a_c001/video.mp4").write_bytes(b"cut short")
    done = export(tmp_path, [without(videos[0], 0), videos[1]], "less")
    assert (done.change.written, done.change.removed) == (2, 5)
    assert [p.name for p in (out / "train/dance_a_c000").iterdir()] == ["notes.txt"]
    export(tmp_path, [without(videos[0], 1), videos[1]], "other")
    assert not (out / "train/dance_a_c001").exists()
    export(tmp_path, [], "none")
    assert set(tree(out)) == {*ALWAYS, "train/dance_a_c000/notes.txt"}
    assert json.loads((out / "metadata.json").read_text())["samples"] == {}
    assert [p.name for p in (out / "validation").iterdir()] == []


def test_files_of_others_are_never_replaced(tmp_path: Path, videos: list[Video]) -> None:
    theirs = tmp_path / "out/train/dance_a_c000/video.mp4"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="not ours and in the way"):
        export(tmp_path, videos)
    assert theirs.read_bytes() == b"mine"


def test_folder_names_are_safe_stable_and_different() -> None:
    ids = ["a/c003", "a/c003_d1", "a_c003/c001", "a/b/c003", "A/c003", "../c003", "-a/c003", "ダンス/c003", "a.b/c003"]
    ids += ["x" * 300 + "/c000", "x" * 300 + "/c001", "a b/c003", "a_b/c003"]
    names = [folder_name(each) for each in ids]
    assert names[:3] == ["a_c003", "a_c003_d1", "a_c003_c001"]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name.replace("_", "").replace("-", "").isalnum() and name.isascii() for name in names)
    assert all(len(name) < 120 and not name.startswith("-") for name in names)


def test_shards_that_do_not_fit_are_told(tmp_path: Path, videos: list[Video]) -> None:
    shards, split = write_build(tmp_path / "in", videos)
    with pytest.raises(StoreError, match="1 samples are in no shard given"):
        list(joined_samples(shards[:1], split))
    assert next(s.text("sample_id") for s in joined_samples(shards[::-1], split)) == "dance_b/c000"
    mixed = Video(frames=(24,))
    mixed.rows["music"][0] |= {"frames": 23, "features": [0.0] * 69}
    with pytest.raises(StoreError, match="dance_a/c000 has 24 frames"):
        list(joined_samples(*write_build(tmp_path / "mixed", [mixed])))
    mixed.rows["music"] = []
    with pytest.raises(StoreError, match=r"music.parquet does not fit .* lacks dance_a/c000"):
        list(joined_samples(*write_build(tmp_path / "lost", [mixed])))
    twice = Video(frames=(24,))
    twice.split *= 2
    with pytest.raises(StoreError, match="twice"):
        export(tmp_path, [twice], "twice")
    other = Video(frames=(24,), split="test")
    with pytest.raises(StoreError, match="there are folders for"):
        export(tmp_path, [other], "other")
    wide = Video("dance_w", frames=(24,))
    wide.rows["music"][0] |= {"features": [0.0] * 48, "layout": ["a", "b"]}
    with pytest.raises(StoreError, match="other music features"):
        export(tmp_path, [*videos, wide], "wide")


def test_stopped_anywhere_it_ends_with_the_same_tree(tmp_path: Path, videos: list[Video]) -> None:
    first = write_build(tmp_path / "first", [without(videos[0], 0)])
    second = write_build(tmp_path / "second", videos)

    def both(name: str, files: LocalFiles) -> dict[str, bytes]:
        for build in (first, second):
            export_m2p_tree(*build, tmp_path / name, files=files)
        return tree(tmp_path / name)

    counting = CountingFiles()
    calm = both("calm", counting)
    points = len(counting.log)
    for at in range(3, points, points // 4):
        with pytest.raises(PowerLossError):
            both(f"at-{at}", ForgetfulFiles(at, seed=1))
        assert both(f"at-{at}", LocalFiles()) == calm, at
