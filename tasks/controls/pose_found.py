"""What the stage of keypoints says of people whose joints are known."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from tasks.body.keypoints import DRAWING, FindKeypoints
from tasks.controls.finding import Finding
from tasks.controls.joints import SAME_PX, SURE, Person, nearest_person, truth_findings
from tasks.controls.passage import Came
from tasks.ingest.mannequins import Mannequin
from tasks.schema.keypoints import COCO_17, OPENPOSE_18
from tasks.schema.rejections import Reason

STAGE: Final = "keypoints"

DRAWN_PX: Final = 1.0
SHIFT_PX: Final = 0.4
"""Pixels by which joints of a drawing may be off, in the middle and all in one direction; 0.3 and 0.1 are measured."""

MISSED: Final = 0.06
"""Share of a drawing's joints that may be missing or made up; other joints lie over some of them."""

BOX_PX: Final = 4.0

_NECK: Final = OPENPOSE_18.index("neck")


def drawing_findings(found: Came, drawn: Mapping[str, Mannequin], stage: FindKeypoints) -> list[Finding]:
    """Joints that were read from drawings against those that were drawn."""
    config = stage.config
    nobody = found.rejected.get("control/nobody", {}).get("reason")
    empty = nobody in (Reason.NOBODY_FOUND, Reason.TOO_FEW_JOINTS, Reason.DRAWING_UNREADABLE)
    findings = [Finding.none_wrong(STAGE, "a picture of nobody", {"control/nobody": empty}, "It is left out.")]
    if config.drawings == "never":
        return findings
    truths = {name: each.keypoints.person(each.main) for name, each in drawn.items()}
    wanted = {name: int(each.present.sum()) - 1 >= config.min_joints for name, each in truths.items()}
    rows = {name: found.kept[name] for name in truths if name in found.kept}
    there = {name: name in rows and rows[name]["keypoints_from"] == DRAWING for name, fine in wanted.items() if fine}
    people = {name: Person.of_row(row) for name, row in rows.items()}
    off = [people[name].xy - truths[name].xy[0] for name in rows]
    both = np.concatenate([each[np.isfinite(each).all(axis=1)] for each in off] or [np.zeros((0, 2))])
    shift = float(np.abs(both.mean(axis=0)).max()) if len(both) else 0.0
    middle = float(np.median(np.linalg.norm(both, axis=1))) if len(both) else 0.0
    shown = {name: np.isfinite(people[name].xy).all(axis=1) for name in rows}
    wrong = sum(int((shown[name] != truths[name].present[0]).sum()) for name in rows)
    sure = {name: bool(((people[name].confidence > 0) == shown[name]).all()) for name in rows}
    boxes = {name: _around(people[name]) for name in rows}
    return [
        *findings,
        Finding.none_wrong(STAGE, "drawings read", there, "People whose drawing shows enough joints."),
        Finding.at_most(STAGE, "joints of drawings", middle, DRAWN_PX, "px", "From the place that was drawn."),
        Finding.at_most(STAGE, "joints of drawings, mean shift", shift, SHIFT_PX, "px", "In x or in y, over all."),
        Finding.at_most(STAGE, "joints of drawings lost or made up", wrong / max(1, 18 * len(rows)), MISSED, "share"),
        Finding.none_wrong(STAGE, "confidence of joints", sure, "Over 0 exactly where a joint is."),
        Finding.none_wrong(STAGE, "boxes of drawn people", boxes, "Around the joints."),
        Finding.none_wrong(
            STAGE,
            "number of drawn people",
            {name: row["people"] == len(drawn[name].keypoints) for name, row in rows.items()},
        ),
    ]


def _around(person: Person) -> bool:
    xy = person.xy[np.isfinite(person.xy).all(axis=1)]
    low, high = xy.min(axis=0), xy.max(axis=0)
    return bool(np.abs(person.xyxy - np.concatenate([low, high])).max() <= BOX_PX)


def model_findings(found: Came, seen: Mapping[str, Mannequin], stage: FindKeypoints) -> list[Finding]:
    """Joints that the model gave through the stage against the same model asked directly, and against the truth."""
    if stage.model is None:
        return []
    params = stage.params()
    floor, person_floor = float(str(params["joint_floor"])), float(str(params["person_floor"]))
    rows = {name: Person.of_row(found.kept[name]) for name in seen if name in found.kept}
    same: dict[str, bool] = {}
    apart: list[float] = []
    surer: list[float] = []
    for name, mannequin in seen.items():
        (direct,) = stage.model.detect([mannequin.photo])
        sure = bool(len(direct)) and float(direct.boxes.score.max()) >= person_floor
        if name not in rows:
            same[name] = not sure or found.rejected[name]["reason"] == Reason.TOO_FEW_JOINTS
            continue
        at = nearest_person(rows[name], direct)
        same[name] = at >= 0
        if at >= 0:
            xy, confidence = np.asarray(direct.keypoints.xy[at]), np.asarray(direct.keypoints.confidence[at])
            wanted = _by_name(np.where((confidence >= floor)[:, None], xy, np.nan))
            there = np.isfinite(rows[name].xy).all(axis=1)
            clear = np.abs(_least(confidence) - floor) > 0.01
            same[name] = bool((there == np.isfinite(wanted).all(axis=1))[clear].all())
            surest = np.where(there, np.abs(rows[name].confidence - _least(confidence)), rows[name].confidence)
            surer.append(float(surest[clear].max()))
            off = np.abs(rows[name].xy - wanted)
            box = np.abs(rows[name].xyxy - direct.boxes.xyxy[at])
            apart += [float(np.nanmax(off, initial=0)), float(box.max())]
    turned = {
        name: _equal(rows[name], Person.of_row(row))
        for name in rows
        if (row := found.kept.get(f"{name}-turned")) is not None
    }
    truths = [(rows[name], seen[name].keypoints.xy[seen[name].main]) for name in rows]
    return [
        Finding.none_wrong(STAGE, "people as the model tells of them", same, "Asked directly, on the planted pixels."),
        Finding.at_most(STAGE, "places as the model tells them", max(apart, default=0.0), SAME_PX, "px"),
        Finding.at_most(STAGE, "confidences as the model tells them", max(surer, default=0.0), SURE),
        Finding.none_wrong(STAGE, "photos turned by EXIF", turned, "Seen as the upright ones."),
        *truth_findings(STAGE, OPENPOSE_18, truths, len(seen)),
    ]


def _by_name(coco: np.ndarray) -> np.ndarray:
    """COCO's joints, (17, 2), under the names of OpenPose, (18, 2); the neck is in the middle of the shoulders."""
    neck = (coco[COCO_17.index("left_shoulder")] + coco[COCO_17.index("right_shoulder")]) / 2
    return np.stack([neck if name == "neck" else coco[COCO_17.index(name)] for name in OPENPOSE_18.joints])


def _least(confidence: np.ndarray) -> np.ndarray:
    """The confidence that decides each of OpenPose's joints, (18,)."""
    shoulders = min(confidence[COCO_17.index("left_shoulder")], confidence[COCO_17.index("right_shoulder")])
    return np.array([shoulders if n == "neck" else confidence[COCO_17.index(n)] for n in OPENPOSE_18.joints])


def _equal(one: Person, other: Person) -> bool:
    gone = np.isnan(one.xy)
    return bool(
        (gone == np.isnan(other.xy)).all()
        and np.abs(one.xy - other.xy)[~gone].max(initial=0) <= SAME_PX
        and np.abs(one.xyxy - other.xyxy).max() <= SAME_PX
    )
