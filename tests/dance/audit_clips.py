"""Clips with made poses: a dancer who never does the same twice, and pictures of him."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.schema.clips import WHOLEBODY_JOINTS

SIZE = 512
TORSO = 100.0
STANDING = np.array(
    [
        (0, -130), (0, -100), (-35, -100), (-60, -50), (-65, 0), (35, -100), (60, -50), (65, 0), (-20, 0), (-22, 80),
        (-24, 160), (20, 0), (22, 80), (24, 160), (-8, -138), (8, -138), (-16, -132), (16, -132),
    ],
    float,
)  # fmt: skip
"""OpenPose's 18 joints around the middle of the hips; neck to hips is `TORSO`."""


def dancing(frames: int, seed: int = 0, jitter: float = 1.0) -> NDArray[np.float64]:
    """Joints in pixels of the clip, (frames, 18, 2): every joint swings on its own, at rates that never meet."""
    draw = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 24
    rates, phases = draw.uniform(0.3, 1.4, (2, 18, 2, 3)), draw.uniform(0, 6.3, (18, 2, 3))
    swing = sum(np.sin(2 * np.pi * rates[0, ..., k] * time + phases[..., k]) for k in range(3))
    return STANDING + SIZE / 2 + 25 * swing + jitter * draw.normal(size=(frames, 18, 2))


def again(frames: int, period: int, *, backwards: bool = False) -> NDArray[np.int64]:
    """Which frame of the first time each one is: from the beginning after a period, or forwards and backwards."""
    order = np.arange(frames) % (2 * period if backwards else period)
    return np.minimum(order, 2 * period - 1 - order)


def drawn(xy: NDArray[np.float64], side: int = 64) -> NDArray[np.uint8]:
    """Frames of a dancer as bright joints on grey, (T, side, side)."""
    rows, columns = np.mgrid[:side, :side]
    picture = np.full((len(xy), side, side), 40.0)
    for joint in np.moveaxis(xy * side / SIZE, 1, 0):
        far = (columns - joint[:, :1, None]) ** 2 + (rows - joint[:, 1:, None]) ** 2
        picture += 150 * np.exp(-far / (2 * (side / 20) ** 2))
    return np.clip(picture, 0, 235).astype(np.uint8)


def parts(xy: NDArray[np.float64], side: float = 600.0, confidence: float = 0.9) -> dict[str, dict[str, Any]]:
    """What the shards of clips and poses know of a clip, by their names: a model that produces the first 18 joints."""
    frames = len(xy)
    joints = np.full((frames, WHOLEBODY_JOINTS, 2), np.nan)
    joints[:, :18] = xy
    scores = np.zeros((frames, WHOLEBODY_JOINTS))
    scores[:, :18] = np.where(np.isfinite(xy).all(axis=2), confidence, 0)
    flat = [None if np.isnan(each) else float(each) for each in joints.ravel()]
    return {
        "clips": {
            "crop_centre_xy": [960.0, 540.0] * frames,
            "crop_side": [side] * frames,
            "dancer_xyxy": [860.0, 340.0, 1060.0, 740.0] * frames,
        },
        "poses": {
            "frames": frames,
            "keypoints_xy": flat,
            "confidence": scores.ravel().tolist(),
            "raw_score": scores.ravel().tolist(),
            "produced": [joint < 18 for joint in range(WHOLEBODY_JOINTS)],
            "pose_model": "made",
        },
    }
