"""Columns of the shards that lead from a photo to a pose template."""

import pyarrow as pa

from tasks.schema.columns import IMAGE, keypoint_fields, shard_schema
from tasks.schema.keypoints import OPENPOSE_18

PHOTO_SCHEMA = shard_schema(
    pa.field("source", pa.string(), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("image", IMAGE),
    pa.field("conditioning", IMAGE),
    pa.field("mask", IMAGE),
    pa.field("mask_overlay", IMAGE),
    pa.field("caption", pa.string()),
    pa.field("gender", pa.string()),
    pa.field("pose", pa.string()),
    pa.field("cloth", pa.string()),
    pa.field("pid", pa.string()),
)
"""What ingest gives: bytes as they came, and what the source said (its own words, nulls kept).

`source` is the name of the source in the flow's parameters, `category` the category it was listed under, `conditioning`
an OpenPose drawing of `image`.
"""

INSPECTED_SCHEMA = shard_schema(
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("format", pa.string(), nullable=False),
    pa.field("exif_orientation", pa.int8(), nullable=False),
    pa.field("encoded_bytes", pa.int64(), nullable=False),
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("phash", pa.uint64(), nullable=False),
    pa.field("conditioning_ok", pa.bool_(), nullable=False),
)
"""Photos that decode. Size in pixels after the EXIF orientation (1 to 8, 1: none) was applied; `format` is Pillow's
name ("JPEG"), `sha256` is of the encoded bytes, `phash` the 64-bit perceptual hash of the upright picture.
`conditioning_ok`: there is a drawing, it decodes, and it is not far larger than the photo."""

_XY, _CONFIDENCE = keypoint_fields(len(OPENPOSE_18))

KEYPOINTS_SCHEMA = shard_schema(
    _XY,
    _CONFIDENCE,
    pa.field("keypoints_from", pa.string(), nullable=False),
    pa.field("people", pa.int32(), nullable=False),
    pa.field("person_xyxy", pa.list_(pa.float32(), 4), nullable=False),
)
"""The main person: OpenPose-18 in pixels of the upright photo; where they come from (`drawing` or a model's name);
how many people were seen; the person's box (of the model, or around the joints)."""

_DESCRIBED_FIELDS = (
    pa.field("source", pa.string(), nullable=False),
    pa.field("category", pa.string(), nullable=False),
    pa.field("subcategory", pa.string(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("phash", pa.uint64(), nullable=False),
    _XY,
    _CONFIDENCE,
    pa.field("keypoints_from", pa.string(), nullable=False),
    pa.field("people", pa.int32(), nullable=False),
    pa.field("person_xyxy", pa.list_(pa.float32(), 4), nullable=False),
    pa.field("pose_class", pa.string(), nullable=False),
    pa.field("tags", pa.list_(pa.string()), nullable=False),
    pa.field("difficulty", pa.string(), nullable=False),
    pa.field("difficulty_score", pa.float32(), nullable=False),
    pa.field("difficulty_parts", pa.string(), nullable=False),
    pa.field("quality", pa.float32(), nullable=False),
    pa.field("quality_parts", pa.string(), nullable=False),
    pa.field("product_placement", pa.string()),
    pa.field("gender", pa.string()),
    pa.field("caption", pa.string()),
    pa.field("source_gender", pa.string()),
    pa.field("source_pose", pa.string()),
    pa.field("cloth", pa.string()),
    pa.field("pid", pa.string()),
)

TEMPLATE_SCHEMA = shard_schema(*_DESCRIBED_FIELDS)
"""A described pose: light (no pixels), everything that the exports and Postgres need.

`category` is fashion, lifestyle or sports (a lifestyle caption that speaks of sport); `gender` female, male, unisex or
null; `difficulty` easy, medium or hard; `*_parts` are JSON objects name -> score within 0 and 1; `source_*` are the
source's own words.
"""

PREVIEW_SCHEMA = shard_schema(
    pa.field("overlay", IMAGE, nullable=False),
    pa.field("skeleton", IMAGE, nullable=False),
    pa.field("thumbnail", IMAGE, nullable=False),
)
"""Rendered pictures of one template: skeleton on photo, skeleton alone, thumbnail."""
