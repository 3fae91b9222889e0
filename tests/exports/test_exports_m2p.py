"""The dataset of torch over folders of music and poses."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tasks.exports.m2p import M2PDataset
from tasks.exports.m2p_heatmaps import pose_heatmaps
from tasks.exports.m2p_tree import export_m2p_tree
from tasks.schema.errors import ConfigError, SourceError
from tests.dance.make_dance import number_of
from tests.exports.m2p_shards import SIZE, Video, music_of, poses_of, write_build

ROOT = Path(__file__).parents[2]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


SNIPPET = """
dataset = M2PDataset(
    data_root="./dataset",
    split="train",
    sequence_length=24,
    resolution=512
)

# 첫 번째 샘플 확인
sample = dataset[0]
print("Sample keys:", sample.keys())
print("Music features shape:", sample['music_features'].shape)
print("Pose heatmap shape:", sample['pose_heatmap'].shape)
print("Reference image shape:", sample['reference_image'].shape)
print("Face embedding shape:", sample['face_embedding'].shape)
print("Video frames shape:", sample['video_frames'].shape)
"""
"""The seed's check of a dataset, without its import."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train: clips of 30, 50 (no face) and 20 frames; validation: one of 24."""
    folder = tmp_path_factory.mktemp("m2p")
    videos = [Video(frames=(30, 50, 20), faceless=(1,)), Video("dance_b", (24,), split="validation")]
    export_m2p_tree(*write_build(folder / "in", videos), folder / "dataset")
    return folder / "dataset"


@pytest.fixture
def root(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(exported, tmp_path / "dataset"))


def small(root: Path, **arguments: Any) -> M2PDataset:
    return M2PDataset(root, **({"sequence_length": 24, "resolution": SIZE} | arguments))


def numbers(sample: dict[str, Any]) -> list[int]:
    """What the pictures of a window show."""
    return [number_of(frame[0].numpy()) for frame in sample["video_frames"]]


def windows(dataset: M2PDataset) -> list[tuple[str, int]]:
    return [(sample["sample_id"], sample["start_frame"]) for sample in dataset]


def test_the_seeds_check_runs_as_it_is(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported.parent)
    said = StringIO()
    with redirect_stdout(said):
        exec(compile(SNIPPET, "seed", "exec"), {"M2PDataset": M2PDataset})  # noqa: S102
    assert said.getvalue().splitlines()[1:] == [
        "Music features shape: torch.Size([24, 4800])",
        "Pose heatmap shape: torch.Size([24, 134, 64, 64])",
        "Reference image shape: torch.Size([3, 512, 512])",
        "Face embedding shape: torch.Size([512])",
        "Video frames shape: torch.Size([24, 3, 512, 512])",
    ]


