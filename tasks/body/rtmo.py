"""RTMO: one network that finds people and their joints, from an ONNX file as mmdeploy exports it.

The file is `end2end.onnx`, alone or in the zip that OpenMMLab publishes. Input: (B, 3, 640, 640), BGR, 0 to 255 as
float32, no normalisation. Outputs in pixels of that input, suppression done: `dets` (B, N, 5), x1 y1 x2 y2 score, and
`keypoints` (B, N, 17, 3), x y visibility. Rows that fill up have score 0.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.letterbox import letterboxed
from tasks.body.onnx_file import may_be, network_in
from tasks.body.pose_model import PersonDetections, demand_pictures
from tasks.models.card import ModelCard
from tasks.models.device import Device, Provider, cpu_threads, provider
from tasks.models.loaded import load_once
from tasks.models.runtimes import Arrays, onnx_session, run_of, version_of
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ModelError
from tasks.schema.keypoints import COCO_17, Keypoints

_SIDE: Final = 640


@dataclass(frozen=True)
class RtmoPose(CardModel):
    """RTMO as `PoseModel` says; one picture a call, on the CPU as many at once as there are cores.

    Joints stay where the network sees them, also beyond the picture; boxes are clipped to it.
    """

    device: Device = "auto"

    @property
    def _where(self) -> Provider:
        """On a GPU only if that is asked for, or ONNX Runtime's build for GPUs is installed."""
        where = provider(self.device)
        return where if self.device != "auto" or version_of("onnxruntime-gpu") else "cpu"

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        version = version_of("onnxruntime-gpu") or version_of("onnxruntime")
        return {"provider": self._where, "precision": "fp32", "runtime": f"onnxruntime {version}"}

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        """The people of each picture, as `PoseModel` says.

        Raises:
            ModelError: the weights are missing, damaged, or of another kind, or cannot run there.
            ShapeError: a picture is not RGB uint8, (H, W, 3), with at least one pixel.
        """
        demand_pictures(images)
        return self._loaded().detect(images) if images else []

    def _loaded(self) -> "_Network":
        where = self._where
        key = ("rtmo", self.card.name, self.card.sha256, self.zoo, where)
        return load_once(key, lambda: _load(self.card, self.zoo, where))


def _load(card: ModelCard, zoo: Zoo, where: Provider) -> "_Network":
    path = verified_file(card, zoo).path
    session = onnx_session(network_in(path), where)
    inputs, outputs = ([each.shape for each in ends] for ends in (session.get_inputs(), session.get_outputs()))
    fits = len(inputs) == 1 and len(outputs) == 2 and may_be(inputs[0], (None, 3, _SIDE, _SIDE))
    if not fits or not may_be(outputs[0], (None, None, 5)) or not may_be(outputs[1], (None, None, len(COCO_17), 3)):
        raise ModelError(
            f"{path} is no RTMO of the 17 COCO joints as mmdeploy exports it: it takes {inputs}, gives {outputs}."
        )
    return _Network(session, where, card.thresholds["person"])


class _Network:
    """The loaded network, safe to be called from several threads."""

    def __init__(self, session: Any, where: Provider, floor: float) -> None:
        self._run = run_of(session)
        self._floor = floor
        self._pool = ThreadPoolExecutor(cpu_threads() if where == "cpu" else 1, "rtmo")

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        return list(self._pool.map(self._detect, images))

    def _detect(self, image: NDArray[np.uint8]) -> PersonDetections:
        boxed, fit = letterboxed(image, _SIDE)
        bgr = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1), np.float32)
        boxes, score, joints = _sure_first(self._run(bgr[None]), self._floor)
        corners = fit.back(boxes.reshape(-1, 2, 2)).clip(0, [fit.width, fit.height])
        return PersonDetections(
            Boxes(corners.reshape(-1, 4).astype(np.float32), score),
            Keypoints.from_arrays(COCO_17, fit.back_centres(joints[..., :2]), joints[..., 2]),
        )


def _sure_first(outputs: Arrays, floor: float) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Boxes, scores and joints of those at or above the floor, best first."""
    dets, joints = outputs[0][0], outputs[1][0]
    order = np.argsort(-dets[:, 4], kind="stable")
    order = order[dets[order, 4] >= floor]
    return dets[order, :4], np.clip(dets[order, 4], 0, 1), joints[order]
