"""Train, validation and test: groups that must not be divided, ids that last, and nobody ever moves.

Identities that share a photo, the bytes of one, or near-duplicate photos are one group. A group's split follows from
its id alone. Groups are matched with those of the build before by their faces: a group keeps the id that most of its
faces had; one that has faces of several splits goes where test comes before validation before train; and one that
needs a new id gets one that hashes to the split its faces were in.

People who are photographed together are one crowd sooner or later. So a group stops growing at a number of identities:
strong links first, and the photos that still lie across two splits leave the one that gives way.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations, count
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.images.hashing import MAX_DISTANCE, hamming
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen

Split = Literal["train", "validation", "test"]
GIVES_WAY: Final[tuple[Split, ...]] = ("train", "validation", "test")
"""Where a photo or a group is of two splits, it is of the later one."""

_BANDS, _BAND_BITS = 4, 16
_PROBES = 1 << 16
_ID_TRIES: Final = 100_000


class SplitConfig(Frozen):
    """How groups are made and divided.

    `test`, `validation`: shares of the groups, by hash; the rest is train. `near_duplicate_bits`: bits of 64 in which
    hashes of photos may differ and still tie their people together; -1: only equal bytes do. `max_group_identities`:
    where a group stops growing.
    """

    test: float = Field(0.1, ge=0, le=1)
    validation: float = Field(0.1, ge=0, le=1)
    salt: str = "mannequin"
    near_duplicate_bits: int = Field(6, ge=-1, le=MAX_DISTANCE)
    max_group_identities: int = Field(200, ge=1)

    @model_validator(mode="after")
    def _shares_fit(self) -> "SplitConfig":
        if self.test + self.validation > 1:
            raise ValueError("the shares of test and validation are more than 1 together")
        return self


def share_of(name: str, salt: str) -> float:
    """A number from 0 to 1 that follows from a name: evenly spread, and the same for ever."""
    return int.from_bytes(sha256(f"{salt}/{name}".encode()).digest()[:8], "big") / 2**64


def split_of(group_id: str, config: SplitConfig) -> Split:
    """The split of a group, by its id alone."""
    place = share_of(group_id, config.salt)
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def near_pairs(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """All pairs i < j of different hashes that are within `bits` of each other, (P, 2), in order.

    Two hashes within d bits agree, in at least one of four bands, up to d // 4 bits; so only those are compared.

    Args:
        hashes: distinct, (N,).
    """
    found = [np.zeros((0, 2), np.int64)]
    masks = [
        sum(1 << b for b in flip) for n in range(bits // _BANDS + 1) for flip in combinations(range(_BAND_BITS), n)
    ]
    for band in range(_BANDS if len(hashes) > 1 and bits >= 0 else 0):
        keys = (hashes >> np.uint64(band * _BAND_BITS)).astype(np.uint16)
        by_key = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[by_key], np.arange((1 << _BAND_BITS) + 1))
        for mask in masks:
            for first in range(0, len(hashes), _PROBES):
                rows = np.arange(first, min(first + _PROBES, len(hashes)))
                probes = keys[rows].astype(np.int64) ^ mask
                counts = starts[probes + 1] - starts[probes]
                left = np.repeat(rows, counts)
                right = by_key[np.arange(len(left)) + np.repeat(starts[probes] - (np.cumsum(counts) - counts), counts)]
                near = (left < right) & (hamming(hashes[left], hashes[right]) <= bits)
                found.append(np.stack([left[near], right[near]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def scenes(
    photo: NDArray[np.int64], picture: NDArray[np.int64], phash: NDArray[np.uint64], bits: int
) -> NDArray[np.int64]:
    """One number for photos that are one picture, chains of near duplicates included, (N,).

    Args:
        photo, picture: one number a photo, one for equal bytes, (N,).
        phash: uint64, (N,).
        bits: see `SplitConfig`.
    """
    distinct, look = np.unique(phash, return_inverse=True) if bits >= 0 else (phash, np.arange(len(phash)))
    near = near_pairs(distinct, bits)
    nodes = len(distinct) + int(photo.max(initial=-1)) + 1 + int(picture.max(initial=-1)) + 1
    photo_at = len(distinct)
    picture_at = photo_at + int(photo.max(initial=-1)) + 1
    first = np.concatenate([near[:, 0], look, look])
    second = np.concatenate([near[:, 1], photo_at + photo, picture_at + picture])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(nodes, nodes))
    label: NDArray[np.int64] = connected_components(graph, directed=False)[1][look].astype(np.int64)
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def groups(
    identity: NDArray[np.int64], scene: NDArray[np.int64], former: NDArray[np.int64], max_identities: int
) -> NDArray[np.int64]:
    """Which group each of I identities is of, (I,): the number of its first identity.

    Identities that share scenes are joined, those that were one group before first, then by how many scenes they share,
    as long as a group has no more than `max_identities`.

    Args:
        identity: 0 to I - 1, scene: each (N,), of faces.
        former: the group before of each identity, (I,); -1 where it had none.
    """
    size = len(former)
    seen = coo_array((np.ones(len(identity), np.int32), (identity, scene))).tocsr()
    seen.data[:] = 1
    shared = (seen @ seen.T).tocoo()
    upper = shared.row < shared.col
    a, b, weight = shared.row[upper], shared.col[upper], shared.data[upper]
    was_one = (former[a] == former[b]) & (former[a] >= 0)
    root = np.arange(size)
    members = np.ones(size, np.int64)

    def end(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = int(root[i])
        return i

    for at in np.lexsort((b, a, -weight, ~was_one)).tolist():
        x, y = end(int(a[at])), end(int(b[at]))
        if x != y and members[x] + members[y] <= max_identities:
            low, high = min(x, y), max(x, y)
            root[high] = low
            members[low] += members[high]
    return np.array([end(i) for i in range(size)], np.int64)


@dataclass(frozen=True)
class Former:
    """Where faces were in the build before: face -> group id and split."""

    group: Mapping[str, str]
    split: Mapping[str, Split]


def name_groups(
    faces: Mapping[str, Sequence[str]], former: Former, config: SplitConfig
) -> tuple[dict[str, str], dict[str, Split]]:
    """Ids that last.

    Args:
        faces: smallest identity id of a group -> sample ids of its faces.
    Returns:
        smallest identity id -> group id; group id -> split.
    Raises:
        ConfigError: groups must stay in a split whose share is 0 now.
    """
    votes = {name: Counter(former.group[i] for i in ids if i in former.group) for name, ids in faces.items()}
    ranks = {
        name: max((GIVES_WAY.index(former.split[i]) for i in ids if i in former.split), default=-1)
        for name, ids in faces.items()
    }
    claims = sorted(
        ((-number, old, name) for name, olds in votes.items() for old, number in olds.items()),
    )
    named: dict[str, str] = {}
    taken: set[str] = set()
    for _, old, name in claims:
        if name not in named and old not in taken and split_of(old, config) == GIVES_WAY[ranks[name]]:
            named[name] = old
            taken.add(old)
    reserved = set(former.group.values())
    for name in sorted(faces.keys() - named.keys()):
        wanted = GIVES_WAY[ranks[name]] if ranks[name] >= 0 else None
        fresh = next(i for i in _new_ids(name, wanted, config) if i not in taken and i not in reserved)
        named[name] = fresh
        taken.add(fresh)
    return named, {group_id: split_of(group_id, config) for group_id in named.values()}


def _new_ids(name: str, wanted: Split | None, config: SplitConfig) -> Iterator[str]:
    for attempt in count():
        if attempt == _ID_TRIES:
            raise ConfigError(
                f"Groups of the build before are in {wanted}, which has (nearly) no share now: nobody may move. "
                "Give it a share, or start without the build before."
            )
        group_id = f"g{sha256(f'{name}/{attempt}'.encode()).hexdigest()[:16]}"
        if wanted is None or split_of(group_id, config) == wanted:
            yield group_id


def crossing(scene: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Faces whose picture is in a split that does not give way to theirs, (N,): they must go.

    Args:
        scene: (N,).
        rank: place of each face's split in `GIVES_WAY`, (N,).
    """
    highest = np.full(int(scene.max(initial=-1)) + 1, -1, np.int64)
    np.maximum.at(highest, scene, rank)
    away: NDArray[np.bool_] = rank < highest[scene]
    return away


