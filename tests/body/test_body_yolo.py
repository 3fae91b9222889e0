"""YOLO-pose against what it wraps, on real photos; and what happens with files that are not it."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from tasks.body.oks import matched, similarity
from tasks.body.pose_model import PersonDetections, open_pose_model
from tasks.body.yolo import YoloPose
from tasks.images.decode import decode_rgb
from tasks.models.body_cards import YOLOV8N_POSE_DEQUANTISED
from tasks.models.card import ModelCard
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.keypoints import COCO_17, Keypoints
from tests.models.model_contract import assert_batched_equals_single

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def yolo(real_data, tmp_path_factory) -> YoloPose:
    zoo = Zoo(tmp_path_factory.mktemp("zoo"), real_data / "models")
    return YoloPose(YOLOV8N_POSE_DEQUANTISED, zoo, "cpu")


@pytest.fixture(scope="module")
def photos(real_data) -> list[np.ndarray]:
    paths = sorted((real_data / "people").glob("*_*/*.jpg")) + sorted((real_data / "keypoints").glob("*/**/*.jpg"))
    assert len(paths) >= 40
    return [decode_rgb(path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def raw(real_data, yolo):
    """Ultralytics' own predict on the same RGB pixels."""
    import torch

    yolo.detect([np.zeros((8, 8, 3), np.uint8)])  # so that it is imported as we import it
    from ultralytics import YOLO

    model = YOLO(real_data / "models" / YOLOV8N_POSE_DEQUANTISED.file_name)

    def predict(image: np.ndarray):
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return model.predict(np.ascontiguousarray(image[..., ::-1]), verbose=False, device="cpu")[0]
        finally:
            torch.set_num_threads(before)

    return predict


def coco(real_data: Path) -> list[tuple[np.ndarray, Keypoints, np.ndarray]]:
    """Photo, annotated joints and area of each annotated person."""
    folder = real_data / "keypoints"
    labels = json.loads((folder / "coco" / "coco_keypoints17.json").read_text())
    samples = []
    for image in labels["images"]:
        of = [a for a in labels["annotations"] if a["image_id"] == image["id"] and a["num_keypoints"]]
        joints = np.array([a["keypoints"] for a in of], np.float32).reshape(-1, 17, 3)
        samples.append((folder / "coco" / image["file_name"], joints, np.array([a["area"] for a in of])))
    for path in sorted((folder / "coco8-pose" / "images").glob("*.jpg")):
        height, width = decode_rgb(path.read_bytes()).shape[:2]
        rows = np.loadtxt(folder / "coco8-pose" / "labels" / f"{path.stem}.txt", ndmin=2)
        joints = rows[:, 5:].reshape(-1, 17, 3) * [width, height, 1]
        # Boxes stand for the missing segments; a person fills about half of its box (Ultralytics' own factor).
        samples.append((path, joints, rows[:, 3] * width * rows[:, 4] * height * 0.53))
    return [
        (
            decode_rgb(path.read_bytes()),
            Keypoints.from_arrays(COCO_17, joints[..., :2], (joints[..., 2] > 0).astype(np.float32)),
            areas,
        )
        for path, joints, areas in samples
    ]


def agreement(yolo: YoloPose, samples, reverse_channels: bool = False) -> tuple[float, float]:
    """Mean similarity over matched people, and the share of annotated people that were found."""
    similarities = []
    for image, truth, areas in samples:
        found = yolo.detect([np.ascontiguousarray(image[..., ::-1]) if reverse_channels else image])[0]
        table = similarity(truth, areas, found.keypoints)
        of = matched(table, found.boxes.score)
        similarities += [table[t, p] if p >= 0 else np.nan for t, p in enumerate(of)]
    seen = ~np.isnan(similarities)
    return float(np.nanmean(similarities)), float(seen.mean())


def as_arrays(people: PersonDetections):
    return people.boxes.xyxy, people.boxes.score, people.keypoints.xy, people.keypoints.confidence


@pytest.mark.real
@pytest.mark.slow
def test_the_wrapper_changes_nothing_that_the_model_says(yolo, raw, photos):
    off = []
    for image, found in zip(photos, yolo.detect(photos), strict=True):
        said = raw(image)
        assert len(found) == len(said.boxes)
        if len(found):
            off.append(np.abs(found.keypoints.xy - said.keypoints.xy.numpy()).max(axis=-1).ravel())
            np.testing.assert_allclose(found.keypoints.confidence, said.keypoints.conf.numpy(), atol=1e-3)
            np.testing.assert_allclose(found.boxes.xyxy, said.boxes.xyxy.numpy(), atol=0.5)
    distances = np.concatenate(off)
    assert len(distances) > 1000
    assert (distances <= 0.5).mean() >= 0.999


@pytest.mark.real
def test_annotated_people_are_found_where_they_are(yolo, real_data):
    quality, recall = agreement(yolo, coco(real_data))
    print(f"OKS {quality:.3f}, recall {recall:.3f}")
    assert quality >= 0.77
    assert recall >= 0.88


