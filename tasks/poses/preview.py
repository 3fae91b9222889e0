"""The stage that renders a template for people and for ControlNet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from tasks.body.drawing import draw_openpose, draw_skeleton_on
from tasks.images.decode import decode_rgb, decoder_build
from tasks.images.sheet import encode_jpeg, encode_png, thumbnail
from tasks.poses.rows import each_photo, person
from tasks.schema.ids import template_id
from tasks.schema.records import Frozen
from tasks.schema.templates import PREVIEW_SCHEMA
from tasks.shards.stage import Side, Stage, StageOutput

CONTROLNET_SIDE = 512
CONTROLNET_STICK = 4.0
"""Pixels; half the width of the limbs that ControlNet's annotator draws on pictures of that side."""

OVERLAY_STICKS = (1.5, 6.0)
"""Pixels; half the width of the limbs laid over a photo, at least and at most."""
OVERLAY_STICK_SHARE = 1 / 100
"""Of the person's longer side: the same look for people near and far."""


class PreviewConfig(Frozen):
    """Longest sides in pixels; smaller photos are not enlarged."""

    overlay_px: int = Field(768, ge=64)
    skeleton_px: int = Field(1024, ge=64)
    thumbnail_px: int = Field(256, ge=16)
    jpeg_quality: int = Field(90, ge=1, le=100)


@dataclass(frozen=True)
class Preview(Stage):
    """Templates, beside their photos -> skeleton on the photo, skeleton on black, thumbnail.

    The skeleton is a PNG in the photo's proportions, as ControlNet wants its condition; the others are JPEG. The
    thumbnail shows the photo. Rejects only photos that do not decode any more.
    """

    config: PreviewConfig

    name: ClassVar[str] = "preview"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("image",)),)

    @property
    def schema(self) -> pa.Schema:
        return PREVIEW_SCHEMA

    def execution(self) -> dict[str, str]:
        return {**decoder_build(), "opencv": cv2.__version__}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        return each_photo(batches, lambda row: render(row, self.config), PREVIEW_SCHEMA)


def render(row: dict[str, Any], config: PreviewConfig) -> dict[str, Any]:
    """The pictures of one template.

    Args:
        row: the columns of `TEMPLATE_SCHEMA`, and the photo as `image`.
    Returns:
        The columns of `PREVIEW_SCHEMA`; the pictures are named after the template.
    Raises:
        DecodeError: the photo does not decode.
    """
    photo = decode_rgb(row["image"]["bytes"])
    height, width = photo.shape[:2]
    shown = thumbnail(photo, config.overlay_px)
    overlay = _overlay(shown, row, max(shown.shape[:2]) / max(height, width))
    scale = min(1.0, config.skeleton_px / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    stick = max(1.0, CONTROLNET_STICK * min(size) / CONTROLNET_SIDE)
    skeleton = draw_openpose(person(row, scale), *size, stick_width=stick)
    name = template_id(row["sample_id"])
    pictures = {
        "overlay": (encode_jpeg(overlay, config.jpeg_quality), f"{name}_overlay.jpg"),
        "skeleton": (encode_png(skeleton), f"{name}_skeleton.png"),
        "thumbnail": (encode_jpeg(thumbnail(shown, config.thumbnail_px), config.jpeg_quality), f"{name}_thumbnail.jpg"),
    }
    return {
        **{column: row[column] for column in ("sample_id", "parent_id", "source_uri", "licence")},
        **{column: {"bytes": data, "path": path} for column, (data, path) in pictures.items()},
    }


def _overlay(shown: NDArray[np.uint8], row: dict[str, Any], scale: float) -> NDArray[np.uint8]:
    left, top, right, bottom = row["person_xyxy"]
    size = max(right - left, bottom - top) * scale
    stick = min(max(size * OVERLAY_STICK_SHARE, OVERLAY_STICKS[0]), OVERLAY_STICKS[1])
    return draw_skeleton_on(shown, person(row, scale), stick_width=stick)
