"""Columns and types of the shards that lead from films to patches for super-resolution."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import pyarrow as pa

from tasks.schema.columns import shard_schema

WINDOW_FRAMES = 7
"""Consecutive frames of a window; the middle one, 3, is the ground truth."""

CATEGORIES = ("general", "space", "toon")
"""Source: the seed."""


class Transfer(StrEnum):
    """How code values become light, by the transfer tag alone, never by bit depth."""

    SDR = "sdr"
    PQ = "pq"
    HLG = "hlg"


@dataclass(frozen=True)
class Film:
    """What probing found out about a film. Sizes in pixels.

    `width` and `height` are of the upright picture (after rotation and with square pixels), `coded_width` and
    `coded_height` as decoded; `rotation` is clockwise in degrees (0, 90, 180, 270); `content` is the picture inside its
    letterbox, left, top, right, bottom of the upright picture, right and bottom exclusive; `fps` the average frame
    rate, `time_base` that of the video stream; `vfr`: gaps between frames differ; `primaries`, `matrix` and
    `full_range` as tagged, "unknown" where they are not; `chroma_location` where chroma lies between luma samples, in
    ffmpeg's words, "left" where the film does not tell.
    """

    path: str
    digest: str
    size_bytes: int
    codec: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    content: tuple[int, int, int, int]
    fps: Fraction
    time_base: Fraction
    start_pts: int
    duration_s: float
    bit_depth: int
    transfer: Transfer
    primaries: str
    matrix: str
    full_range: bool
    interlaced: bool
    vfr: bool
    chroma_location: str = "left"


FILM_SCHEMA = shard_schema(
    pa.field("name", pa.string(), nullable=False),
    pa.field("codec", pa.string(), nullable=False),
    pa.field("size_bytes", pa.int64(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("coded_width", pa.int32(), nullable=False),
    pa.field("coded_height", pa.int32(), nullable=False),
    pa.field("rotation", pa.int16(), nullable=False),
    pa.field("content", pa.list_(pa.int32(), 4), nullable=False),
    pa.field("fps", pa.list_(pa.int64(), 2), nullable=False),
    pa.field("time_base", pa.list_(pa.int64(), 2), nullable=False),
    pa.field("start_pts", pa.int64(), nullable=False),
    pa.field("duration_s", pa.float64(), nullable=False),
    pa.field("bit_depth", pa.int16(), nullable=False),
    pa.field("transfer", pa.string(), nullable=False),
    pa.field("primaries", pa.string(), nullable=False),
    pa.field("matrix", pa.string(), nullable=False),
    pa.field("full_range", pa.bool_(), nullable=False),
    pa.field("interlaced", pa.bool_(), nullable=False),
    pa.field("vfr", pa.bool_(), nullable=False),
    pa.field("chroma_location", pa.string(), nullable=False),
    pa.field("digest", pa.string(), nullable=False),
)
"""A film that can be cut: see `Film`. `sample_id` is its short name; `source_uri` its file name, never its folder."""

WINDOW_SCHEMA = shard_schema(
    pa.field("film", pa.string(), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("format", pa.string(), nullable=False),
    pa.field("tries", pa.list_(pa.float64()), nullable=False),
    pa.field("crop_u", pa.list_(pa.float64()), nullable=False),
    pa.field("crop_v", pa.list_(pa.float64()), nullable=False),
    pa.field("scaled_width", pa.int32(), nullable=False),
    pa.field("scaled_height", pa.int32(), nullable=False),
)
"""A window as planned for one category: `<film>/w000123_space`, sorted by first time within its shard.

`tries` are times in seconds from the film's first frame, the wanted one first, then its replacements: a window is the
seven frames from the first one at or after such a time. Rows of several categories may share their times, so that the
frames are decoded once. `crop_u` and `crop_v`, 0 to 1, one for each try, say where between the left and right, top and
bottom ends of the picture (without its letterbox) the patch lies. `scaled_width` and `scaled_height` are the size in
pixels to which the whole upright picture (with its letterbox) is scaled before the patch is cut: what fits into
1920x1080 (1080x1920 for portrait), more where the format would not fit otherwise, never more than the film has.
"""

PATCH_SCHEMA = shard_schema(
    pa.field("film", pa.string(), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("format", pa.string(), nullable=False),
    pa.field("try", pa.int16(), nullable=False),
    pa.field("pts", pa.list_(pa.int64(), WINDOW_FRAMES), nullable=False),
    pa.field("time_s", pa.float64(), nullable=False),
    pa.field("scaled_width", pa.int32(), nullable=False),
    pa.field("scaled_height", pa.int32(), nullable=False),
    pa.field("crop_xyxy", pa.list_(pa.int32(), 4), nullable=False),
    pa.field("first_last_difference", pa.float32(), nullable=False),
    pa.field("largest_difference", pa.float32(), nullable=False),
    pa.field("shot_score", pa.float32(), nullable=False),
    pa.field("detail", pa.float32(), nullable=False),
    pa.field("motion", pa.float32(), nullable=False),
    pa.field("gt_path", pa.string(), nullable=False),
    pa.field("gt_bytes", pa.int64(), nullable=False),
    pa.field("gt_digest", pa.string(), nullable=False),
    pa.field("lr5_path", pa.string(), nullable=False),
    pa.field("lr5_bytes", pa.int64(), nullable=False),
    pa.field("lr5_digest", pa.string(), nullable=False),
    pa.field("lr7_path", pa.string(), nullable=False),
    pa.field("lr7_bytes", pa.int64(), nullable=False),
    pa.field("lr7_digest", pa.string(), nullable=False),
)
"""A window that was written. Paths below the root of the tree, `/` between folders; digests BLAKE3 of the files.

`crop_xyxy` is the patch in the scaled picture; differences are mean absolute ones of tonemapped 8-bit thumbnails, 0 to
255.
"""
