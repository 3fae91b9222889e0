"""All that a shard wants to know of a picture without its pixels."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from tasks.images.decode import ImageFacts, decode
from tasks.images.hashing import phash


@dataclass(frozen=True)
class Examined:
    """Facts and the perceptual hash of the upright picture."""

    facts: ImageFacts
    phash: int

    @classmethod
    def from_answer(cls, answer: dict[str, Any]) -> Self:
        """What `examine` gave, after it travelled as JSON."""
        return cls(ImageFacts(**answer["facts"]), answer["phash"])


def examine(data: bytes, max_pixels: int) -> dict[str, Any]:
    """Decode one picture and keep what is small: the fields of `Examined`, ready for JSON.

    Raises:
        DecodeError: the picture is not usable.
    """
    pixels, facts = decode(data, max_pixels)
    return {"facts": asdict(facts), "phash": phash(pixels)}
