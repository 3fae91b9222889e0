"""How good a template's photo and joints are: sub-scores within 0 and 1, and their weighted mean."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.poses.normalise import LENGTHS, NormalPose
from tasks.schema.keypoints import OPENPOSE_18

WEIGHTS: Final = {"confidence": 0.25, "completeness": 0.25, "size": 0.2, "sharpness": 0.15, "truncation": 0.15}
"""Shares in the quality; a part that cannot be measured is left out of both sums. Our choice."""

JOINT_WEIGHTS: Final = np.array(
    [1.0 if "eye" not in n and "ear" not in n and n != "nose" else 0.2 for n in OPENPOSE_18.joints]
)
"""A person seen from behind rightly has no face: its five joints count as much as one of the body."""

SMALLEST_PX: Final = 64.0
LARGEST_PX: Final = 512.0
"""Longer side of the person's box that counts as 0 and as 1, in octaves between. ControlNet is trained on 512."""

SHARPNESS_SIDE: Final = 256
"""Longer side of the crop that sharpness is measured on, pixels; smaller crops are enlarged, and are as blurred."""
HALF_SHARP: Final = 100.0
"""Variance of the Laplacian (grey 0 to 255) that counts as half sharp. Source: the usual limit between blurred and
sharp for this measure (Pech-Pacheco et al. 2000, as `variance of the Laplacian` is applied in practice)."""

_CHAINS: Final = (
    (("right_wrist", "right_elbow", "right_shoulder"), (LENGTHS["forearm"], LENGTHS["upper_arm"])),
    (("left_wrist", "left_elbow", "left_shoulder"), (LENGTHS["forearm"], LENGTHS["upper_arm"])),
    (("right_ankle", "right_knee", "right_hip", "neck"), (LENGTHS["shin"], LENGTHS["thigh"], LENGTHS["torso"])),
    (("left_ankle", "left_knee", "left_hip", "neck"), (LENGTHS["shin"], LENGTHS["thigh"], LENGTHS["torso"])),
)
_HEAD: Final = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
HEAD_LENGTH: Final = 0.6
"""Torsos from the neck to the top of the head. Our choice, near Winter's 0.182 of the height to 0.288 for the torso."""


@dataclass(frozen=True)
class Quality:
    """`parts` holds what could be measured, each within 0 and 1; `score` is their weighted mean, 0 without any."""

    score: float
    parts: Mapping[str, float]


def quality(
    pose: NormalPose | None,
    xy: NDArray[np.floating],
    confidence: NDArray[np.floating],
    person_xyxy: NDArray[np.floating],
    image: NDArray[np.uint8],
) -> Quality:
    """Score one template.

    Args:
        pose: of the same joints; None where it cannot be normalised.
        xy: pixels of `image`, (18, 2); NaN where missing.
        confidence: (18,), 0 where missing.
        person_xyxy: the person's box, pixels, (4,); may exceed the picture.
        image: RGB uint8, (H, W, 3).
    """
    height, width = image.shape[:2]
    measured = {
        "confidence": _confidence(confidence),
        "completeness": float(JOINT_WEIGHTS[confidence > 0].sum() / JOINT_WEIGHTS.sum()),
        "size": _size(person_xyxy, width, height),
        "sharpness": sharpness(image, person_xyxy),
        "truncation": None if pose is None else _truncation(pose, xy, confidence, width, height),
    }
    parts = {name: round(min(max(part, 0.0), 1.0), 4) for name, part in measured.items() if part is not None}
    total = sum(WEIGHTS[name] for name in parts)
    return Quality(round(sum(WEIGHTS[name] * part for name, part in parts.items()) / total, 4), parts)


def sharpness(image: NDArray[np.uint8], person_xyxy: NDArray[np.floating]) -> float:
    """Variance of the Laplacian on the person's crop, v / (v + `HALF_SHARP`); 0 where the box is empty."""
    box = _inside(person_xyxy, image.shape[1], image.shape[0])
    left, top, right, bottom = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    if right - left < 2 or bottom - top < 2:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    scale = SHARPNESS_SIDE / max(grey.shape)
    size = (max(2, round(grey.shape[1] * scale)), max(2, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    variance = float(cv2.Laplacian(small, cv2.CV_64F).var())
    return variance / (variance + HALF_SHARP)


def _confidence(confidence: NDArray[np.floating]) -> float | None:
    there = confidence > 0
    weights = JOINT_WEIGHTS[there]
    return float((weights * confidence[there]).sum() / weights.sum()) if there.any() else None


def _size(person_xyxy: NDArray[np.floating], width: int, height: int) -> float:
    box = _inside(person_xyxy, width, height)
    longest = max(box[2] - box[0], box[3] - box[1])
    return math.log2(max(longest, SMALLEST_PX) / SMALLEST_PX) / math.log2(LARGEST_PX / SMALLEST_PX)


def _truncation(
    pose: NormalPose, xy: NDArray[np.floating], confidence: NDArray[np.floating], width: int, height: int
) -> float:
    """1 minus the share of hands, feet and head that the picture's edge cuts off.

    An end is cut off where it is missing and the last joint before it lies closer to an edge than the rest of the limb
    is long; what is missing in the middle of the picture is hidden, not cut.
    """
    place = {name: point for name, point, sure in zip(OPENPOSE_18.joints, xy, confidence, strict=True) if sure > 0}

    def leaves(joint: str, length: float) -> bool:
        x, y = place[joint]
        return bool(min(x, y, width - 1 - x, height - 1 - y) < length * pose.scale_px)

    cut = 0
    for joints, lengths in _CHAINS:
        rest = 0.0
        for joint, length in zip(joints, (*lengths, 0.0), strict=True):
            if joint in place:
                cut += bool(rest) and leaves(joint, rest)
                break
            rest += length
    head_cut = (
        "neck" in place
        and not any(joint in place for joint in _HEAD)
        and place["neck"][1] < HEAD_LENGTH * pose.scale_px
    )
    return 1 - (cut + head_cut) / (len(_CHAINS) + 1)


def _inside(xyxy: NDArray[np.floating], width: int, height: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) for v in np.nan_to_num(xyxy))
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)
