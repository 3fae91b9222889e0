"""Short words that templates are searched by."""

from typing import Final

import numpy as np

from tasks.poses.normalise import NormalPose
from tasks.poses.pose_class import PoseClass

_FACE: Final = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")

RAISED_ABOVE: Final = 0.0
"""Arms raised: the wrist is higher than the neck. All numbers here are our choice; lengths in torsos."""
OUT_DEG: Final = 60.0
"""Arm out: upper arm and forearm lean between this and 180 minus this."""
HIP_REACH: Final = 0.35
"""Hand on hip: the wrist is this close to its hip, not before the belly, with the elbow bent and further out."""
BELLY: Final = 0.08
"""Hand on hip: the wrist is further in than the hip by at most this."""
ELBOW_DEG: Final = 140.0
"""An elbow opened less is bent. Source: PoseScript's `partially bent` ends at 135."""
LEG_RAISED_DEG: Final = 60.0
"""Leg raised: the thigh leans at least this far, in an upright pose."""
APART_DEG: Final = 40.0
"""Legs apart: the legs open at least this wide."""
SIDE_WIDTH: Final = 0.35
"""Shoulders narrower than this are seen from the side; from the front they measure 0.6."""


def tags(
    pose: NormalPose | None, pose_class: PoseClass, people: int, scene: str, cloth_words: tuple[str, ...]
) -> tuple[str, ...]:
    """What is seen, in this order: pose, arms, legs, where the person faces, framing, people, scene, clothes.

    A tag is there only if every joint that it needs is.
    """
    found = [] if pose_class is PoseClass.UNKNOWN else [pose_class.value]
    if pose is not None:
        found += [*_arms(pose, pose_class), *_legs(pose, pose_class), *_facing(pose), *_framing(pose)]
    found.append("single" if people <= 1 else "group")
    found += [] if scene == "general" else [scene]
    return tuple(dict.fromkeys([*found, *cloth_words]))


def _arms(pose: NormalPose, pose_class: PoseClass) -> list[str]:
    found = []
    raised = [s for s in ("right", "left") if pose.has("neck", f"{s}_wrist") and _is_raised(pose, s)]
    if raised:
        found.append("arms-raised" if len(raised) == 2 else "arm-raised")
    if _arms_crossed(pose):
        found.append("arms-crossed")
    out = [s for s in ("right", "left") if s not in raised and _is_out(pose, s)]
    if out:
        found.append("arms-out" if len(out) == 2 else "arm-out")
    low = pose_class in {PoseClass.SITTING, PoseClass.SQUATTING, PoseClass.LYING}
    on_hip = [s for s in ("right", "left") if not low and _on_hip(pose, s)]
    if on_hip:
        found.append("hands-on-hips" if len(on_hip) == 2 else "hand-on-hip")
    return found


def _is_raised(pose: NormalPose, side: str) -> bool:
    return bool(pose.vector("neck", f"{side}_wrist")[1] < RAISED_ABOVE)


def _is_out(pose: NormalPose, side: str) -> bool:
    upper = pose.inclination(f"{side}_shoulder", f"{side}_elbow")
    fore = pose.inclination(f"{side}_elbow", f"{side}_wrist")
    return all(lean is not None and OUT_DEG <= lean <= 180 - OUT_DEG for lean in (upper, fore))


def _arms_crossed(pose: NormalPose) -> bool:
    """Both wrists beyond the body's middle, between shoulders and hips, with bent elbows."""
    sides = ("right", "left")
    if not pose.has("neck", "mid_hip", *(f"{s}_{j}" for s in sides for j in ("shoulder", "elbow", "wrist"))):
        return False
    if any((pose.bend(f"{s}_shoulder", f"{s}_elbow", f"{s}_wrist") or 0.0) > ELBOW_DEG for s in sides):
        return False
    own = float(pose.vector("left_shoulder", "right_shoulder")[0])
    between = float(pose.vector("left_wrist", "right_wrist")[0])
    at_chest = all(float(pose.at("neck")[1]) < float(pose.at(f"{s}_wrist")[1]) < 0 for s in sides)
    return at_chest and own * between < 0


def _on_hip(pose: NormalPose, side: str) -> bool:
    bend = pose.bend(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
    if bend is None or bend > ELBOW_DEG or not pose.has(f"{side}_hip"):
        return False
    to_wrist, to_elbow = pose.vector(f"{side}_hip", f"{side}_wrist"), pose.vector(f"{side}_hip", f"{side}_elbow")
    outward = np.sign(pose.vector("mid_hip", f"{side}_hip")[0])
    wrist_out, elbow_out = to_wrist[0] * outward, to_elbow[0] * outward
    return bool(elbow_out > wrist_out >= -BELLY and np.hypot(*to_wrist) <= HIP_REACH)


def _legs(pose: NormalPose, pose_class: PoseClass) -> list[str]:
    if not pose.has("right_hip", "left_hip", "right_ankle", "left_ankle"):
        return []
    upright = pose_class in {
        PoseClass.STANDING,
        PoseClass.WALKING,
        PoseClass.JUMPING,
        PoseClass.LUNGING,
        PoseClass.RUNNING,
    }
    if not upright:
        return []
    found = []
    thighs = [pose.inclination(f"{s}_hip", f"{s}_knee") for s in ("right", "left")]
    if any(thigh is not None and thigh >= LEG_RAISED_DEG for thigh in thighs):
        found.append("leg-raised")
    hips = float(pose.vector("left_hip", "right_hip")[0])
    ankles = float(pose.vector("left_ankle", "right_ankle")[0])
    if hips * ankles < 0 and abs(hips) > SIDE_WIDTH / 2:
        found.append("legs-crossed")
    ways = [np.arctan2(*pose.vector(f"{s}_hip", f"{s}_ankle")) for s in ("right", "left")]
    if abs(np.degrees(ways[0] - ways[1])) >= APART_DEG:
        found.append("legs-apart")
    return found


def _facing(pose: NormalPose) -> list[str]:
    """`facing-*` is where the chest points, `profile` a face of which one side is seen."""
    found = []
    if pose.has("right_shoulder", "left_shoulder", "neck", "mid_hip"):
        across = float(pose.vector("right_shoulder", "left_shoulder")[0])
        upright = float(pose.vector("neck", "mid_hip")[1]) > 0
        if abs(across) < SIDE_WIDTH:
            found.append("facing-side")
        elif upright:
            found.append("facing-front" if across > 0 else "facing-back")
    ears = [pose.has(ear) for ear in ("right_ear", "left_ear")]
    if pose.has("nose") and ears[0] != ears[1] and pose.has("right_eye") != pose.has("left_eye"):
        found.append("profile")
    return found


def _framing(pose: NormalPose) -> list[str]:
    head = any(pose.has(joint) for joint in (*_FACE, "neck"))
    ankles = pose.has("right_ankle") or pose.has("left_ankle")
    knees = pose.has("right_knee") or pose.has("left_knee")
    hips = pose.has("mid_hip")
    if head and ankles and hips:
        return ["full-body"]
    if ankles:
        return ["lower-body"]
    if knees and hips:
        return ["three-quarter"] if head else ["lower-body"]
    if pose.has("neck"):
        elbows = pose.has("right_elbow") or pose.has("left_elbow")
        return ["upper-body"] if hips or elbows else ["portrait"]
    return ["portrait"] if any(pose.has(joint) for joint in _FACE) else []
