"""What a person does, by the angles of the body: lying, sitting, walking and so on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from tasks.poses.normalise import NormalPose, angle_between


class PoseClass(StrEnum):
    """What a person does; `unknown` where a joint that the rules need is missing, or none of them holds."""

    LYING = "lying"
    INVERTED = "inverted"
    BENDING = "bending"
    KNEELING = "kneeling"
    SITTING = "sitting"
    SQUATTING = "squatting"
    JUMPING = "jumping"
    RUNNING = "running"
    LUNGING = "lunging"
    WALKING = "walking"
    STANDING = "standing"
    UNKNOWN = "unknown"


UPRIGHT_DEG: Final = 45.0
"""A torso leaning less than this is upright. Source: PoseScript's 45-degree step."""
LYING_DEG: Final = 60.0
"""Torso and legs leaning more than this lie; PoseScript calls 80 level, a camera above the ground sees less."""
STRAIGHT_DEG: Final = 135.0
"""A knee opened wider is straight. Source: PoseScript's step from `partially bent` to `slightly bent`."""
BENT_DEG: Final = 120.0
"""A knee opened less is bent: the middle of PoseScript's `partially bent` (105 to 135)."""
RIGHT_ANGLE_DEG: Final = 105.0
"""A knee opened less is bent at a right angle or more. Source: PoseScript."""
LEVEL_DEG: Final = 55.0
"""A thigh or shin leaning more than this is nearly level. Our choice, as are all numbers below; lengths in torsos."""
SEAT_DROP: Final = 0.3
"""Seated: the knee is lower than the hip by at most this (a thigh towards the camera looks short)."""
SEAT_REACH: Final = 0.6
"""A thigh this long sideways is seen from the side: there, feet below the body mean a squat, feet in front a seat."""
BELOW: Final = 0.4
"""The feet are below the body: at most this far sideways from the middle of neck and hip."""
HALF_SQUAT_DROP: Final = 0.68
"""Between a seat and this, both knees are lower than the hips by less than a hanging thigh: a half squat."""
LEVEL_FEET: Final = 0.2
"""Both feet stand on one ground: their heights differ by at most this."""
CROUCH_DROP: Final = 0.7
"""Squatting: the hip is higher than the ankle by at most this: lower than any seat."""
THIGH_DROP: Final = 0.5
"""A thigh that reaches down: the knee is lower than the hip by at least this."""
KNEE_GROUND: Final = 0.25
"""Kneeling: no ankle is lower than the knee by more than this."""
LEG_LEVEL: Final = 0.95
"""Lying: the ankle is less than this higher or lower than the hip, half of a leg."""
BOWED_DROP: Final = 0.6
"""Bending towards the camera: the hip is lower than the neck by less than this."""
DRAWN_UP: Final = 0.6
"""Jumping: both ankles are lower than the knees by at most this, while the thighs reach down."""
SPLIT_DEG: Final = 85.0
"""Jumping, too: the legs are opened this wide, both straight, with the hands above the shoulders."""
RUN_OPEN_DEG: Final = 35.0
"""Running: the thighs are opened this wide, the hind shin is thrown up, the front knee and both elbows are bent."""
PUSHED_DEG: Final = 150.0
"""Running: the hind knee is opened less; a leg stretched further is planted, as in a lunge."""
RUN_DROP: Final = 1.1
"""Running: the hips are higher than the lower ankle by at least this."""
LUNGE: Final = 1.1
"""Lunging: the ankles are this far apart sideways, one knee bent over its foot, the other leg stretched out."""
LUNGE_LEAN_DEG: Final = 20.0
"""The lean of the stretched shin of a lunge."""
STRIDE: Final = 0.7
"""Walking: the ankles are this far apart sideways, seen from the side."""
PROFILE_WIDTH: Final = 0.42
"""Shoulders narrower than this are seen from the side; from the front they measure 0.6."""
LIFT: Final = 0.3
"""Walking towards the camera: one ankle is higher than the other by this."""


