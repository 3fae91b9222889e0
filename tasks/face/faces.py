"""The stage that finds the face of each person: where it is, how good it is, and its pixels at the ArcFace points."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby
from typing import Any, ClassVar, Final, TypeVar

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.face.align import ALIGNED_SIDE, aligned_face, native_side, share_inside
from tasks.face.belonging import Candidate, NoFace, faces_of_people
from tasks.face.face_detector import FaceDetector, open_face_detector
from tasks.face.head_region import HEAD, HeadRegion, head_region
from tasks.face.looking import candidates_of, detected, shown
from tasks.face.quality import frontality, sharpness
from tasks.images.decode import DecodeError, decode_rgb, decoder_build
from tasks.images.sheet import encode_jpeg
from tasks.models.device import Device, cpu_threads
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError, ShapeError
from tasks.schema.keypoints import COCO_17
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import FACE_SCHEMA
from tasks.shards.stage import Side, Stage, StageOutput

CHUNK_PIXELS: Final = 32_000_000
"""Decoded pixels held at once (96 MB of RGB); as many again are decoded ahead."""

CHUNK_PEOPLE: Final = 64

JPEG_QUALITY: Final = 95

Row = dict[str, Any]
Picture = NDArray[np.uint8]
T = TypeVar("T")


class FacesConfig(Frozen):
    """How faces are found.

    `detector` names a card. `score_floor`: faces that score lower are left out; None: the card's. `joint_floor`: joints
    of the person that are less sure say nothing about where the head is (the pose model's own, see its card).
    `min_side_px`: of the longer side of the face's box, in the photo. `region_side_px`: the longer side of a head's
    region as the detector sees it; smaller and larger ones are scaled to it. `aligned_max_px`: of the saved face, whose
    side is twice that of its box, but at least 160 px, so that the 112 px of a model are pixels of the one warp.

    `min_inside`: share of the ArcFace frame that lies inside the photo. Of six faces whose eyes the photo's edge cuts
    off, 0.53 lies inside at most; of two whose one cheek and eye it cuts off, 0.58 and 0.73.

    `region_side_px` is measured: of the 115 sure faces of 139 people in real photos the mobilenet form finds 108 at
    128 px, 110 at 224, 113 at 256, 114 at 320, and 107 in the whole photo.
    """

    detector: str = "retinaface-resnet50"
    score_floor: float | None = Field(None, gt=0, lt=1)
    joint_floor: float = Field(0.5, gt=0, lt=1)
    min_side_px: float = Field(16, ge=1)
    min_inside: float = Field(0.55, ge=0, le=1)
    region_side_px: int = Field(256, ge=64, le=960)
    aligned_max_px: int = Field(320, ge=ALIGNED_SIDE, le=1024)


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a photo: the row, and where the head is or why that cannot be said."""

    row: Row
    region: HeadRegion | NoFace


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo inside its border, with its people; `left` and `top` of the border in pixels of the whole photo."""

    people: Sequence[Person]
    pixels: Picture
    left: int
    top: int


@dataclass(frozen=True)
class FindFaces(Stage):
    """People, and beside them the photo that shows them, to their faces: at most one a person.

    A photo is decoded once for all of its people, who lie beside each other in the shard. The detector looks at each
    person's head region, at one size, not at the whole photo; what it tells of goes to the person whose head it is
    nearest to. Coordinates come back in pixels of the photo as it is stored. `zoo` and `device` say where weights are
    and where they run; the weights are fetched and loaded when the first row needs them.

    Raises:
        ModelError: no card has the detector's name; while running also: its weights cannot be had.
        ConfigError: the detector tells of no face as unsure as `score_floor`.
    """

    config: FacesConfig
    zoo: Zoo = field(default_factory=Zoo.from_environment)
    device: Device = "auto"

    name: ClassVar[str] = "faces"
    version: ClassVar[int] = 1
    fan_out: ClassVar[bool] = True
    sides: ClassVar[tuple[Side, ...]] = (Side(columns=("image", "content_xyxy"), on="parent_id"),)

    def __post_init__(self) -> None:
        lowest = self.detector.card.thresholds["candidate"]
        if self.score_floor < lowest:
            raise ConfigError(
                f"score_floor: {self.detector.name} tells of no face under {lowest}; choose that or more."
            )

    @cached_property
    def detector(self) -> FaceDetector:
        """The model, not loaded yet."""
        return open_face_detector(self.config.detector, self.zoo, self.device)

    @property
    def score_floor(self) -> float:
        floor = self.config.score_floor
        return self.detector.card.thresholds["face"] if floor is None else floor

    @property
    def schema(self) -> pa.Schema:
        return FACE_SCHEMA

    def models(self) -> dict[str, str]:
        return {self.detector.name: self.detector.sha256}

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__, **self.detector.execution()}

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the detector's card where the configuration leaves them open."""
        thresholds: dict[str, JsonValue] = dict(self.detector.card.thresholds)
        return {**super().params(), "score_floor": self.score_floor, "thresholds": thresholds}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        with ThreadPoolExecutor(cpu_threads(), "faces") as pool:
            for photos in _one_ahead(pool, self._prepared, _chunks(batches)):
                told = self._told(photos)
                judged = pool.map(self._judged, photos, told)
                yield _output([outcome for outcomes in judged for outcome in outcomes])

    def _prepared(self, rows: Sequence[Row]) -> Photo:
        """Decode the photo of these people, and find out where their heads are."""
        try:
            whole = decode_rgb((rows[0]["image"] or {}).get("bytes") or b"")
        except DecodeError as error:
            unreadable = NoFace(error.reason, f"the photo: {error.detail}")
            return Photo([Person(row, unreadable) for row in rows], np.zeros((1, 1, 3), np.uint8), 0, 0)
        left, top = (max(0, int(np.ceil(v))) for v in rows[0]["content_xyxy"][:2])
        right, bottom = (int(np.floor(v)) for v in rows[0]["content_xyxy"][2:])
        pixels = whole[top:bottom, left:right]
        return Photo([Person(row, self._region(row, pixels, left, top)) for row in rows], pixels, left, top)

    def _region(self, row: Row, pixels: Picture, left: int, top: int) -> HeadRegion | NoFace:
        """Of the head, in pixels of the photo inside its border."""
        shift = np.array([left, top], np.float32)
        xy = np.array(row["keypoints_xy"] or [None] * 2 * len(COCO_17), np.float32).reshape(-1, 2) - shift
        confidence = np.array(row["keypoints_confidence"] or [0] * len(COCO_17), np.float32)
        person = np.array(row["person_xyxy"], np.float32) - np.tile(shift, 2)
        content = np.array([0, 0, pixels.shape[1], pixels.shape[0]], np.float32)
        surest = float(confidence[list(HEAD)].max())
        region = head_region(xy, confidence, person, content, self.config.joint_floor)
        if region is None:
            detail = f"no joint of the head reaches {self.config.joint_floor:.2f} inside the photo"
            return NoFace(Reason.HEAD_NOT_VISIBLE, detail, surest)
        return region

    def _told(self, photos: Sequence[Photo]) -> list[list[list[Candidate] | NoFace]]:
        """Of each person of each photo, what the detector tells of in the head region, in pixels inside the border."""
        regions = [
            (photo, person.region)
            for photo in photos
            for person in photo.people
            if isinstance(person.region, HeadRegion)
        ]
        seen = [shown(photo.pixels, region, self.config.region_side_px) for photo, region in regions]
        told = iter(
            [
                found if isinstance(found, NoFace) else candidates_of(found, picture, region)
                for (_, region), picture, found in zip(regions, seen, detected(self.detector, seen), strict=True)
            ]
        )
        return [
            [next(told) if isinstance(person.region, HeadRegion) else person.region for person in photo.people]
            for photo in photos
        ]

    def _judged(self, photo: Photo, told: Sequence[list[Candidate] | NoFace]) -> list[Row | Rejection]:
        """The row of each person's face, or why there is none."""
        verdicts = faces_of_people([[] if isinstance(faces, NoFace) else faces for faces in told], self.score_floor)
        outcomes: list[Row | Rejection] = []
        for person, faces, verdict in zip(photo.people, told, verdicts, strict=True):
            outcome = faces if isinstance(faces, NoFace) else self._row(photo, person.row, verdict)
            outcomes.append(_rejection(photo, person, outcome) if isinstance(outcome, NoFace) else outcome)
        return outcomes

    def _row(self, photo: Photo, person: Row, face: Candidate | NoFace) -> Row | NoFace:
        if isinstance(face, NoFace):
            return face
        side = float((face.xyxy[2:] - face.xyxy[:2]).max())
        if side < self.config.min_side_px:
            return NoFace(
                Reason.FACE_TOO_SMALL, f"{side:.1f} px, at least {self.config.min_side_px:g} are wanted", side
            )
        try:
            inside = share_inside(face.landmarks, photo.pixels.shape[1], photo.pixels.shape[0])
            if inside < self.config.min_inside:
                wanted = self.config.min_inside
                detail = f"the photo's edge leaves {inside:.2f} of the face, at least {wanted:.2f} is wanted"
                return NoFace(Reason.HEAD_NOT_VISIBLE, detail, inside)
            saved = int(np.clip(round(2 * side), ALIGNED_SIDE, self.config.aligned_max_px))
            aligned = aligned_face(photo.pixels, face.landmarks, saved)
            sharp = sharpness(aligned, native_side(face.landmarks))
        except (ShapeError, ValueError, cv2.error) as error:
            return NoFace(Reason.FACE_NOT_FOUND, f"its landmarks are not those of a face: {error}", face.score)
        shift = np.array([photo.left, photo.top], np.float32)
        xyxy, landmarks = face.xyxy + np.tile(shift, 2), face.landmarks + shift
        origin = np.array(person["crop_xyxy"][:2], np.float32)
        name = f"{person['sample_id']}/f0"
        return {
            **{key: person[key] for key in ("source_uri", "licence", "idx", "label")},
            "sample_id": name,
            "parent_id": person["sample_id"],
            "photo_id": person["parent_id"],
            "face_score": face.score,
            "face_side_px": side,
            "face_xyxy": xyxy.tolist(),
            "landmarks_xy": landmarks.ravel().tolist(),
            "crop_face_xyxy": (xyxy - np.tile(origin, 2)).tolist(),
            "crop_landmarks_xy": (landmarks - origin).ravel().tolist(),
            "sharpness": sharp,
            "frontality": frontality(face.landmarks),
            "aligned": {"bytes": encode_jpeg(aligned, JPEG_QUALITY), "path": f"{name}.jpg"},
            "aligned_side_px": saved,
        }


def _rejection(photo: Photo, person: Person, why: NoFace) -> Rejection:
    rival = None if why.rival is None else json.dumps({"face_of": photo.people[why.rival].row["sample_id"]})
    return Rejection(
        person.row["sample_id"], why.reason, why.detail, why.score, person.row["source_uri"], evidence=rival
    )


def _output(outcomes: Sequence[Row | Rejection]) -> StageOutput:
    kept = [outcome for outcome in outcomes if not isinstance(outcome, Rejection)]
    rejected = tuple(outcome for outcome in outcomes if isinstance(outcome, Rejection))
    return StageOutput(pa.Table.from_pylist(kept, schema=FACE_SCHEMA), rejected)


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[list[list[Row]]]:
    """The people of each photo, photo by photo whatever the batches are, in runs of bounded pixels and people."""
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    chunk: list[list[Row]] = []
    pixels = people = 0
    for _, of_photo in groupby(rows, key=lambda row: row["parent_id"]):
        group = list(of_photo)
        pixels += group[0]["photo_width"] * group[0]["photo_height"]
        people += len(group)
        if chunk and (pixels > CHUNK_PIXELS or people > CHUNK_PEOPLE):
            yield chunk
            chunk, pixels, people = [], group[0]["photo_width"] * group[0]["photo_height"], len(group)
        chunk.append(group)
    if chunk:
        yield chunk


def _one_ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[Sequence[Row]], T], chunks: Iterable[list[list[Row]]]
) -> Iterator[list[T]]:
    """What `prepare` made of each chunk; the next chunk is prepared while the caller works on one."""
    waiting: list[Future[T]] | None = None
    for chunk in chunks:
        submitted = [pool.submit(prepare, rows) for rows in chunk]
        if waiting:
            yield [future.result() for future in waiting]
        waiting = submitted
    if waiting:
        yield [future.result() for future in waiting]
