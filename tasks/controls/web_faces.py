"""Photos with drawn faces, and what the stages of faces and of recognition say of them."""

import io
from collections.abc import Callable
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.controls.finding import Finding
from tasks.controls.passage import Came, Row
from tasks.controls.pictures import FACE_LANDMARKS, slope, with_face
from tasks.controls.web_people import CANVAS, web_photo
from tasks.face.faces import FindFaces
from tasks.face.recognise import Recognise
from tasks.models.zoo import verified_file
from tasks.schema.keypoints import COCO_17
from tasks.schema.rejections import Reason

WIDTH, HEIGHT = 480, 400
FACE: Final = 170
"""Pixels of a drawn face's picture; the face itself is 0.6 of that wide."""

FOUND_SHARE: Final = 0.5
LANDMARK: Final = 0.06
"""Share of drawn faces that a detector has to find, and how far off landmarks may be, in the side of a face's picture:
RetinaFace finds all; 0.03 (measured)."""

MOVED_PX: Final = 0.05
LEVELS: Final = 6.0
"""Levels of 255 by which an aligned face may differ from one that is cut by other means, in the mean: 1.5 measured."""

SAME_COSINE: Final = 0.995
NORM: Final = 0.02

_ARCFACE: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Source: InsightFace's `arcface_dst`, 112 px."""

_PHOTOS: Final = {
    "control/one": ((80, 0), ((150, 200, -1.0),)),
    "control/moved": ((41, 223), ((150, 200, -1.0),)),
    "control/two": ((0, 120), ((110, 150, 0.0), (350, 180, 1.0))),
    "control/none": ((80, 120), ()),
}
"""Sample -> left top of the photo in the stored picture, and of each face the centre in the photo and the tint."""

_HEADLESS, _FACELESS = "control/none/p0", "control/none/p1"


class PlantedFaces:
    """Drawn faces on people whose joints are known, a person whose head is not in sight, and one without a face."""

    @cached_property
    def photos(self) -> dict[str, NDArray[np.uint8]]:
        """Sample -> the photo inside its border."""
        made = {}
        for name, (_, faces) in _PHOTOS.items():
            shown = slope(HEIGHT, WIDTH)
            for x, y, tint in faces:
                shown = with_face(shown, (x, y), FACE, tint)
            made[name] = shown
        return made

    @cached_property
    def people(self) -> dict[str, tuple[float, float] | None]:
        """Person -> the centre of the face in the stored picture; None: no joint of the head is in sight."""
        found: dict[str, tuple[float, float] | None] = {}
        for name, (place, faces) in _PHOTOS.items():
            found |= {f"{name}/p{n}": (place[0] + x, place[1] + y) for n, (x, y, _) in enumerate(faces)}
        left, top = _PHOTOS["control/none"][0]
        return {**found, _HEADLESS: None, _FACELESS: (left + 240.0, top + 200.0)}

    def photo_rows(self) -> list[Row]:
        """Rows of `WEB_PHOTO_SCHEMA`."""
        return [web_photo(name, shown, _PHOTOS[name][0]) for name, shown in self.photos.items()]

    def person_rows(self) -> list[Row]:
        """Rows of `PERSON_SCHEMA`, photo by photo."""
        return [person_row(name, centre) for name, centre in self.people.items()]


def person_row(name: str, centre: tuple[float, float] | None) -> Row:
    """A person whose head is at a place of the stored picture, or not in sight."""
    x, y = centre or (320.0, 320.0)
    box = [max(0.0, x - 110), max(0.0, y - 100), min(CANVAS, x + 110), min(CANVAS, y + 180)]
    joints = {"nose": (0, 10), "left_eye": (21, -8), "right_eye": (-21, -8), "left_ear": (50, 0), "right_ear": (-50, 0)}
    seen = {**(joints if centre else {}), "left_shoulder": (80, 110), "right_shoulder": (-80, 110)}
    xy: list[float | None] = [None for _ in range(2 * len(COCO_17))]
    for joint, (across, down) in seen.items():
        at = COCO_17.index(joint)
        xy[2 * at : 2 * at + 2] = [x + across, y + down]
    crop = [float(round(v)) for v in box]
    photo = name.rsplit("/", 1)[0]
    return {
        "sample_id": name,
        "parent_id": photo,
        "idx": name,
        "label": f"label of {photo}",
        "sha256": photo,
        "phash": 0,
        "photo_width": CANVAS,
        "photo_height": CANVAS,
        "person_score": 0.9,
        "person_xyxy": box,
        "crop_xyxy": crop,
        "keypoints_xy": xy,
        "keypoints_confidence": [0.9 if joint in seen else 0.0 for joint in COCO_17.joints],
        "crop_keypoints_xy": [None if v is None else v - crop[n % 2] for n, v in enumerate(xy)],
    }


