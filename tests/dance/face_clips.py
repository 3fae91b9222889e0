"""Clips with a drawn face on a dancer, and poses that say where the head is."""

from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.reference import PickReference
from tasks.schema.clips import CUT_SCHEMA, POSE_SCHEMA, WHOLEBODY_JOINTS
from tests.dance.pose_clips import SIDE
from tests.face.drawn_faces import DrawnFaceDetector, draw_face

HEAD = (128, 80)
AROUND = {
    "nose": (0, 4), "left_eye": (12, -8), "right_eye": (-12, -8), "left_ear": (24, -4), "right_ear": (-24, -4),
    "neck": (0, 50), "left_shoulder": (40, 50), "right_shoulder": (-40, 50), "left_hip": (25, 140),
    "right_hip": (-25, 140),
}  # fmt: skip
"""Joints of somebody who looks at the viewer, from the middle of the head."""


class PickDrawnReference(PickReference):
    """The stage, with the detector of drawn faces."""

    detector: ClassVar[DrawnFaceDetector] = DrawnFaceDetector()  # type: ignore[misc]


def shows(width: int = 60, height: int = 60, *, blur: float = 0, strength: float = 1.0) -> np.ndarray:
    """A dancer with a face of this size; a size of 0: without one."""
    picture = np.full((SIDE, SIDE, 3), (90, 120, 90), np.uint8)
    x, y = HEAD
    cv2.rectangle(picture, (x - 40, y + 45), (x + 40, y + 150), (40, 60, 140), cv2.FILLED)
    picture[y + 45 : y + 150 : 6, x - 40 : x + 40] = (200, 200, 60)
    if width:
        box = (x - width // 2, y - height // 2, x + width // 2, y + height // 2)
        draw_face(picture, box, strength)
    return cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture


def a_pose_row(frames: int, sample_id: str = "v/c000", *, confidence: float = 0.9) -> dict[str, Any]:
    """A row of poses with the same joints in every frame."""
    xy = np.full((WHOLEBODY_JOINTS, 2), np.nan)
    sure = np.zeros(WHOLEBODY_JOINTS)
    for name, away in AROUND.items():
        xy[OPENPOSE_134.index(name)] = np.add(HEAD, away)
        sure[OPENPOSE_134.index(name)] = confidence
    return {
        "sample_id": sample_id,
        "parent_id": "v",
        "source_uri": "v.mp4",
        "licence": "CC0-1.0",
        "frames": frames,
        "keypoints_xy": [None if np.isnan(v) else float(v) for v in np.tile(xy, (frames, 1)).ravel()],
        "confidence": np.tile(sure, frames).tolist(),
        "raw_score": np.tile(sure, frames).tolist(),
        "produced": [True] * 18 + [False] * (WHOLEBODY_JOINTS - 18),
        "pose_model": "made",
    }


def beside(rows: Sequence[tuple[dict[str, Any], bytes | None]]) -> pa.RecordBatch:
    """Rows of poses with their clips, as the stage gets them."""
    schema = pa.schema([*POSE_SCHEMA, CUT_SCHEMA.field("clip")])
    full = [{**row, "clip": {"bytes": clip, "path": "c.mp4"}} for row, clip in rows]
    return pa.RecordBatch.from_pylist(full, schema=schema)


def golden_frames() -> list[np.ndarray]:
    """Blurred faces, one that is sharp but turned away, one that is sharp; a bright peak walks over the chest."""
    sharp = {2: shows(24, 60), 5: shows()}
    frames = [sharp.get(k, shows(blur=2)) for k in range(8)]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for k, frame in enumerate(frames):
        away = np.hypot(rows - HEAD[1] - 100, columns - HEAD[0] + 28 - 8 * k)
        peak = np.repeat(np.clip(255 - 14 * away, 0, 255)[..., None], 3, axis=2)
        near = away < 12
        frame[near] = peak[near]
    return frames
