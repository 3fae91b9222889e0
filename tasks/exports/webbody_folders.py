"""The intermediate products in the folders and forms of the seed, for tools that were made for them.

raw_img_parquets_640/<n>_parquet/00000.parquet
    photos, the columns of img2dataset
raw_img_parquets_640_yolo_cropped/<n>_parquet/
    bodies as RecordIO, `body_kps_xyn.csv`, `bbox_xyxyn.csv` (both 0 to 1 of the photo), `confidence.csv`
raw_img_parquets_640_yolo_cropped_retinaface_resnet50_aligned_cropsize_160_maxsize_320/<n>_parquet/
    faces as RecordIO, `face_kps_xyn.csv` (0 to 1 of the picture), `face_confidence.csv`

`<n>` counts the shards. Faces pass through byte for byte; bodies are one JPEG generation more than the photo. What
could not be downloaded is not there: the rejects of the build say why.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.body.crop import person_crop
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.recordio import RecordFiles
from tasks.exports.webbody_cut import encode_body
from tasks.exports.webbody_formats import Drafts
from tasks.exports.webbody_join import Rows, detections
from tasks.face.align import aligned_points, similarity_transform
from tasks.images.decode import DecodeError, decode_rgb
from tasks.schema.errors import ConfigError, ShapeError, StoreError
from tasks.schema.keypoints import COCO_17
from tasks.schema.webbody import FACE_SCHEMA, LANDMARKS, PERSON_SCHEMA, WEB_PHOTO_SCHEMA
from tasks.shards.files import LocalFiles

Product = Literal["photos", "people", "faces"]

FOLDERS: Final[dict[Product, str]] = {
    "photos": "raw_img_parquets_640",
    "people": "raw_img_parquets_640_yolo_cropped",
    "faces": "raw_img_parquets_640_yolo_cropped_retinaface_resnet50_aligned_cropsize_160_maxsize_320",
}
"""Source: the seed."""

DOWNLOADED_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("idx", "label", "url", "key", "status", "error_message")),
        *((name, pa.int64()) for name in ("width", "height", "original_width", "original_height")),
        *((name, pa.string()) for name in ("exif", "sha256")),
        ("jpg", pa.binary()),
    ]
)
"""Source: the columns of the reference's download step."""

_CROP_QUALITY: Final = 100
"""Source: the reference's body crops."""

_NUMBERED: Final = ("local_idx", "global_idx", "detection_idx")
_LARGEST_LABEL: Final = 1 << 24
"""A record holds its label as float32, whose whole numbers end here."""

Row = dict[str, Any]


