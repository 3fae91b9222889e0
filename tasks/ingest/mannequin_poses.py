"""Articulated mannequins in three dimensions: proportions, joint limits, poses, joint positions.

Lengths are in body heights. The body's axes: x to the person's left, y up, z the way the person faces.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Side = Literal["left", "right"]

UPPER_ARM: Final = 0.186
FOREARM: Final = 0.146
HAND: Final = 0.08
THIGH: Final = 0.245
SHANK: Final = 0.246
FOOT: Final = 0.11
TRUNK: Final = 0.288
SHOULDER_HALF: Final = 0.118
HIP_HALF: Final = 0.07
NECK: Final = 0.052
"""Segment lengths: Drillis & Contini (1966), in Winter, Biomechanics and Motor Control of Human Movement, figure 4.1.
Half widths, hand and foot are taken between joint centres, so they are shorter than the table's outer measures."""

FACE: Final[Mapping[str, Vector]] = {
    "nose": (0.0, -0.008, 0.062),
    "left_eye": (0.021, 0.012, 0.056),
    "right_eye": (-0.021, 0.012, 0.056),
    "left_ear": (0.054, 0.0, -0.004),
    "right_ear": (-0.054, 0.0, -0.004),
}
"""Where the face's joints lie on the head, from the head's centre. Our choice, for a head 0.13 high."""

LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "abduct": (-20, 175), "flex": (-55, 180), "twist": (-90, 90), "elbow": (0, 145),
    "hip_abduct": (-20, 70), "hip_flex": (-25, 125), "hip_twist": (-40, 45), "knee": (0, 145), "ankle": (-20, 50),
    "lean": (-25, 95), "bow": (-30, 30), "turn": (-40, 40), "nod": (-35, 40), "look": (-70, 70), "tilt": (-30, 30),
    "pitch": (-180, 180), "roll": (-180, 180),
}  # fmt: skip
"""Degrees. Shoulder, elbow, hip and knee: the usual ranges of motion (American Academy of Orthopaedic Surgeons)."""


@dataclass(frozen=True)
class Arm:
    """Degrees: away from the side, forward, about its own axis, and the elbow's bend."""

    abduct: float = 8
    flex: float = 0
    twist: float = 0
    elbow: float = 12


@dataclass(frozen=True)
class Leg:
    """Degrees: away from the middle, forward, outward about its own axis, the knee's bend, toes down."""

    abduct: float = 4
    flex: float = 0
    twist: float = 8
    knee: float = 4
    ankle: float = 0


@dataclass(frozen=True)
class Pose:
    """A pose to vary. `lean`, `bow` and `turn` move the trunk, `pitch` and `roll` the whole body, `lift` is a jump.

    `arms` names the arm positions that fit; empty: the pose brings its own.
    """

    name: str
    words: str
    left_leg: Leg = Leg()
    right_leg: Leg = Leg()
    left_arm: Arm = Arm()
    right_arm: Arm = Arm()
    arms: tuple[str, ...] = ()
    lean: float = 0
    bow: float = 0
    turn: float = 0
    nod: float = 0
    pitch: float = 0
    roll: float = 0
    lift: float = 0
    seat: bool = False
    spread: float = 5


ARMS: Final[Mapping[str, tuple[Arm, Arm, str]]] = {
    "down": (Arm(), Arm(), ""),
    "hips": (Arm(48, -22, -35, 95), Arm(48, -22, -35, 95), " with hands on the hips"),
    "one_hip": (Arm(48, -22, -35, 95), Arm(), " with one hand on the hip"),
    "raised": (Arm(160, 10, 0, 15), Arm(160, 10, 0, 15), " with raised arms"),
    "one_raised": (Arm(165, 5, 0, 12), Arm(), " with one raised arm"),
    "out": (Arm(88, 15, 0, 8), Arm(88, 15, 0, 8), " with arms stretched out"),
    "forward": (Arm(6, 85, 0, 12), Arm(6, 85, 0, 12), " with arms stretched forward"),
    "folded": (Arm(18, 38, -62, 100), Arm(14, 30, -62, 108), " with folded arms"),
    "waving": (Arm(75, 165, 0, 80), Arm(), " and waving"),
    "lap": (Arm(8, 32, -25, 55), Arm(8, 32, -25, 55), " with hands in the lap"),
    "phone": (Arm(20, 45, -25, 128), Arm(), " and holding a phone to the ear"),
}
"""Left arm, right arm, what the caption says."""

