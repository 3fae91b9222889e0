"""Detected boxes."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes of one picture.

    Args:
        xyxy: pixels, float32, (N, 4): left, top, right, bottom; right and bottom are exclusive; may exceed the frame.
        score: float32, (N,), 0 to 1.
    Raises:
        ShapeError: a shape, dtype or order (left <= right, top <= bottom) differs.
    """

    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.xyxy.ndim != 2 or self.xyxy.shape[1] != 4 or self.score.shape != self.xyxy.shape[:1]:
            raise ShapeError(f"boxes are (N, 4) and (N,), got {self.xyxy.shape} and {self.score.shape}")
        if self.xyxy.dtype != np.float32 or self.score.dtype != np.float32:
            raise ShapeError(f"boxes are float32, got {self.xyxy.dtype} and {self.score.dtype}")
        if not (self.xyxy[:, :2] <= self.xyxy[:, 2:]).all():
            raise ShapeError("a box must have left <= right and top <= bottom")
        self.xyxy.setflags(write=False)
        self.score.setflags(write=False)

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    @property
    def area(self) -> NDArray[np.float32]:
        """Square pixels, (N,)."""
        size = self.xyxy[:, 2:] - self.xyxy[:, :2]
        return (size[:, 0] * size[:, 1]).astype(np.float32)

    def __len__(self) -> int:
        return len(self.xyxy)