@dataclass(frozen=True)
class _Leg:
    """One whole leg: angles in degrees, `reach` sideways and drops downwards in torsos."""

    thigh: float
    shin: float
    knee: float
    reach: float
    knee_drop: float
    shin_drop: float
    knee_y: float

    @property
    def drop(self) -> float:
        return self.knee_drop + self.shin_drop

    @property
    def seated(self) -> bool:
        return self.knee_drop <= SEAT_DROP and self.shin < LEVEL_DEG

    @property
    def crouches(self) -> bool:
        return self.drop <= CROUCH_DROP and self.knee <= RIGHT_ANGLE_DEG and self.shin < LEVEL_DEG

    @property
    def carries(self) -> bool:
        return self.knee >= STRAIGHT_DEG and self.thigh < UPRIGHT_DEG and self.shin < UPRIGHT_DEG


def pose_class(pose: NormalPose | None) -> PoseClass:
    """The class of the first rule that holds: the special ones first, standing last.

    Needs the neck, a hip and one whole leg (hip, knee, ankle). One picture shows neither ground nor motion: a straight
    jump reads as standing, a pose held on one leg may read as walking, a level squat towards the camera as sitting.
    """
    if pose is None or not pose.has("neck", "mid_hip"):
        return PoseClass.UNKNOWN
    legs = [leg for leg in (_leg(pose, "right"), _leg(pose, "left")) if leg is not None]
    if not legs:
        return PoseClass.UNKNOWN
    torso = pose.inclination("neck", "mid_hip") or 0.0
    for name, holds in _RULES:
        if holds(pose, torso, legs):
            return name
    return PoseClass.UNKNOWN


def _leg(pose: NormalPose, side: str) -> _Leg | None:
    hip, knee, ankle = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
    if not pose.has(hip, knee, ankle):
        return None
    return _Leg(
        thigh=pose.inclination(hip, knee) or 0.0,
        shin=pose.inclination(knee, ankle) or 0.0,
        knee=pose.bend(hip, knee, ankle) or 0.0,
        reach=abs(float(pose.vector(hip, knee)[0])),
        knee_drop=float(pose.vector(hip, knee)[1]),
        shin_drop=float(pose.vector(knee, ankle)[1]),
        knee_y=float(pose.at(knee)[1]),
    )


