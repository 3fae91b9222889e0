"""YOLO-pose without torch: the exported network in OpenVINO or ONNX Runtime, and what its heads mean."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.letterbox import letterboxed
from tasks.body.pose_model import PersonDetections, demand_pictures
from tasks.body.suppress import best_of_overlapping
from tasks.body.yolo_export import BINS, STRIDES, exported_yolo, exporter
from tasks.models.card import ModelCard
from tasks.models.device import cpu_threads
from tasks.models.loaded import load_once
from tasks.models.runtimes import Arrays, Run, Runtime, open_network, version_of
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import COCO_17, Keypoints

INPUT_SIDE: Final = 640
MAX_PEOPLE: Final = 300
"""As in torch: the side that the network was trained on, and Ultralytics' limit."""


@dataclass(frozen=True)
class ExportedYolo(CardModel):
    """YOLO-pose of an Ultralytics file on the CPU, as `PoseModel` says; the same people as `YoloPose` gives.

    Joints stay where the network sees them, also beyond the picture. Pictures go through one by one, one thread each
    and as many at once as there are cores. Ultralytics and torch are needed once, for the export.
    """

    runtime: Runtime

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        return {
            "provider": "cpu",
            "precision": "fp32",
            "runtime": f"{self.runtime} {version_of(self.runtime)}",
            **exporter(),
        }

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        """The people of each picture, as `PoseModel` says.

        Raises:
            ModelError: the weights are missing, damaged, or of another kind, or the runtime is not installed.
            ShapeError: a picture is not RGB uint8, (H, W, 3), with at least one pixel.
        """
        demand_pictures(images)
        return self._loaded().detect(images) if images else []

    def _loaded(self) -> "_Network":
        key = ("yolo-pose", self.card.name, self.card.sha256, self.zoo, self.runtime)
        return load_once(key, lambda: _load(self.card, self.zoo, self.runtime))


def _load(card: ModelCard, zoo: Zoo, runtime: Runtime) -> "_Network":
    return _Network(open_network(runtime, exported_yolo(card, zoo)), card.thresholds)


class _Network:
    """The loaded network, safe to be called from several threads."""

    def __init__(self, run: Run, thresholds: Mapping[str, float]) -> None:
        self._run = run
        self._floor = thresholds["person"]
        self._iou = thresholds["nms_iou"]
        self._pool = ThreadPoolExecutor(cpu_threads(), "yolo-exported")

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        return list(self._pool.map(self._detect, images))

    def _detect(self, image: NDArray[np.uint8]) -> PersonDetections:
        boxed, fit = letterboxed(image, INPUT_SIDE, STRIDES[-1])
        xyxy, score, joints = people_of(self._run(boxed[None]), boxed.shape[0], boxed.shape[1], self._floor)
        best = best_of_overlapping(xyxy, score, self._iou, MAX_PEOPLE)
        corners = fit.back(xyxy[best].reshape(-1, 2, 2)).clip(0, [fit.width, fit.height])
        return PersonDetections(
            Boxes(corners.reshape(-1, 4).astype(np.float32), score[best]),
            Keypoints.from_arrays(COCO_17, fit.back(joints[best, :, :2]), joints[best, :, 2]),
        )


def people_of(
    heads: Arrays, height: int, width: int, floor: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What the heads say of the anchors that see a person, overlapping ones included.

    Args:
        heads: `boxes`, `scores` and `joints` of `exported_yolo`, for one picture.
        height: of the picture, a multiple of 32.
        width: likewise.
        floor: anchors that are not surer than this are left out.
    Returns:
        float32, in pixels of the picture: boxes (N, 4), scores (N,), and joints (N, 17, 3), their x, y and confidence.
    """
    boxes, scores, points = (head[0] for head in heads)
    sure = _sigmoid(scores[0])
    seen = np.flatnonzero(sure > floor)
    centre, stride = (of[seen] for of in _anchors(height, width))
    bins = boxes[:, seen].T.reshape(-1, 4, BINS)
    share = np.exp(bins - bins.max(axis=2, keepdims=True))
    reach = (share @ np.arange(BINS, dtype=np.float32)) / share.sum(axis=2)
    xyxy = np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1) * stride
    joints = points[:, seen].T.reshape(-1, len(COCO_17), 3)
    xy = (joints[..., :2] * 2 + (centre - 0.5)[:, None]) * stride[:, None]
    told = np.concatenate([xy, _sigmoid(joints[..., 2:])], axis=2)
    return xyxy.astype(np.float32), sure[seen], told.astype(np.float32)


@lru_cache(maxsize=64)
def _anchors(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre of each anchor in units of its stride (A, 2), and the stride (A, 1), in the order of the heads."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride].astype(np.float32) + np.float32(0.5)
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((x.size, 1), stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)), np.float32)