_STANDING_ARMS: Final = (
    "down",
    "hips",
    "one_hip",
    "raised",
    "one_raised",
    "out",
    "forward",
    "folded",
    "waving",
    "phone",
)

POSES: Final = (
    Pose("standing", "standing", arms=_STANDING_ARMS),
    Pose(
        "running", "running", Leg(2, 62, 0, 85), Leg(2, -18, 0, 40, 30), Arm(12, -42, 0, 88), Arm(12, 48, 0, 92),
        lean=12,
    ),
    Pose(
        "sitting", "sitting", Leg(10, 88, 0, 88), Leg(10, 86, 0, 84),
        arms=("lap", "down", "folded", "waving"), seat=True,
    ),
    Pose("walking", "walking", Leg(2, 26, 4, 6), Leg(2, -14, 4, 18, 18), Arm(8, -22, 0, 14), Arm(8, 24, 0, 18), lean=3),
    Pose(
        "squatting", "squatting", Leg(24, 96, 15, 112), Leg(24, 96, 15, 112), arms=("forward", "raised", "out"), lean=32
    ),
    Pose(
        "contrapposto", "posing with one hip out", Leg(10, 12, 15, 22), Leg(0, 0, 5, 2),
        arms=("hips", "one_hip", "folded", "one_raised", "phone"), bow=8, roll=-3,
    ),
    Pose(
        "jumping", "jumping", Leg(24, 12, 5, 62, 40), Leg(20, -4, 5, 72, 40),
        arms=("raised", "out", "one_raised"), lift=0.16,
    ),
    Pose(
        "lying", "lying on the floor", Leg(7, 6, 10, 8, 25), Leg(7, 26, 5, 44, 20),
        arms=("down", "raised", "out", "folded"), pitch=-90,
    ),
    Pose("warrior", "doing yoga in a warrior pose", Leg(46, 58, 30, 84), Leg(40, 0, 10, 3), arms=("out",), turn=5),
    Pose(
        "kneeling", "kneeling", Leg(3, 88, 0, 92), Leg(3, -2, 0, 92, 40), arms=("down", "one_hip", "forward", "lap")
    ),
    Pose(
        "lunging", "doing a lunge as a workout", Leg(2, 80, 0, 84), Leg(2, -22, 0, 62, 30),
        arms=("hips", "raised", "out", "down"), lean=4,
    ),
    Pose(
        "dancing", "dancing", Leg(22, 20, 20, 28), Leg(2, -4, 0, 8, 10), Arm(145, 15, 0, 42), Arm(62, 20, 0, 48),
        bow=12, turn=18,
    ),
    Pose(
        "kicking", "kicking a football", Leg(8, 66, 0, 18, 25), Leg(4, -6, 5, 14), Arm(52, -25, 0, 25),
        Arm(62, 42, 0, 30), lean=-8,
    ),
    Pose(
        "bending", "bending down", Leg(6, 14, 0, 18), Leg(6, 12, 0, 14), Arm(8, 72, 0, 8), Arm(10, 64, 0, 10),
        lean=68, nod=-18,
    ),
    Pose(
        "throwing", "throwing a ball", Leg(8, 38, 5, 22), Leg(8, -16, 10, 14, 15), Arm(50, 72, 0, 15),
        Arm(95, 145, 0, 92), lean=-4, turn=-25,
    ),
    Pose(
        "floor", "sitting on the floor", Leg(14, 80, 5, 70), Leg(16, 92, 5, 104), Arm(22, -38, 0, 6),
        Arm(18, 42, -10, 24), lean=-14,
    ),
)  # fmt: skip
"""What mannequins do. The captions of running, jumping, yoga, workout, football and throwing speak of sport."""


