"""Doubtful faces and identities: what a person should look at first, as pairs of faces with a reason."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.identity.clean_faces import centres, likeness
from tasks.identity.clean_inputs import codes, embeddings_of
from tasks.identity.clean_merge import units_of
from tasks.identity.clean_pairs import Pairs, cosines_of, pairs_above
from tasks.schema.rejections import Reason
from tasks.shards.stage import Whole

Kind = Literal["merged", "ambiguous", "apart", "odd_face"]

QUESTIONS: Final[Mapping[Kind, str]] = {
    "merged": "These were two identities and are one now. The same person?",
    "ambiguous": "These looked too alike for two identities, and the smaller was left out. The same person?",
    "apart": "These are two identities, and look alike. The same person?",
    "odd_face": "The first face is least like its identity, of which the second is typical. The same person?",
}
_DRAWS = 100_000


@dataclass(frozen=True)
class Doubt:
    """Two faces and why to look at them; `similarity` is of the identities' centres, or of the face to its own."""

    kind: Kind
    face_a: str
    face_b: str
    identity_a: str
    identity_b: str
    similarity: float

    @property
    def doubt_id(self) -> str:
        """Stable for the same question on the same faces."""
        return sha256(f"{self.kind}|{self.face_a}|{self.face_b}".encode()).hexdigest()[:16]

    @property
    def question(self) -> str:
        return QUESTIONS[self.kind]


def find_doubts(
    before: pa.Table,
    after: pa.Table,
    rejects: pa.Table | None,
    embeddings: Iterable[Whole],
    *,
    each: int = 50,
    answered: Iterable[tuple[str, str | None]] = (),
) -> list[Doubt]:
    """The most doubtful of every kind, at most `each`: the least alike that were merged, the most alike that were not,
    kept or left out, and the faces least like their identities.

    Args:
        before: rows of `IDENTITY_SCHEMA` that went into the cleaning.
        after: those that came out.
        rejects: those that did not.
        embeddings: shards that hold the embeddings of `before`.
        answered: pairs of faces that are not asked about again.
    """
    pool = _Pool.of(before, after, rejects, embeddings)
    known = {frozenset(pair) for pair in answered}
    found: list[Doubt] = []
    for doubts in (_merged(pool, each), _ambiguous(pool, each), _apart(pool, each), _odd_faces(pool, each)):
        found += [doubt for doubt in doubts if frozenset((doubt.face_a, doubt.face_b)) not in known]
    return found


