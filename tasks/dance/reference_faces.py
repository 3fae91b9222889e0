"""The dancer's face in a frame, and how clear it is."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.dance.reference_frames import Head
from tasks.face.align import ALIGNED_SIDE, ARCFACE_SIDE, aligned_face, native_side, share_inside
from tasks.face.belonging import Candidate, NoFace, faces_of_people
from tasks.face.face_detector import FaceDetections
from tasks.face.gate import RULES
from tasks.face.looking import candidates_of
from tasks.face.quality import frontality, sharpness
from tasks.models.embedding import GateFloors
from tasks.schema.errors import ShapeError
from tasks.schema.rejections import Reason

Picture = NDArray[np.uint8]

_MEASURED: Final = ("face_side_px", "sharpness", "frontality")


@dataclass(frozen=True, eq=False)
class Face:
    """The dancer's face in a frame.

    Args:
        head: the frame.
        told: what the detector says, in pixels of the frame.
        aligned: its pixels, RGB uint8, (160, 160, 3), of which the middle 112 are the ArcFace frame.
        native_px: pixels of the frame that the ArcFace frame spans.
        sharpness: 0 to 1, see `tasks.face.quality`.
        frontality: 0 to 1, likewise.
    """

    head: Head
    told: Candidate
    aligned: Picture
    native_px: float
    sharpness: float
    frontality: float

    @property
    def clearness(self) -> float:
        """What the best face of a clip has most of, 0 to 1: sharp, seen from the front, and large.

        Sharpness times frontality times the share of the 112 pixels a side of recognition models that the clip really
        shows. Our choice: sharpness is measured at the size that the face has, so a small face may be as sharp as a
        large one, and tells less.
        """
        return self.sharpness * self.frontality * min(1.0, self.native_px / ARCFACE_SIDE)

    @property
    def face_side_px(self) -> float:
        """The longer side of its box."""
        return float((self.told.xyxy[2:] - self.told.xyxy[:2]).max())

    def unfit(self, floors: GateFloors) -> str | None:
        """What of the face does not reach a floor, in a sentence; None: all of it does. The norm is not looked at."""
        for name, _, sentence in RULES:
            if name in _MEASURED:
                value, floor = getattr(self, name), getattr(floors, name)
                if not value >= floor:
                    return "the face is not clear enough: " + sentence.format(value=value, floor=floor)
        return None


def face_at(
    head: Head, picture: Picture, told: FaceDetections | NoFace, score_floor: float, min_inside: float
) -> Face | NoFace:
    """The face of this head, nobody else's.

    Args:
        picture: the head's region as the detector saw it.
        told: what it said, in pixels of `picture`.
        score_floor: faces that score lower are none.
        min_inside: share of the ArcFace frame that lies inside the frame of the clip.
    """
    if isinstance(told, NoFace):
        return told
    (face,) = faces_of_people([candidates_of(told, picture, head.region)], score_floor)
    if isinstance(face, NoFace):
        return face
    height, width = head.picture.shape[:2]
    try:
        inside = share_inside(face.landmarks, width, height)
        if inside < min_inside:
            detail = f"{inside:.2f} of the face lies inside the picture, at least {min_inside:.2f} is wanted"
            return NoFace(Reason.HEAD_NOT_VISIBLE, detail, face.score)
        aligned = aligned_face(head.picture, face.landmarks, ALIGNED_SIDE)
        native = native_side(face.landmarks)
        return Face(head, face, aligned, native, sharpness(aligned, native), frontality(face.landmarks))
    except (ShapeError, ValueError, cv2.error) as error:
        return NoFace(Reason.FACE_NOT_FOUND, f"the landmarks are not those of a face: {error}", face.score)