@pytest.mark.real
def test_the_channel_order_is_the_one_it_was_trained_on(yolo, real_data):
    samples = coco(real_data)
    quality, recall = agreement(yolo, samples)
    swapped_quality, swapped_recall = agreement(yolo, samples, reverse_channels=True)
    assert quality * recall > swapped_quality * swapped_recall + 0.1


@pytest.mark.real
def test_batched_equals_single(yolo, photos):
    some = photos[::12]
    assert len({image.shape for image in some}) > 2
    assert_batched_equals_single(yolo.detect, some, as_arrays, tolerance=0)


@pytest.mark.real
def test_batches_as_on_a_gpu_equal_single_too(yolo, photos):
    some = [image[:256, :320] for image in photos[:3]] + photos[:2]
    network = yolo._loaded()
    assert_batched_equals_single(lambda images: network.detect_batched(images, 2), some, as_arrays, tolerance=0.01)


@pytest.mark.real
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (31, 33)])
def test_pictures_without_room_for_people_show_nobody(yolo, shape):
    assert len(yolo.detect([np.full((*shape, 3), 200, np.uint8)])[0]) == 0


@pytest.mark.real
def test_a_view_with_strange_strides_is_the_same_picture(yolo, photos):
    mirrored = photos[0][:, ::-1]
    for got, expected in zip(
        as_arrays(yolo.detect([mirrored])[0]), as_arrays(yolo.detect([mirrored.copy()])[0]), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.real
def test_it_is_quiet_and_leaves_the_machine_as_it_was(real_data, tmp_path):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    program = f"""
import os, socket, sys
import cv2  # changes the environment itself
socket.socket.connect = socket.getaddrinfo = lambda *a, **k: sys.exit("asked the network")
import warnings
import numpy as np
import PIL.Image
import torch
def state():
    return (
        dict(os.environ), PIL.Image.open, torch.save, torch.get_num_threads(), cv2.getNumThreads(),
        np.get_printoptions(), str(torch.rand(100, generator=torch.Generator().manual_seed(0))), warnings.filters[:],
    )
before = state()
from pathlib import Path
from tasks.body.pose_model import open_pose_model
from tasks.models.zoo import Zoo
model = open_pose_model("{YOLOV8N_POSE_DEQUANTISED.name}", Zoo.from_environment(), "cpu")
assert "ultralytics" not in sys.modules, "constructing loads nothing"
assert len(model.detect([np.zeros((64, 64, 3), np.uint8)])) == 1
for now, then in zip(state(), before, strict=True):
    assert now == then, (now, then)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "OMP_", "XDG_"))}
    environment |= {"HOME": str(home), "MANNEQUIN_MODELS": str(real_data / "models"), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert list(home.rglob("*")) == list(here.rglob("*")) == []


def a_card(path: Path, **changes) -> ModelCard:
    content = path.read_bytes()
    changed = {"file_name": path.name, "sha256": sha256(content).hexdigest(), "size_bytes": len(content), **changes}
    return YOLOV8N_POSE_DEQUANTISED.model_copy(update=changed)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def bomb(tmp_path) -> Path:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({"model": Bomb(tmp_path / "boom")}, protocol=2))
        archive.writestr("bomb/version", "3\n")
        archive.writestr("bomb/byteorder", "little")
    return path


PICTURE = [np.zeros((8, 8, 3), np.uint8)]


def test_nothing_is_unpickled_before_the_digest_holds(bomb, tmp_path):
    with pytest.raises(ModelError, match="its sha256 is"):
        YoloPose(a_card(bomb, sha256="0" * 64), Zoo(tmp_path)).detect(PICTURE)
    assert not (tmp_path / "boom").exists()


def test_code_in_a_trusted_file_does_not_run_either(bomb, tmp_path):
    with pytest.raises(ModelError, match="does not load as an Ultralytics model"):
        YoloPose(a_card(bomb), Zoo(tmp_path), "cpu").detect(PICTURE)
    assert not (tmp_path / "boom").exists()


def test_a_model_of_other_joints_is_refused(tmp_path):
    import torch

    from tasks.body.yolo import _import_ultralytics, _untouched_process

    with _untouched_process():
        _import_ultralytics()
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    architecture = {**yaml_model_load("yolov8n-pose.yaml"), "kpt_shape": [5, 3], "depth_multiple": 0.1}
    tiny = PoseModel({**architecture, "scale": "n", "scales": {"n": [0.1, 0.02, 64]}}, verbose=False)
    torch.save({"model": tiny, "train_args": {}}, tmp_path / "five.pt")
    with pytest.raises(ModelError, match="17 COCO joints"):
        YoloPose(a_card(tmp_path / "five.pt"), Zoo(tmp_path), "cpu").detect(PICTURE)


def test_constructing_needs_no_file(tmp_path):
    model = open_pose_model("yolov8n-pose", Zoo(tmp_path), "cpu")
    assert model.sha256 == model.card.sha256
    assert model.detect([]) == []
    assert model.execution()["provider"] == "cpu"


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(tmp_path, picture):
    with pytest.raises(ShapeError, match="RGB uint8"):
        open_pose_model("yolov8n-pose", Zoo(tmp_path)).detect([picture])