def split_overlaps(
    split: Sequence[str], identity: Sequence[str], sha256s: Sequence[str], phash: NDArray[np.uint64], bits: int
) -> list[str]:
    """What the splits share and must not: identities, photo bytes, near-duplicate photos. Nothing is good.

    Args:
        split, identity, sha256s, phash: of each face, (N,).
        bits: see `SplitConfig`.
    Returns:
        one sentence a kind and pair of splits.
    """
    problems = []
    for kind, values in (("identities", identity), ("photos with the same bytes", sha256s)):
        places: defaultdict[str, set[str]] = defaultdict(set)
        for value, where in zip(values, split, strict=True):
            places[value].add(where)
        shared = Counter(pair for where in places.values() for pair in combinations(sorted(where), 2))
        problems += [f"{a} and {b} share {number} {kind}" for (a, b), number in sorted(shared.items())]
    distinct, look = np.unique(phash, return_inverse=True)
    where_of: defaultdict[int, set[str]] = defaultdict(set)
    for at, where in zip(look.tolist(), split, strict=True):
        where_of[at].add(where)
    same = [(at, at) for at in where_of] if bits >= 0 else []
    near = Counter(
        (min(x, y), max(x, y))
        for a, b in [*same, *near_pairs(distinct, bits).tolist()]
        for x in where_of[a]
        for y in where_of[b]
        if (x < y if a == b else x != y)
    )
    problems += [f"{a} and {b} share {number} near-duplicate photos" for (a, b), number in sorted(near.items())]
    return problems
