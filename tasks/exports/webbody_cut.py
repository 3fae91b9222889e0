"""Pictures of a bundle: the body of each member, cut from its photo, and the face beside it as it came.

The photo is JPEG generation 1, the body here generation 2, whatever is made of it later has the same bytes.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.body.crop import INVISIBLE, bundle_picture
from tasks.exports.webbody_join import Members, Plan, Rows, detections
from tasks.images.decode import DecodeError, decode_rgb
from tasks.schema.columns import IMAGE, SAMPLE_FIELDS, shard_schema
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason

RECIPE: Final = "bundle-1"
"""Raised when the same photo gives other bytes, so that bundles are made again."""

_JOINTS: Final = len(COCO_17)

_FIXED: Final = (
    pa.field("idx", pa.string(), nullable=False),
    pa.field("listed_label", pa.string(), nullable=False),
    pa.field("path", pa.string(), nullable=False),
    pa.field("photo_id", pa.string(), nullable=False),
    pa.field("identity", pa.string(), nullable=False),
    pa.field("similarity", pa.float32(), nullable=False),
    pa.field("group_id", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
    pa.field("subsets", pa.list_(pa.string()), nullable=False),
    pa.field("image", IMAGE),
    pa.field("face", IMAGE),
    pa.field("keypoints_xy", pa.list_(pa.float32(), 2 * _JOINTS)),
    pa.field("keypoints_confidence", pa.list_(pa.float32(), _JOINTS)),
    pa.field("crop_width", pa.int32()),
    pa.field("crop_height", pa.int32()),
    pa.field("person_score", pa.float32(), nullable=False),
    pa.field("face_score", pa.float32(), nullable=False),
    pa.field("face_side_px", pa.float32(), nullable=False),
    pa.field("photo_sha256", pa.string(), nullable=False),
    pa.field("photo_phash", pa.uint64(), nullable=False),
)

BUNDLE_SCHEMA = shard_schema(
    pa.field("label", pa.int64(), nullable=False), pa.field("number", pa.int64(), nullable=False), *_FIXED
)
"""Columns of a bundle; `sample_id` is the face's.

`label` counts the identities of this bundle from 0 without gaps; `number` is the identity's own, the same in every
build; `listed_label` is what the URL list said. `keypoints_xy` are COCO-17 in pixels of `image`, -1 where the joint is
not seen or not in the picture. `crop_width` and `crop_height`: the body in pixels of the photo, before scaling.
"""

ROWS_SCHEMA = shard_schema(
    pa.field("local_idx", pa.int64(), nullable=False),
    *(field for field in list(BUNDLE_SCHEMA)[len(SAMPLE_FIELDS) :] if field.type != IMAGE),
)
"""What is known of each picture of a bundle, without the picture; `local_idx` is its number in the record files."""

PIECE_SCHEMA = shard_schema(*_FIXED, pa.field("reason", pa.string()), pa.field("detail", pa.string()))
"""The same before the labels are known; without picture, with `reason`, where a member cannot be shown."""


class CutConfig(Frozen):
    """What decides the bytes of a picture.

    `visible_confidence`: a joint below it counts as not seen. Source: ultralytics zeroed joints under 0.5 when the
    reference ran.
    """

    side: int = 384
    quality: int = 95
    visible_confidence: float = 0.5


@dataclass(frozen=True)
class _Failure:
    reason: Reason
    detail: str


@dataclass(frozen=True, eq=False)
class _Body:
    picture: bytes
    keypoints_xy: NDArray[np.float32]
    width: int
    height: int


_PEOPLE = (
    "crop_xyxy", "keypoints_xy", "keypoints_confidence", "photo_width", "photo_height", "person_score", "sha256",
    "phash",
)  # fmt: skip
_FACES = ("sample_id", "parent_id", "idx", "label", "photo_id", "face_score", "face_side_px", "aligned")
_PHOTOS = ("source_uri", "licence", "image")

Row = dict[str, Any]


def cut_members(
    plan: Plan, rows: Members, faces: Rows, people: Rows, photos: Rows, config: CutConfig, pool: Executor
) -> pa.Table:
    """Members `rows` of the plan with their pictures (`PIECE_SCHEMA`); each photo is decoded once.

    What a damaged photo costs is the members that it shows.
    """
    face_rows = faces.take(plan.face[rows], _FACES).to_pylist()
    person_rows = people.take(plan.person[rows], _PEOPLE).to_pylist()
    shown, of_photo = np.unique(plan.photo[rows], return_inverse=True)
    photo_rows = photos.take(shown, _PHOTOS).to_pylist()
    groups: list[list[Row]] = [[] for _ in photo_rows]
    for photo, person in zip(of_photo.tolist(), person_rows, strict=True):
        groups[photo].append(person)
    cut = pool.map(lambda photo, group: cut_people(photo["image"]["bytes"], group, config), photo_rows, groups)
    bodies = [iter(each) for each in cut]
    return _piece(
        plan,
        rows,
        face_rows,
        person_rows,
        [photo_rows[i] for i in of_photo.tolist()],
        [next(bodies[i]) for i in of_photo.tolist()],
    )


def cut_people(photo: bytes, people: Sequence[Row], config: CutConfig) -> list[_Body | _Failure]:
    """The bodies of people of one photo."""
    try:
        pixels = decode_rgb(photo)
    except DecodeError as error:
        return [_Failure(error.reason, f"the photo does not decode: {error}")] * len(people)
    return [_cut(pixels, person, config) for person in people]


def _cut(pixels: NDArray[np.uint8], person: Row, config: CutConfig) -> _Body | _Failure:
    height, width = pixels.shape[:2]
    if (width, height) != (person["photo_width"], person["photo_height"]):
        return _Failure(
            Reason.IMAGE_UNREADABLE,
            f"the photo is {width} x {height}, the person was found in {person['photo_width']} x "
            f"{person['photo_height']}",
        )
    crop = np.array(person["crop_xyxy"], np.float32)
    try:
        body = bundle_picture(pixels, crop, config.side)
    except ShapeError as error:
        return _Failure(Reason.IMAGE_EMPTY, str(error))
    left, top, right, bottom = crop.tolist()
    xy = _floats(person["keypoints_xy"], 2 * _JOINTS).reshape(_JOINTS, 2)
    confidence = _floats(person["keypoints_confidence"], _JOINTS)
    inside = ((xy >= crop[:2] - 0.5) & (xy <= crop[2:] - 0.5)).all(axis=1)
    seen = inside & (confidence >= config.visible_confidence)
    moved = np.where(seen[:, None], np.clip(body.to_bundle(xy), -0.5, config.side - 0.5), np.float32(INVISIBLE))
    return _Body(encode_body(body.picture, config.quality), moved, round(right - left), round(bottom - top))


def _floats(values: Sequence[float | None] | None, count: int) -> NDArray[np.float32]:
    """NaN where there is none."""
    return np.array([None] * count if values is None else values, np.float32)


def encode_body(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG with half the colour resolution, as the photo has; baseline, so that every reader takes it."""
    asked = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), asked)
    if not done:
        raise RuntimeError(f"OpenCV does not encode {rgb.shape} as JPEG")
    return bytes(encoded)


