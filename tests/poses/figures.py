"""Stick figures for tests: 18 joints from the directions of the limbs, and rows as the stages before give them."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.poses.normalise import LENGTHS, NormalPose, normalise
from tasks.schema.keypoints import OPENPOSE_18

Points = NDArray[np.float64]
ALL = np.ones(18)


def joint(name: str) -> int:
    return OPENPOSE_18.index(name)


def figure(
    torso: float = 0,
    thighs: tuple[float, float] = (-3, 3),
    shins: tuple[float, float] = (0, 0),
    upper_arms: tuple[float, float] = (-10, 10),
    forearms: tuple[float, float] = (-5, 5),
    turned: float = 1.0,
    lengths: dict[str, float] | None = None,
    scale: float = 100.0,
    at: tuple[float, float] = (200.0, 200.0),
) -> Points:
    """Joints in pixels, (18, 2), of someone who faces the camera.

    Directions in degrees from straight down, positive to the picture's right, (right limb, left limb); `torso` from the
    neck to the hips. `turned` scales the widths of shoulders and hips: 0 from the side, -1 from behind.
    """
    long = {f"{side}_{part}": length for part, length in LENGTHS.items() for side in ("right", "left")}
    long.update(lengths or {})
    place = {"mid_hip": np.zeros(2)}
    place["neck"] = place["mid_hip"] - _way(torso) * (lengths or {}).get("torso", 1.0)
    for i, side in enumerate(("right", "left")):
        outward = np.array([-1.0 if side == "right" else 1.0, 0.0]) * turned
        place[f"{side}_shoulder"] = place["neck"] + 0.3 * outward
        place[f"{side}_elbow"] = place[f"{side}_shoulder"] + long[f"{side}_upper_arm"] * _way(upper_arms[i])
        place[f"{side}_wrist"] = place[f"{side}_elbow"] + long[f"{side}_forearm"] * _way(forearms[i])
        place[f"{side}_hip"] = 0.2 * outward
        place[f"{side}_knee"] = place[f"{side}_hip"] + long[f"{side}_thigh"] * _way(thighs[i])
        place[f"{side}_ankle"] = place[f"{side}_knee"] + long[f"{side}_shin"] * _way(shins[i])
        head = place["neck"] - 0.4 * _way(torso)
        place["nose"] = head
        place[f"{side}_eye"] = head + np.array([0.06, 0]) * outward + [0, -0.05]
        place[f"{side}_ear"] = head + np.array([0.13, 0]) * outward + [0, -0.02]
    return np.array([place[name] for name in OPENPOSE_18.joints]) * scale + at


def pose(**directions: Any) -> NormalPose:
    normal = normalise(figure(**directions), ALL)
    assert normal is not None
    return normal


def without(xy: Points, *names: str) -> tuple[Points, NDArray[np.float64]]:
    """The joints and their confidence, with some missing."""
    points, confidence = xy.copy(), np.ones(18)
    for name in names:
        points[joint(name)], confidence[joint(name)] = np.nan, 0
    return points, confidence


def mirrored(xy: Points, width: float = 400) -> Points:
    """The joints as a mirror shows them."""
    return xy[list(OPENPOSE_18.mirror)] * [-1, 1] + [width, 0]


def photo_bytes(width: int = 400, height: int = 512, seed: int = 0) -> bytes:
    """A JPEG of coarse coloured noise."""
    cells = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(cells).resize((width, height), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def described_row(sample_id: str, **columns: Any) -> dict[str, Any]:
    """A row of `TEMPLATE_SCHEMA`; `columns` replace the usual ones."""
    xy = figure(at=(200, 180))
    usual = {
        "sample_id": sample_id,
        "parent_id": None,
        "source_uri": f"made://{sample_id}",
        "licence": "CC0-1.0",
        "source": "made",
        "category": "fashion",
        "subcategory": "general",
        "width": 400,
        "height": 512,
        "sha256": f"{sample_id}#".ljust(64, "0"),
        "phash": 0,
        "keypoints_xy": xy.ravel().tolist(),
        "keypoints_confidence": [1.0] * 18,
        "keypoints_from": "drawing",
        "people": 1,
        "person_xyxy": [*xy.min(axis=0).tolist(), *xy.max(axis=0).tolist()],
        "pose_class": "standing",
        "tags": [],
        "difficulty": "easy",
        "difficulty_score": 0.0,
        "difficulty_parts": "{}",
        "quality": 1.0,
        "quality_parts": "{}",
        "product_placement": None,
        "gender": None,
        "caption": None,
        "source_gender": None,
        "source_pose": None,
        "cloth": None,
        "pid": None,
    }
    return usual | columns


def _way(degrees: float) -> Points:
    return np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
