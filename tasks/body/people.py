"""The stage that finds the people of web photos, as boxes and joints; pixels are cut when they are needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.body.crop import Box, content_box, padded_box, person_crop
from tasks.body.pose_model import PersonDetections, PoseModel, open_fast_pose_model
from tasks.images.ahead import one_ahead, runs_under
from tasks.images.decode import DecodeError, decode_rgb, decoder_build
from tasks.images.hashing import phash
from tasks.models.device import Device, cpu_threads
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.webbody import PERSON_SCHEMA
from tasks.shards.stage import Stage, StageOutput

CHUNK_PIXELS: Final = 32_000_000
"""Decoded pixels held at once (96 MB of RGB); as many again are decoded ahead."""

Row = dict[str, Any]


class PeopleConfig(Frozen):
    """Who counts as a person.

    `pose_model` names a card. `person_floor`: the score from which a person is kept. `max_people` of a photo, the
    surest. `pad`: of the box, added on each side. `min_crop_side`: pixels of the shorter side, padding included; a head
    that is worth looking for does not fit in less. Defaults: WebBody's own, except the last, which it lacks.
    """

    pose_model: str = "yolov8n-pose"
    person_floor: float = Field(0.7, gt=0, lt=1)
    max_people: int = Field(6, ge=1)
    pad: float = Field(0.05, ge=0, le=1)
    min_crop_side: int = Field(16, ge=1)


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo: RGB uint8 inside its border, where that lies in the picture, the picture's size, the hash."""

    inside: NDArray[np.uint8]
    content: Box
    width: int
    height: int
    phash: int


@dataclass(frozen=True)
class FindPeople(Stage):
    """Downloaded photos to their people, best first; the network sees them without their white border.

    Every confidence is kept as the model gave it, and a joint stays where the model sees it, also beyond the crop and
    beyond the photo: it is missing only where the model says nothing (confidence 0 or no place). A person that is not
    kept is a rejected child of its photo; a photo none of whose people is kept is rejected itself.

    Raises:
        ConfigError: the model tells of nobody as unsure as `person_floor`.
    """

    config: PeopleConfig
    model: PoseModel

    name: ClassVar[str] = "people"
    version: ClassVar[int] = 1
    fan_out: ClassVar[bool] = True

    @classmethod
    def of(cls, config: PeopleConfig, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None) -> Self:
        """The stage with the model that the configuration names, run by what is fastest; nothing is loaded yet.

        Raises:
            ModelError: no card has the model's name; while running also: its weights cannot be had.
            ConfigError: the model tells of nobody as unsure as `person_floor`.
        """
        return cls(config, open_fast_pose_model(config.pose_model, zoo, device, runtime))

    def __post_init__(self) -> None:
        if self.model.name != self.config.pose_model:
            raise ValueError(f"the model is {self.model.name}, the configuration says {self.config.pose_model}")
        lowest = self.model.card.thresholds["person"]
        if self.config.person_floor < lowest:
            raise ConfigError(f"person_floor: {self.model.name} tells of nobody under {lowest}; choose that or more.")

    @property
    def schema(self) -> pa.Schema:
        return PERSON_SCHEMA

    def models(self) -> dict[str, str]:
        return {self.model.name: self.model.sha256}

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__, **self.model.execution()}

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the model's card."""
        thresholds: dict[str, JsonValue] = dict(self.model.card.thresholds)
        return {**super().params(), "thresholds": thresholds}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        chunks = (chunk for batch in batches for chunk in runs_under(batch.to_pylist(), _pixels, CHUNK_PIXELS))
        with ThreadPoolExecutor(cpu_threads(), "people") as pool:
            for rows, photos in one_ahead(pool, opened, chunks):
                seen = iter(self.model.detect([photo.inside for photo in photos if isinstance(photo, Photo)]))
                yield self._output(rows, [(p, next(seen)) if isinstance(p, Photo) else p for p in photos])

    def _output(self, rows: list[Row], looked: list[tuple[Photo, PersonDetections] | Rejection]) -> StageOutput:
        kept: list[Row] = []
        rejected: list[Rejection] = []
        for row, outcome in zip(rows, looked, strict=True):
            if isinstance(outcome, Rejection):
                rejected.append(outcome)
                continue
            people, others = people_of(row, *outcome, self.config, self.model.name)
            kept += people
            rejected += others
        return StageOutput(pa.Table.from_pylist(kept, schema=PERSON_SCHEMA), tuple(rejected))


