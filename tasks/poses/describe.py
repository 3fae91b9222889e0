"""The stage that turns a person's joints and a photo's caption into a pose template."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from tasks.images.decode import decode_rgb, decoder_build
from tasks.poses.captions import cloth_words, gender, scene, speaks_of_sport
from tasks.poses.difficulty import difficulty
from tasks.poses.normalise import normalise
from tasks.poses.placement import placement
from tasks.poses.pose_class import pose_class
from tasks.poses.quality import quality
from tasks.poses.rows import each_photo, joints
from tasks.poses.tags import tags
from tasks.schema.records import Frozen
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.stage import Side, Stage, StageOutput

_PHOTO_COLUMNS = ("image", "caption", "gender", "pose", "cloth", "pid", "source", "category")


class DescribeConfig(Frozen):
    """`sports_from_captions`: a lifestyle photo whose caption speaks of sport becomes a template of sports."""

    sports_from_captions: bool = True


@dataclass(frozen=True)
class Describe(Stage):
    """Keypoints, beside what inspection and ingest know of the photo -> templates.

    Rejects only photos that do not decode any more.
    """

    config: DescribeConfig

    name: ClassVar[str] = "describe"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("width", "height", "sha256", "phash")), Side(_PHOTO_COLUMNS))

    @property
    def schema(self) -> pa.Schema:
        return TEMPLATE_SCHEMA

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        return each_photo(batches, lambda row: describe(row, self.config), TEMPLATE_SCHEMA)


def describe(row: dict[str, Any], config: DescribeConfig) -> dict[str, Any]:
    """One template.

    Args:
        row: the columns of `KEYPOINTS_SCHEMA`, of the sides of `Describe`, with the photo's own `gender` and `pose`.
    Returns:
        The columns of `TEMPLATE_SCHEMA`.
    Raises:
        DecodeError: the photo does not decode.
    """
    xy, confidence = joints(row)
    person = np.array(row["person_xyxy"], np.float32)
    pose = normalise(xy, confidence)
    what = pose_class(pose)
    caption, cloth, where = row["caption"], row["cloth"], scene(row["caption"])
    hard = difficulty(pose)
    good = quality(pose, xy, confidence, person, decode_rgb(row["image"]["bytes"]))
    sports = config.sports_from_captions and row["category"] == "lifestyle" and speaks_of_sport(caption)
    return {
        **row,
        "category": "sports" if sports else row["category"],
        "subcategory": where,
        "pose_class": what.value,
        "tags": list(tags(pose, what, row["people"], where, cloth_words(cloth, caption))),
        "difficulty": hard.level,
        "difficulty_score": hard.score,
        "difficulty_parts": json.dumps(hard.parts),
        "quality": good.score,
        "quality_parts": json.dumps(good.parts),
        "product_placement": placement(cloth, caption, pose),
        "gender": gender(row["gender"], caption),
        "source_gender": row["gender"],
        "source_pose": row["pose"],
    }
