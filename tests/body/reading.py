"""Compares what was read from a drawing with what was drawn."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.schema.keypoints import Keypoints

INVENTED_PX = 8.0
"""Pixels at the drawing's first size beyond which a joint read is none of those drawn."""


def resized(drawing: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(drawing, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def jpeg(drawing: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compressed with colours at half resolution (4:2:0), as most programs do."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    data = cv2.imencode(".jpg", drawing[..., ::-1], options)[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@dataclass
class Tally:
    """Sums over drawings."""

    drawn: int = 0
    errors: list[float] = field(default_factory=list)
    missed: list[tuple[int, int]] = field(default_factory=list)
    invented: list[tuple[int, int]] = field(default_factory=list)
    right_person: int = 0

    @property
    def recall(self) -> float:
        return 1 - len(self.missed) / self.drawn

    @property
    def person_share(self) -> float:
        return self.right_person / max(len(self.errors), 1)

    def add(self, truth: Keypoints, read: Keypoints, scale: float = 1.0) -> None:
        """Count one drawing of `truth` that was resized by `scale` before it was read."""
        places = (read.xy + 0.5) / scale - 0.5
        apart = np.nan_to_num(np.hypot(*np.moveaxis(truth.xy[:, None] - places[None], -1, 0)), nan=np.inf)
        agreeing = (apart < INVENTED_PX).sum(axis=2)
        person_of: dict[int, int] = {}
        while agreeing.size and agreeing.max() > 0:
            t, r = np.unravel_index(agreeing.argmax(), agreeing.shape)
            person_of[int(r)] = int(t)
            agreeing[t], agreeing[:, r] = -1, -1
        found = np.zeros(truth.present.shape, bool)
        for r, joint in np.argwhere(read.present).tolist():
            nearest = int(apart[:, r, joint].argmin()) if len(truth) else -1
            if nearest < 0 or apart[nearest, r, joint] > INVENTED_PX:
                self.invented.append((r, joint))
                continue
            own = person_of.get(r, -1)
            right = own >= 0 and apart[own, r, joint] <= INVENTED_PX
            person = own if right else nearest
            self.right_person += right
            found[person, joint] = True
            self.errors.append(float(apart[person, r, joint]))
        self.drawn += int(truth.present.sum())
        self.missed += [(int(p), int(j)) for p, j in np.argwhere(truth.present & ~found)]
