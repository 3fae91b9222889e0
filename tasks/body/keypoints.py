"""The stage that finds the main person's joints: in the row's OpenPose drawing, or with a model in its photo."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.body.layouts import coco17_to_openpose18
from tasks.body.main_person import boxes_of, main_person
from tasks.body.pose_model import PersonDetections, PoseModel, open_pose_model
from tasks.body.read_drawing import read_for_photo
from tasks.images.ahead import one_ahead, runs_under
from tasks.images.decode import DecodeError, decode_rgb, decoder_build
from tasks.images.examine import max_drawing_pixels
from tasks.images.headers import largest_canvas, picture_format
from tasks.models.device import Device, cpu_threads
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ConfigError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.templates import KEYPOINTS_SCHEMA
from tasks.shards.stage import Side, Stage, StageOutput

DRAWING: Final = "drawing"
"""`keypoints_from` of joints that were read from a drawing."""

CHUNK_PIXELS: Final = 96_000_000
"""Decoded pixels held at once (288 MB of RGB); as many again are decoded ahead."""

Row = dict[str, Any]
Picture = NDArray[np.uint8]


class KeypointsConfig(Frozen):
    """How joints are found.

    `pose_model` names a card; empty: no model, only drawings. `drawings`: whether a row's OpenPose drawing is taken
    where it shows enough joints. `min_joints`: of 18; rows with fewer are left out. `joint_floor` and `person_floor`:
    confidences under which a joint or a person counts as not seen; None: those of the model's card.
    """

    pose_model: str = "yolov8n-pose"
    drawings: Literal["auto", "never"] = "auto"
    min_joints: int = Field(8, ge=1, le=len(OPENPOSE_18))
    joint_floor: float | None = Field(None, gt=0, lt=1)
    person_floor: float | None = Field(None, gt=0, lt=1)


@dataclass(frozen=True, eq=False)
class Found:
    """The main person of one picture: OpenPose-18, one person; box (4,) in pixels of the upright photo."""

    person: Keypoints
    xyxy: NDArray[np.float32]
    people: int
    source: str


@dataclass(frozen=True)
class NotFound:
    """Why a picture gives no joints."""

    reason: Reason
    detail: str
    score: float | None = None


@dataclass(frozen=True)
class FindKeypoints(Stage):
    """Inspected photos, and beside them their bytes, to the 18 joints of the main person.

    A joint is never made up: what lies under the floor is missing. Drawings that inspection did not find fit to decode
    (`conditioning_ok`) count as unreadable and are not touched. `zoo` and `device` say where weights are and where
    they run; the weights are fetched and loaded when the first row needs them.

    Raises:
        ModelError: no card has the model's name; while running also: its weights cannot be had.
        ConfigError: the model tells nobody as unsure as `person_floor`.
    """

    config: KeypointsConfig
    zoo: Zoo = field(default_factory=Zoo.from_environment)
    device: Device = "auto"

    name: ClassVar[str] = "keypoints"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(columns=("image", "conditioning")),)

    def __post_init__(self) -> None:
        lowest = self.model.card.thresholds["person"] if self.model else 0.0
        if self.model and self.config.person_floor is not None and self.config.person_floor < lowest:
            raise ConfigError(f"person_floor: {self.model.name} tells of nobody under {lowest}; choose that or more.")

    @cached_property
    def model(self) -> PoseModel | None:
        """The model, not loaded yet; None: drawings only."""
        return open_pose_model(self.config.pose_model, self.zoo, self.device) if self.config.pose_model else None

    @property
    def schema(self) -> pa.Schema:
        return KEYPOINTS_SCHEMA

    def models(self) -> dict[str, str]:
        return {self.model.name: self.model.sha256} if self.model else {}

    def execution(self) -> dict[str, str]:
        builds = {**decoder_build(), "opencv": cv2.__version__}
        return {**builds, **(self.model.execution() if self.model else {})}

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the model's card where the configuration leaves them open."""
        thresholds: dict[str, JsonValue] = dict(self.model.card.thresholds) if self.model else {}
        return {**super().params(), **self._floors(), "thresholds": thresholds}

    def _floors(self) -> dict[str, float]:
        card = self.model.card.thresholds if self.model else {}
        joint, person = self.config.joint_floor, self.config.person_floor
        return {
            "joint_floor": card.get("joint", 0.0) if joint is None else joint,
            "person_floor": card.get("person", 0.0) if person is None else person,
        }

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        with ThreadPoolExecutor(cpu_threads(), "keypoints") as pool:
            for rows, prepared in one_ahead(pool, self._prepare, _chunks(batches)):
                yield _output(rows, self._looked_at(prepared))

    def _prepare(self, row: Row) -> Found | NotFound | Picture:
        """What the drawing says, or why nothing can be said, or the picture that the model has to look at."""
        outcome: Found | NotFound = NotFound(Reason.DRAWING_UNREADABLE, "there is no drawing, and no pose model is set")
        drawing = _bytes(row["conditioning"]) if self.config.drawings == "auto" else b""
        if drawing and not row["conditioning_ok"]:
            outcome = NotFound(
                Reason.DRAWING_UNREADABLE, "the drawing does not decode, or is far larger than its photo"
            )
        elif drawing:
            outcome = found_in_drawing(drawing, row["width"], row["height"], self.config.min_joints)
        if isinstance(outcome, Found) or self.model is None:
            return outcome
        try:
            return decode_rgb(_bytes(row["image"]))
        except DecodeError as error:
            return NotFound(error.reason, error.detail)

    def _looked_at(self, prepared: list[Found | NotFound | Picture]) -> list[Found | NotFound]:
        """The same, with what the model sees in place of each picture."""
        pictures = [outcome for outcome in prepared if isinstance(outcome, np.ndarray)]
        if self.model is None or not pictures:
            return [outcome for outcome in prepared if not isinstance(outcome, np.ndarray)]
        seen = iter(self.model.detect(pictures))
        return [
            found_by_model(next(seen), outcome.shape[:2], self.model.name, self.config.min_joints, **self._floors())
            if isinstance(outcome, np.ndarray)
            else outcome
            for outcome in prepared
        ]