def test_it_imports_little() -> None:
    left, seen, roots = ["tasks.exports.m2p"], set[str](), set[str]()
    while left:
        path = ROOT / (left.pop().replace(".", "/") + ".py")
        if path.exists() and str(path) not in seen:
            seen.add(str(path))
            found = set(imports(path))
            left += [name for name in found if name.startswith("tasks.")]
            roots |= {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    assert roots == {"tasks", "torch", "numpy", "av", "PIL"}
    assert len(seen) == 5


@pytest.mark.slow
def test_it_needs_neither_prefect_nor_the_store(exported: Path) -> None:
    code = (
        "import sys\n"
        "from tasks.exports.m2p import M2PDataset\n"
        f"M2PDataset({str(exported)!r}, resolution=64)[0]\n"
        "heavy = {'prefect', 'pandas', 'pyarrow', 'polars', 'cv2', 'numba', 'pydantic', 'tasks.shards'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_window_is_what_its_frames_say(exported: Path) -> None:
    dataset = small(exported)
    assert (len(dataset), dataset.too_short, dataset.skipped) == (3, 1, 0)
    assert windows(dataset) == [("dance_a/c000", 0), ("dance_a/c001", 0), ("dance_a/c001", 24)]
    sample = dataset[-1]
    assert numbers(sample) == list(range(54, 78))
    np.testing.assert_array_equal(sample["music_features"][:, :3], music_of(54, 24))
    assert not sample["music_features"][:, 3:].any()
    assert (sample["has_face"], float(sample["face_embedding"].norm())) == (False, 0)
    assert (dataset[0]["has_face"], float(dataset[0]["face_embedding"].norm())) == (True, 1)
    wanted = poses_of(50)[24:48]
    mask = sample["pose_mask"].numpy()
    np.testing.assert_array_equal(mask, wanted[..., 2] > 0)
    assert sample["pose_heatmap"].dtype == torch.float16
    assert not sample["pose_heatmap"][~sample["pose_mask"]].any()
    assert sample["pose_heatmap"].amax(dim=(2, 3))[sample["pose_mask"]].min() > 0.9
    with pytest.raises(IndexError):
        dataset[3]


def test_windows_of_any_place_and_scale(exported: Path) -> None:
    dataset = small(exported, sequence_length=7, resolution=2 * SIZE)
    assert len(dataset) == 30 // 7 + 50 // 7 + 20 // 7
    sample = dataset[5]
    assert (sample["sample_id"], sample["start_frame"]) == ("dance_a/c001", 7)
    assert numbers(sample) == list(range(37, 44))
    assert sample["pose_heatmap"].shape == (7, 134, 16, 16)
    assert sample["reference_image"].shape == (3, 128, 128)
    heat = sample["pose_heatmap"][3, 30].float()
    x, y = poses_of(50)[10, 30, :2]
    assert divmod(int(heat.argmax()), 16) == (round((y + 0.5) / 4 - 0.5), round((x + 0.5) / 4 - 0.5))


def test_heat_is_a_gaussian_around_the_joint() -> None:
    xy = np.array([[[100.0, 61.5], [-0.4, 511.0], [511.6, 5.0], [np.nan, np.nan], [40.0, 40.0]]], np.float32)
    seen = np.array([[True, True, True, False, False]])
    heat, held = pose_heatmaps(xy, seen, side=512, grid=64, sigma=2.0)
    assert (heat.shape, heat.dtype, held.tolist()) == ((1, 5, 64, 64), np.float16, [[True, True, False, False, False]])
    rows, columns = np.mgrid[:64, :64]
    x, y = (np.array([100.0, 61.5]) + 0.5) / 8 - 0.5
    wanted = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    near = (abs(columns - x) <= 5) & (abs(rows - y) <= 5)
    np.testing.assert_allclose(heat[0, 0][near], wanted[near], atol=1e-3)
    assert not heat[0, 0][(abs(columns - x) > 7) | (abs(rows - y) > 7)].any()
    assert divmod(int(heat[0, 1].argmax()), 64) == (63, 0)
    assert not heat[0, 2:].any()


def test_faint_joints_can_be_left_out(exported: Path) -> None:
    mask = small(exported, min_confidence=0.6)[0]["pose_mask"].numpy()
    np.testing.assert_array_equal(mask[0], poses_of(30)[0, :, 2] >= 0.6)


def test_samples_without_a_face_are_skipped_and_counted(exported: Path) -> None:
    dataset = small(exported, require_face=True)
    assert (dataset.skipped, windows(dataset)) == (1, [("dance_a/c000", 0)])
    none = small(exported, require_face=True, sequence_length=40)
    assert (none.skipped, none.too_short, len(none)) == (1, 2, 0)


def test_one_window_a_clip(exported: Path) -> None:
    assert windows(small(exported, windows="first")) == [("dance_a/c000", 0), ("dance_a/c001", 0)]
    dataset = small(exported, windows="random")
    drawn = []
    for epoch in (0, 1, 2, 1):
        dataset.set_epoch(epoch)
        drawn.append([sample["start_frame"] for sample in dataset])
    assert drawn[3] == drawn[1]
    assert len({tuple(starts) for starts in drawn}) == 3
    assert all(0 <= first <= 6 and 0 <= second <= 26 for first, second in drawn)
    again = small(exported, windows="random")
    assert [sample["start_frame"] for sample in again] == drawn[0]


def loaded(dataset: M2PDataset, **how: Any) -> DataLoader[dict[str, Any]]:
    return DataLoader(dataset, batch_size=2, **how)


def test_default_collate(exported: Path) -> None:
    first, second = loaded(small(exported))
    shapes = {key: tuple(value.shape) for key, value in first.items() if isinstance(value, torch.Tensor)}
    assert shapes == {
        "music_features": (2, 24, 4800),
        "pose_heatmap": (2, 24, 134, 8, 8),
        "pose_mask": (2, 24, 134),
        "reference_image": (2, 3, 64, 64),
        "face_embedding": (2, 512),
        "has_face": (2,),
        "video_frames": (2, 24, 3, 64, 64),
        "start_frame": (2,),
    }
    assert first["has_face"].dtype == torch.bool
    assert (first["sample_id"], second["sample_id"]) == (["dance_a/c000", "dance_a/c001"], ["dance_a/c001"])


WORKERS = """
import sys
import torch
from torch.utils.data import DataLoader
from tasks.exports.m2p import M2PDataset

if __name__ == "__main__":
    root, resolution, start = sys.argv[1:]
    dataset = M2PDataset(root, sequence_length=24, resolution=int(resolution), windows="random")
    workers = DataLoader(dataset, 2, num_workers=2, multiprocessing_context=start, persistent_workers=True)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        for ours, theirs in zip(DataLoader(dataset, 2), workers, strict=True):
            for key, value in ours.items():
                same = torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor) else value == theirs[key]
                assert same, (epoch, key)
    print("the same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_two_workers_give_what_none_gives_and_follow_the_epoch(exported: Path, tmp_path: Path, start: str) -> None:
    """In a process of its own, as training is: what other tests leave in this one must not be forked."""
    (tmp_path / "workers.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "workers.py"), str(exported), str(SIZE), start],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "the same\n", done.stderr


def test_wrong_arguments_and_places(exported: Path, tmp_path: Path) -> None:
    for wrong, said in (
        ({"split": "val"}, "train, validation, not 'val'"),
        ({"sequence_length": 0}, "at least 1"),
        ({"resolution": 100}, "multiple of 8"),
        ({"windows": "some"}, '"all", "first" or "random"'),
        ({"sigma": 0.0}, "above 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            small(exported, **wrong)
    with pytest.raises(SourceError, match="data_root is the one that holds train and validation"):
        small(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="data_root is the one that holds"):
        small(exported / "train")


def faults(root: Path) -> Iterator[tuple[Path, str]]:
    """Damage one file after the other; each with what is said of it."""
    folder = root / "train/dance_a_c000"
    music, poses, video = (folder / n for n in ("music_features.npy", "pose_annotations.json", "video.mp4"))
    np.save(music, np.zeros((30, 39), np.float32))
    yield music, r"has the shape \(30, 39\), \(T, 4800\) is wanted"
    np.save(music, np.zeros((20, 4800), np.float32))
    yield music, "ends before frame 24"
    music.write_bytes(b"")
    yield music, "does not read"
    music.unlink()
    yield music, "does not read"
    said = json.loads(poses.read_text())
    poses.write_text(json.dumps(said | {"poses": said["poses"][1:]}))
    yield poses, "has not the frames 0 to 23"
    said["poses"][0]["keypoints"].pop()
    poses.write_text(json.dumps(said))
    yield poses, "does not read as 134 joints a frame"
    poses.write_text("{}")
    yield poses, "does not read as 134 joints a frame"
    video.write_bytes((root / "train/dance_a_c002/video.mp4").read_bytes())
    yield video, "lacks 4 of the frames 0 to 23"
    video.write_bytes(video.read_bytes()[:200])
    yield video, "does not decode"
    np.save(folder / "face_embedding.npy", np.zeros(128, np.float32))
    yield folder / "face_embedding.npy", r"has the shape \(128,\)"
    Image.new("RGB", (64, 32)).save(folder / "reference_image.jpg")
    yield folder / "reference_image.jpg", "is 64 x 32, a square is wanted"


def test_damaged_files_are_named(root: Path, exported: Path) -> None:
    for path, said in faults(root):
        with pytest.raises(SourceError, match=said) as told:
            small(root)[0]
        assert str(path) in str(told.value)
        shutil.copytree(exported, root, dirs_exist_ok=True)


def test_a_tree_of_others_needs_no_metadata(root: Path) -> None:
    (root / "metadata.json").unlink()
    (root / "train/left_over").mkdir()
    poses = root / "train/dance_a_c001/pose_annotations.json"
    poses.write_text(json.dumps(json.loads(poses.read_text()), indent=2, ensure_ascii=False))
    dataset = small(root)
    assert windows(dataset) == [("dance_a_c000", 0), ("dance_a_c001", 0), ("dance_a_c001", 24)]
    np.testing.assert_array_equal(dataset[2]["pose_mask"], poses_of(50)[24:48, :, 2] > 0)
    (root / "metadata.json").write_text('{"videos": 3}')
    assert len(small(root)) == 3
    (root / "metadata.json").write_text("{")
    with pytest.raises(SourceError, match=r"metadata.json does not read"):
        small(root)


def test_a_tree_that_was_copied_in_part_is_told(root: Path) -> None:
    shutil.rmtree(root / "train/dance_a_c001")
    with pytest.raises(SourceError, match=r"lacks 1 samples of metadata.json, dance_a_c001 among them"):
        small(root)
