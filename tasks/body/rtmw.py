"""RTMW and DWPose: the 133 joints of one person in a box, from an ONNX file with SimCC outputs.

Input: (B, 3, H, W), RGB, normalised with ImageNet's mean and deviation. Outputs: `simcc_x` (B, 133, 2 W) and `simcc_y`
(B, 133, 2 H), scores of each half pixel of the input along x and along y; the highest is where the joint is.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.onnx_file import may_be, network_in
from tasks.body.pose_model import demand_pictures
from tasks.body.wholebody import COCO_WHOLEBODY_133, OPENPOSE_134, produced_by, scores_to_openpose134, to_openpose134
from tasks.models.body_cards import SCORE_AT_HALF
from tasks.models.card import ModelCard
from tasks.models.cards import card_named
from tasks.models.device import Device, Provider, cpu_threads, provider
from tasks.models.loaded import load_once
from tasks.models.runtimes import onnx_session, run_of, version_of
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo, verified_file
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.keypoints import Keypoints

PADDING: Final = 1.25
"""Of the box on both sides together, before it is widened to the input's shape. Source: MMPose's top-down configs."""

SPLIT: Final = 2
"""Places a pixel of the input. Source: the SimCC codec of RTMPose, RTMW and DWPose."""

_MEAN: Final = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION: Final = np.array([58.395, 57.12, 57.375], np.float32)
"""RGB. Source: MMPose's data preprocessor of all three."""

_BATCH: Final = {"cpu": 8, "cuda": 32}
_PROOF: Final = 3
"""Crops that prove at loading that a batch gives what single crops give."""
_SAME: Final = 0.01
"""Of the largest score: how far batched and single may differ. GPUs round differently; a broken batch axis gives other
scores altogether."""


@dataclass(frozen=True, eq=False)
class WholebodyPoses:
    """N people, one a box.

    Args:
        keypoints: `OPENPOSE_134`, in pixels of the pictures, also beyond them.
        raw_score: float32, (N, 134), as the network said, without an upper end.
    Raises:
        ShapeError: another layout, or the shapes differ.
    """

    keypoints: Keypoints
    raw_score: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.keypoints.layout != OPENPOSE_134 or self.raw_score.shape != self.keypoints.confidence.shape:
            raise ShapeError(
                f"{self.keypoints.layout.name}, {len(self.keypoints)} people, {self.raw_score.shape} scores"
            )

    def __len__(self) -> int:
        return len(self.keypoints)


