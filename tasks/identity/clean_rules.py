"""The rules that identities are cleaned by, in their order; each says of every face that it takes out, why."""

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.sparse import coo_array, csr_array

from tasks.identity.clean_faces import Faces, Reviewed
from tasks.identity.clean_merge import Bonds, merge, units_of
from tasks.identity.clean_pairs import matches_above, pairs_above, pairs_within
from tasks.identity.clean_thresholds import (
    Cosines,
    law_of_outsiders,
    law_of_pictures,
    law_of_strangers,
    resolve,
)
from tasks.identity.clean_work import CleanConfig, Cleaned, Work
from tasks.images.hashing import hamming
from tasks.schema.rejections import Reason


def clean(
    faces: Faces,
    config: CleanConfig,
    reviewed: Reviewed | None = None,
    validation: NDArray[np.float32] | None = None,
    device: str = "cpu",
) -> Cleaned:
    """Apply all rules in order; the least number of images holds after each.

    Args:
        validation: unit centres of identities that must not be in the data, (V, W).
        device: where candidates are looked for; the result is the same on all.
    """
    work = Work(faces, config, reviewed or Reviewed(), device)
    _finite(work)
    _face_score(work)
    _review(work)
    if config.one_face_a_photo:
        _one_face_a_photo(work)
    _resolve(work, validation)
    _merge(work)
    _ambiguous(work)
    if validation is not None and len(validation):
        _validation(work, validation)
    _near_duplicate(work)
    return work.result()


def _finite(work: Work) -> None:
    """Vectors that are none take part in nothing."""
    embedding, norm = work.faces.embedding, work.faces.norm
    sound = np.isfinite(embedding).all(axis=1) & embedding.any(axis=1) & np.isfinite(norm) & (norm > 0)
    for face in np.flatnonzero(~sound).tolist():
        detail = "The embedding or its norm is not finite, or zero."
        work.remove(face, "finite", Reason.EMBEDDING_NOT_FINITE, detail, None)


def _face_score(work: Work) -> None:
    floor = work.config.face_score_floor
    for face in work.live()[~(work.faces.score[work.live()] > floor)].tolist():
        score = float(work.faces.score[face])
        detail = f"The detector's score {score:.3f} is not above {floor}."
        work.remove(face, "face_score", Reason.FACE_SCORE_LOW, detail, score, threshold=floor)
    work.enforce_minimum("face_score")


def _review(work: Work) -> None:
    """Faces that people took out; identities in which they saw two people."""
    for face in work.reviewed.removed.tolist():
        if work.alive[face]:
            work.remove(face, "review", Reason.REVIEWED_OUT, "A reviewer took this face out.", None)
    for a, b in work.reviewed.different.tolist():
        if work.alive[a] and work.alive[b] and work.identity[a] == work.identity[b]:
            _split_off(work, a, b)
    work.enforce_minimum("review")


def _split_off(work: Work, a: int, b: int) -> None:
    """Two people in one identity: each face is more like `a` or more like `b`; the smaller side goes."""
    members = np.flatnonzero(work.alive & (work.identity == work.identity[a]))
    vectors = work.faces.embedding[members].astype(np.float64)
    to_a = vectors @ work.faces.embedding[a].astype(np.float64)
    to_b = vectors @ work.faces.embedding[b].astype(np.float64)
    with_a = np.where(members == a, True, np.where(members == b, False, np.round(to_a - to_b, 9) > 0))
    go_with_a = int(with_a.sum()) < len(members) - int(with_a.sum())
    goes, stays = (a, b) if go_with_a else (b, a)
    detail = f"A reviewer saw two people in this identity; this face is more like {work.faces.ids[goes]}."
    side = with_a if go_with_a else ~with_a
    for face, near in zip(members[side].tolist(), (to_a if go_with_a else to_b)[side].tolist(), strict=True):
        said: dict[str, JsonValue] = {"like": work.faces.ids[goes], "unlike": work.faces.ids[stays]}
        work.remove(face, "review", Reason.REVIEWED_OUT, detail, near, **said)


