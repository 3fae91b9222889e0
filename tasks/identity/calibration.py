"""What a collection found out about the cosines of a model, and how a false-match rate becomes one."""

from json import dumps
from statistics import NormalDist
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.schema.records import Frozen

SHRINKAGE_PAIRS: Final = 50
"""A bin of so many pairs counts half, all pairs of that size and more the other half."""

_NORMAL: Final = NormalDist()


class Tail(Frozen):
    """How cosines of impostor pairs thin out: as a normal distribution's do, `location + scale * z` at its quantile z.

    `knots` are (rate, cosine) as counted; beyond the last one the line holds. `variance` is that of location, of both
    together, and of scale, from leaving out groups of photos.
    """

    location: float
    scale: float = Field(ge=0)
    knots: tuple[tuple[float, float], ...] = ()
    variance: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def cosine(self, rate: float) -> float:
        """Over which a pair of two people falls with this probability."""
        if self.knots and rate >= self.knots[-1][0]:
            z = [-normal_quantile(known) for known, _ in self.knots]
            return float(np.interp(-normal_quantile(rate), z[::-1], [cosine for _, cosine in self.knots][::-1]))
        return max(self.location + self.scale * normal_quantile(rate), self.knots[-1][1] if self.knots else -1.0)

    def error(self, rate: float) -> float:
        """Standard error of `cosine`."""
        z, (location, both, scale) = normal_quantile(rate), self.variance
        return float(max(location + 2 * z * both + z * z * scale, 0.0) ** 0.5)


class SizeBin(Frozen):
    """Impostor pairs whose smaller face has at least `from_px`, and fewer than the next bin's, pixels.

    `tail` is theirs, `larger` that of all pairs from `from_px` on; None where there were too few. `exception_cosine`:
    pairs of one photo from there on are one person.
    """

    from_px: float
    pairs: int
    photos: int
    exceptions: int
    exception_cosine: float
    tail: Tail | None
    larger: Tail | None


class Twice(Frozen):
    """Two faces of one photo that look like one person."""

    photo_id: str
    faces: tuple[str, str]
    cosine: float


class Calibration(Frozen):
    """What a collection says about the cosines of one model.

    `model` is the digest of its weights. `source`: measured on photos, or (too few of them show several people) the
    default cosine of the model's card, whatever rate is asked for. `twice` are the first exceptions, most alike first.
    """

    model: str
    source: Literal["photos", "default"]
    default_cosine: float
    pairs: int
    photos: int
    exceptions: int
    bins: tuple[SizeBin, ...] = ()
    pooled: Tail | None = None
    twice: tuple[Twice, ...] = ()
    method: str = (
        "Pairs of faces in one photo, those far above the rest left out as one person shown twice; quantiles as "
        "counted, beyond them a normal tail fitted to the highest pairs (quantile against quantile); thin size bins "
        "shrunk towards all pairs of that size and more; smaller faces never get a lower cosine than larger ones."
    )

    def resolve(self, rate: float, side_px: float, *, confidence: float = 0.5) -> float:
        """The cosine from which two faces are linked.

        Args:
            rate: wanted probability that a pair of two people reaches it, in (0, 0.5].
            side_px: longer side of the smaller face, pixels of the photo.
            confidence: that the rate is not exceeded; 0.5 is the estimate itself, 0.95 is careful.
        Raises:
            ValueError: a rate or a confidence out of range.
        """
        if not 0 < rate <= 0.5 or not 0.5 <= confidence < 1:
            raise ValueError(f"a rate lies in (0, 0.5] and a confidence in [0.5, 1), not {rate} and {confidence}")
        return self._by_bin(rate, confidence)[self._bin(side_px)]

    def cosines(self, rate: float, sides_px: NDArray[np.floating], *, confidence: float = 0.5) -> NDArray[np.float32]:
        """`resolve` for the side of every face, (N,): two faces are linked from the higher of their two cosines on."""
        if not self.bins:
            return np.full(len(sides_px), self.default_cosine, np.float32)
        self.resolve(rate, 0.0, confidence=confidence)
        return np.array(self._by_bin(rate, confidence), np.float32)[self._bins(sides_px)]

    def shown_twice(self, cosines: NDArray[np.floating], sides_px: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which pairs of faces of one photo are one person, so that nothing keeps them apart.

        Args:
            cosines: (N,).
            sides_px: (N,), of the smaller face of each pair.
        """
        if not self.bins:
            return np.zeros(len(cosines), np.bool_)
        limits = np.array([each.exception_cosine for each in self.bins])
        return np.asarray(cosines > limits[self._bins(sides_px)], np.bool_)

    def facts(self) -> dict[str, JsonValue]:
        """For the record of a stage; `from_facts` reads it."""
        return self.model_dump(mode="json")

    @classmethod
    def from_facts(cls, facts: JsonValue) -> Self:
        return cls.model_validate_json(dumps(facts))

    def _bin(self, side_px: float) -> int:
        return int(self._bins(np.array([side_px]))[0]) if self.bins else 0

    def _bins(self, sides_px: NDArray[np.floating]) -> NDArray[np.int64]:
        edges = [each.from_px for each in self.bins]
        return np.maximum(np.searchsorted(edges, sides_px, side="right") - 1, 0)

    def _by_bin(self, rate: float, confidence: float) -> list[float]:
        """The cosine of each bin, never lower for smaller faces."""
        if self.pooled is None:
            return [self.default_cosine] * max(len(self.bins), 1)
        careful = _NORMAL.inv_cdf(confidence)

        def of(tail: Tail) -> float:
            return tail.cosine(rate) + careful * tail.error(rate)

        cosines: list[float] = []
        for each in reversed(self.bins):
            if each.larger is None and cosines == [] and each is not self.bins[0]:
                continue  # larger faces than any that were measured: as the largest that were
            cosine = of(each.larger or self.pooled)
            if each.tail is not None:
                weight = each.pairs / (each.pairs + SHRINKAGE_PAIRS)
                cosine = weight * of(each.tail) + (1 - weight) * cosine
            cosines.append(min(max([cosine, *cosines[-1:]]), 1.0))
        return [*cosines[::-1], *[cosines[0]] * (len(self.bins) - len(cosines))]


def linkage_rate(faces: int, false_links_a_face: float = 0.02) -> float:
    """The false-match rate to ask for when every pair of a collection is compared.

    Of n (n - 1) / 2 pairs nearly all are of two people, so the rate has to fall as the collection grows: here so that
    at most `false_links_a_face` false links are expected for every face. It is an upper bound: faces of one photo,
    which rates are measured on, are more alike than faces of two photos, because light, lens and occasion are shared.
    """
    return float(min(max(2 * false_links_a_face / max(faces - 1, 1), 1e-15), 0.5))


def normal_quantile(rate: float) -> float:
    """The normal quantile that is exceeded with probability `rate`."""
    return -_NORMAL.inv_cdf(rate)