def opened(row: Row) -> Photo | Rejection:
    """The decoded photo of a row of `WEB_PHOTO_SCHEMA`, or why it cannot be looked at."""
    try:
        picture = decode_rgb((row["image"] or {}).get("bytes") or b"", max(_pixels(row), 1))
    except DecodeError as error:
        return Rejection(row["sample_id"], error.reason, error.detail, source_uri=row["source_uri"])
    height, width = picture.shape[:2]
    content = content_box(row["content_xyxy"], width, height)
    if content[0] == content[2] or content[1] == content[3]:
        said = f"there is no photo inside the border: {row['content_xyxy']} of {width} x {height} pixels"
        return Rejection(row["sample_id"], Reason.IMAGE_EMPTY, said, source_uri=row["source_uri"])
    inside = np.ascontiguousarray(person_crop(picture, content))
    return Photo(inside, content, width, height, phash(inside))


def people_of(
    row: Row, photo: Photo, seen: PersonDetections, config: PeopleConfig, model: str
) -> tuple[list[Row], list[Rejection]]:
    """The people of a photo that are kept, as rows of `PERSON_SCHEMA`, and what is rejected: others, or the photo.

    Args:
        row: of `WEB_PHOTO_SCHEMA`.
        photo: what it shows.
        seen: its people, in pixels of `photo.inside`.
        config: who counts.
        model: the name that messages call the model by.
    """
    origin = np.array(photo.content[:2], np.float32)
    kept: list[Row] = []
    others: list[Rejection] = []
    for index in range(len(seen)):
        score = float(seen.boxes.score[index])
        xyxy = seen.boxes.xyxy[index] + np.tile(origin, 2)
        crop = padded_box(xyxy, config.pad, photo.content)
        side = min(crop[2] - crop[0], crop[3] - crop[1])
        sample_id = f"{row['sample_id']}/p{index}"
        refusal = _refusal(score, side, len(kept), config)
        if refusal is not None:
            others.append(Rejection(sample_id, *refusal, source_uri=row["source_uri"]))
            continue
        kept.append(
            {
                **{name: row[name] for name in ("source_uri", "licence", "idx", "label", "sha256")},
                "sample_id": sample_id,
                "parent_id": row["sample_id"],
                "phash": photo.phash,
                "photo_width": photo.width,
                "photo_height": photo.height,
                "person_score": score,
                "person_xyxy": xyxy.tolist(),
                "crop_xyxy": list(crop),
                "keypoints_xy": _listed(seen.keypoints.xy[index] + origin),
                "keypoints_confidence": seen.keypoints.confidence[index].tolist(),
                "crop_keypoints_xy": _listed(seen.keypoints.xy[index] + origin - np.array(crop[:2], np.float32)),
            }
        )
    if kept:
        return kept, others
    if not others:
        nobody = Rejection(row["sample_id"], Reason.NOBODY_FOUND, f"{model} sees nobody", source_uri=row["source_uri"])
        return [], [nobody]
    best = others[0]
    detail = f"of {len(others)} people that {model} sees none is kept; the surest: {best.detail}"
    return [], [Rejection(row["sample_id"], best.reason, detail, best.score, row["source_uri"])]


def _refusal(score: float, side: int, kept: int, config: PeopleConfig) -> tuple[Reason, str, float] | None:
    """Why a person of this score, whose crop has this shorter side, is not kept after so many others."""
    if score < config.person_floor:
        return Reason.PERSON_SCORE_LOW, f"score {score:.2f}, at least {config.person_floor:g} is wanted", score
    if side < config.min_crop_side:
        wanted = f"at least {config.min_crop_side} are wanted"
        return Reason.IMAGE_TOO_SMALL, f"{side} pixels on the shorter side of the crop, {wanted}", side
    if kept >= config.max_people:
        return Reason.OVER_LIMIT, f"{config.max_people} surer people are in the photo already", score
    return None


def _listed(xy: NDArray[np.float32]) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in xy.ravel()]


def _pixels(row: Row) -> int:
    pixels: int = row["width"] * row["height"]
    return pixels
