"""Arrays of a sample as files: pose_annotations.json in the seed's form with the joints' real names, and .npy."""

from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.wholebody import OPENPOSE_134
from tasks.exports.m2p_files import FPS

POSE_RECIPE: Final = "poses-1"
"""Raised when the same poses give other bytes, so that exported files are made again."""

_SEEN: Final = tuple(
    f'{{"x": %.2f, "y": %.2f, "confidence": %.4f, "joint_type": "{name}"}}' for name in OPENPOSE_134.joints
)
_MISSING: Final = tuple(
    f'{{"x": null, "y": null, "confidence": 0.0, "joint_type": "{name}"}}' for name in OPENPOSE_134.joints
)
_LEAST: Final = 1e-4
"""Confidence 0 says that a joint is missing, so that one that is there never rounds to it."""


def pose_annotations(video_id: str, keypoints: NDArray[np.float32]) -> bytes:
    """The file: one frame a line, x and y to a hundredth of a pixel.

    Args:
        video_id: letters, digits, `_` and `-`.
        keypoints: x, y and confidence of the 134 joints, (T, 134, 3); confidence 0: missing.
    """
    present = keypoints[..., 2] > 0
    values = keypoints.astype(np.float64)
    values[..., 2] = np.maximum(values[..., 2], _LEAST)
    lines = []
    for frame, (numbers, seen) in enumerate(zip(values, present, strict=True)):
        chosen = zip(seen.tolist(), _SEEN, _MISSING, strict=True)
        joints = ", ".join([there if is_seen else missing for is_seen, there, missing in chosen])
        said = joints % tuple(numbers[seen].ravel().tolist())
        lines.append(f'{{"frame_id": {frame}, "timestamp": {frame / FPS}, "keypoints": [{said}]}}')
    head = f'{{"video_id": "{video_id}", "fps": {FPS}, "duration": {len(lines) / FPS}, "poses": ['
    return "\n".join([head, ",\n".join(lines), "]}\n"]).encode()


def npy_bytes(values: NDArray[Any]) -> bytes:
    """An array as a .npy file."""
    stream = BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()
