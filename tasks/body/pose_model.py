"""What every model of body keypoints can do, and how to open one by the name of its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.models.card import ModelCard
from tasks.models.cards import card_named
from tasks.models.device import Device
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import Keypoints


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


def open_pose_model(name: str, zoo: Zoo, device: Device = "auto") -> PoseModel:
    """The model of a card, not loaded yet.

    Raises:
        ModelError: no pose model has that name.
    """
    from tasks.body.yolo import YoloPose

    return YoloPose(card_named(name, "ultralytics-pose"), zoo, device)
