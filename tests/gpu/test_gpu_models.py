"""The networks on a GPU give what they give on the CPU, within what their arithmetic allows; `make test-gpu`.

On a GPU convolutions of float32 multiply in TF32 (10 bits of mantissa), and recognisers run in float16. How fast they
go is printed. `MANNEQUIN_GPU_TESTS_ON=cpu` runs them on the CPU instead, to try the tests themselves.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tasks.body.pose_model import open_pose_model
from tasks.face.face_detector import open_face_detector
from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.identity.neighbours import nearest
from tasks.models.device import Device
from tasks.models.runtimes import import_onnxruntime
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tests.gpu.busy import pace

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

DEVICE = cast(Device, os.environ.get("MANNEQUIN_GPU_TESTS_ON", "cuda"))
PHOTOS = 32
SURE = 0.5
"""Detections that a little noise does not take below a model's floor."""

SAME_BOX = 0.9
"""IoU of two detections that are one."""

PIXELS = 1.0
"""Nine tenths of all points lie this close to each other, in pixels of pictures of at most 640."""

SCORES = 0.02
COSINE = 0.999


@pytest.fixture(scope="module")
def device() -> Device:
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return DEVICE


@pytest.fixture(scope="module")
def zoo(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("models"), real_data / "models", trust_unknown_digest=True)


@pytest.fixture(scope="module")
def photos(real_data: Path) -> list[NDArray[np.uint8]]:
    """Real photos of people, RGB, their longer side at most 640."""
    paths = sorted(path for room in ("people", "identities") for path in (real_data / room).rglob("*.jpg"))
    return [_read(path) for path in paths[:: max(1, len(paths) // PHOTOS)]]


def _read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        picture.draft("RGB", (640, 640))
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    upright.thumbnail((640, 640))
    return np.asarray(upright)


def pairs(one: Boxes, other: Boxes) -> list[tuple[int, int]]:
    """Rows of sure boxes of one, each with the box of the other that is the same."""
    found = []
    for row in np.flatnonzero(one.score >= SURE):
        low = np.maximum(one.xyxy[row, :2], other.xyxy[:, :2])
        high = np.minimum(one.xyxy[row, 2:], other.xyxy[:, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        areas = [np.prod(xyxy[..., 2:] - xyxy[..., :2], axis=-1) for xyxy in (one.xyxy[row], other.xyxy)]
        overlap = shared / (areas[0] + areas[1] - shared)
        if len(overlap) and overlap.max() >= SAME_BOX:
            found.append((int(row), int(overlap.argmax())))
    return found


def demand_same(boxes: Sequence[tuple[Boxes, Boxes]], points: Sequence[tuple[NDArray, NDArray]]) -> None:
    """Nearly all sure detections are found by both, at one place, with one score.

    Args:
        boxes: of each picture, on the CPU and on the GPU.
        points: of each picture likewise, (N, K, 2).
    """
    sure = sum(int((cpu.score >= SURE).sum()) for cpu, _ in boxes)
    same = [pairs(cpu, gpu) for cpu, gpu in boxes]
    assert sure > 10
    assert sum(map(len, same)) >= 0.98 * sure
    apart = np.concatenate(
        [
            np.linalg.norm(cpu[row] - gpu[other], axis=-1).ravel()
            for (cpu, gpu), rows in zip(points, same, strict=True)
            for row, other in rows
        ]
    )
    scores = [
        abs(float(cpu.score[row] - gpu.score[other]))
        for (cpu, gpu), rows in zip(boxes, same, strict=True)
        for row, other in rows
    ]
    print(f"  of {sure} detections {sum(map(len, same))} the same; points: median {np.median(apart):.4f} px, ", end="")
    print(f"p90 {np.quantile(apart, 0.9):.4f} px; scores at most {max(scores):.4f} apart")
    assert np.quantile(apart, 0.9) <= PIXELS
    assert np.quantile(scores, 0.9) <= SCORES


@pytest.mark.real
def test_people_are_the_same(device: Device, zoo: Zoo, photos: list[NDArray[np.uint8]]) -> None:
    cpu, gpu = (open_pose_model("yolov8n-pose-dequantised", zoo, where) for where in ("cpu", device))
    on_cpu, on_gpu = cpu.detect(photos), gpu.detect(photos)
    print("\n" + pace("YOLO-pose, pictures of 640 px", len(photos), lambda: gpu.detect(photos)))
    both = list(zip(on_cpu, on_gpu, strict=True))
    demand_same([(a.boxes, b.boxes) for a, b in both], [(a.keypoints.xy, b.keypoints.xy) for a, b in both])


@pytest.mark.real
def test_faces_are_the_same(device: Device, zoo: Zoo, photos: list[NDArray[np.uint8]]) -> None:
    cpu, gpu = (open_face_detector("retinaface-mobilenet0.25", zoo, where) for where in ("cpu", device))
    on_cpu, on_gpu = cpu.detect(photos), gpu.detect(photos)
    print("\n" + pace("RetinaFace, pictures of 640 px", len(photos), lambda: gpu.detect(photos)))
    both = list(zip(on_cpu, on_gpu, strict=True))
    demand_same([(a.boxes, b.boxes) for a, b in both], [(a.landmarks, b.landmarks) for a, b in both])


@pytest.mark.real
def test_embeddings_are_the_same(device: Device, zoo: Zoo, real_data: Path) -> None:
    if device == "cuda" and "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        pytest.skip("this ONNX Runtime has no CUDA: install onnxruntime-gpu in place of onnxruntime")
    cpu, gpu = (open_recogniser("mobilefacenet-128", zoo, where) for where in ("cpu", device))
    paths = sorted((real_data / "identities" / "lfw").rglob("*.jpg"))[:64]
    faces = [_middle(_read(path), cpu) for path in paths]
    one, other = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (cpu.embed(faces), gpu.embed(faces)))
    cosines = (one * other).sum(axis=1)
    print("\n" + pace("recognition, faces of 112 px", len(faces), lambda: gpu.embed(faces)))
    print(f"  cosine between both at least {cosines.min():.6f}")
    assert cosines.min() >= COSINE


def _middle(photo: NDArray[np.uint8], model: Recogniser) -> NDArray[np.uint8]:
    """The middle half of a portrait, at the side that the model takes."""
    height, width = photo.shape[:2]
    face = Image.fromarray(photo[height // 4 : height - height // 4, width // 4 : width - width // 4])
    return np.asarray(face.resize((model.spec.side, model.spec.side), Image.Resampling.BILINEAR))


def test_neighbours_are_the_same(device: Device) -> None:
    rows = np.random.default_rng(0).normal(size=(10_000, 128)).astype(np.float16)
    on_cpu, on_gpu = nearest(rows[:4000]), nearest(rows[:4000], gpu=device == "cuda")
    assert (on_gpu.index == on_cpu.index).mean() > 0.999
    assert np.allclose(on_gpu.cosine, on_cpu.cosine, atol=1e-5)
    print("\n" + pace("80 neighbours among 10,000 faces", len(rows), lambda: nearest(rows, gpu=device == "cuda")))
