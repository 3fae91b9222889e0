"""Columns of the shards that lead from a URL list to cleaned identities with their bodies and faces.

Frames: the *photo* frame is in pixels of the stored picture (640 px, white border included); the *crop* frame has its
origin at the left top of `crop_xyxy`, in the same pixels. Pixel centres lie at whole numbers.
"""

import pyarrow as pa

from tasks.schema.columns import IMAGE, keypoint_fields, shard_schema
from tasks.schema.keypoints import COCO_17

LANDMARKS = 5
"""Left eye, right eye, nose, left mouth corner, right mouth corner, as the viewer sees them: the ArcFace order."""

_XYXY = pa.list_(pa.float32(), 4)

_LISTED_FIELDS = (
    pa.field("idx", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
)
"""What the URL list said, as text; on every row from the list to the bundle."""

_PHOTO_ID = pa.field("photo_id", pa.string(), nullable=False)

URL_SCHEMA = shard_schema(*_LISTED_FIELDS, pa.field("url", pa.string(), nullable=False))
"""A well-formed line of a URL list. `source_uri` is the URL."""

WEB_PHOTO_SCHEMA = shard_schema(
    *_LISTED_FIELDS,
    pa.field("url", pa.string(), nullable=False),
    pa.field("image", IMAGE, nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("content_xyxy", _XYXY, nullable=False),
    pa.field("original_width", pa.int32(), nullable=False),
    pa.field("original_height", pa.int32(), nullable=False),
    pa.field("exif", pa.string()),
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("attempt", pa.int16(), nullable=False),
    pa.field("fetched_at", pa.timestamp("ms", "UTC"), nullable=False),
    pa.field("http_status", pa.int16(), nullable=False),
    pa.field("final_url", pa.string(), nullable=False),
    pa.field("headers", pa.string(), nullable=False),
    pa.field("reuse", pa.string()),
)
"""A downloaded photo: JPEG generation 1, resized by img2dataset with a border.

`content_xyxy` is the photo inside its white border; `sha256` is of the bytes as the server sent them; `attempt` counts
from 0; `headers` is a JSON object, lower-case names, of what the server said about the picture and its reuse; `reuse` a
JSON array of the addresses on the way to it, with what robots.txt and tdmrep.json of their hosts say.
"""

_JOINTS_XY, _JOINTS_CONFIDENCE = keypoint_fields(len(COCO_17))
_CROP_JOINTS_XY, _ = keypoint_fields(len(COCO_17), "crop_keypoints")

PERSON_SCHEMA = shard_schema(
    *_LISTED_FIELDS,
    pa.field("sha256", pa.string(), nullable=False),
    pa.field("phash", pa.uint64(), nullable=False),
    pa.field("photo_width", pa.int32(), nullable=False),
    pa.field("photo_height", pa.int32(), nullable=False),
    pa.field("person_score", pa.float32(), nullable=False),
    pa.field("person_xyxy", _XYXY, nullable=False),
    pa.field("crop_xyxy", _XYXY, nullable=False),
    _JOINTS_XY,
    _JOINTS_CONFIDENCE,
    _CROP_JOINTS_XY,
)
"""One person of a photo (`parent_id`), best first: `<photo>/p0`, `/p1`, ...

`person_xyxy` as the model saw it; `crop_xyxy` is that box and 5 % a side, clipped to the photo inside its border, at
whole pixels; keypoints are COCO-17 in the photo and in the crop frame, with every confidence the model gave. `sha256`
and `phash` (of the photo inside its border) are the photo's.
"""

FACE_SCHEMA = shard_schema(
    *_LISTED_FIELDS,
    _PHOTO_ID,
    pa.field("face_score", pa.float32(), nullable=False),
    pa.field("face_side_px", pa.float32(), nullable=False),
    pa.field("face_xyxy", _XYXY, nullable=False),
    pa.field("landmarks_xy", pa.list_(pa.float32(), 2 * LANDMARKS), nullable=False),
    pa.field("crop_face_xyxy", _XYXY, nullable=False),
    pa.field("crop_landmarks_xy", pa.list_(pa.float32(), 2 * LANDMARKS), nullable=False),
    pa.field("sharpness", pa.float32(), nullable=False),
    pa.field("frontality", pa.float32(), nullable=False),
    pa.field("aligned", IMAGE, nullable=False),
    pa.field("aligned_side_px", pa.int32(), nullable=False),
)
"""The face of a person (`parent_id`): `<person>/f0`.

`face_side_px` is the longer side of the box in the photo frame; `crop_*` are in the frame of the person's crop;
`sharpness` and `frontality` are 0 to 1, higher is better; `aligned` is the face at the ArcFace points, a square of
`aligned_side_px` (160 to 320) pixels that shows 160 units of a frame whose middle 112 are the ArcFace frame.
"""


def embedding_schema(width: int) -> pa.Schema:
    """Columns of recognised faces: what linkage needs, and no pixels; `sample_id` and `parent_id` are the face's.

    Args:
        width: numbers of an embedding; the model's own.
    """
    return shard_schema(
        *_LISTED_FIELDS,
        _PHOTO_ID,
        pa.field("face_score", pa.float32(), nullable=False),
        pa.field("face_side_px", pa.float32(), nullable=False),
        pa.field("face_xyxy", _XYXY, nullable=False),
        pa.field("sharpness", pa.float32(), nullable=False),
        pa.field("frontality", pa.float32(), nullable=False),
        pa.field("embedding", pa.list_(pa.float16(), width), nullable=False),
        pa.field("norm", pa.float32(), nullable=False),
    )


IDENTITY_SCHEMA = shard_schema(
    *_LISTED_FIELDS,
    _PHOTO_ID,
    pa.field("identity", pa.string(), nullable=False),
    pa.field("former_identities", pa.list_(pa.string()), nullable=False),
    pa.field("similarity", pa.float32(), nullable=False),
    pa.field("face_score", pa.float32(), nullable=False),
    pa.field("face_side_px", pa.float32(), nullable=False),
    pa.field("norm", pa.float32(), nullable=False),
)
"""A face and whose it is.

`identity` stays the same from build to build; `former_identities` are those that the face had before, latest last
(aliases after merges and splits); `similarity` is the cosine to the centre of the identity's other faces.
"""

MEMBER_SCHEMA = shard_schema(
    *_LISTED_FIELDS,
    _PHOTO_ID,
    pa.field("identity", pa.string(), nullable=False),
    pa.field("similarity", pa.float32(), nullable=False),
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("subsets", pa.list_(pa.string()), nullable=False),
)
"""A face of the finished dataset: who it is, and where it belongs.

`group_id` is persistent and shared by whatever must not be divided (an identity and all that shares photos with it);
`split` is train, validation or test; `subsets` are names as wb4m, wb12m, wb_testing.
"""