@dataclass(frozen=True, eq=False)
class _Pool:
    """Faces with whose they were and are; `now` is -1 for faces that went, but for those of ambiguous identities.

    `old`, `now` are numbers in `names`; `kept` says which faces are still there; `rival` leads from an identity that
    went for being ambiguous to the larger one and the cosine.
    """

    ids: list[str]
    names: list[str]
    old: NDArray[np.int64]
    now: NDArray[np.int64]
    kept: NDArray[np.bool_]
    embedding: NDArray[np.float16]
    norm: NDArray[np.float32]
    rival: dict[int, tuple[int, float]]

    @classmethod
    def of(cls, before: pa.Table, after: pa.Table, rejects: pa.Table | None, embeddings: Iterable[Whole]) -> "_Pool":
        before = before.sort_by("sample_id").combine_chunks()
        ids = before["sample_id"].to_pylist()
        now_name = dict(zip(after["sample_id"].to_pylist(), after["identity"].to_pylist(), strict=True))
        kept = np.array([i in now_name for i in ids], np.bool_)
        rivals: dict[str, tuple[str, float]] = {}
        for row in _ambiguous_rows(rejects):
            said = json.loads(row["evidence"])
            now_name[row["sample_id"]] = said["identity"]
            rivals[said["identity"]] = (said["other"], row["score"])
        old, names = codes(before["identity"])
        number = {name: i for i, name in enumerate(names)}
        now = np.array([number[now_name[i]] if i in now_name else -1 for i in ids], np.int64)
        return cls(
            ids,
            names,
            old,
            now,
            kept,
            embeddings_of(before["sample_id"].combine_chunks(), embeddings),
            before["norm"].to_numpy(),
            {number[name]: (number[other], cosine) for name, (other, cosine) in rivals.items()},
        )

    @cached_property
    def _by_identity(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.now, kind="stable")
        return order, np.searchsorted(self.now[order], np.arange(len(self.names) + 1))

    def faces_of(self, identity: int) -> NDArray[np.int64]:
        """Its faces, also those of an ambiguous identity that went."""
        order, starts = self._by_identity
        return order[starts[identity] : starts[identity + 1]]

    def kept_of(self, identity: int) -> NDArray[np.int64]:
        faces = self.faces_of(identity)
        return faces[self.kept[faces]]

    def typical(self, faces: NDArray[np.int64]) -> str:
        """The face of one person that is most like the others."""
        near = likeness(self.embedding[faces], self.norm[faces], np.zeros(len(faces), np.int64))
        return self.ids[int(faces[np.round(near, 6).argmax()])]

    def centre(self, faces: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit centre of some faces, (W,)."""
        whole = centres(self.embedding[faces], self.norm[faces], np.zeros(len(faces), np.int64))
        unit: NDArray[np.float32] = units_of(whole.sums)[0]
        return unit


def _ambiguous_rows(rejects: pa.Table | None) -> list[dict[str, Any]]:
    if rejects is None:
        return []
    chosen = rejects.filter(pc.equal(rejects["reason"], Reason.IDENTITY_AMBIGUOUS.value))
    return [row for row in chosen.to_pylist() if json.loads(row["evidence"])["rule"] == "ambiguous"]


def _merged(pool: _Pool, most: int) -> list[Doubt]:
    """Parts of identities that came from another, least like the rest first."""
    moved = np.flatnonzero(pool.kept & (pool.now != pool.old))
    found: list[tuple[float, int, int, NDArray[np.int64], NDArray[np.int64]]] = []
    for old, now in np.unique(np.stack([pool.old[moved], pool.now[moved]], axis=1), axis=0).tolist():
        whole = pool.kept_of(now)
        part, rest = whole[pool.old[whole] == old], whole[pool.old[whole] != old]
        if len(rest):
            cosine = float(pool.centre(part) @ pool.centre(rest))
            found.append((cosine, old, now, part, rest))
    found.sort(key=lambda each: each[:3])
    return [
        Doubt("merged", pool.typical(part), pool.typical(rest), pool.names[old], pool.names[now], cosine)
        for cosine, old, now, part, rest in found[:most]
    ]


def _ambiguous(pool: _Pool, most: int) -> list[Doubt]:
    """Identities that went for being like a larger one, most alike first."""
    ranked = sorted(pool.rival.items(), key=lambda item: (-item[1][1], item[0]))
    found: list[Doubt] = []
    for identity, (other, cosine) in ranked:
        mine, theirs = pool.faces_of(identity), pool.kept_of(other)
        if len(mine) and len(theirs) and len(found) < most:
            found.append(
                Doubt(
                    "ambiguous",
                    pool.typical(mine),
                    pool.typical(theirs),
                    pool.names[identity],
                    pool.names[other],
                    cosine,
                )
            )
    return found


def _apart(pool: _Pool, most: int) -> list[Doubt]:
    """Identities that are two, most alike first."""
    faces = np.flatnonzero(pool.kept)
    whole = centres(pool.embedding[faces], pool.norm[faces], pool.now[faces])
    pairs = _most_alike(units_of(whole.sums), most)
    order = np.lexsort((pairs.second, pairs.first, -pairs.cosine))[:most]
    found: list[Doubt] = []
    for at in order.tolist():
        a, b = int(whole.identity[pairs.first[at]]), int(whole.identity[pairs.second[at]])
        mine, theirs = (pool.kept_of(each) for each in (a, b))
        cosine = float(pairs.cosine[at])
        found.append(Doubt("apart", pool.typical(mine), pool.typical(theirs), pool.names[a], pool.names[b], cosine))
    return found


def _most_alike(units: NDArray[np.float32], most: int) -> Pairs:
    """At least the `most` pairs of the highest cosine, if there are so many."""
    count = len(units)
    total = count * (count - 1) // 2
    if total <= _DRAWS:
        return pairs_above(units, -1.0)
    draws = np.random.default_rng(0).integers(0, count, (2, _DRAWS))
    drawn = cosines_of(units, units, draws[0], draws[1])[draws[0] != draws[1]]
    share = 2 * most / total
    while True:
        pairs = pairs_above(units, float(np.quantile(drawn, max(0.0, 1 - share))))
        if len(pairs) >= most or share >= 1:
            return pairs
        share *= 8


def _odd_faces(pool: _Pool, most: int) -> list[Doubt]:
    """Faces that are least like the others of their identity."""
    faces = np.flatnonzero(pool.kept)
    near = likeness(pool.embedding[faces], pool.norm[faces], pool.now[faces])
    found: list[Doubt] = []
    for at in np.lexsort((faces, near))[:most].tolist():
        face, identity = int(faces[at]), int(pool.now[faces[at]])
        others = pool.kept_of(identity)
        others = others[others != face]
        if len(others):
            name = pool.names[identity]
            found.append(Doubt("odd_face", pool.ids[face], pool.typical(others), name, name, float(near[at])))
    return found


def pictures_of_faces(faces: Sequence[Whole], wanted: Iterable[str]) -> dict[str, bytes]:
    """Aligned faces, encoded, of those that are wanted and there."""
    names = pa.array(sorted(set(wanted)), pa.string())
    found: dict[str, bytes] = {}
    for each in faces:
        for batch in each.batches(("sample_id", "aligned"), 256):
            some = batch.filter(pc.is_in(batch["sample_id"], value_set=names))
            for sample_id, image in zip(some["sample_id"].to_pylist(), some["aligned"].to_pylist(), strict=True):
                found[sample_id] = image["bytes"]
    return found
