"""Identities that stay who they are from build to build: new faces join, merges and splits leave aliases."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ID_HEX = 12
"""Characters of a new id's digest; more only where the id is taken."""


@dataclass(frozen=True)
class Known:
    """The identities of an earlier build: a row for each face, the oldest first.

    Attributes:
        sample_id: ids of the faces.
        identity: whose they are.
        former: lists of the identities that each face had before, latest last.
    """

    sample_id: pa.Array
    identity: pa.Array
    former: pa.Array


@dataclass(frozen=True)
class Carried:
    """Whose the faces are now.

    Attributes:
        identity: (C,) the id of every cluster.
        former: for each face the identities that it had before, latest last.
        kept, new, merged, split: how many ids live on, are new, became an alias by a merge, lost a part that is now
            somebody else; `vanished` ids have no face left.
    """

    identity: list[str]
    former: pa.Array
    kept: int
    new: int
    merged: int
    split: int
    vanished: int

    @property
    def aliases(self) -> int:
        """How many ids some face had before."""
        return len(pc.unique(pc.list_flatten(self.former)))


def carry_over(sample_ids: pa.Array, cluster: NDArray[np.int64], known: Known | None = None) -> Carried:
    """Give every cluster the id of the identity that most of its faces had, each id once.

    The largest common parts choose first, of equal ones the oldest identity: a merged cluster takes the id of its
    larger part, the largest part of a split keeps the id. New ids are digests of a cluster's smallest `sample_id`, so
    that they are the same without any history.

    Args:
        sample_ids: (N,) strings, each once.
        cluster: (N,) cluster of each face; -1: none.
    """
    clusters = int(cluster.max(initial=-1)) + 1
    names: list[str | None] = [None] * clusters
    if known is None or not len(known.sample_id):
        _name_new(names, sample_ids, cluster, set())
        nobody = pa.array([[]] * 1, pa.list_(pa.string()))
        former = pa.concat_arrays([nobody]).take(pa.array(np.zeros(len(sample_ids), np.int64)))
        return Carried([name or "" for name in names], former, 0, clusters, 0, 0, 0)

    old = pc.index_in(sample_ids, value_set=known.sample_id).fill_null(-1).to_numpy().astype(np.int64)
    encoded = known.identity.dictionary_encode()
    ids = encoded.dictionary.to_pylist()
    had = np.where(old >= 0, encoded.indices.to_numpy()[old], -1).astype(np.int64)
    both = (had >= 0) & (cluster >= 0)
    overlap, common = np.unique(had[both] * max(clusters, 1) + cluster[both], return_counts=True)
    of_id, of_cluster = np.divmod(overlap, max(clusters, 1))
    given: dict[int, int] = {}
    for at in np.lexsort((of_cluster, of_id, -common)).tolist():
        owner, number = int(of_id[at]), int(of_cluster[at])
        if owner not in given and names[number] is None:
            given[owner] = number
            names[number] = ids[owner]
    kept = len(given)
    used = set(ids).union(pc.unique(pc.list_flatten(known.former)).to_pylist())
    _name_new(names, sample_ids, cluster, used)
    identity = [name or "" for name in names]
    parts = np.bincount(of_id, minlength=len(ids))
    merged = sum(1 for each in np.flatnonzero(parts) if int(each) not in given)
    return Carried(
        identity,
        _former(old, had, cluster, ids, identity, known),
        kept,
        clusters - kept,
        merged,
        int((parts > 1).sum()),
        int((parts == 0).sum()),
    )


def _name_new(names: list[str | None], sample_ids: pa.Array, cluster: NDArray[np.int64], used: set[str]) -> None:
    """Name the clusters that have no name yet, in the order of their smallest faces."""
    order = pc.sort_indices(sample_ids).to_numpy()
    ordered = cluster[order]
    numbers, first = np.unique(ordered, return_index=True)
    smallest = {int(n): int(order[at]) for n, at in zip(numbers, first, strict=True) if n >= 0 and names[n] is None}
    ids = sample_ids.take(pa.array(list(smallest.values()), pa.int64())).to_pylist()
    for face, number in sorted(zip(ids, smallest, strict=True)):
        digest = sha256(face.encode()).hexdigest()
        length = ID_HEX
        while f"id-{digest[:length]}" in used:
            length += 1
        names[number] = f"id-{digest[:length]}"
        used.add(f"id-{digest[:length]}")


def _former(
    old: NDArray[np.int64],
    had: NDArray[np.int64],
    cluster: NDArray[np.int64],
    ids: list[str],
    identity: list[str],
    known: Known,
) -> pa.Array:
    """The identities that each face had before it got that of its cluster."""
    nothing = pa.array([[]], pa.list_(pa.string()))
    pool = pa.concat_arrays([known.former.cast(pa.list_(pa.string())), nothing])
    row = np.where(old >= 0, old, len(known.former))
    now = np.array([*identity, ""], object)[cluster]
    before = np.array([*ids, ""], object)[had]
    changed = np.flatnonzero((had >= 0) & (cluster >= 0) & (now != before))
    if len(changed):
        lists = pool.take(pa.array(row[changed])).to_pylist()
        more = [
            [each for each in dict.fromkeys([*(f for f in former if f != last), last]) if each != name]
            for former, last, name in zip(lists, before[changed], now[changed], strict=True)
        ]
        row = row.copy()
        row[changed] = len(pool) + np.arange(len(changed))
        pool = pa.concat_arrays([pool, pa.array(more, pa.list_(pa.string()))])
    return pool.take(pa.array(row))


def resolve(name: str, identities: pa.Array | pa.ChunkedArray, former: pa.Array | pa.ChunkedArray) -> tuple[str, ...]:
    """The identities that an id stands for today, most faces first: itself, or those of the faces that once had it.

    Args:
        identities: whose every face is.
        former: lists of the identities that each face had before.
    """
    table = pa.table({"identity": identities, "former": former})
    alias = _holds(table["former"].combine_chunks(), name)
    wanted = np.asarray(pc.equal(table["identity"], name).to_numpy()) | alias
    counts = pc.value_counts(table["identity"].filter(pa.array(wanted))).to_pylist()
    counts.sort(key=lambda each: (each["values"] != name, -each["counts"], each["values"]))
    return tuple(each["values"] for each in counts)


def _holds(lists: pa.Array | pa.ChunkedArray, name: str) -> NDArray[np.bool_]:
    chunks: Iterable[pa.Array] = lists.chunks if isinstance(lists, pa.ChunkedArray) else [lists]
    found = []
    for chunk in chunks:
        mask = np.zeros(len(chunk), np.bool_)
        equal = pc.equal(pc.list_flatten(chunk), name).to_numpy(zero_copy_only=False)
        mask[pc.list_parent_indices(chunk).to_numpy()[np.flatnonzero(equal)]] = True
        found.append(mask)
    return np.concatenate(found) if found else np.zeros(0, np.bool_)
