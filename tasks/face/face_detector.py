"""What every model that finds faces can do, and how to open one by the name of its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tasks.models.card import ModelCard
from tasks.models.cards import card_named
from tasks.models.device import Device
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ShapeError
from tasks.schema.webbody import LANDMARKS


@dataclass(frozen=True, eq=False)
class FaceDetections:
    """The faces of one picture, best first, in pixels of the picture.

    Args:
        boxes: of N faces.
        landmarks: float32, (N, 5, 2), in the order of `LANDMARKS`; may lie outside the picture.
    Raises:
        ShapeError: a shape or dtype differs.
    """

    boxes: Boxes
    landmarks: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.landmarks.shape != (len(self.boxes), LANDMARKS, 2) or self.landmarks.dtype != np.float32:
            raise ShapeError(f"{len(self.boxes)} boxes, landmarks {self.landmarks.dtype} {self.landmarks.shape}")
        self.landmarks.setflags(write=False)

    @classmethod
    def empty(cls) -> Self:
        return cls(Boxes.empty(), np.zeros((0, LANDMARKS, 2), np.float32))

    def scaled(self, across: float, down: float) -> Self:
        """The same faces in a picture that is so many times wider and higher.

        Boxes are edges and scale with the frame; landmarks are pixel centres, at whole numbers. (Measured: faces of
        photos shrunk 2 to 8 times come back to their place so.)
        """
        factor = np.array([across, down], np.float32)
        boxes = Boxes(self.boxes.xyxy * np.tile(factor, 2), self.boxes.score)
        return type(self)(boxes, ((self.landmarks + 0.5) * factor - 0.5).astype(np.float32))

    def __len__(self) -> int:
        return len(self.boxes)


class FaceDetector(Protocol):
    """A model that finds faces. Constructed cheaply; loads once a process, when it is first used.

    Batched equals single per picture, and there are as many results as pictures. It decides nothing: faces come with
    their scores, down to the `candidate` threshold of the card.
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

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[FaceDetections]:
        """The faces of each picture; pictures are RGB uint8, (H, W, 3), of any sizes."""
        ...


def open_face_detector(name: str, zoo: Zoo, device: Device = "auto") -> FaceDetector:
    """The model of a card, not loaded yet.

    Raises:
        ModelError: no face detector has that name.
    """
    from tasks.face.retinaface import RetinaFace

    return RetinaFace(card_named(name, "retinaface"), zoo, device)