@dataclass(frozen=True)
class Body:
    """Joint centres of one posed mannequin by name, feet on y = 0; `seat_height` of the stool below it, or 0."""

    joints: Mapping[str, Vector]
    seat_height: float
    pose: str
    words: str


def add(a: Vector, b: Vector) -> Vector:
    """The sum of two vectors."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def mix(a: Vector, b: Vector, share: float) -> Vector:
    """`share` of the way from a to b."""
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))


def apply(m: Matrix, v: Vector) -> Vector:
    """A vector, turned."""
    x, y, z = ((row[0] * v[0] + row[1] * v[1]) + row[2] * v[2] for row in m)
    return (x, y, z)


def rotation(axis: Literal["x", "y", "z"], degrees: float) -> Matrix:
    """Right-handed rotation about an axis of the body."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return ((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))
    if axis == "y":
        return ((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c))
    return ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))


def chain(*matrices: Matrix) -> Matrix:
    """The product of rotations, the first being the outermost."""
    product = matrices[0]
    for m in matrices[1:]:
        columns = [apply(product, (m[0][k], m[1][k], m[2][k])) for k in range(3)]
        x, y, z = ((columns[0][k], columns[1][k], columns[2][k]) for k in range(3))
        product = (x, y, z)
    return product


class _Angles:
    """Varies angles about their means within the joints' limits."""

    def __init__(self, rng: np.random.Generator, spread: float) -> None:
        self._rng = rng
        self._spread = spread

    def __call__(self, limit: str, mean: float, share: float = 1.0) -> float:
        low, high = LIMITS[limit]
        wanted = mean + share * self._spread * 2 * (float(self._rng.random()) + float(self._rng.random()) - 1)
        return min(max(wanted, low), high)


def pose_body(rng: np.random.Generator, pose: Pose) -> Body:
    """A variation of a pose: angles within the joints' limits, left and right swapped half of the time."""
    vary = _Angles(rng, pose.spread)
    swap = bool(rng.random() < 0.5)
    left_arm, right_arm, arm_words = pose.left_arm, pose.right_arm, ""
    if pose.arms:
        left_arm, right_arm, arm_words = ARMS[pose.arms[int(rng.random() * len(pose.arms))]]
    legs: dict[Side, Leg] = {"left": pose.left_leg, "right": pose.right_leg}
    arms: dict[Side, Arm] = {"left": left_arm, "right": right_arm}
    if swap:
        legs, arms = {"left": legs["right"], "right": legs["left"]}, {"left": arms["right"], "right": arms["left"]}
    mirrored = -1 if swap else 1

    root = chain(rotation("x", vary("pitch", pose.pitch, 0.3)), rotation("z", vary("roll", mirrored * pose.roll, 0.3)))
    lean, bow = vary("lean", pose.lean), vary("bow", mirrored * pose.bow)
    waist = chain(root, rotation("x", lean / 2), rotation("z", bow / 2))
    chest = chain(
        waist, rotation("x", lean / 2), rotation("z", bow / 2), rotation("y", vary("turn", mirrored * pose.turn))
    )
    head = chain(
        chest,
        rotation("y", vary("look", 0, 3)),
        rotation("x", vary("nod", pose.nod)),
        rotation("z", vary("tilt", 0)),
    )
    joints: dict[str, Vector] = {"pelvis": (0.0, 0.0, 0.0)}
    joints["waist"] = add(joints["pelvis"], apply(waist, (0.0, 0.4 * TRUNK, 0.0)))
    joints["neck"] = add(joints["waist"], apply(chest, (0.0, 0.6 * TRUNK, 0.0)))
    joints["throat"] = add(joints["neck"], apply(chest, (0.0, 0.4 * NECK, 0.006)))
    joints["head"] = add(joints["throat"], apply(head, (0.0, 0.6 * NECK + 0.06, 0.008)))
    joints["crown"] = add(joints["head"], apply(head, (0.0, 0.016, -0.008)))
    joints["chin"] = add(joints["head"], apply(head, (0.0, -0.03, 0.018)))
    for name, offset in FACE.items():
        joints[name] = add(joints["head"], apply(head, offset))
    sides: tuple[tuple[Side, int], ...] = (("left", 1), ("right", -1))
    for side, outward in sides:
        _add_arm(joints, side, outward, chest, arms[side], vary)
        _add_leg(joints, side, outward, root, legs[side], vary)
    return _stand_on_floor(joints, pose, arm_words, rng)