def export_folders(
    photos: Sequence[Path],
    people: Sequence[Path],
    faces: Sequence[Path],
    root: Path,
    products: Sequence[Product],
    files: LocalFiles | None = None,
) -> dict[Product, FolderChange]:
    """Write intermediate products, or bring them up to date; a folder's old files stay until its new ones are whole.

    Args:
        photos, people, faces: all shards of the build, `people[i]` made from `photos[i]` alone.
    Raises:
        ConfigError: a label of the URL list is no whole number, which records need; or a file is in the way.
        StoreError: a person has no photo in the shard beside, or the disk does not take more.
    """
    files = files or LocalFiles()
    changes: dict[Product, FolderChange] = {}
    for product in products:
        with (
            OwnedFolder(root / FOLDERS[product], files) as out,
            Drafts(out, files) as drafts,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            if product == "photos":
                for number, path in enumerate(photos):
                    _write_photos(drafts, number, path)
            elif product == "people":
                for number, (path, beside) in enumerate(zip(people, photos, strict=True)):
                    _write_people(drafts, number, path, beside, pool)
            else:
                for number, path in enumerate(faces):
                    _write_faces(drafts, number, path)
            drafts.settle()
            out.adopt_all(drafts.made)
            changes[product] = out.finish()
    return changes


def _write_photos(drafts: Drafts, number: int, path: Path) -> None:
    writer = drafts.open_parquet(f"{number}_parquet/00000.parquet", DOWNLOADED_SCHEMA)
    for start, rows in Rows([path], WEB_PHOTO_SCHEMA).groups(tuple(WEB_PHOTO_SCHEMA.names)):
        given = {
            "key": pa.array([f"{number:05d}{start + i:04d}" for i in range(rows.num_rows)]),
            "status": pa.array(["success"] * rows.num_rows, pa.string()),
            "error_message": pa.nulls(rows.num_rows, pa.string()),
            "jpg": rows["image"].combine_chunks().field("bytes"),
        }
        columns = [
            given[n] if n in given else rows[n].cast(DOWNLOADED_SCHEMA.field(n).type) for n in DOWNLOADED_SCHEMA.names
        ]
        writer.write(pa.table(columns, schema=DOWNLOADED_SCHEMA))
    drafts.close_parquet(writer)


class _Records:
    """`train.rec`, `.idx`, `.tsv` of one shard, and tables with a row for each record."""

    def __init__(self, drafts: Drafts, folder: str, tables: Mapping[str, Sequence[str]]) -> None:
        self._drafts = drafts
        self._streams = [drafts.open(f"{folder}/train.{kind}") for kind in ("rec", "idx", "tsv")]
        self._files = RecordFiles(*self._streams)
        self._tables = {name: drafts.open(f"{folder}/{name}.csv") for name in tables}
        for name, columns in tables.items():
            self._tables[name].write((",".join((*_NUMBERED, *columns)) + "\n").encode())

    def add(self, row: Row, detection: str, picture: bytes, values: Mapping[str, NDArray[np.floating]]) -> None:
        label = row["label"]
        if not label.isdecimal() or int(label) > _LARGEST_LABEL:
            raise ConfigError(
                f"Records need whole numbers up to {_LARGEST_LABEL} as labels, the URL list says {label!r} for "
                f"{row['idx']}: leave the folders of people and faces out, or number the labels of the list."
            )
        head = f"{self._files.count},{row['idx']},{detection}"
        self._files.add(f"{label}/{row['idx']}_{detection}.jpg", int(label), picture)
        for name, numbers in values.items():
            said = ",".join("0" if v == 0 or np.isnan(v) else f"{v:.5f}" for v in np.ravel(numbers).tolist())
            self._tables[name].write(f"{head},{said}\n".encode())

    def end(self) -> None:
        for stream in (*self._streams, *self._tables.values()):
            self._drafts.close(stream)


def _write_people(drafts: Drafts, number: int, path: Path, beside: Path, pool: Executor) -> None:
    joints = [f"kp_{i}_{axis}" for i in range(len(COCO_17)) for axis in "xy"]
    box = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]
    tables = {"body_kps_xyn": joints, "bbox_xyxyn": box, "confidence": ["confidence"]}
    records = _Records(drafts, f"{number}_parquet", tables)
    photos = Rows([beside], WEB_PHOTO_SCHEMA)
    place = {name: start + i for start, ids in photos.groups(("sample_id",)) for i, name in enumerate(_ids(ids))}
    for _, people in Rows([path], PERSON_SCHEMA).groups(tuple(PERSON_SCHEMA.names)):
        for some in _chunks(people, 64):
            rows = some.to_pylist()
            missing = [row["parent_id"] for row in rows if row["parent_id"] not in place]
            if missing:
                raise StoreError(f"{beside} has no photo {missing[0]}: pass the shards of photos and people in step.")
            wanted = np.array([place[row["parent_id"]] for row in rows], np.int64)
            images = photos.take(wanted, ("image",))["image"].to_pylist()
            crops = pool.map(_crop, [image["bytes"] for image in images], [row["crop_xyxy"] for row in rows])
            for row, detection, crop in zip(rows, detections(some["sample_id"]).to_pylist(), crops, strict=True):
                if crop is not None:
                    size = np.array([row["photo_width"], row["photo_height"]])
                    xy = np.array(row["keypoints_xy"], float).reshape(-1, 2)
                    values = {
                        "body_kps_xyn": (xy + 0.5) / size,
                        "bbox_xyxyn": np.array(row["crop_xyxy"]).reshape(2, 2) / size,
                        "confidence": np.array([row["person_score"]]),
                    }
                    records.add(row, detection, crop, values)
    records.end()


def _crop(photo: bytes, crop_xyxy: list[float]) -> bytes | None:
    """The body as JPEG; None: the photo does not decode, or the crop is not in it."""
    try:
        return encode_body(person_crop(decode_rgb(photo), crop_xyxy), _CROP_QUALITY)
    except (DecodeError, ShapeError):
        return None


def _write_faces(drafts: Drafts, number: int, path: Path) -> None:
    points = [f"kp_{i}_{axis}" for i in range(LANDMARKS) for axis in "xy"]
    records = _Records(drafts, f"{number}_parquet", {"face_kps_xyn": points, "face_confidence": ["confidence"]})
    for _, faces in Rows([path], FACE_SCHEMA).groups(tuple(FACE_SCHEMA.names)):
        for row, detection in zip(faces.to_pylist(), detections(faces["sample_id"]).to_pylist(), strict=True):
            landmarks, side = np.array(row["landmarks_xy"], float).reshape(-1, 2), row["aligned_side_px"]
            to_face = similarity_transform(landmarks, aligned_points(side))
            moved = landmarks @ to_face[:, :2].T + to_face[:, 2]
            values = {"face_kps_xyn": (moved + 0.5) / side, "face_confidence": np.array([row["face_score"]])}
            records.add(row, detection, row["aligned"]["bytes"], values)
    records.end()


def _ids(rows: pa.Table) -> list[str]:
    found: list[str] = rows["sample_id"].to_pylist()
    return found


def _chunks(rows: pa.Table, size: int) -> Iterator[pa.Table]:
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)
