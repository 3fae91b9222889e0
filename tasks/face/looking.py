"""A face detector looking at head regions: their pixels at its size, and what it tells, back in the photo."""

import logging
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.face.belonging import Candidate, NoFace
from tasks.face.face_detector import FaceDetections, FaceDetector
from tasks.face.head_region import HeadRegion
from tasks.schema.errors import MannequinError
from tasks.schema.rejections import Reason

Picture = NDArray[np.uint8]

_LOG = logging.getLogger(__name__)


def shown(pixels: Picture, region: HeadRegion, side: int) -> Picture:
    """The region as the detector sees it: its longer side scaled to `side`."""
    left, top, right, bottom = region.xyxy
    scale = side / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels[top:bottom, left:right], size, interpolation=how), np.uint8)


def detected(detector: FaceDetector, pictures: Sequence[Picture]) -> list[FaceDetections | NoFace]:
    """What the detector sees; a picture that it fails on costs that picture only, unless it fails on all."""
    try:
        return list(detector.detect(pictures))
    except (MannequinError, MemoryError):
        raise
    except Exception as error:  # whatever a runtime raises
        found = [_detected_alone(detector, picture) for picture in pictures] if len(pictures) > 1 else []
        if all(isinstance(each, NoFace) for each in found):
            raise
        _LOG.warning("%s fails on some pictures: %s", detector.name, error)
        return found


def _detected_alone(detector: FaceDetector, picture: Picture) -> FaceDetections | NoFace:
    try:
        return detector.detect([picture])[0]
    except Exception as error:  # noqa: BLE001 (whatever a runtime raises)
        return NoFace(Reason.FACE_NOT_FOUND, f"the detector failed: {type(error).__name__}: {error}")


def candidates_of(found: FaceDetections, picture: Picture, region: HeadRegion) -> list[Candidate]:
    """What the detector told, in pixels of the photo inside its border."""
    left, top, right, bottom = region.xyxy
    origin = np.array([left, top], np.float32)
    placed = found.scaled((right - left) / picture.shape[1], (bottom - top) / picture.shape[0])
    candidates = []
    for box, score, landmarks in zip(placed.boxes.xyxy, placed.boxes.score, placed.landmarks, strict=True):
        xyxy = box + np.tile(origin, 2)
        side = float((xyxy[2:] - xyxy[:2]).max())
        away = float(np.hypot(*((xyxy[:2] + xyxy[2:]) / 2 - region.centre)))
        distance = away / side if side > 0 else np.inf
        candidates.append(Candidate(xyxy, landmarks + origin, float(score), distance))
    return candidates
