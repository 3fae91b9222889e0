"""Whose of the people of a photo a face is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.schema.rejections import Reason

NEAR: Final = 0.7
"""Longer sides of its box that a face's middle may lie from its person's head. Of the faces in the head regions of 139
people in real photos, those of the person lie within 0.5, those of neighbours from 0.9 on (two that are none: 0.8)."""

SAME_IOU: Final = 0.4
"""Boxes that overlap more are one face, seen from the regions of two people. Source: RetinaFace's own suppression."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face that the detector tells of in the head region of a person; all in pixels of the photo.

    Args:
        xyxy: float32, (4,).
        landmarks: float32, (5, 2).
        score: 0 to 1.
        distance: of its middle from the person's head, in longer sides of its box.
    """

    xyxy: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float
    distance: float


@dataclass(frozen=True)
class NoFace:
    """Why a person has no face; `rival` is the index of the person who has it."""

    reason: Reason
    detail: str
    score: float | None = None
    rival: int | None = None


def faces_of_people(told: Sequence[Sequence[Candidate]], score_floor: float) -> list[Candidate | NoFace]:
    """Give each person of a photo at most one face, and each face to at most one person: the nearest pairs first.

    Args:
        told: of each person, what the detector tells of in the head region, in any order.
        score_floor: faces that score lower are nobody's.
    """
    pairs = sorted(
        ((face.distance, -face.score, person, face) for person, faces in enumerate(told) for face in faces),
        key=lambda pair: pair[:3],
    )
    owned: dict[int, Candidate] = {}
    lost: dict[int, NoFace] = {}
    for distance, _, person, face in pairs:
        if person in owned or face.score < score_floor or distance > NEAR:
            continue
        rival = next((p for p, other in owned.items() if overlap(face.xyxy, other.xyxy) > SAME_IOU), None)
        if rival is None:
            owned[person] = face
        else:
            detail = "its face is nearer to the head of another person of the photo"
            lost.setdefault(person, NoFace(Reason.FACE_CLAIMED_TWICE, detail, distance, rival))
    return [owned.get(p) or lost.get(p) or _none_of(faces, score_floor) for p, faces in enumerate(told)]


def _none_of(faces: Sequence[Candidate], score_floor: float) -> NoFace:
    near = [face.score for face in faces if face.distance <= NEAR]
    if near:
        return NoFace(
            Reason.FACE_SCORE_LOW,
            f"the best face scores {max(near):.2f}, at least {score_floor:.2f} is wanted",
            max(near),
        )
    if faces:
        return NoFace(Reason.FACE_NOT_FOUND, "the detector sees no face at this head, only beside it")
    return NoFace(Reason.FACE_NOT_FOUND, "the detector sees no face at this head")


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom); 0 where both are empty."""
    size = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(size.clip(min=0).prod())
    union = float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod()) - shared
    return shared / union if union > 0 else 0.0
