"""Where on the person a product is: on the body, in a hand, in both hands, or worn as an accessory."""

from typing import Final, Literal

from tasks.poses import words
from tasks.poses.captions import mentions, names_any, wears
from tasks.poses.normalise import NormalPose

Placement = Literal["body", "hand-left", "hand-right", "both-hands", "worn"]

RAISED_DEG: Final = 60.0
"""A forearm that leans at least this far from hanging holds something up. Our choice."""
HANGING_DEG: Final = 30.0
"""A forearm that leans at most this far hangs. Our choice."""
TOGETHER: Final = 0.45
"""Torsos between the wrists, both raised, up to which both hands are at one thing. Our choice."""


def placement(cloth: str | None, caption: str | None, pose: NormalPose | None) -> Placement | None:
    """Asked in this order; None where no rule holds, never a guess.

    1. The source's cloth type names a garment: body; an accessory: worn.
    2. The caption speaks of holding or carrying: the hand or hands that it names; else, by the joints, both raised
       hands that are together, or the only raised one if the other hangs.
    3. The caption speaks of wearing a garment: body; an accessory: worn.

    Left and right are the person's own.
    """
    if names_any(cloth, words.GARMENTS):
        return "body"
    if names_any(cloth, words.ACCESSORIES):
        return "worn"
    if mentions(caption, words.HOLDING, words.NOT_HOLDING):
        return _named_hand(caption) or _raised_hand(pose)
    if wears(caption, words.GARMENTS):
        return "body"
    return "worn" if wears(caption, words.ACCESSORIES) else None


def _named_hand(caption: str | None) -> Placement | None:
    if mentions(caption, words.BOTH_HANDS):
        return "both-hands"
    right, left = mentions(caption, words.RIGHT_HAND), mentions(caption, words.LEFT_HAND)
    return None if right == left else "hand-right" if right else "hand-left"


def _raised_hand(pose: NormalPose | None) -> Placement | None:
    if pose is None:
        return None
    right = pose.inclination("right_elbow", "right_wrist")
    left = pose.inclination("left_elbow", "left_wrist")
    if right is None or left is None:
        return None
    if right >= RAISED_DEG and left >= RAISED_DEG:
        x, y = pose.vector("right_wrist", "left_wrist")
        return "both-hands" if float((x * x + y * y) ** 0.5) <= TOGETHER else None
    if right >= RAISED_DEG and left <= HANGING_DEG:
        return "hand-right"
    return "hand-left" if left >= RAISED_DEG and right <= HANGING_DEG else None
