"""What every model of face recognition can do, and how to open one by the name of its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.models.card import Family, ModelCard
from tasks.models.cards import CARDS
from tasks.models.device import Device
from tasks.models.embedding import EmbeddingSpec
from tasks.models.wrapper import CardModel
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError

Faces = Sequence[NDArray[np.uint8]]
"""Faces at the ArcFace points, RGB uint8, (side, side, 3), of the side that the model's card says."""


class Recogniser(Protocol):
    """A model of face recognition. Constructed cheaply; loads once a process, when it is first used.

    Batched equals single per face, and there are as many embeddings as faces. It decides nothing: an embedding that is
    not finite comes as it is.
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
    def spec(self) -> EmbeddingSpec:
        """The input that it takes, and the width of its embeddings."""
        ...

    def execution(self) -> dict[str, str]:
        """What decides the embeddings besides the weights: execution provider, precision, builds."""
        ...

    def embed(self, faces: Faces, landmarks: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The raw embedding of each face.

        Args:
            faces: as `Faces` says.
            landmarks: (N, 5, 2) in [0, 1] of the face's square; only some models look at them. None: the points that
                faces are aligned to.
        Returns:
            float32, (N, width), not normalised.
        """
        ...


@dataclass(frozen=True)
class CardRecogniser(CardModel):
    """What every recogniser has from its card."""

    @property
    def spec(self) -> EmbeddingSpec:
        return spec_of(self.card)


def recognition_card(model: str | ModelCard) -> ModelCard:
    """The card of a recognition model, by its name, or as it is.

    Raises:
        ModelError: no recognition model has that name; the message lists those there are.
    """
    if isinstance(model, ModelCard):
        return model
    cards = {card.name: card for card in CARDS if card.embedding is not None}
    if model not in cards:
        raise ModelError(f"There is no recognition model {model!r}. Choose one of: {', '.join(cards)}.")
    return cards[model]


def open_recogniser(
    model: str | ModelCard, zoo: Zoo, device: Device = "auto", *, remote_code: bool = False
) -> Recogniser:
    """The model of a card, or of the card of a name, not loaded yet.

    Args:
        remote_code: yes to running code of a model's repository, for models that need it; the operator has to say yes
            too (`MANNEQUIN_ALLOW_REMOTE_CODE`).
    Raises:
        ModelError: no recognition model has that name, or it runs code that nobody said yes to.
    """
    from tasks.face.recogniser_kprpe import KprpeRecogniser
    from tasks.face.recogniser_onnx import OnnxRecogniser
    from tasks.face.recogniser_timm import TimmRecogniser

    card = recognition_card(model)
    if card.family == "onnx-recognition":
        return OnnxRecogniser(card, zoo, device)
    if card.family == "timm-recognition":
        return TimmRecogniser(card, zoo, device)
    if card.family == "kprpe-recognition":
        return KprpeRecogniser(card, zoo, device, remote_code)
    known = ", ".join(name for name in get_args(Family) if name.endswith("-recognition"))
    raise ModelError(f"The model {card.name} is of the family {card.family}; a face is recognised by one of {known}.")


def spec_of(card: ModelCard) -> EmbeddingSpec:
    """What the model of a card takes and gives.

    Raises:
        ModelError: the card does not say.
    """
    if card.embedding is None:
        raise ModelError(f"The card of {card.name} has no `embedding`: say what the model takes and how wide it gives.")
    return card.embedding


def model_input(faces: Faces, spec: EmbeddingSpec) -> NDArray[np.float32]:
    """Faces as a model wants them: float32, (N, 3, side, side), its channel order, normalised.

    Raises:
        ShapeError: a face is not RGB uint8, (side, side, 3).
    """
    for face in faces:
        if face.shape != (spec.side, spec.side, 3) or face.dtype != np.uint8:
            raise ShapeError(f"faces are RGB uint8, ({spec.side}, {spec.side}, 3), not {face.dtype} {face.shape}")
    pixels = np.stack(faces) if len(faces) else np.empty((0, spec.side, spec.side, 3), np.uint8)
    if spec.channels == "bgr":
        pixels = pixels[..., ::-1]
    values = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    values -= np.float32(spec.mean)
    values /= np.float32(spec.scale)
    return values


def demand_width(embeddings: NDArray[np.floating], card: ModelCard, count: int) -> NDArray[np.float32]:
    """Embeddings as promised: float32, (count, width).

    Raises:
        ModelError: the model gives another shape than its card says.
    """
    width = spec_of(card).width
    if embeddings.shape != (count, width):
        raise ModelError(
            f"{card.name} gives {embeddings.shape} for {count} faces, its card says a width of {width}: correct the "
            "card, or choose another file."
        )
    return np.asarray(embeddings, np.float32)