class WholebodyModel(Protocol):
    """A model of one person's 134 joints. Constructed cheaply; loads once a process, when it is first used.

    Batched equals single, and there are as many results as boxes.
    """

    @property
    def card(self) -> ModelCard: ...

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """Of the weights, known without loading them."""
        ...

    @property
    def produced(self) -> NDArray[np.bool_]:
        """Which of the 134 it can produce at all, (134,)."""
        ...

    def execution(self) -> dict[str, str]:
        """What decides the bytes of the results besides the weights."""
        ...

    def estimate(self, images: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> WholebodyPoses:
        """The person in each box, (N, 4); `images` are the N pictures they lie in, RGB uint8, (H, W, 3)."""
        ...


@dataclass(frozen=True)
class RtmwPose(CardModel):
    """RTMW or DWPose as `WholebodyModel` says.

    Boxes go through in batches of a fixed size, on the CPU as many batches at once as there are cores, one thread each.
    A file whose batch axis is fixed, or does not give batched what it gives singly (tried when it is loaded), is run
    box by box.

    Args:
        score_at_half: the raw score that means a confidence of one half; see `confidence_of`.
        sub_pixel: place joints between the half pixels of the input, by a parabola through the three highest scores.
    """

    score_at_half: float
    device: Device = "auto"
    sub_pixel: bool = False

    @property
    def produced(self) -> NDArray[np.bool_]:
        return produced_by(COCO_WHOLEBODY_133)

    @property
    def _where(self) -> Provider:
        """On a GPU only if that is asked for, or ONNX Runtime's build for GPUs is installed."""
        where = provider(self.device)
        return where if self.device != "auto" or version_of("onnxruntime-gpu") else "cpu"

    def execution(self) -> dict[str, str]:
        """What decides the bytes besides the weights."""
        version = version_of("onnxruntime-gpu") or version_of("onnxruntime")
        return {
            "provider": self._where,
            "precision": "fp32",
            "runtime": f"onnxruntime {version}",
            "opencv": cv2.__version__,
            "batch": str(_BATCH[self._where]),
            "score_at_half": f"{self.score_at_half:g}",
            "place": "parabola" if self.sub_pixel else "half pixels",
        }

    def estimate(self, images: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> WholebodyPoses:
        """The person in each box, as `WholebodyModel` says.

        Raises:
            ModelError: the weights are missing, damaged, or of another kind, or cannot run there.
            ShapeError: a picture is not RGB uint8, (H, W, 3), a box is not finite, or their numbers differ.
        """
        demand_pictures(images)
        boxes = np.asarray(xyxy, np.float32).reshape(-1, 4)
        if len(boxes) != len(images) or not np.isfinite(boxes).all():
            raise ShapeError(f"one finite box a picture, got {len(boxes)} boxes for {len(images)} pictures")
        if not len(boxes):
            return WholebodyPoses(Keypoints.empty(OPENPOSE_134), np.zeros((0, len(OPENPOSE_134)), np.float32))
        xy, raw = self._loaded().joints(images, boxes, sub_pixel=self.sub_pixel)
        seen = Keypoints.from_arrays(COCO_WHOLEBODY_133, xy, confidence_of(raw, self.score_at_half))
        return WholebodyPoses(to_openpose134(seen), scores_to_openpose134(raw, COCO_WHOLEBODY_133))

    def _loaded(self) -> "_Network":
        where = self._where
        key = ("rtmw", self.card.name, self.card.sha256, self.zoo, where)
        return load_once(key, lambda: _load(self.card, self.zoo, where))


def open_wholebody_model(name: str, zoo: Zoo, device: Device = "auto", *, sub_pixel: bool = False) -> RtmwPose:
    """The whole-body model of a card, not loaded yet.

    Raises:
        ModelError: no whole-body model has that name.
    """
    card = card_named(name, "onnx-wholebody")
    return RtmwPose(card, zoo, SCORE_AT_HALF[card.name], device, sub_pixel)


def confidence_of(raw: NDArray[np.float32], score_at_half: float) -> NDArray[np.float32]:
    """Raw scores as confidences from 0 to 1: raw^2 / (raw^2 + half^2), 0 from 0 down.

    Rises with the score without ever reaching 1: four fifths at twice `score_at_half`, nine tenths at three times. It
    keeps the order of a model's scores; it is no probability until `score_at_half` was fitted to annotated joints.
    """
    square = np.square(np.maximum(raw, 0), dtype=np.float64)
    return np.asarray(square / (square + score_at_half**2), np.float32)


def crop_matrix(xyxy: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    """What takes a point of the picture to the input, (2, 3): the box, padded, in the middle of `width` x `height`.

    Points count from the centre of the first pixel in the picture and, as in MMPose, in the input.
    """
    low, high = xyxy[:2].astype(float), xyxy[2:].astype(float)
    centre, size = (low + high) / 2 - 0.5, np.maximum(high - low, 1) * PADDING
    scale = width / max(size[0], size[1] * width / height)
    return np.array([[scale, 0, width / 2 - scale * centre[0]], [0, scale, height / 2 - scale * centre[1]]])


def decoded(
    simcc_x: NDArray[np.float32], simcc_y: NDArray[np.float32], *, sub_pixel: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints in pixels of the input, (N, K, 2), and their raw scores, (N, K): the lower of the highest along x and y.

    Source: MMPose's SimCC codec.
    """
    places, highest = zip(*(_peak(simcc, sub_pixel=sub_pixel) for simcc in (simcc_x, simcc_y)), strict=True)
    return np.asarray(np.stack(places, axis=2) / SPLIT, np.float32), np.minimum(*highest)


def _peak(simcc: NDArray[np.float32], *, sub_pixel: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each row, (N, K, L), is highest, and how high."""
    at = simcc.argmax(axis=2)
    highest = np.take_along_axis(simcc, at[..., None], axis=2)[..., 0]
    if not sub_pixel:
        return at.astype(np.float32), highest
    inside = at.clip(1, simcc.shape[2] - 2)
    before, here, after = (np.take_along_axis(simcc, inside[..., None] + k, axis=2)[..., 0] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where((bend < 0) & (inside == at), (before - after) / np.where(bend < 0, 2 * bend, 1), 0)
    return (at + shift).astype(np.float32), highest


def _load(card: ModelCard, zoo: Zoo, where: Provider) -> "_Network":
    path = verified_file(card, zoo).path
    session = onnx_session(network_in(path), where)
    inputs, outputs = ([each.shape for each in ends] for ends in (session.get_inputs(), session.get_outputs()))
    joints = len(COCO_WHOLEBODY_133)
    fits = len(inputs) == 1 and may_be(inputs[0], (1, 3, None, None)) and len(outputs) == 2
    if fits and all(isinstance(side, int) for side in inputs[0][2:]):
        height, width = inputs[0][2:]
        if all(may_be(o, (None, joints, SPLIT * side)) for o, side in zip(outputs, (width, height), strict=True)):
            return _Network(session, where, width, height)
    raise ModelError(
        f"{path} is no RTMW or DWPose of {joints} joints with SimCC outputs: it takes {inputs}, gives {outputs}."
    )


class _Network:
    """The loaded network, safe to be called from several threads."""

    def __init__(self, session: Any, where: Provider, width: int, height: int) -> None:
        self._run = run_of(session)
        self._width, self._height = width, height
        looped = isinstance(session.get_inputs()[0].shape[0], int) or not self._batches()
        self.batch = 1 if looped else _BATCH[where]
        self._pool = ThreadPoolExecutor(cpu_threads() if where == "cpu" else 1, "rtmw")

    def joints(
        self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.float32], *, sub_pixel: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Joints in pixels of the pictures, (N, 133, 2), and their raw scores, (N, 133)."""

        def some(start: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            end = start + self.batch
            matrices = [crop_matrix(box, self._width, self._height) for box in boxes[start:end]]
            crops = [self._crop(image, matrix) for image, matrix in zip(images[start:end], matrices, strict=True)]
            xy, raw = decoded(*self._run(np.stack(crops)), sub_pixel=sub_pixel)
            scale = np.array([matrix[0, 0] for matrix in matrices])[:, None, None]
            shift = np.stack([matrix[:, 2] for matrix in matrices])[:, None]
            return ((xy - shift) / scale).astype(np.float32), raw

        parts = list(self._pool.map(some, range(0, len(boxes), self.batch)))
        return np.concatenate([xy for xy, _ in parts]), np.concatenate([raw for _, raw in parts])

    def _crop(self, image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        """(3, height, width), normalised; black beyond the picture, as in training."""
        crop = cv2.warpAffine(image, matrix, (self._width, self._height), flags=cv2.INTER_LINEAR)
        return np.ascontiguousarray(((crop - _MEAN) / _DEVIATION).transpose(2, 0, 1), np.float32)

    def _batches(self) -> bool:
        """Whether crops together give what each gives alone."""
        rng = np.random.default_rng(0)
        crops = rng.standard_normal((_PROOF, 3, self._height, self._width)).astype(np.float32)
        try:
            together = self._run(crops)
        except Exception:  # noqa: BLE001 - ONNX Runtime has no common base of its errors; box by box it may run
            return False
        alone = [np.concatenate(ends) for ends in zip(*(self._run(crop[None]) for crop in crops), strict=True)]
        return all(
            a.shape == b.shape and float(np.abs(a - b).max()) <= _SAME * float(np.abs(b).max())
            for a, b in zip(together, alone, strict=True)
        )
