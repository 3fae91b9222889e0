"""Photos of rendered people inside a border, and what the stage of people says of them."""

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.people import FindPeople
from tasks.controls.finding import Finding
from tasks.controls.joints import SAME_PX, SURE, Person, nearest_person, truth_findings
from tasks.controls.passage import Came, Row
from tasks.controls.pictures import person, photo, slope
from tasks.schema.keypoints import COCO_17, OPENPOSE_18

STAGE: Final = "people"

SEEN: Final = (81, 107, 121, 11)
"""Rendered people, one in each photo, whom small pose models see well."""

SIDE: Final = 384
CANVAS: Final = 640
_PLACES: Final = ((128, 96), (0, 40), (200, 256), (31, 17))
_MOVED: Final = (57, 203)
NOBODY: Final = "control/nobody"

SURENESS: Final = 0.005
"""Of the score around the floor, where a stage may decide either way."""


class PlantedPeople:
    """The photos of the control: a person each, moved within its border, and one of nobody."""

    @cached_property
    def photos(self) -> dict[str, tuple[NDArray[np.uint8], tuple[int, int]]]:
        """Sample -> what the network has to see, and the left top of it in the stored picture."""
        made = {
            f"control/person-{index}": (person(index, SIDE).photo, place)
            for index, place in zip(SEEN, _PLACES, strict=True)
        }
        first = next(iter(made.values()))[0]
        return {**made, "control/moved": (first, _MOVED), NOBODY: (slope(SIDE, SIDE), (10, 10))}

    @cached_property
    def truths(self) -> dict[str, NDArray[np.float32]]:
        """Sample -> true joints of COCO-17 in the stored picture, (17, 2)."""
        truths = {}
        for index, place in zip(SEEN, _PLACES, strict=True):
            known = person(index, SIDE)
            xy = known.keypoints.xy[known.main]
            named = np.stack([xy[OPENPOSE_18.index(name)] for name in COCO_17.joints])
            truths[f"control/person-{index}"] = named + np.array(place, np.float32)
        return truths

    def rows(self) -> list[Row]:
        """Rows of `WEB_PHOTO_SCHEMA`."""
        return [web_photo(name, inside, place) for name, (inside, place) in self.photos.items()]


def web_photo(name: str, inside: NDArray[np.uint8], place: tuple[int, int]) -> dict[str, Any]:
    """A row of a stored photo: white but for the picture, whose left top lies at `place`."""
    height, width = inside.shape[:2]
    left, top = place
    stored = np.full((CANVAS, CANVAS, 3), 255, np.uint8)
    stored[top : top + height, left : left + width] = inside
    return {
        "sample_id": name,
        "idx": name,
        "label": f"label of {name}",
        "url": f"https://example.org/{name}",
        "image": {"bytes": photo(name, stored).data, "path": f"{name}.png"},
        "width": CANVAS,
        "height": CANVAS,
        "content_xyxy": [float(v) for v in (left, top, left + width, top + height)],
        "original_width": width,
        "original_height": height,
        "sha256": name,
        "attempt": 0,
        "fetched_at": 0,
        "http_status": 200,
        "final_url": f"https://example.org/{name}",
        "headers": "{}",
    }


def people_findings(came: Came, known: PlantedPeople, stage: FindPeople) -> list[Finding]:
    """People that the model gave through the stage against the same model asked directly, and against the truth."""
    floor, pad = stage.config.person_floor, stage.config.pad
    of_photo: dict[str, list[Row]] = {name: [] for name in known.photos}
    for row in came.kept.values():
        of_photo[row["parent_id"]].append(row)
    same: dict[str, bool] = {}
    crops: dict[str, bool] = {}
    labels: dict[str, bool] = {}
    apart, surer = [0.0], [0.0]
    for name, (inside, place) in known.photos.items():
        (direct,) = stage.model.detect([inside])
        rows = of_photo[name]
        at_least = int((direct.boxes.score >= floor + SURENESS).sum())
        at_most = int((direct.boxes.score >= floor - SURENESS).sum())
        same[name] = min(at_least, stage.config.max_people) <= len(rows) <= at_most
        labels[name] = all(row["label"] == f"label of {name}" and row["sha256"] == name for row in rows)
        move = np.array(place, np.float64)
        for row in rows:
            found = Person.of_row(row)
            there = Person(found.xy - move, found.confidence, found.xyxy - np.tile(move, 2))
            at = nearest_person(there, direct)
            if at < 0:
                same[name] = False
                continue
            sure = np.asarray(direct.keypoints.confidence[at])
            surer += [float(np.abs(found.confidence - sure).max()), abs(row["person_score"] - direct.boxes.score[at])]
            xy = np.abs(there.xy - direct.keypoints.xy[at])
            apart += [float(np.nanmax(xy, initial=0)), float(np.abs(there.xyxy - direct.boxes.xyxy[at]).max())]
            crops[row["sample_id"]] = _cropped(row, found, pad, (*place, place[0] + SIDE, place[1] + SIDE))
    hashes = {name: rows[0]["phash"] for name, rows in of_photo.items() if rows}
    first = f"control/person-{SEEN[0]}"
    alike = {"moved": hashes[first] == hashes["control/moved"]} if {first, "control/moved"} <= hashes.keys() else {}
    truths = [(Person.of_row(rows[0]), known.truths[name]) for name in known.truths if (rows := of_photo[name])]
    return [
        Finding.none_wrong(STAGE, "people as the model tells of them", same, "Asked directly, on the planted pixels."),
        Finding.at_most(STAGE, "places as the model tells them", max(apart), SAME_PX, "px", "Moved by the border."),
        Finding.at_most(STAGE, "confidences as the model tells them", max(surer), SURE),
        Finding.none_wrong(STAGE, "crops", crops, "The box and its padding, inside the photo; joints from its corner."),
        Finding.none_wrong(STAGE, "label and digest of the photo", labels),
        Finding.none_wrong(STAGE, "hash of a moved photo", alike),
        *truth_findings(STAGE, COCO_17, truths, len(known.truths)),
    ]


def _cropped(row: Row, found: Person, pad: float, content: tuple[int, int, int, int]) -> bool:
    """Whether a row's crop is its padded box inside the photo, and its joints are counted from there."""
    size = np.tile(found.xyxy[2:] - found.xyxy[:2], 2) * np.array([-pad, -pad, pad, pad])
    wanted = np.clip(found.xyxy + size, np.tile(content[:2], 2), np.tile(content[2:], 2))
    crop = np.array(row["crop_xyxy"])
    inside = [np.nan if v is None else v for v in row["crop_keypoints_xy"]]
    moved = np.array(inside, np.float64).reshape(-1, 2) + crop[:2]
    outwards = np.array([-1, -1, 1, 1]) * (crop - wanted)
    return bool((outwards > -0.01).all() and (outwards < 1.01).all() and np.nanmax(np.abs(moved - found.xy)) < 0.01)