def _one_face_a_photo(work: Work) -> None:
    """Nobody is in a photo twice, unless a person said so: the face less like the others goes."""
    live = work.live()
    order = np.lexsort((work.faces.photo[live], work.identity[live]))
    rows = live[order]
    key = np.stack([work.identity[rows], work.faces.photo[rows]], axis=1)
    new = np.ones(len(rows), np.bool_)
    new[1:] = (key[1:] != key[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    sizes = np.diff(starts, append=len(rows))
    if not (sizes > 1).any():
        return
    near = np.zeros(len(work.faces))
    near[live] = work.likeness(live)
    said_same = {frozenset(pair) for pair in work.reviewed.same.tolist()}
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        first, *others = sorted(
            rows[start : start + size].tolist(),
            key=lambda i: (-round(float(near[i]), 6), *work.goodness(i)),
        )
        for face in others:
            if frozenset((first, face)) not in said_same:
                detail = f"{work.faces.ids[first]}, of the same photo, is more like this identity."
                other = work.faces.ids[first]
                work.remove(face, "one_face_a_photo", Reason.IDENTITY_AMBIGUOUS, detail, float(near[face]), like=other)
    work.enforce_minimum("one_face_a_photo")


def _resolve(work: Work, validation: NDArray[np.float32] | None) -> None:
    """The cosines of this run."""
    declared = work.config.thresholds
    if isinstance(declared, Cosines):
        work.cosines = declared
    else:
        live = work.live()
        units = units_of(work.centres().sums)
        outsiders = None if validation is None else law_of_outsiders(units, validation)
        pictures = law_of_pictures(work.faces.embedding[live], work.identity[live])
        work.cosines = resolve(
            declared,
            law_of_strangers(units),
            outsiders,
            pictures,
            others=len(units) - 1,
            outside=0 if validation is None else len(validation),
        )
    work.facts["cosines"] = work.cosines.model_dump(mode="json", exclude={"kind"})


def _merge(work: Work) -> None:
    whole = work.centres()
    place = np.full(len(work.faces.names), -1, np.int64)
    place[whole.identity] = np.arange(len(whole.identity))
    bonds = Bonds(
        _shared_photos(work, place, len(whole.identity)),
        work.pairs_of_identities(work.reviewed.same, place),
        work.pairs_of_identities(work.reviewed.different, place),
    )
    merged = merge(
        whole.sums,
        whole.faces,
        bonds,
        work.cosines.merge,
        max_component=work.config.max_component,
        once=not work.config.merge_until_settled,
        device=work.device,
    )
    live = work.live()
    work.identity[live] = whole.identity[merged.root[place[work.identity[live]]]]
    work.facts["merges"] = int((merged.root != np.arange(len(merged.root))).sum())
    work.facts["merge_rounds"] = merged.rounds
    work.facts["merges_reviewed"] = merged.reviewed
    work.facts["verdicts_contradicted"] = merged.contradicted
    work.facts["identities_in_oversized_components"] = merged.oversized


def _shared_photos(work: Work, place: NDArray[np.int64], count: int) -> csr_array:
    """Identity x photo, of photos that show several."""
    live = work.live() if work.config.one_face_a_photo else np.zeros(0, np.int64)
    both = np.unique(np.stack([place[work.identity[live]], work.faces.photo[live]], axis=1), axis=0)
    photo, which, seen = np.unique(both[:, 1], return_inverse=True, return_counts=True)
    shared = seen[which] > 1
    marks = (np.ones(int(shared.sum()), np.int32), (both[shared, 0], which[shared]))
    return coo_array(marks, shape=(count, max(1, len(photo)))).tocsr()


def _ambiguous(work: Work) -> None:
    """Of two identities that are alike and yet two, the smaller goes; the larger ones are looked at first."""
    whole = work.centres()
    pairs = pairs_above(units_of(whole.sums), work.cosines.ambiguous, device=work.device)
    place = np.full(len(work.faces.names), -1, np.int64)
    place[whole.identity] = np.arange(len(whole.identity))
    told = {frozenset(pair) for pair in work.pairs_of_identities(work.reviewed.different, place).tolist()}
    alike: dict[int, list[tuple[float, int]]] = {}
    unmerged = 0
    for a, b, cosine in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.cosine.tolist(), strict=True):
        if frozenset((a, b)) not in told:
            unmerged += cosine > work.cosines.merge
            alike.setdefault(a, []).append((cosine, b))
            alike.setdefault(b, []).append((cosine, a))
    gone: dict[int, tuple[float, int]] = {}
    looked_at: set[int] = set()
    for each in sorted(alike, key=lambda i: (-int(whole.faces[i]), i)):
        larger = [(cosine, -other) for cosine, other in alike[each] if other in looked_at and other not in gone]
        looked_at.add(each)
        if larger:
            cosine, other = max(larger)
            gone[each] = (cosine, -other)
    work.facts["alike_but_not_merged"] = unmerged
    threshold = work.cosines.ambiguous
    for face, each in work.faces_of(whole, gone):
        cosine, like = gone[each]
        other = work.faces.names[whole.identity[like]]
        detail = f"The identity is like the larger {other}, yet not enough to be the same: cosine {cosine:.3f}."
        said: dict[str, JsonValue] = {"other": other, "threshold": threshold}
        work.remove(face, "ambiguous", Reason.IDENTITY_AMBIGUOUS, detail, cosine, **said)
    work.enforce_minimum("ambiguous")


def _validation(work: Work, others: NDArray[np.float32]) -> None:
    whole = work.centres()
    found = matches_above(units_of(whole.sums), others, work.cosines.validation, work.device)
    best: dict[int, float] = {}
    for each, cosine in zip(found.first.tolist(), found.cosine.tolist(), strict=True):
        best[each] = max(best.get(each, cosine), cosine)
    threshold = work.cosines.validation
    for face, each in work.faces_of(whole, best):
        detail = f"The identity is like one of the validation set: cosine {best[each]:.3f}."
        work.remove(face, "validation", Reason.VALIDATION_OVERLAP, detail, best[each], threshold=threshold)
    work.enforce_minimum("validation")


def _near_duplicate(work: Work) -> None:
    """Of two pictures of one person that are one picture, the worse goes."""
    live = work.live()
    faces, bits = work.faces, work.config.near_duplicate_bits
    known = faces.phash is not None
    phash = faces.phash[live] if faces.phash is not None else np.zeros(len(live), np.uint64)
    group, vectors = work.identity[live], faces.embedding[live]
    pairs = pairs_within(vectors, group, work.cosines.duplicate, phash, bits if known else -1)
    rank = np.empty(len(live), np.int64)
    rank[np.lexsort((live, -faces.side_px[live], -faces.score[live]))] = np.arange(len(live))
    swap = rank[pairs.first] > rank[pairs.second]
    better = np.where(swap, pairs.second, pairs.first)
    worse = np.where(swap, pairs.first, pairs.second)
    for at in np.lexsort((rank[better], rank[worse])).tolist():
        stays, goes = int(live[better[at]]), int(live[worse[at]])
        if work.alive[stays] and work.alive[goes]:
            _remove_copy(work, goes, stays, float(pairs.cosine[at]))
    work.enforce_minimum("near_duplicate")


def _remove_copy(work: Work, goes: int, stays: int, cosine: float) -> None:
    faces, other = work.faces, work.faces.ids[stays]
    evidence: dict[str, JsonValue] = {"like": other, "threshold": work.cosines.duplicate}
    if faces.phash is not None:
        evidence["phash_bits"] = int(hamming(faces.phash[goes], faces.phash[stays]))
    if faces.picture is not None and faces.picture[goes] == faces.picture[stays]:
        detail = f"{other} is of a photo with the same bytes."
        work.remove(goes, "near_duplicate", Reason.DUPLICATE_EXACT, detail, cosine, **evidence)
    else:
        detail = f"{other} is the same picture: cosine {cosine:.3f}."
        work.remove(goes, "near_duplicate", Reason.DUPLICATE_NEAR, detail, cosine, **evidence)
