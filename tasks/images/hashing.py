"""Perceptual hashes, and which rows repeat an earlier one."""

from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_DISTANCE = 15
"""Bits: pHashes of unrelated photos differ in 32 of 64 on average; from 16 on, strangers meet."""

_SIDE = 32
_KEPT_SIDE = 8
_DCT = np.cos(np.pi * np.arange(_KEPT_SIDE)[:, None] * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
"""Lowest 8 of 32 rows of the DCT-II."""

_NOISE_DECIMALS = 6
"""Coefficients of flat or symmetric pictures are exact zeros; rounding keeps float noise from deciding their bits."""

_BANDS = 4
_BAND_BITS = 16
_BLOCK_ROWS = 1024
_PAIRS_AT_ONCE = 1 << 22


def phash(rgb: NDArray[np.uint8]) -> int:
    """The 64-bit perceptual hash of an upright picture, (H, W, 3).

    Bit for bit `imagehash.phash` (its hex digits read as a number): grey, 32 x 32 Lanczos, DCT-II, the lowest 8 x 8
    against their median; without the second that importing its transform takes.
    """
    small = Image.fromarray(rgb).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(small, np.float64)
    low = np.round(_DCT @ grey @ _DCT.T, _NOISE_DECIMALS)
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Bits that differ, broadcast."""
    bits: NDArray[np.uint8] = np.bitwise_count(a ^ b)
    return bits


def first_of_near_duplicates(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """For each row its own index if it stays, else the index of the row it duplicates.

    In order: a row goes if an earlier row that stays is within `max_distance`, and then names the earliest such row.
    Exact, and decided by the order and the hashes alone.

    Args:
        hashes: (N,).
        max_distance: bits, 0 to `MAX_DISTANCE`.
    Returns:
        int64, (N,).
    Raises:
        ValueError: `max_distance` is out of range.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance is 0 to {MAX_DISTANCE} bits, not {max_distance}")
    distinct, first_row, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first_row)
    firsts = _first_of_distinct(distinct[order], max_distance)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    found: NDArray[np.int64] = first_row[order][firsts][rank[which]].astype(np.int64)
    return found


def _first_of_distinct(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    result = np.arange(len(hashes), dtype=np.int64)
    kept = np.zeros(0, np.int64)
    for start in range(0, len(hashes), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(hashes)))
        hit = _earliest_within(hashes[rows], hashes[kept], max_distance)
        result[rows[hit >= 0]] = kept[hit[hit >= 0]]
        new = rows[hit < 0]
        near = np.tril(hamming(hashes[new][:, None], hashes[new][None]) <= max_distance, -1)
        stays = np.ones(len(new), np.bool_)
        for i in np.flatnonzero(near.any(axis=1)):
            earlier = np.flatnonzero(near[i, :i] & stays[:i])
            if len(earlier):
                result[new[i]] = new[earlier[0]]
                stays[i] = False
        kept = np.concatenate([kept, new[stays]])
    return result


def _earliest_within(queries: NDArray[np.uint64], base: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Index of the first row of `base` within `max_distance` of each query, -1 where there is none.

    Two hashes within d bits agree, in at least one of four 16-bit bands, up to d // 4 bits (pigeonhole). So each band
    is looked up under every key that near, and only what is found is compared whole.
    """
    best = np.full(len(queries), len(base), np.int64)
    masks = _masks_up_to(max_distance // _BANDS)
    for band in range(_BANDS):
        shift = np.uint64(band * _BAND_BITS)
        base_keys = (base >> shift).astype(np.uint16)
        by_key = np.argsort(base_keys, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(base_keys, minlength=1 << _BAND_BITS))])
        probes = ((queries >> shift).astype(np.uint16)[:, None] ^ masks[None]).astype(np.int64)
        row, _ = np.nonzero(starts[probes + 1] > starts[probes])
        keys = probes[starts[probes + 1] > starts[probes]]
        for some in _parts(starts[keys + 1] - starts[keys]):
            counts = starts[keys[some] + 1] - starts[keys[some]]
            query = np.repeat(row[some], counts)
            place = np.arange(len(query)) + np.repeat(starts[keys[some]] - (np.cumsum(counts) - counts), counts)
            candidate = by_key[place]
            near = hamming(queries[query], base[candidate]) <= max_distance
            np.minimum.at(best, query[near], candidate[near])
    return np.where(best < len(base), best, -1)


def _masks_up_to(bits: int) -> NDArray[np.uint16]:
    return np.array(
        [sum(1 << i for i in flipped) for n in range(bits + 1) for flipped in combinations(range(_BAND_BITS), n)],
        np.uint16,
    )


def _parts(counts: NDArray[np.int64]) -> list[slice]:
    """Slices whose counts sum to about `_PAIRS_AT_ONCE`, so that memory stays bounded."""
    total = np.cumsum(counts)
    edges = np.searchsorted(total, np.arange(_PAIRS_AT_ONCE, int(total[-1]) if len(total) else 0, _PAIRS_AT_ONCE))
    stops = [0, *sorted({int(e) + 1 for e in edges} - {0}), len(counts)]
    return [slice(a, b) for a, b in pairwise(stops) if a < b]
