"""Lossless videos of painted blocks that the blocks model takes for people, one after the other in shots, silent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.pose_model import PersonDetections
from tasks.models.card import ModelCard
from tasks.schema.boxes import Boxes
from tasks.schema.keypoints import COCO_17, Keypoints
from tests.body.blocks_model import BLUES, JOINT_CONFIDENCES, blocks_onnx, card_of, joints_of, paint

Place = Callable[[float], tuple[int, int, int, int] | None]
"""Seconds of the shot -> left, top, right, bottom of a block; None: it is not there."""


@dataclass(frozen=True)
class BlockShot:
    """`seconds` of a background made from `seed`, with blocks on it, each of its own blue; black without a seed."""

    seconds: float
    seed: int | None = 0
    blocks: Sequence[Place] = ()


def swaying(left: int, top: int, width: int, height: int, reach: int = 40) -> Place:
    """A block that goes to and fro every two seconds."""

    def place(t: float) -> tuple[int, int, int, int]:
        x = left + round(reach * np.sin(np.pi * t))
        return x, top, x + width, top + height

    return place


def only(place: Place, first: float, end: float) -> Place:
    """A block that is there for a part of the shot."""
    return lambda t: place(t) if first <= t < end else None


def background(width: int, height: int, seed: int | None) -> np.ndarray:
    if seed is None:
        return np.zeros((height, width, 3), np.uint8)
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 200, (6, 8, 3)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 200).astype(np.uint8)


def blocks_film(
    path: Path,
    shots: Sequence[BlockShot],
    *,
    fps: Fraction | int = 24,
    width: int = 320,
    height: int = 240,
    dropped: Callable[[float], bool] = lambda t: False,
) -> Path:
    """Write the video; frames whose time `dropped` names are left out, so that the rate varies.

    MP4 gets H.264, which is small and slow to decode, other containers FFV1; neither loses anything.
    """
    rate = Fraction(fps)
    with av.open(str(path), "w") as container:
        small = path.suffix == ".mp4"
        stream = container.add_stream("libx264rgb" if small else "ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24" if small else "bgr0"
        if small:
            stream.options = {"qp": "0", "preset": "slow"}
        stream.codec_context.time_base = 1 / rate
        number = 0
        for shot in shots:
            still = background(width, height, shot.seed)
            for n in range(round(shot.seconds * rate)):
                picture = still.copy()
                for blue, place in zip(BLUES, shot.blocks, strict=False):
                    where = place(float(n / rate))
                    if where:
                        paint(picture, where, blue, 0.9)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number, 1 / rate
                number += 1
                if not dropped(float((number - 1) / rate)):
                    container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass(frozen=True)
class SeesBlocks:
    """The blocks model without a network: the same people from the same colours, much faster."""

    @property
    def card(self) -> ModelCard:
        return card_of(blocks_onnx())

    @property
    def name(self) -> str:
        return "blocks"

    @property
    def sha256(self) -> str:
        return str(self.card.sha256)

    def execution(self) -> dict[str, str]:
        return {"provider": "numpy"}

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        return [_blocks(image) for image in images]


def _blocks(image: NDArray[np.uint8]) -> PersonDetections:
    boxes, joints, scores = [], [], []
    for blue in BLUES:
        ys, xs = np.nonzero((image[..., 0] > 250) & (np.abs(image[..., 2].astype(int) - blue) < 4))
        if len(xs) > 20:
            xyxy = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
            boxes.append(xyxy)
            joints.append(joints_of(xyxy))
            scores.append(float(np.median(image[ys, xs, 1])) / 255)
    if not boxes:
        return PersonDetections(Boxes.empty(), Keypoints.empty(COCO_17))
    confidence = np.tile(JOINT_CONFIDENCES, (len(boxes), 1))
    return PersonDetections(
        Boxes(np.array(boxes, np.float32), np.array(scores, np.float32)),
        Keypoints.from_arrays(COCO_17, np.array(joints), confidence),
    )
