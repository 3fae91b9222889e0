"""What every wrapper of a model's file has: its card, and where weights are."""

from dataclasses import dataclass

from tasks.models.card import ModelCard
from tasks.models.zoo import Zoo, digest_of


@dataclass(frozen=True)
class CardModel:
    """A model that is known by its card; its weights are found, or fetched, in a zoo when they are needed."""

    card: ModelCard
    zoo: Zoo

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def sha256(self) -> str:
        """Of the weights, known without loading them."""
        return digest_of(self.card, self.zoo)
