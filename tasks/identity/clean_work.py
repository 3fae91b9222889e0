"""The faces under cleaning: who is still there, whose each is, and why the others went."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.identity.clean_faces import Centres, Faces, Reviewed, centres, likeness
from tasks.identity.clean_thresholds import Cosines, Rates
from tasks.images.hashing import MAX_DISTANCE
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason


class CleanConfig(Frozen):
    """What a clean identity is.

    `face_score_floor`: the detector's score that a face must exceed. `near_duplicate_bits`: bits of 64 in which the
    perceptual hashes of two photos may differ and still be one picture. `one_face_a_photo`: of two faces of one photo
    in one identity one goes, and identities that share a photo are not merged. `merge_until_settled`: look again after
    centres have moved. `max_component`: identities of a larger component of alike ones are not merged, but counted.
    """

    face_score_floor: float = Field(0.95, ge=0, le=1)
    thresholds: Rates | Cosines = Field(default=Rates(), discriminator="kind")
    near_duplicate_bits: int = Field(6, ge=0, le=MAX_DISTANCE)
    min_images: int = Field(2, ge=1)
    one_face_a_photo: bool = True
    merge_until_settled: bool = True
    max_component: int = Field(10_000, ge=2)

    @classmethod
    def reference(cls) -> "CleanConfig":
        """The reference's numbers, which belong to its KP-RPE ViT, and its single pass without cannot-links."""
        return cls(thresholds=Cosines(), one_face_a_photo=False, merge_until_settled=False)


@dataclass(frozen=True)
class Removal:
    """Why one face goes."""

    reason: Reason
    detail: str
    score: float | None
    evidence: Mapping[str, JsonValue]


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What became of N faces.

    Args:
        identity: places in `Faces.names`, (N,), of the identities that faces are of now; also of those that went.
        similarity: cosine to the centre of the identity's other faces, float32, (N,); 0 for faces that went.
        removals: face -> why it goes.
        facts: counts per rule, thresholds.
    """

    identity: NDArray[np.int64]
    similarity: NDArray[np.float32]
    removals: dict[int, Removal]
    facts: dict[str, JsonValue]


class Work:
    """Faces that are cleaned; the rules change it."""

    def __init__(self, faces: Faces, config: CleanConfig, reviewed: Reviewed, device: str) -> None:
        self.faces, self.config, self.reviewed, self.device = faces, config, reviewed, device
        self.alive = np.ones(len(faces), np.bool_)
        self.identity = faces.identity.copy()
        self.removals: dict[int, Removal] = {}
        self.cosines = Cosines()
        self.facts: dict[str, JsonValue] = {"identities_in": len(np.unique(faces.identity))}

    def result(self) -> Cleaned:
        live = self.live()
        similarity = np.zeros(len(self.faces), np.float32)
        similarity[live] = self.likeness(live)
        counts = Counter(str(removal.evidence["rule"]) for removal in self.removals.values())
        self.facts["identities_out"] = len(np.unique(self.identity[live]))
        self.facts["removed_by_rule"] = dict(sorted(counts.items()))
        return Cleaned(self.identity, similarity, self.removals, self.facts)

    def live(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.alive)

    def goodness(self, face: int) -> tuple[float, float, int]:
        """Ascending: the better one first."""
        return -float(self.faces.score[face]), -float(self.faces.side_px[face]), face

    def centres(self) -> Centres:
        live = self.live()
        return centres(self.faces.embedding[live], self.faces.norm[live], self.identity[live])

    def likeness(self, live: NDArray[np.int64]) -> NDArray[np.float32]:
        return likeness(self.faces.embedding[live], self.faces.norm[live], self.identity[live])

    def remove(
        self, face: int, rule: str, reason: Reason, detail: str, score: float | None, **evidence: JsonValue
    ) -> None:
        self.alive[face] = False
        identity = self.faces.names[self.identity[face]]
        self.removals[face] = Removal(reason, detail, score, {"rule": rule, "identity": identity, **evidence})

    def enforce_minimum(self, after: str) -> None:
        live = self.live()
        least = self.config.min_images
        counts = np.bincount(self.identity[live], minlength=len(self.faces.names))
        for face in live[counts[self.identity[live]] < least].tolist():
            left = int(counts[self.identity[face]])
            detail = f"The identity has {left} of {least} images after the rule {after}."
            self.remove(
                face, "min_images", Reason.TOO_FEW_IMAGES, detail, float(left), after=after, threshold=float(least)
            )

    def faces_of(self, whole: Centres, chosen: Collection[int]) -> list[tuple[int, int]]:
        """Faces of the chosen ones of `whole`, each with its place there."""
        live = self.live()
        place = np.searchsorted(whole.identity, self.identity[live])
        mine = np.isin(place, np.array(sorted(chosen), np.int64))
        return list(zip(live[mine].tolist(), place[mine].tolist(), strict=True))

    def pairs_of_identities(self, faces: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs of identities of pairs of faces that are both there; a face's own identity is no pair."""
        there = faces[self.alive[faces].all(axis=1)]
        pairs = place[self.identity[there]]
        between: NDArray[np.int64] = pairs[pairs[:, 0] != pairs[:, 1]]
        return between
