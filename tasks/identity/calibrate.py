"""Cosines for false-match rates, measured on the collection itself: two faces in one photo are two people.

Nobody labels anything. What is measured is recorded in a `Calibration`, which turns a rate into a cosine for the model
and the face sizes that it was measured with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.identity.calibration import Calibration, SizeBin, Tail, Twice, linkage_rate, normal_quantile

__all__ = ["Calibration", "calibrate", "linkage_rate"]

SIZE_EDGES: Final = (0.0, 24.0, 40.0, 64.0, 112.0)
"""Lower edges of the size bins, pixels of the smaller face of a pair; 112 is what models see."""

PAIRS_A_PHOTO: Final = 64
"""Of a crowd only so many pairs count: its faces share light, lens and blur, and are no independent evidence."""

PAIRS_AT_MOST: Final = 1_000_000
PAIRS_AT_LEAST: Final = 30
PHOTOS_AT_LEAST: Final = 8
"""Under these a collection cannot calibrate itself."""

TAIL_PAIRS: Final = 500
"""The tail is fitted to so many of the highest pairs, or to nine tenths of them where there are fewer: with the few
pairs of a small collection the body of the distribution says more about the tail than the tail itself."""

KNOTS: Final = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)
"""Rates whose cosines are read off the pairs, where at least `KNOT_PAIRS` of them lie beyond."""

KNOT_PAIRS: Final = 10

EXCEPTION_Z: Final = 4.5
"""Standard deviations above the median from which a pair of one photo counts as one person shown twice (a collage, a
mirror, a screen); more where there are so many pairs that chance reaches higher."""

EXCEPTION_PAIRS: Final = 200
"""A bin with fewer takes the limit of all pairs."""

GROUPS: Final = 10
"""Of photos, for the delete-a-group jackknife behind the confidence bound."""

_CHUNK: Final = 65_536


def calibrate(
    embeddings: NDArray[np.floating],
    photo_ids: Sequence[str] | pa.Array,
    sides_px: NDArray[np.floating],
    sample_ids: Sequence[str] | pa.Array,
    *,
    model: str,
    default_cosine: float,
) -> Calibration:
    """Measure impostor cosines on the photos that show several faces.

    At most `PAIRS_AT_MOST` pairs are looked at, chosen by the digest of the photo's id: the rows may come in any order.

    Args:
        embeddings: (N, width), unit length.
        photo_ids: (N,).
        sides_px: (N,), longer side of each face, pixels of the photo.
        sample_ids: (N,), of the faces.
        model: digest of the model's weights.
        default_cosine: what holds where there is too little to measure.
    """
    pairs = _pairs(embeddings, photo_ids, sides_px, sample_ids)
    groups = len(set(pairs.photo.tolist()))
    if len(pairs.cosine) < PAIRS_AT_LEAST or groups < PHOTOS_AT_LEAST:
        return Calibration(
            model=model,
            source="default",
            default_cosine=default_cosine,
            pairs=len(pairs.cosine),
            photos=groups,
            exceptions=0,
        )
    limits = _exception_cosines(pairs)
    twice = pairs.cosine > limits[pairs.bin]
    impostors = ~twice
    bins = tuple(
        _size_bin(pairs, pairs.bin == number, twice, edge, limits[number]) for number, edge in enumerate(SIZE_EDGES)
    )
    shown = np.flatnonzero(twice)
    shown = shown[np.lexsort((pairs.photo[shown], -pairs.cosine[shown]))][:100]
    return Calibration(
        model=model,
        source="photos",
        default_cosine=default_cosine,
        pairs=len(pairs.cosine),
        photos=groups,
        exceptions=int(twice.sum()),
        bins=bins,
        pooled=_tail(pairs.cosine[impostors], pairs.photo[impostors]),
        twice=tuple(pairs.shown(int(row)) for row in shown),
    )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of faces of one photo, (N,) each: cosine, size bin, number of the photo in `photo_ids`, rows of the two."""

    cosine: NDArray[np.float64]
    bin: NDArray[np.int64]
    photo: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    photo_ids: list[str]
    sample_ids: pa.Array

    def shown(self, pair: int) -> Twice:
        a, b = (self.sample_ids[int(rows[pair])].as_py() for rows in (self.first, self.second))
        cosine = round(float(self.cosine[pair]), 4)
        return Twice(photo_id=self.photo_ids[self.photo[pair]], faces=(a, b), cosine=cosine)


