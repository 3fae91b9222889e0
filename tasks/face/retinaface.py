"""RetinaFace: `retinaface-pytorch`'s resnet50, and the mobilenet0.25 of Pytorch_Retinaface, as `FaceDetector`."""

import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.face.face_detector import FaceDetections
from tasks.face.retinaface_priors import VARIANCES, priors
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, cpu_threads, demand_provider, provider
from tasks.models.loaded import load_once
from tasks.models.runtimes import Arrays, Run, Runtime, fastest_runtime, open_network, version_of
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.webbody import LANDMARKS

MAX_SIDE: Final = 960
"""Pixels of the longer side that the network sees at most; larger pictures are shrunk. Source: the package's default
`max_size`. Smaller pictures are seen as they are."""

MAX_FACES: Final = 750
"""Faces of one picture. Source: `keep_top_k` of Pytorch_Retinaface."""

GPU_BATCH: Final = 32


@dataclass(frozen=True)
class RetinaFace(CardModel):
    """RetinaFace of a file of weights, as `FaceDetector` says; which network it is, the weights tell.

    On the CPU pictures go through one by one, one thread each and as many at once as there are cores: faster than
    batches there, and independent of the number of cores. On a GPU pictures of equal size share a batch, in torch.

    `runtime`: what runs the network on the CPU; None: the fastest that is installed.
    """

    device: Device = "auto"
    runtime: Runtime | None = None

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {
            "provider": provider(self.device),
            "precision": "fp32",
            "runtime": f"{self._runtime} {version_of(self._runtime)}".partition("+")[0],
            **{name: (version_of(name) or "").partition("+")[0] for name in ("torch", "torchvision")},
            "retinaface-pytorch": version_of("retinaface-pytorch") or "",
        }

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[FaceDetections]:
        """The faces of each picture, as `FaceDetector` says.

        Raises:
            ModelError: the weights are missing, damaged, or of another kind.
            ShapeError: a picture is not RGB uint8, (H, W, 3), with at least one pixel.
        """
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ShapeError(f"pictures are RGB uint8, (H, W, 3), not {image.dtype} {image.shape}")
        return self._loaded().detect(images) if images else []

    def _loaded(self) -> "_Network":
        where = provider(self.device)
        # The digest of the card stands for the file: a card without one has a record that the file is checked against.
        key = ("retinaface", self.card.name, self.card.sha256, self.zoo, where, self._runtime)
        return load_once(key, lambda: _load(self.card, self.zoo, where, self._runtime))

    @property
    def _runtime(self) -> Runtime:
        return "torch" if provider(self.device) == "cuda" else self.runtime or fastest_runtime()


def _load(card: ModelCard, zoo: Zoo, where: Provider, runtime: Runtime) -> "_Network":
    verified = verified_file(card, zoo)
    demand_provider(where)
    from tasks.face.retinaface_network import exported, network_of

    try:
        network = network_of(_read_weights(verified.path))
    except RuntimeError as error:
        raise ModelError(f"{verified.path} does not hold the weights of a RetinaFace: {error}") from error
    run = _in_torch(network, where) if runtime == "torch" else open_network(runtime, exported(network))
    return _Network(run, where, card.thresholds)


def _read_weights(path: Path) -> dict[str, Any]:
    """The tensors of a file of PyTorch, or of one inside a ZIP, as torch.hub takes it; nothing else is unpickled."""
    import torch

    try:
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
                data = archive.read(members[0]) if len(members) == 1 else data
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} does not load as weights: {type(error).__name__}: {error}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ModelError(f"{path} holds no table of tensors: it is not the weights of a RetinaFace.")
    return weights


def _in_torch(network: Any, where: Provider) -> Run:
    import torch

    module = network.to(where, memory_format=torch.channels_last)

    def run(pictures: NDArray[Any]) -> Arrays:
        with torch.inference_mode():
            return [head.cpu().numpy() for head in module(torch.from_numpy(pictures).to(where))]

    return run


class _Network:
    """The loaded network, safe to be called from several threads."""

    def __init__(self, run: Run, where: Provider, thresholds: Mapping[str, float]) -> None:
        self.heads = run
        self._where = where
        self._thresholds = thresholds
        self._pool = ThreadPoolExecutor(cpu_threads(), "retinaface", initializer=_single_thread)

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[FaceDetections]:
        if self._where == "cpu":
            return list(self._pool.map(lambda image: self._run([image], [_fitted(image)])[0], images))
        return self.detect_batched(images, GPU_BATCH)

    def detect_batched(self, images: Sequence[NDArray[np.uint8]], batch: int) -> list[FaceDetections]:
        """Pictures of equal size together, at most `batch` at once; results in the order of `images`."""
        fitted = list(self._pool.map(_fitted, images))
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(fitted):
            by_shape.setdefault(picture.shape, []).append(index)
        found: dict[int, FaceDetections] = {}
        for indices in by_shape.values():
            for start in range(0, len(indices), batch):
                some = indices[start : start + batch]
                found.update(zip(some, self._run([images[i] for i in some], [fitted[i] for i in some]), strict=True))
        return [found[i] for i in range(len(images))]

    def _run(self, images: Sequence[NDArray[np.uint8]], fitted: Sequence[NDArray[np.uint8]]) -> list[FaceDetections]:
        heads = self.heads(np.stack(fitted))
        return [
            faces_of([head[i] for head in heads], picture.shape[0], picture.shape[1], self._thresholds).scaled(
                image.shape[1] / picture.shape[1], image.shape[0] / picture.shape[0]
            )
            for i, (picture, image) in enumerate(zip(fitted, images, strict=True))
        ]


def faces_of(heads: Arrays, height: int, width: int, thresholds: Mapping[str, float]) -> FaceDetections:
    """What the raw heads of one picture say, overlapping faces suppressed, in pixels of the picture.

    Args:
        heads: boxes (A, 4), classes (A, 2) and landmarks (A, 10), float32.
        height: of the picture.
        width: of the picture.
        thresholds: `candidate`: the lowest score that is told; `nms_iou`: boxes that overlap more are one face.
    """
    import torch
    from retinaface.box_utils import decode, decode_landm
    from torchvision.ops import nms

    # Of two classes, the softmax is the sigmoid of their difference.
    sure = 1 / (1 + np.exp(np.clip(heads[1][:, 0] - heads[1][:, 1], -80, 80)))
    seen = np.flatnonzero(sure >= thresholds["candidate"])
    at, boxes, points = (torch.from_numpy(of[seen]) for of in (priors(height, width), heads[0], heads[2]))
    score = torch.from_numpy(sure[seen])
    xyxy = decode(boxes, at, VARIANCES)
    best = nms(xyxy, score, thresholds["nms_iou"])[:MAX_FACES]
    landmarks = decode_landm(points[best], at[best], VARIANCES).numpy()
    corners, scores = xyxy[best].numpy(), score[best].numpy()
    whole = np.isfinite(corners).all(axis=1) & np.isfinite(landmarks).all(axis=1)
    return FaceDetections(Boxes(corners[whole], scores[whole]), landmarks[whole].reshape(-1, LANDMARKS, 2))


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, shrunk where its longer side exceeds `MAX_SIDE`."""
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