def face_findings(came: Came, known: PlantedFaces, stage: FindFaces) -> list[Finding]:
    """Whether drawn faces are found where they are, belong to their person, and are cut at their landmarks."""
    name_of = {row["parent_id"]: row for row in came.kept.values()}
    drawn = {name: centre for name, centre in known.people.items() if name not in (_HEADLESS, _FACELESS)}
    found = {name: name_of[name] for name in drawn if name in name_of}
    off = [np.abs(_points(row) - _truth(drawn[name])).mean() / FACE for name, row in found.items()]
    moved = 0.0
    if {"control/one/p0", "control/moved/p0"} <= found.keys():
        shift = np.subtract(_PHOTOS["control/moved"][0], _PHOTOS["control/one"][0])
        one, other = found["control/one/p0"], found["control/moved/p0"]
        places = np.abs(_points(other) - _points(one) - shift).max()
        boxes = np.abs(np.subtract(other["face_xyxy"], one["face_xyxy"]) - np.tile(shift, 2)).max()
        moved = float(max(places, boxes))
    uncropped = {name: _from_crop(row, person_row(name, drawn[name])) for name, row in found.items()}
    labels = {
        name: row["label"] == f"label of {row['photo_id']}" and name.startswith(row["photo_id"])
        for name, row in found.items()
    }
    scores = {name: row["face_score"] >= stage.score_floor for name, row in found.items()}
    gone = {
        _HEADLESS: came.rejected.get(_HEADLESS, {}).get("reason") == Reason.HEAD_NOT_VISIBLE,
        _FACELESS: _FACELESS in came.rejected,
    }
    stored = {row["sample_id"]: web_photo_pixels(row["sample_id"], known) for row in known.photo_rows()}
    aligned = [_aligned_off(row, stored[row["photo_id"]]) for row in found.values()]
    share = len(found) / len(drawn)
    return [
        Finding.none_wrong("faces", "people without a face", gone, "They are left out."),
        Finding.at_least("faces", "drawn faces found", share, FOUND_SHARE, "share", f"{len(found)} of {len(drawn)}."),
        Finding.at_most(
            "faces", "landmarks", float(max(off, default=0.0)), LANDMARK, "of a face", "From the drawn ones."
        ),
        Finding.at_most("faces", "the same face at another place", moved, MOVED_PX, "px", "Moved by as much."),
        Finding.none_wrong("faces", "places in the crop", uncropped, "As in the photo, from the corner of the crop."),
        Finding.none_wrong("faces", "label and photo", labels),
        Finding.none_wrong("faces", "scores over the floor", scores),
        Finding.at_most("faces", "pixels of aligned faces", max(aligned, default=0.0), LEVELS, "levels"),
    ]


def web_photo_pixels(name: str, known: PlantedFaces) -> NDArray[np.uint8]:
    """The photo inside its border, on black: what lies beyond is not cut."""
    (left, top), _ = _PHOTOS[name]
    stored = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    stored[top : top + HEIGHT, left : left + WIDTH] = known.photos[name]
    return stored


def _points(row: Row) -> NDArray[np.float64]:
    return np.array(row["landmarks_xy"], np.float64).reshape(5, 2)


def _truth(centre: tuple[float, float] | None) -> NDArray[np.float64]:
    return np.asarray(np.array(centre) + FACE_LANDMARKS * FACE, np.float64)


def _from_crop(row: Row, person: Row) -> bool:
    corner = np.array(person["crop_xyxy"][:2])
    points = np.array(row["crop_landmarks_xy"]).reshape(5, 2) + corner
    boxes = np.array(row["crop_face_xyxy"]) + np.tile(corner, 2)
    return bool(np.abs(points - _points(row)).max() < 0.01 and np.abs(boxes - row["face_xyxy"]).max() < 0.01)