def _pairs(
    embeddings: NDArray[np.floating],
    photo_ids: Sequence[str] | pa.Array,
    sides_px: NDArray[np.floating],
    sample_ids: Sequence[str] | pa.Array,
) -> _Pairs:
    """Pairs in the order of the digests of their photos' ids, faces in the order of their ids."""
    encoded = pa.array(photo_ids, pa.string()).dictionary_encode()
    number, names = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    several = np.flatnonzero(np.bincount(number, minlength=len(names)) > 1)
    by_digest = sorted(several.tolist(), key=lambda each: sha256(names[each].encode()).digest())
    rank = np.full(len(names), -1, np.int64)
    rank[by_digest] = np.arange(len(by_digest))
    rows = np.flatnonzero(rank[number] >= 0)
    ids = pa.array(sample_ids, pa.string())
    photo = rank[number[rows]]
    order = pc.sort_indices(
        pa.table({"photo": photo, "id": ids.take(pa.array(rows))}),
        sort_keys=[("photo", "ascending"), ("id", "ascending")],
    ).to_numpy()
    rows, photo = rows[order], photo[order]
    first, second = _neighbours(np.bincount(photo, minlength=len(by_digest)))
    a, b = rows[first], rows[second]
    chunks = range(0, len(a), _CHUNK)
    cosine = [
        np.einsum("ij,ij->i", *(embeddings[side[at : at + _CHUNK]].astype(np.float32) for side in (a, b)))
        for at in chunks
    ]
    size = np.searchsorted(SIZE_EDGES, np.minimum(sides_px[a], sides_px[b]), side="right") - 1
    return _Pairs(
        cosine=np.concatenate([np.empty(0), *cosine]),
        bin=np.maximum(size, 0),
        photo=photo[first],
        first=a,
        second=b,
        photo_ids=[names[each] for each in by_digest],
        sample_ids=ids,
    )


def _neighbours(faces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the two faces of each pair, where the faces of photo 0, 1, ... follow each other.

    Args:
        faces: of each photo, at least two.
    """
    counts = faces * (faces - 1) // 2
    steps = -(-counts // PAIRS_A_PHOTO)
    kept = -(-counts // np.maximum(steps, 1))
    photos = int(np.searchsorted(np.cumsum(kept), PAIRS_AT_MOST, side="right"))
    starts = np.concatenate([[0], np.cumsum(faces)])[:-1]
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for many in np.unique(faces[:photos]):
        of_photo = np.stack(np.triu_indices(many, 1))[:, :: int(-(-(many * (many - 1) // 2) // PAIRS_A_PHOTO))]
        at = starts[:photos][faces[:photos] == many][:, None]
        first.append((at + of_photo[0]).ravel())
        second.append((at + of_photo[1]).ravel())
    order = np.lexsort((np.concatenate(second), np.concatenate(first)))
    return np.concatenate(first)[order], np.concatenate(second)[order]


def _exception_cosines(pairs: _Pairs) -> NDArray[np.float64]:
    """From which cosine a pair of one photo is one person, for every bin; thin bins take that of all pairs.

    Median and lower half are what persons shown twice cannot move.
    """

    def limit(cosines: NDArray[np.float64]) -> float:
        median, low = np.quantile(cosines, [0.5, 0.16])
        z = max(EXCEPTION_Z, normal_quantile(0.05 / len(cosines)))
        return float(median + z * (median - low))

    together = limit(pairs.cosine)
    limits = []
    for number in range(len(SIZE_EDGES)):
        own = pairs.cosine[pairs.bin == number]
        limits.append(limit(own) if len(own) >= EXCEPTION_PAIRS else together)
    return np.array(limits)


def _size_bin(pairs: _Pairs, here: NDArray[np.bool_], twice: NDArray[np.bool_], edge: float, limit: float) -> SizeBin:
    impostors = here & ~twice
    larger = (pairs.bin >= SIZE_EDGES.index(edge)) & ~twice
    count = int(impostors.sum())
    return SizeBin(
        from_px=edge,
        pairs=count,
        photos=len(set(pairs.photo[impostors].tolist())),
        exceptions=int((here & twice).sum()),
        exception_cosine=float(limit),
        tail=_tail(pairs.cosine[impostors], pairs.photo[impostors]) if count >= KNOT_PAIRS else None,
        larger=_tail(pairs.cosine[larger], pairs.photo[larger]) if larger.sum() >= PAIRS_AT_LEAST else None,
    )


def _tail(cosines: NDArray[np.float64], photos: NDArray[np.int64]) -> Tail:
    location, scale = _line(cosines)
    lines = []
    for group in range(GROUPS):
        rest = cosines[photos % GROUPS != group]
        lines.append(_line(rest) if len(rest) >= KNOT_PAIRS else (location, scale))
    off = np.array(lines) - np.mean(lines, axis=0)
    variance = (GROUPS - 1) / GROUPS * (off.T @ off)
    counted = [rate for rate in KNOTS if rate * len(cosines) >= KNOT_PAIRS]
    return Tail(
        location=location,
        scale=scale,
        knots=tuple((rate, float(np.quantile(cosines, 1 - rate))) for rate in counted),
        variance=(float(variance[0, 0]), float(variance[0, 1]), float(variance[1, 1])),
    )


def _line(cosines: NDArray[np.float64]) -> tuple[float, float]:
    """Location and scale of a normal tail: the highest cosines on their normal quantiles, by weighted least squares.

    Each weighs as much as it is certain: the variance of an order statistic is p (1 - p) / (n f(z)^2).
    """
    count = len(cosines)
    take = max(min(count * 9 // 10, TAIL_PAIRS), 2)
    highest = np.sort(cosines)[::-1][:take]
    rate = (np.arange(take) + 0.625) / (count + 0.25)  # Blom's plotting positions
    z = np.array([normal_quantile(each) for each in rate])
    weight = np.exp(-z * z) / (rate * (1 - rate))
    weight /= weight.sum()
    off, aim = z - weight @ z, highest - weight @ highest
    spread = float(weight @ (off * off))
    scale = max(float(weight @ (off * aim)) / spread, 0.0) if spread else 0.0
    return float(weight @ highest - scale * (weight @ z)), scale
