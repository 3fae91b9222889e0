"""All that a shard wants to know of a picture without its pixels."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from tasks.images.decode import ImageFacts, decode
from tasks.images.hashing import phash

DRAWING_PIXELS = 16_000_000
DRAWING_TIMES_PHOTO = 4
"""A drawing may have `DRAWING_TIMES_PHOTO` times its photo's pixels, or `DRAWING_PIXELS` where that is more.

Annotators draw at the photo's size or smaller; joints are read from 16 megapixels in half a second (measured).
"""


def max_drawing_pixels(width: int, height: int) -> int:
    """Pixels that a drawing beside an upright photo of this size may have."""
    return max(DRAWING_PIXELS, DRAWING_TIMES_PHOTO * width * height)


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