def _add_arm(joints: dict[str, Vector], side: str, outward: int, chest: Matrix, arm: Arm, vary: _Angles) -> None:
    shrug = max(0.0, vary("abduct", arm.abduct, 0) - 90) / 90 * 0.03
    upper = chain(
        chest,
        rotation("x", -vary("flex", arm.flex)),
        rotation("z", outward * vary("abduct", arm.abduct)),
        rotation("y", outward * vary("twist", arm.twist)),
    )
    fore = chain(upper, rotation("x", -vary("elbow", arm.elbow)))
    joints[f"{side}_shoulder"] = add(joints["neck"], apply(chest, (outward * SHOULDER_HALF, -0.012 + shrug, 0.0)))
    joints[f"{side}_elbow"] = add(joints[f"{side}_shoulder"], apply(upper, (0.0, -UPPER_ARM, 0.0)))
    joints[f"{side}_wrist"] = add(joints[f"{side}_elbow"], apply(fore, (0.0, -FOREARM, 0.0)))
    joints[f"{side}_hand"] = add(joints[f"{side}_wrist"], apply(fore, (0.0, -HAND, 0.0)))


def _add_leg(joints: dict[str, Vector], side: str, outward: int, root: Matrix, leg: Leg, vary: _Angles) -> None:
    thigh = chain(
        root,
        rotation("z", outward * vary("hip_abduct", leg.abduct)),
        rotation("x", -vary("hip_flex", leg.flex)),
        rotation("y", outward * vary("hip_twist", leg.twist)),
    )
    shank = chain(thigh, rotation("x", vary("knee", leg.knee)))
    foot = chain(shank, rotation("x", vary("ankle", leg.ankle)))
    joints[f"{side}_hip"] = add(joints["pelvis"], apply(root, (outward * HIP_HALF, 0.0, 0.0)))
    joints[f"{side}_knee"] = add(joints[f"{side}_hip"], apply(thigh, (0.0, -THIGH, 0.0)))
    joints[f"{side}_ankle"] = add(joints[f"{side}_knee"], apply(shank, (0.0, -SHANK, 0.0)))
    joints[f"{side}_heel"] = add(joints[f"{side}_ankle"], apply(foot, (0.0, -0.022, -0.012)))
    joints[f"{side}_toe"] = add(joints[f"{side}_ankle"], apply(foot, (0.0, -0.026, FOOT)))


def _stand_on_floor(joints: dict[str, Vector], pose: Pose, arm_words: str, rng: np.random.Generator) -> Body:
    trunk_clearance = {"pelvis": 0.075, "waist": 0.06, "neck": 0.06, "head": 0.06, "left_hip": 0.06, "right_hip": 0.06}
    lowest = min(position[1] - trunk_clearance.get(name, 0.018) for name, position in joints.items())
    lift = pose.lift * (0.6 + 0.8 * float(rng.random())) - lowest
    placed = {name: add(position, (0.0, lift, 0.0)) for name, position in joints.items()}
    seat_height = max(placed["pelvis"][1] - 0.055, 0.0) if pose.seat else 0.0
    return Body(placed, seat_height, pose.name, pose.words + arm_words)
