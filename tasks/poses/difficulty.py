"""How hard a pose is to draw, to strike and to condition on: easy, medium or hard, with the reasons as numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.poses.normalise import SEGMENTS, NormalPose, angle_between, expected_length, mirror

Level = Literal["easy", "medium", "hard"]

WEIGHTS: Final = {"rarity": 0.35, "foreshortening": 0.2, "self_occlusion": 0.15, "balance": 0.15, "asymmetry": 0.15}
"""Shares in the score. Our choice: no standard exists."""

MEDIUM_FROM: Final = 0.16
HARD_FROM: Final = 0.3
"""Cut-offs of the score. Chosen on 230 people in fashion photos, everyday photos and dance videos so that people who
stand or walk with hanging arms are easy, dancing upright and sitting medium, crouching, jumping and reaching hard."""

REFERENCE: Final = {
    "torso": (0.0, 1.0),
    "right_upper_arm": (-0.2, 1.0),
    "left_upper_arm": (0.2, 1.0),
    "right_forearm": (-0.1, 1.0),
    "left_forearm": (0.1, 1.0),
    "right_thigh": (-0.06, 1.0),
    "left_thigh": (0.06, 1.0),
    "right_shin": (0.0, 1.0),
    "left_shin": (0.0, 1.0),
}
"""Directions (x to the right, y down) of someone who faces the camera, stands and lets the arms hang: the pose that
fashion photos show most."""

RARE_DEG: Final = 90.0
"""Mean angle to the reference at which a pose counts as wholly unusual."""

LIMB_PAIRS: Final = tuple(
    (a, b)
    for a, b in (
        *((f"right_{x}", f"left_{y}") for x in ("upper_arm", "forearm") for y in ("upper_arm", "forearm")),
        *((f"right_{x}", f"left_{y}") for x in ("thigh", "shin") for y in ("thigh", "shin")),
        *((f"{s}_forearm", "torso") for s in ("right", "left")),
        *((f"{s}_forearm", f"{t}_{leg}") for s in ("right", "left") for t in ("right", "left") for leg in ("thigh",)),
    )
)
"""Segments that lie over each other where they cross."""
CROSSINGS: Final = 3
"""So many crossings count as wholly occluded."""

MASSES: Final = {"torso": 0.578, "upper_arm": 0.028, "forearm": 0.022, "thigh": 0.1, "shin": 0.061}
"""Shares of the body's mass: torso with head, forearm with hand, shin with foot. Source: Winter, Biomechanics and Motor
Control of Human Movement, table 4.1 (after Dempster)."""
UNBALANCED: Final = 0.8
"""Torsos between the centre of mass and the feet, sideways, that count as wholly out of balance."""

PAIRS: Final = 4
"""Upper arms, forearms, thighs and shins."""
CROOKED_DEG: Final = 90.0
"""Mean angle between a limb and the mirror image of its opposite that counts as wholly asymmetric."""


@dataclass(frozen=True)
class Difficulty:
    """`parts` and their weighted sum `score`, each within 0 and 1."""

    level: Level
    score: float
    parts: Mapping[str, float]


def difficulty(pose: NormalPose | None) -> Difficulty:
    """Weigh how far a pose is from an everyday one.

    What is not seen counts as everyday: a limb that is missing adds nothing to any part.
    """
    parts = {name: 0.0 if pose is None else round(min(max(part(pose), 0.0), 1.0), 4) for name, part in _PARTS.items()}
    score = round(sum(WEIGHTS[name] * part for name, part in parts.items()), 4)
    level: Level = "easy" if score < MEDIUM_FROM else "medium" if score < HARD_FROM else "hard"
    return Difficulty(level, score, parts)


def _rarity(pose: NormalPose) -> float:
    """Mean angle between the segments and `REFERENCE`; the same for a pose and its mirror image."""
    angles = [
        angle_between(vector, np.array(REFERENCE[name]))
        for side in (pose, mirror(pose))
        for name, vector in _segments(side).items()
    ]
    return sum(angles) / (2 * len(SEGMENTS)) / RARE_DEG


def _foreshortening(pose: NormalPose) -> float:
    """Mean share of their length by which the segments look too short."""
    short = [1 - min(1.0, float(np.hypot(*v)) / expected_length(name)) for name, v in _segments(pose).items()]
    return sum(short) / len(SEGMENTS)


def _self_occlusion(pose: NormalPose) -> float:
    """Crossings of arms, legs and torso."""
    seen = _segments(pose)
    pairs = [(a, b) for a, b in LIMB_PAIRS if a in seen and b in seen]
    return sum(_cross(_ends(pose, a), _ends(pose, b)) for a, b in pairs) / CROSSINGS


def _balance(pose: NormalPose) -> float:
    """How far the centre of mass of what is seen lies beside the feet; 0 unless torso and both legs are seen."""
    seen = _segments(pose)
    if not {"torso", "right_thigh", "right_shin", "left_thigh", "left_shin"} <= seen.keys():
        return 0.0
    feet = [float(pose.at(ankle)[0]) for ankle in ("right_ankle", "left_ankle")]
    masses = np.array([MASSES[name.removeprefix("right_").removeprefix("left_")] for name in seen])
    middles = np.array([_ends(pose, name).mean(axis=0)[0] for name in seen])
    centre = float(masses @ middles / masses.sum())
    return max(min(feet) - centre, centre - max(feet), 0.0) / UNBALANCED


def _asymmetry(pose: NormalPose) -> float:
    """Mean angle between each limb and its opposite's mirror image; a pair of which one is missing counts as alike."""
    seen = _segments(pose)
    flip = np.array([-1.0, 1.0])
    angles = [
        angle_between(vector, seen[other] * flip)
        for name, vector in seen.items()
        if name.startswith("right_") and (other := name.replace("right_", "left_")) in seen
    ]
    return sum(angles) / PAIRS / CROOKED_DEG


def _segments(pose: NormalPose) -> dict[str, NDArray[np.float64]]:
    """Vectors of the segments that are there, in the order of `SEGMENTS`."""
    return {name: pose.vector(start, end) for name, (start, end) in SEGMENTS.items() if pose.has(start, end)}


def _ends(pose: NormalPose, segment: str) -> NDArray[np.float64]:
    return np.array([pose.at(joint) for joint in SEGMENTS[segment]])


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two segments, (2, 2) each, cross."""
    return _side(a, b[0]) * _side(a, b[1]) < 0 and _side(b, a[0]) * _side(b, a[1]) < 0


def _side(line: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """Positive on one side of a line through two points, (2, 2), negative on the other."""
    along, across = line[1] - line[0], point - line[0]
    return float(along[0] * across[1] - along[1] * across[0])


_PARTS: Final = {
    "rarity": _rarity,
    "foreshortening": _foreshortening,
    "self_occlusion": _self_occlusion,
    "balance": _balance,
    "asymmetry": _asymmetry,
}