def _aligned_off(row: Row, stored: NDArray[np.uint8]) -> float:
    """How far an aligned face is from one that is cut at its landmarks by least squares and OpenCV, levels."""
    side = row["aligned_side_px"]
    target = (_ARCFACE + 24.5) * side / 160 - 0.5
    points = _points(row)
    rows = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
    a, b, across, down = np.linalg.lstsq(np.array(rows), np.concatenate(target.T), rcond=None)[0]
    wanted = cv2.warpAffine(stored, np.array([[a, -b, across], [b, a, down]]), (side, side), flags=cv2.INTER_CUBIC)
    return float(np.abs(_decoded(row["aligned"]["bytes"]) - 1.0 * wanted).mean())


def _decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)


def recognise_findings(seen: Came, faces: Came, stage: Recognise) -> list[Finding]:
    """Embeddings through the stage against the network asked directly: about single faces, by other means."""
    units = {name: np.array(row["embedding"], np.float64) for name, row in seen.kept.items()}
    lengths = {name: abs(float(np.linalg.norm(each)) - 1) < 0.01 for name, each in units.items()}
    cosines, norms = [1.0], [0.0]
    ask = _network(stage)
    for name, unit in units.items():
        direct = ask(_seen_by(stage, faces.kept[name]))
        length = float(np.linalg.norm(direct))
        cosines.append(float(unit @ direct) / max(length, 1e-9))
        norms.append(abs(seen.kept[name]["norm"] / max(length, 1e-9) - 1))
    alike = [units[n] for n in ("control/one/p0/f0", "control/moved/p0/f0") if n in units]
    twice = float(alike[0] @ alike[1]) if len(alike) == 2 else 1.0
    facts = ("label", "photo_id", "face_score", "face_side_px", "face_xyxy", "sharpness", "frontality")
    same = {name: all(row[c] == faces.kept[name][c] for c in facts) for name, row in seen.kept.items()}
    return [
        Finding.none_wrong("recognise", "length of embeddings", lengths, "Unit vectors."),
        Finding.none_wrong("recognise", "what is known of the face", same),
        Finding.at_least("recognise", "embeddings made another way", min(cosines), SAME_COSINE, "cosine"),
        Finding.at_most("recognise", "norms made another way", max(norms), NORM, "of the norm"),
        Finding.at_least("recognise", "the same face twice", twice, SAME_COSINE, "cosine"),
    ]


def _seen_by(stage: Recognise, row: Row) -> NDArray[np.uint8]:
    """The middle of an aligned face at the side that the network wants."""
    side, aligned = stage.recogniser.spec.side, _decoded(row["aligned"]["bytes"])
    scale = side * 160 / (112 * len(aligned))
    shift = (0.5 - len(aligned) * 24 / 160) * scale - 0.5
    return _shrunk(aligned, np.array([[scale, 0, shift], [0, scale, shift]]), side)


def _shrunk(picture: NDArray[np.uint8], matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Warped at four times the size, then averaged."""
    finer = matrix * 4
    finer[:, 2] += 1.5
    large = cv2.warpAffine(picture, finer, (4 * side, 4 * side), flags=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _network(stage: Recognise) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """The network on one face; an ONNX file is asked without any code of the wrapper."""
    from tasks.models.runtimes import import_onnxruntime

    spec, card = stage.recogniser.spec, stage.recogniser.card
    if card.family != "onnx-recognition":
        return lambda face: np.asarray(stage.recogniser.embed([face])[0], np.float64)
    path = verified_file(card, stage.zoo).path
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    batch = taken.shape[0] if isinstance(taken.shape[0], int) else 1

    def ask(face: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = face if spec.channels == "rgb" else face[..., ::-1]
        planes = (pixels.transpose(2, 0, 1)[None].astype(np.float32) - spec.mean) / spec.scale
        answers = session.run(None, {taken.name: np.repeat(planes.astype(np.float32), batch, axis=0)})
        return np.asarray(np.array(answers[0]).reshape(batch, -1)[0], np.float64)

    return ask
