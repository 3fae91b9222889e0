"""Joints that were found against joints that are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.pose_model import PersonDetections
from tasks.controls.finding import Finding
from tasks.schema.keypoints import Layout

Floats = NDArray[np.floating]

SAME_PX: Final = 0.5
"""Pixels: a stage and the same model asked directly agree within this; half precision in batches on a GPU moves joints
by a few tenths, one thread on a CPU by nothing."""

NEAR: Final = 0.3
"""Of a person's longer side: how far off a joint of a rendered person may be before it says nothing."""

SEEN_SHARE: Final = 0.5
OWN_SIDE: Final = 0.7
OFF: Final = 0.12
"""Share of rendered people that a pose model has to find, share of their joints that it has to tell left from right,
and how far off they may be in the middle, in a person's longer side. YOLO-pose nano: 1.0, 0.89, 0.05 (measured)."""

SURE: Final = 0.02
"""By which confidences of a stage and of the same model asked directly may differ."""


@dataclass(frozen=True, eq=False)
class Person:
    """One person of one picture: joints in pixels of the upright picture, (K, 2), NaN where missing; confidences, (K,);
    the box, (4,).
    """

    xy: Floats
    confidence: Floats
    xyxy: Floats

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "Person":
        """From the columns that every shard of people has."""
        xy = np.array([np.nan if v is None else v for v in row["keypoints_xy"]], np.float64).reshape(-1, 2)
        return cls(xy, np.array(row["keypoints_confidence"], np.float64), np.array(row["person_xyxy"], np.float64))


def nearest_person(row: Person, seen: PersonDetections) -> int:
    """The detection whose box is nearest to that of a row; -1: there is none."""
    if not len(seen):
        return -1
    return int(np.abs(seen.boxes.xyxy - row.xyxy).max(axis=1).argmin())


def truth_findings(
    stage: str, layout: Layout, found: Sequence[tuple[Person, Floats]], planted: int, control: str = "rendered people"
) -> list[Finding]:
    """Whether a model that sees rendered people names their joints right.

    Args:
        stage: whose findings these are.
        layout: of the joints.
        found: people that came back, each with the true places of its joints, (K, 2), NaN where hidden.
        planted: how many were to be found.
    """
    own = other = 0
    off: list[float] = []
    for person, truth in found:
        size = float((person.xyxy[2:] - person.xyxy[:2]).max())
        reach = NEAR * size
        distances = np.linalg.norm(person.xy - truth, axis=1) / size
        off += distances[np.isfinite(distances)].tolist()
        for joint, twin in enumerate(layout.mirror):
            apart = np.linalg.norm(truth[joint] - truth[twin])
            at = np.linalg.norm(person.xy[joint] - np.array([truth[joint], truth[twin]]), axis=1)
            if twin != joint and apart > reach / 3 and at.min() < reach:
                own += int(at[0] <= at[1])
                other += int(at[0] > at[1])
    share = len(found) / planted if planted else 1.0
    told = own + other
    middle = float(np.median(off)) if off else 0.0
    return [
        Finding.at_least(
            stage, f"{control} found", share, SEEN_SHARE, "share", f"{len(found)} of {planted} came back."
        ),
        Finding.at_least(
            stage,
            f"left and right of {control}",
            own / told if told else float(not found),
            OWN_SIDE,
            "share",
            f"{own} of {told} joints lie nearer to their own place than to that of the other side.",
        ),
        Finding.at_most(
            stage, f"joints of {control}", middle, OFF, "of a person", f"In the middle of {len(off)} joints."
        ),
    ]
