"""What every model of body keypoints can do, and how to open one by the name of its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.models.card import Family, ModelCard
from tasks.models.cards import cards_of
from tasks.models.device import Device, provider
from tasks.models.runtimes import Runtime, fastest_runtime
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ModelError, ShapeError
from tasks.schema.keypoints import Keypoints

_FAMILIES: Final[tuple[Family, ...]] = ("ultralytics-pose", "onnx-pose")


@dataclass(frozen=True, eq=False)
class PersonDetections:
    """The people of one picture, best first: `boxes` and `keypoints` of the same N people, in pixels of the picture.

    Raises:
        ShapeError: their numbers differ.
    """

    boxes: Boxes
    keypoints: Keypoints

    def __post_init__(self) -> None:
        if len(self.boxes) != len(self.keypoints):
            raise ShapeError(f"{len(self.boxes)} boxes, but keypoints of {len(self.keypoints)} people")

    def __len__(self) -> int:
        return len(self.boxes)


class PoseModel(Protocol):
    """A model of people's keypoints. Constructed cheaply; loads once a process, when it is first used.

    Batched equals single per picture, and there are as many results as pictures. It decides nothing: joints come with
    their confidences, however low.
    """

    @property
    def card(self) -> ModelCard: ...

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """Of the weights, known without loading them."""
        ...

    def execution(self) -> dict[str, str]:
        """What decides the bytes of the results besides the weights: execution provider, precision, builds."""
        ...

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[PersonDetections]:
        """The people of each picture; pictures are RGB uint8, (H, W, 3), of any sizes."""
        ...


def demand_pictures(images: Sequence[NDArray[np.uint8]]) -> None:
    """Check what models are given.

    Raises:
        ShapeError: a picture is not RGB uint8, (H, W, 3), with at least one pixel.
    """
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ShapeError(f"pictures are RGB uint8, (H, W, 3), not {image.dtype} {image.shape}")


def open_pose_model(name: str, zoo: Zoo, device: Device = "auto") -> PoseModel:
    """The model of a card, not loaded yet, run by the library that it was published for.

    Raises:
        ModelError: no pose model has that name.
    """
    from tasks.body.rtmo import RtmoPose
    from tasks.body.yolo import YoloPose

    card = pose_card(name)
    return RtmoPose(card, zoo, device) if card.family == "onnx-pose" else YoloPose(card, zoo, device)


def open_fast_pose_model(name: str, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None) -> PoseModel:
    """The model of a card, not loaded yet, run by what is fastest; joints may lie beyond the picture.

    On the CPU that is an exported network in OpenVINO or else ONNX Runtime, whichever is installed; on a GPU torch.

    Args:
        runtime: of networks that we can export; None: the fastest.
    Raises:
        ModelError: no pose model has that name, or the runtime is not installed or does not run on that device.
    """
    from tasks.body.rtmo import RtmoPose
    from tasks.body.yolo import YoloPose
    from tasks.body.yolo_exported import ExportedYolo

    card = pose_card(name)
    if card.family == "onnx-pose":
        return RtmoPose(card, zoo, device)
    where = provider(device)
    chosen = runtime or ("torch" if where == "cuda" else fastest_runtime())
    if chosen == "torch":
        return YoloPose(card, zoo, device, clip_joints=False)
    if where == "cuda":
        raise ModelError(f"{chosen} runs exported networks on the CPU only: set the device to `cpu`, or use torch.")
    return ExportedYolo(card, zoo, chosen)


def pose_card(name: str) -> ModelCard:
    """The card of a pose model.

    Raises:
        ModelError: there is none; the message lists those there are.
    """
    cards = tuple(card for family in _FAMILIES for card in cards_of(family))
    for card in cards:
        if card.name == name:
            return card
    raise ModelError(f"There is no model {name!r}. Choose one of: {', '.join(card.name for card in cards)}.")
