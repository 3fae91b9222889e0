"""What cosine a declared rate is, for centres of identities and for pictures of one person.

A cosine between two faces says little about one between two centres: averages are less noisy, so strangers' centres
come closer to each other than their faces do, and the more so the larger the identities. But nearly every pair of
identities *is* a pair of strangers: of K identities in P pieces too many, P of K (K - 1) / 2 pairs are not. So the law
of strangers is read off all pairs: a normal law in arctanh(cosine) through their median and an upper quantile, of which
the few pairs that are one person cannot reach the one nor move the other much. In the same way the law of pictures of
one person is read off the pairs within identities: through their median and their *lower* quartile, for copies lie at
the upper end.
"""

from dataclasses import dataclass
from math import tanh
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.identity.clean_pairs import cosines_of
from tasks.schema.records import Frozen

STRANGERS_QUANTILE: Final = 0.95
"""A quantile beyond it is moved by fragments and junk; nearer the median it says little about the tail."""

PICTURES_QUANTILE: Final = 0.25

MIN_IDENTITIES: Final = 10
"""45 pairs: fewer do not have a 0.95 quantile."""

MIN_PICTURE_PAIRS: Final = 30

SAMPLE_IDENTITIES: Final = 1000
SAMPLE_PAIRS: Final = 50_000
"""A quartile of so many pairs is off by 1 % of the spread."""

_DECIMALS: Final = 9
"""Rounds away what a thread count does to a product in float64."""

_NORMAL: Final = NormalDist()
_CEILING: Final = 0.999
_WIDEST: Final = 1e-3
"""Least spread in arctanh(cosine), so that a set of copies has a law, too."""


class Rates(Frozen):
    """What to accept, declared as rates; each is turned into a cosine by what the data show.

    `merge`, `ambiguous`, `validation`: share of identities that would find a stranger above the cosine, among all
    others; the false-match rate of a pair is that by the number of others. `duplicate`: share of the pairs of different
    pictures of one person that would be taken for one picture.
    """

    kind: Literal["rates"] = "rates"
    merge: float = Field(1e-3, gt=0, lt=1)
    ambiguous: float = Field(1e-2, gt=0, lt=1)
    validation: float = Field(1e-3, gt=0, lt=1)
    duplicate: float = Field(1e-4, gt=0, lt=0.5)


class Cosines(Frozen):
    """Raw cosines; they belong to one model. The defaults are the reference's for its KP-RPE ViT."""

    kind: Literal["cosines"] = "cosines"
    merge: float = Field(0.7, ge=-1, le=1)
    ambiguous: float = Field(0.6, ge=-1, le=1)
    validation: float = Field(0.7, ge=-1, le=1)
    duplicate: float = Field(0.9, ge=-1, le=1)


@dataclass(frozen=True)
class Law:
    """A normal law of arctanh(cosine), read off `pairs` pairs."""

    centre: float
    spread: float
    pairs: int

    def above(self, rate: float) -> float:
        """The cosine that a share `rate` of pairs exceeds; at most 0.999."""
        return min(_CEILING, round(tanh(self.centre - self.spread * _NORMAL.inv_cdf(rate)), _DECIMALS))


def law_of_strangers(units: NDArray[np.float32]) -> Law | None:
    """From all pairs of centres, of a fixed sample of a thousand; None for fewer than `MIN_IDENTITIES` centres.

    Args:
        units: centres, (K, W), in an order that follows from the data alone.
    """
    if len(units) < MIN_IDENTITIES:
        return None
    some = _sample(units)
    return _fit((some @ some.T)[np.triu_indices(len(some), 1)], STRANGERS_QUANTILE)


def law_of_outsiders(units: NDArray[np.float32], others: NDArray[np.float32]) -> Law | None:
    """From all pairs of one of our centres and one of another set; None for fewer pairs than 10 identities have."""
    if len(units) * len(others) < MIN_IDENTITIES * (MIN_IDENTITIES - 1) // 2:
        return None
    return _fit((_sample(units) @ _sample(others).T).ravel(), STRANGERS_QUANTILE)


def law_of_pictures(embedding: NDArray[np.float16], identity: NDArray[np.int64]) -> Law | None:
    """From pairs within identities; None for fewer than `MIN_PICTURE_PAIRS` of them.

    Each face is paired with the next ones of its identity, cyclically, at most `SAMPLE_PAIRS` in all.

    Args:
        embedding: unit vectors, float16, (N, W).
        identity: (N,).
    """
    order = np.argsort(identity, kind="stable")
    starts = np.flatnonzero(np.diff(identity[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    start_of, size_of = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(order)) - start_of
    found: list[NDArray[np.float64]] = []
    total, step = 0, 1
    while total < SAMPLE_PAIRS:
        rows = np.flatnonzero((2 * step < size_of) | ((2 * step == size_of) & (place < step)))
        if not len(rows):
            break
        partner = start_of[rows] + (place[rows] + step) % size_of[rows]
        rows, partner = rows[: SAMPLE_PAIRS - total], partner[: SAMPLE_PAIRS - total]
        found.append(cosines_of(embedding, embedding, order[rows], order[partner]))
        total, step = total + len(rows), step + 1
    return None if total < MIN_PICTURE_PAIRS else _fit(np.concatenate(found), PICTURES_QUANTILE)


def resolve(
    rates: Rates, strangers: Law | None, outsiders: Law | None, pictures: Law | None, *, others: int, outside: int
) -> Cosines:
    """The cosines of `rates`; 1, which nothing is above, where there is no law.

    Args:
        others: with how many other identities each is compared.
        outside: with how many of the validation set.
    """
    merge = strangers.above(rates.merge / max(1, others)) if strangers else 1.0
    ambiguous = strangers.above(rates.ambiguous / max(1, others)) if strangers else 1.0
    return Cosines(
        merge=merge,
        ambiguous=min(merge, ambiguous),
        validation=outsiders.above(rates.validation / max(1, outside)) if outsiders else 1.0,
        duplicate=pictures.above(rates.duplicate) if pictures else 1.0,
    )


def _fit(cosines: NDArray[np.float64], quantile: float) -> Law:
    bent = np.arctanh(np.clip(cosines, -_CEILING, _CEILING))
    middle, side = np.quantile(bent, [0.5, quantile])
    spread = max(float(abs(side - middle)) / float(abs(_NORMAL.inv_cdf(quantile))), _WIDEST)
    return Law(float(middle), spread, len(cosines))


def _sample(units: NDArray[np.float32]) -> NDArray[np.float64]:
    """All rows, or a fixed thousand of them."""
    if len(units) <= SAMPLE_IDENTITIES:
        return units.astype(np.float64)
    chosen = np.random.default_rng(0).choice(len(units), SAMPLE_IDENTITIES, replace=False)
    return units[np.sort(chosen)].astype(np.float64)