def _piece(
    plan: Plan,
    rows: Members,
    faces: list[Row],
    people: list[Row],
    photos: list[Row],
    bodies: list[_Body | _Failure],
) -> pa.Table:
    ids = pa.chunked_array([pa.array([face["sample_id"] for face in faces], pa.string())])
    paths = _paths(faces, detections(ids).to_pylist(), plan.repeated[rows].tolist())
    codes = zip(
        plan.identity[rows],
        plan.group[rows],
        plan.split[rows],
        plan.subsets_of(rows),
        plan.similarity[rows].tolist(),
        strict=True,
    )
    made = [
        {
            "sample_id": face["sample_id"],
            "parent_id": face["parent_id"],
            "source_uri": photo["source_uri"],
            "licence": photo["licence"],
            "idx": face["idx"],
            "listed_label": face["label"],
            "path": path,
            "photo_id": face["photo_id"],
            "identity": identity,
            "similarity": similarity,
            "group_id": group,
            "split": split,
            "subsets": subsets,
            "keypoints_confidence": person["keypoints_confidence"],
            "person_score": person["person_score"],
            "face_score": face["face_score"],
            "face_side_px": face["face_side_px"],
            "photo_sha256": person["sha256"],
            "photo_phash": person["phash"],
            **_shown(body, face["aligned"]["bytes"], path),
        }
        for face, person, photo, body, path, (identity, group, split, subsets, similarity) in zip(
            faces, people, photos, bodies, paths, codes, strict=True
        )
    ]
    return pa.Table.from_pylist(made, schema=PIECE_SCHEMA)


def _shown(body: _Body | _Failure, face: bytes, path: str) -> Row:
    if isinstance(body, _Failure):
        return {"reason": body.reason.value, "detail": body.detail}
    return {
        "image": {"bytes": body.picture, "path": path},
        "face": {"bytes": face, "path": path},
        "keypoints_xy": body.keypoints_xy.ravel().tolist(),
        "crop_width": body.width,
        "crop_height": body.height,
    }


def _paths(faces: Iterable[Row], found: Sequence[str], repeated: Sequence[bool]) -> list[str]:
    """`{label}/{idx}_{detection}.jpg` of the list, behind the photo's id where two lists have the same.

    Characters that end a line, a column or a name are written as `%` and hex digits.
    """
    paths = []
    for face, number, shared in zip(faces, found, repeated, strict=True):
        path = f"{_quoted(face['label'])}/{_quoted(face['idx'])}_{number}.jpg"
        paths.append(f"{_quoted(face['photo_id'])}/{path}" if shared else path)
    return paths


def _quoted(text: str) -> str:
    return (quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")) or "%"
