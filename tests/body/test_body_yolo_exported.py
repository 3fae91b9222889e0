"""The exported network against torch: what its heads mean, what it sees in real photos, and how the file is kept."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tasks.body.pose_model import PersonDetections, open_fast_pose_model
from tasks.body.yolo import YoloPose, read_yolo
from tasks.body.yolo_export import exported_yolo
from tasks.body.yolo_exported import ExportedYolo, people_of
from tasks.images.decode import decode_rgb
from tasks.models.body_cards import YOLOV8N_POSE_DEQUANTISED
from tasks.models.card import ModelCard
from tasks.models.runtimes import EXPORTED, open_network
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError
from tests.models.model_contract import assert_batched_equals_single

ROOT = Path(__file__).parents[2]


def write_weights(folder: Path, name: str, **architecture) -> ModelCard:
    """An untrained YOLO-pose of a few channels, its weights from a fixed seed, as Ultralytics saves one."""
    import torch

    from tasks.body.yolo import _import_ultralytics, _untouched_process

    with _untouched_process():
        _import_ultralytics()
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    described = {**yaml_model_load("yolov8n-pose.yaml"), "scale": "n", "scales": {"n": [0.1, 0.05, 64]}, **architecture}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PoseModel(described, verbose=False)
        for name_of, parameter in network.named_parameters():
            if parameter.ndim == 4 and "dfl" not in name_of:
                torch.nn.init.normal_(parameter, std=2.0 / parameter[0].numel() ** 0.5)
    path = folder / f"{name}.pt"
    torch.save({"model": network, "train_args": {}}, path)
    content = path.read_bytes()
    changes = {"name": name, "file_name": path.name, "sha256": sha256(content).hexdigest(), "size_bytes": len(content)}
    return YOLOV8N_POSE_DEQUANTISED.model_copy(update=changes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[ModelCard, Zoo]:
    folder = tmp_path_factory.mktemp("weights")
    return write_weights(folder, "tiny"), Zoo(tmp_path_factory.mktemp("zoo"), folder)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", EXPORTED)
def test_the_heads_mean_what_torch_says(tiny, runtime):
    import torch

    picture = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    network = read_yolo(*tiny)
    with torch.inference_mode():
        said = network(torch.from_numpy(picture[None]).permute(0, 3, 1, 2).float() / 255)[0][0].T.numpy()
    xyxy, score, joints = people_of(open_network(runtime, exported_yolo(*tiny))(picture[None]), 96, 160, -1)
    assert len(score) == len(said) == (12 * 20 + 6 * 10 + 3 * 5)
    assert np.ptp(score) > 0.3, "a network that says something"
    np.testing.assert_allclose(score, said[:, 4], atol=1e-4)
    np.testing.assert_allclose((xyxy[:, :2] + xyxy[:, 2:]) / 2, said[:, :2], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(xyxy[:, 2:] - xyxy[:, :2], said[:, 2:4], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(joints.reshape(len(said), 51), said[:, 5:], rtol=1e-3, atol=1e-2)


def test_an_export_is_made_once_and_is_the_same_wherever_it_is_made(tiny, tmp_path):
    card, zoo = tiny
    first = exported_yolo(card, zoo)
    made = {path.name: path.stat().st_mtime_ns for path in zoo.folder.iterdir()}
    assert exported_yolo(card, zoo) == first
    assert {path.name: path.stat().st_mtime_ns for path in zoo.folder.iterdir()} == made
    assert exported_yolo(card, Zoo(tmp_path, zoo.given)) == first
    assert {path.name for path in tmp_path.iterdir()} == set(made)
    assert sorted(Path(name).suffix for name in made) == [".onnx", ".sha256"]


@pytest.mark.parametrize(
    "damage", ["cut", *(pytest.param(d, marks=pytest.mark.slow) for d in ("other", "gone", "no record", "odd record"))]
)
def test_a_damaged_export_is_made_again(tiny, tmp_path, damage):
    card, zoo = tiny
    ours = Zoo(tmp_path, zoo.given)
    for path in zoo.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = exported_yolo(card, ours)
    (network,), (record,) = tmp_path.glob("*.onnx"), tmp_path.glob("*.sha256")
    if damage == "cut":
        network.write_bytes(whole[:-1000])
    elif damage == "other":
        network.write_bytes(b"x" * len(whole))
    elif damage == "gone":
        network.unlink()
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text("nothing")
    assert exported_yolo(card, ours) == whole
    assert network.read_bytes() == whole
    assert record.read_text().split() == [sha256(whole).hexdigest(), network.name]
    assert not list(tmp_path.glob("*.part"))


def test_weights_are_verified_before_they_are_read(tiny, tmp_path):
    card, zoo = tiny
    with pytest.raises(ModelError, match="its sha256 is"):
        exported_yolo(card.model_copy(update={"sha256": "0" * 64}), Zoo(tmp_path, zoo.given))
    assert not list(tmp_path.iterdir())


def test_other_heads_are_not_exported(tmp_path):
    card = write_weights(tmp_path, "two-classes", nc=2)
    with pytest.raises(ModelError, match="choose the runtime `torch`"):
        exported_yolo(card, Zoo(tmp_path))


def test_the_runtime_is_chosen_and_named(tmp_path):
    zoo = Zoo(tmp_path)
    chosen = open_fast_pose_model("yolov8n-pose", zoo, "cpu")
    assert isinstance(chosen, ExportedYolo)
    assert chosen.runtime == "openvino"
    assert chosen.execution()["runtime"].startswith("openvino 20")
    assert open_fast_pose_model("yolov8n-pose", zoo, "cpu", "onnxruntime").execution()["runtime"].startswith("onnx")
    torch = open_fast_pose_model("yolov8n-pose", zoo, "cpu", "torch")
    assert torch.execution() == {**YoloPose(torch.card, zoo, "cpu").execution(), "joints_beyond": "kept"}
    assert isinstance(open_fast_pose_model("yolov8n-pose", zoo, "cuda"), YoloPose)


def test_what_is_not_installed_is_not_chosen(tmp_path, monkeypatch):
    from tasks.models import runtimes

    monkeypatch.setattr(runtimes, "version_of", lambda package: None if package == "openvino" else "1.0")
    assert open_fast_pose_model("yolov8n-pose", Zoo(tmp_path), "cpu").runtime == "onnxruntime"
    with pytest.raises(ModelError, match="openvino is not installed"):
        open_network("openvino", b"")


@pytest.mark.parametrize("runtime", EXPORTED)
def test_what_is_no_network_is_said(runtime):
    with pytest.raises(ModelError, match="does not load the network"):
        open_network(runtime, b"nothing")


# On real photos


@pytest.fixture(scope="module")
def zoo(real_data, tmp_path_factory) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"), real_data / "models")


@pytest.fixture(scope="module")
def photos(real_data) -> list[Path]:
    paths = [p for room in ("people", "identities") for p in sorted((real_data / room).rglob("*"))]
    paths = [p for p in paths if p.suffix in (".jpg", ".png")]
    assert len(paths) > 200
    return paths


def as_arrays(people: PersonDetections):
    return people.boxes.xyxy, people.boxes.score, people.keypoints.xy, people.keypoints.confidence


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes one by one, (N,)."""
    size = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0)
    shared = size.prod(axis=1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runtime", EXPORTED)
def test_the_same_people_as_in_torch_on_every_real_photo(zoo, photos, runtime):
    slow = YoloPose(YOLOV8N_POSE_DEQUANTISED, zoo, "cpu", clip_joints=False)
    fast = ExportedYolo(YOLOV8N_POSE_DEQUANTISED, zoo, runtime)
    people, farthest, least = 0, 0.0, 1.0
    for start in range(0, len(photos), 16):
        pictures = [decode_rgb(path.read_bytes()) for path in photos[start : start + 16]]
        for expected, got in zip(slow.detect(pictures), fast.detect(pictures), strict=True):
            assert (got.boxes.score >= 0.7).sum() == (expected.boxes.score >= 0.7).sum()
            assert len(got) == len(expected)
            np.testing.assert_allclose(got.boxes.score, expected.boxes.score, atol=1e-3)
            np.testing.assert_allclose(got.keypoints.confidence, expected.keypoints.confidence, atol=1e-3)
            if len(got):
                people += len(got)
                least = min(least, overlap(got.boxes.xyxy, expected.boxes.xyxy).min())
                farthest = max(farthest, np.abs(got.keypoints.xy - expected.keypoints.xy).max())
    print(f"{runtime}: {people} people, farthest joint {farthest:.4f} px, least overlap {least:.5f}")
    assert people > 250
    assert farthest <= 1
    assert least >= 0.99


@pytest.mark.real
@pytest.mark.parametrize("runtime", EXPORTED)
def test_batched_equals_single(zoo, photos, runtime):
    some = [decode_rgb(path.read_bytes()) for path in photos[::25]]
    assert len({picture.shape for picture in some}) > 2
    model = ExportedYolo(YOLOV8N_POSE_DEQUANTISED, zoo, runtime)
    assert_batched_equals_single(model.detect, some, as_arrays, tolerance=0)


@pytest.mark.real
def test_joints_beyond_the_picture_stay_there_in_torch_too(zoo, real_data):
    picture = decode_rgb((real_data / "people" / "tryon_models" / "01008_00.jpg").read_bytes())[:600]
    clipped = YoloPose(YOLOV8N_POSE_DEQUANTISED, zoo, "cpu").detect([picture])[0]
    beyond = YoloPose(YOLOV8N_POSE_DEQUANTISED, zoo, "cpu", clip_joints=False).detect([picture])[0]
    height, width = picture.shape[:2]
    assert beyond.keypoints.xy[..., 1].max() > height + 5
    np.testing.assert_allclose(clipped.keypoints.xy, beyond.keypoints.xy.clip(0, [width, height]), atol=1e-3)


@pytest.mark.real
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (31, 33)])
def test_pictures_without_room_for_people_show_nobody(zoo, shape):
    model = ExportedYolo(YOLOV8N_POSE_DEQUANTISED, zoo, "openvino")
    assert len(model.detect([np.full((*shape, 3), 200, np.uint8)])[0]) == 0


@pytest.mark.real
@pytest.mark.parametrize("runtime", EXPORTED)
def test_it_is_quiet_asks_nobody_and_writes_only_into_the_zoo(real_data, tmp_path, runtime):
    home, here, models = tmp_path / "home", tmp_path / "here", tmp_path / "models"
    home.mkdir()
    here.mkdir()
    program = f"""
import socket, sys
socket.socket.connect = socket.getaddrinfo = lambda *a, **k: sys.exit("asked the network")
from pathlib import Path
import numpy as np
from tasks.body.pose_model import open_fast_pose_model
from tasks.models.zoo import Zoo
zoo = Zoo(Path({str(models)!r}), Path({str(real_data / "models")!r}))
model = open_fast_pose_model("{YOLOV8N_POSE_DEQUANTISED.name}", zoo, "cpu", "{runtime}")
for _ in range(2):
    assert len(model.detect([np.zeros((64, 64, 3), np.uint8)])) == 1
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "OMP_", "XDG_"))}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == list(here.rglob("*")) == []
    assert sorted(path.suffix for path in models.iterdir()) == [".onnx", ".sha256"]