def found_in_drawing(drawing: bytes, width: int, height: int, min_joints: int) -> Found | NotFound:
    """The main person of an OpenPose drawing, in pixels of the photo that it belongs to.

    Args:
        drawing: an encoded picture of any size up to `max_drawing_pixels`.
        width: of the upright photo, pixels.
        height: of the upright photo, pixels.
    """
    try:
        people = read_for_photo(decode_rgb(drawing, max_drawing_pixels(width, height)), width, height)
    except DecodeError as error:
        return NotFound(Reason.DRAWING_UNREADABLE, f"the drawing does not decode: {error.detail}")
    if not len(people):
        return NotFound(Reason.DRAWING_UNREADABLE, "the drawing shows no skeleton")
    boxes = boxes_of(people)
    main = main_person(people, boxes, boxes.score, width, height)
    return _enough(Found(people.person(main), boxes.xyxy[main], len(people), DRAWING), min_joints)


def found_by_model(
    people: PersonDetections,
    size: tuple[int, ...],
    source: str,
    min_joints: int,
    *,
    joint_floor: float,
    person_floor: float,
) -> Found | NotFound:
    """The main person among those that a model sees in a photo of (height, width) pixels.

    Joints under `joint_floor` are missing afterwards; people under `person_floor` do not count.
    """
    sure = people.boxes.score >= person_floor
    if not sure.any():
        return NotFound(Reason.NOBODY_FOUND, f"{source} sees nobody")
    boxes = Boxes(people.boxes.xyxy[sure], people.boxes.score[sure])
    confidence = people.keypoints.confidence[sure]
    joints = Keypoints.from_arrays(
        people.keypoints.layout,
        people.keypoints.xy[sure],
        np.where(confidence >= joint_floor, confidence, 0).astype(np.float32),
    )
    main = main_person(joints, boxes, boxes.score, width=size[1], height=size[0])
    person = coco17_to_openpose18(joints.person(main))
    return _enough(Found(person, boxes.xyxy[main], len(boxes), source), min_joints)


def _enough(found: Found, min_joints: int) -> Found | NotFound:
    joints = int(found.person.present.sum())
    if joints >= min_joints:
        return found
    return NotFound(
        Reason.TOO_FEW_JOINTS, f"{joints} joints of the main person, at least {min_joints} are wanted", joints
    )


def _output(rows: list[Row], outcomes: list[Found | NotFound]) -> StageOutput:
    kept = [_output_row(row, o) for row, o in zip(rows, outcomes, strict=True) if isinstance(o, Found)]
    rejected = tuple(
        Rejection(row["sample_id"], o.reason, o.detail, o.score, row["source_uri"])
        for row, o in zip(rows, outcomes, strict=True)
        if isinstance(o, NotFound)
    )
    return StageOutput(pa.Table.from_pylist(kept, schema=KEYPOINTS_SCHEMA), rejected)


def _output_row(row: Row, found: Found) -> Row:
    return {
        "sample_id": row["sample_id"],
        "parent_id": row["parent_id"],
        "source_uri": row["source_uri"],
        "licence": row["licence"],
        "keypoints_xy": [None if np.isnan(v) else float(v) for v in found.person.xy[0].ravel()],
        "keypoints_confidence": found.person.confidence[0].tolist(),
        "keypoints_from": found.source,
        "people": found.people,
        "person_xyxy": found.xyxy.tolist(),
    }


def _bytes(image: dict[str, Any] | None) -> bytes:
    return (image or {}).get("bytes") or b""


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[list[Row]]:
    """Rows of each batch, in runs whose decoded pictures stay under `CHUNK_PIXELS` (a larger row goes alone)."""
    for batch in batches:
        yield from runs_under(batch.to_pylist(), _pixels, CHUNK_PIXELS)


def _pixels(row: Row) -> int:
    """Of the photo and of the drawing beside it, where it may be decoded; at most, where its header does not tell."""
    photo: int = row["width"] * row["height"]
    if not row["conditioning_ok"]:
        return photo
    drawing = _bytes(row["conditioning"])
    canvas = largest_canvas(drawing, picture_format(drawing) or "")
    return photo + (canvas[0] * canvas[1] if canvas else max_drawing_pixels(row["width"], row["height"]))