def _lies(_: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    level = LYING_DEG < torso < 180 - LYING_DEG
    return level and all(abs(leg.drop) < LEG_LEVEL for leg in legs)


def _is_inverted(_: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    return torso > 90 and all(leg.drop < 0 for leg in legs)


def _bends(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    bowed = torso > UPRIGHT_DEG or float(pose.vector("neck", "mid_hip")[1]) < BOWED_DROP
    return bowed and all(leg.carries for leg in legs)


def _kneels(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    feet = [float(pose.at(ankle)[1]) for ankle in ("right_ankle", "left_ankle") if pose.has(ankle)]
    kneeling = [leg.knee_drop >= THIGH_DROP and max(feet) - leg.knee_y <= KNEE_GROUND for leg in legs]
    others = [leg for leg, kneels in zip(legs, kneeling, strict=True) if not kneels]
    return torso <= LYING_DEG and any(kneeling) and all(leg.knee_drop <= HALF_SQUAT_DROP for leg in others)


def _sits(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    return torso <= LYING_DEG and all(leg.seated for leg in legs) and not _squats(pose, torso, legs)


def _squats(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    if torso > LYING_DEG or any(leg.shin >= LEVEL_DEG for leg in legs):
        return False
    if all(leg.crouches for leg in legs):
        return True
    low = all(leg.knee_drop <= (THIGH_DROP if leg.carries else HALF_SQUAT_DROP) for leg in legs)
    seated, sideways = all(leg.seated for leg in legs), any(leg.reach >= SEAT_REACH for leg in legs)
    level = float(np.ptp([leg.drop for leg in legs])) <= LEVEL_FEET
    return low and (_over_feet(pose) if sideways else level and not seated)


def _jumps(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    if len(legs) < 2 or torso > LYING_DEG:
        return False
    drawn_up = all(leg.knee_drop >= HALF_SQUAT_DROP and leg.shin_drop <= DRAWN_UP for leg in legs)
    hands_up = pose.has("right_wrist", "left_wrist") and all(
        pose.at(wrist)[1] < pose.at("neck")[1] for wrist in ("right_wrist", "left_wrist")
    )
    opened = angle_between(pose.vector("right_hip", "right_ankle"), pose.vector("left_hip", "left_ankle"))
    return drawn_up or (hands_up and opened >= SPLIT_DEG and all(leg.knee >= STRAIGHT_DEG for leg in legs))


def _runs(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    if len(legs) < 2 or torso > LYING_DEG:
        return False
    front, hind = sorted(legs, key=lambda leg: leg.shin)
    opened = angle_between(pose.vector("right_hip", "right_knee"), pose.vector("left_hip", "left_knee"))
    elbows = [pose.bend(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") for side in ("right", "left")]
    swings = all(elbow is not None and elbow <= BENT_DEG for elbow in elbows)
    kicks_back = hind.shin >= UPRIGHT_DEG and hind.knee < PUSHED_DEG and hind.knee_drop >= THIGH_DROP
    bent = front.knee < STRAIGHT_DEG and swings
    return opened >= RUN_OPEN_DEG and kicks_back and bent and max(leg.drop for leg in legs) >= RUN_DROP


def _lunges(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    if len(legs) < 2 or torso > LYING_DEG:
        return False
    front, hind = sorted(legs, key=lambda leg: leg.knee_drop)
    front_bent = front.shin < UPRIGHT_DEG and (front.knee <= BENT_DEG or front.knee_drop <= THIGH_DROP)
    planted = front.drop >= hind.drop - LEVEL_FEET
    stretched = hind.knee_drop >= THIGH_DROP and hind.shin >= LUNGE_LEAN_DEG
    return _apart(pose) >= LUNGE and front_bent and stretched and (planted or hind.knee >= STRAIGHT_DEG)


def _walks(pose: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    if len(legs) < 2 or torso > UPRIGHT_DEG:
        return False
    width = pose.vector("right_shoulder", "left_shoulder")
    sideways = float(np.hypot(*width)) < PROFILE_WIDTH if pose.has("right_shoulder", "left_shoulder") else False
    reaches_down = all(leg.knee_drop >= THIGH_DROP for leg in legs)
    strides = sideways and _apart(pose) >= STRIDE
    return reaches_down and (strides or (_lifted(pose) >= LIFT and any(leg.carries for leg in legs)))


def _stands(_: NormalPose, torso: float, legs: list[_Leg]) -> bool:
    return torso <= UPRIGHT_DEG and any(leg.carries for leg in legs)


def _over_feet(pose: NormalPose) -> bool:
    body = (pose.at("neck") + pose.at("mid_hip"))[0] / 2
    feet = [float(pose.at(ankle)[0]) for ankle in ("right_ankle", "left_ankle") if pose.has(ankle)]
    return bool(min(feet) - BELOW <= body <= max(feet) + BELOW)


def _apart(pose: NormalPose) -> float:
    return abs(float(pose.vector("right_ankle", "left_ankle")[0]))


def _lifted(pose: NormalPose) -> float:
    return abs(float(pose.vector("right_ankle", "left_ankle")[1]))


_RULES: Final = (
    (PoseClass.LYING, _lies),
    (PoseClass.INVERTED, _is_inverted),
    (PoseClass.BENDING, _bends),
    (PoseClass.KNEELING, _kneels),
    (PoseClass.JUMPING, _jumps),
    (PoseClass.SITTING, _sits),
    (PoseClass.RUNNING, _runs),
    (PoseClass.LUNGING, _lunges),
    (PoseClass.SQUATTING, _squats),
    (PoseClass.WALKING, _walks),
    (PoseClass.STANDING, _stands),
)
"""Asked in this order."""
