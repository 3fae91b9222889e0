"""Models that find faces."""

from typing import Final

from tasks.models.card import ModelCard

FACE_CARDS: Final[tuple[ModelCard, ...]] = ()
