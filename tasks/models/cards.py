"""Every model that the project knows."""

from typing import Final

from tasks.models.body_cards import BODY_CARDS
from tasks.models.card import Family, ModelCard
from tasks.models.face_cards import FACE_CARDS
from tasks.models.fashion_cards import FASHION_CARDS
from tasks.models.recognition_cards import RECOGNITION_CARDS
from tasks.schema.errors import ModelError

CARDS: Final = (*BODY_CARDS, *FACE_CARDS, *RECOGNITION_CARDS, *FASHION_CARDS)


def card_named(name: str, family: Family | None = None) -> ModelCard:
    """The card of a name, of one family if that is given.

    Raises:
        ModelError: there is none; the message lists those there are.
    """
    cards = cards_of(family)
    for card in cards:
        if card.name == name:
            return card
    raise ModelError(f"There is no model {name!r}. Choose one of: {', '.join(card.name for card in cards)}.")


def cards_of(family: Family | None) -> tuple[ModelCard, ...]:
    """The cards of one family; None: all."""
    return tuple(card for card in CARDS if family in (None, card.family))
