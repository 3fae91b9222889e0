"""Models that say whose a face is."""

from typing import Final

from tasks.models.card import ModelCard

RECOGNITION_CARDS: Final[tuple[ModelCard, ...]] = ()
