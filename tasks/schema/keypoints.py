"""Keypoint layouts and the one in-memory form of keypoints."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError


@dataclass(frozen=True)
class Layout:
    """Names and order of the joints of a skeleton.

    `limbs` are index pairs in drawing order; `mirror[i]` is the joint that joint i becomes when the picture is flipped.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...]

    def index(self, joint: str) -> int:
        return self.joints.index(joint)

    def __len__(self) -> int:
        return len(self.joints)


COCO_17 = Layout(
    name="coco-17",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    limbs=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    mirror=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
)  # fmt: skip
"""Source: COCO keypoints, `categories[0].keypoints` of the annotation files."""

OPENPOSE_18 = Layout(
    name="openpose-18",
    joints=(
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
        "right_ear", "left_ear",
    ),
    limbs=(
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
        (0, 14), (14, 16), (0, 15), (15, 17),
    ),
    mirror=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
)  # fmt: skip
"""Source: OpenPose's COCO output and the ControlNet annotator, which draws the limbs in this order."""


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of N people in one picture.

    Args:
        layout: which joint is where.
        xy: pixels, float32, (N, K, 2); NaN exactly where the joint is missing. Pixel centres lie at whole numbers.
        confidence: float32, (N, K), 0 to 1; 0 exactly where the joint is missing.
    Raises:
        ShapeError: a shape, dtype or range differs, or `xy` and `confidence` disagree on what is missing.
    """

    layout: Layout
    xy: NDArray[np.float32]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        people, joints = self.xy.shape[0], len(self.layout)
        if self.xy.shape != (people, joints, 2) or self.confidence.shape != (people, joints):
            raise ShapeError(f"{self.layout.name}: xy {self.xy.shape}, confidence {self.confidence.shape}")
        if self.xy.dtype != np.float32 or self.confidence.dtype != np.float32:
            raise ShapeError(f"keypoints are float32, got {self.xy.dtype} and {self.confidence.dtype}")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise ShapeError("confidence must lie within 0 and 1")
        missing = self.confidence == 0
        if not (np.isnan(self.xy).any(axis=2) == missing).all() or np.isinf(self.xy).any():
            raise ShapeError("a joint is missing exactly where its confidence is 0 and its xy is NaN")
        self.xy.setflags(write=False)
        self.confidence.setflags(write=False)

    @classmethod
    def from_arrays(cls, layout: Layout, xy: NDArray[np.floating], confidence: NDArray[np.floating]) -> Self:
        """Copy arrays of any float dtype; joints with confidence 0 or a NaN coordinate become missing."""
        scores = np.clip(np.nan_to_num(np.asarray(confidence, np.float32)), 0, 1)
        points = np.array(xy, np.float32)
        missing = (scores == 0) | ~np.isfinite(points).all(axis=-1)
        points[missing] = np.nan
        return cls(layout, points, np.where(missing, np.float32(0), scores).astype(np.float32))

    @classmethod
    def empty(cls, layout: Layout) -> Self:
        return cls(layout, np.zeros((0, len(layout), 2), np.float32), np.zeros((0, len(layout)), np.float32))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which joints are there, (N, K)."""
        return self.confidence > 0

    def __len__(self) -> int:
        return len(self.xy)

    def person(self, index: int) -> Self:
        """The one person at `index`, still with a leading axis of 1."""
        return type(self)(self.layout, self.xy[index : index + 1].copy(), self.confidence[index : index + 1].copy())
