"""Faces that need no weights: drawn in one colour, and a detector that finds that colour."""

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from tasks.face.face_detector import FaceDetections
from tasks.face.faces import FindFaces
from tasks.models.card import ModelCard
from tasks.schema.boxes import Boxes

SKIN = (230, 40, 200)
LANDMARKS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
"""Shares of a drawn face's box."""


def draw_face(photo: np.ndarray, xyxy: tuple[int, int, int, int], strength: float = 1.0) -> None:
    """Fill a box with skin; `strength` becomes the face's score. The five landmarks are dark."""
    left, top, right, bottom = xyxy
    photo[top:bottom, left:right] = [round(c * strength) if i == 0 else c for i, c in enumerate(SKIN)]
    for x, y in LANDMARKS:
        centre = round(left + x * (right - left)), round(top + y * (bottom - top))
        cv2.circle(photo, centre, max(1, (right - left) // 20), (120, 40, 200), -1)


class DrawnFaceDetector:
    """Finds drawn faces, as `FaceDetector` says; the score is the share of red."""

    card = ModelCard(
        name="drawn-faces",
        file_name="drawn-faces.bin",
        family="retinaface",
        revision="1",
        sha256="0" * 64,
        licence="MIT",
        input_spec="RGB",
        thresholds={"face": 0.7, "candidate": 0.1, "nms_iou": 0.4},
        origin="drawn here",
    )
    name = "drawn-faces"
    sha256 = "0" * 64

    def execution(self) -> dict[str, str]:
        return {"provider": "cpu"}

    def detect(self, images: Sequence[np.ndarray]) -> list[FaceDetections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: np.ndarray) -> FaceDetections:
        mask = ((image[..., 2] > 150) & (image[..., 1] < 100)).astype(np.uint8)
        count, marks, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes, scores = [], []
        for i in range(1, count):
            left, top, width, height, area = stats[i]
            if area >= 12:
                boxes.append([left, top, left + width, top + height])
                scores.append(min(float(np.median(image[marks == i][:, 0])) / SKIN[0], 1.0))
        order = np.argsort(scores)[::-1]
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)[order]
        size = xyxy[:, 2:] - xyxy[:, :2]
        landmarks = xyxy[:, None, :2] + LANDMARKS.astype(np.float32) * size[:, None] - np.float32(0.5)
        return FaceDetections(Boxes(xyxy, np.array(scores, np.float32)[order]), landmarks.astype(np.float32))


class FindDrawnFaces(FindFaces):
    """The stage, with the detector of drawn faces."""

    detector: ClassVar[DrawnFaceDetector] = DrawnFaceDetector()  # type: ignore[misc]
