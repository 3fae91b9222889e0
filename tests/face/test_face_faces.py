"""The stage that finds faces: every person is accounted for, and each face belongs to one of them."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from tasks.face.belonging import NEAR, Candidate, NoFace, faces_of_people
from tasks.face.face_detector import FaceDetections
from tasks.face.faces import FacesConfig, FindFaces
from tasks.images.decode import decode_rgb
from tasks.images.sheet import encode_png
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.rejections import Reason
from tasks.schema.webbody import FACE_SCHEMA, PERSON_SCHEMA, WEB_PHOTO_SCHEMA
from tests.face.drawn_faces import DrawnFaceDetector, FindDrawnFaces, draw_face

COLUMNS = pa.schema([*PERSON_SCHEMA, WEB_PHOTO_SCHEMA.field("image"), WEB_PHOTO_SCHEMA.field("content_xyxy")])
CONTENT = [0, 40, 640, 600]


def photo(*faces: tuple[tuple[int, int, int, int], float]) -> bytes:
    pixels = np.full((640, 640, 3), 255, np.uint8)
    pixels[CONTENT[1] : CONTENT[3]] = (90, 120, 90)
    for box, strength in faces:
        draw_face(pixels, box, strength)
    return encode_png(pixels)


def person(photo_id: str, number: int, head: tuple[float, float], image: bytes | None, *, seen: bool = True) -> dict:
    """Somebody whose eyes are at `head`, with ears 40 px apart and shoulders 70 px further down."""
    x, y = head
    xy = [None] * 34
    confidence = [0.0] * 17
    for joint, (dx, dy) in {
        0: (0, 8),
        1: (8, 0),
        2: (-8, 0),
        3: (20, 2),
        4: (-20, 2),
        5: (45, 70),
        6: (-45, 70),
    }.items():
        xy[2 * joint : 2 * joint + 2] = [x + dx, y + dy]
        confidence[joint] = 0.9 if seen else 0.2
    box = [x - 60.0, y - 50.0, x + 60.0, y + 300.0]
    return {
        "sample_id": f"{photo_id}/p{number}",
        "parent_id": photo_id,
        "source_uri": f"https://example.org/{photo_id}.jpg",
        "licence": "CC0",
        "idx": photo_id,
        "label": "7",
        "sha256": "ab",
        "phash": 1,
        "photo_width": 640,
        "photo_height": 640,
        "person_score": 0.9,
        "person_xyxy": box,
        "crop_xyxy": [max(0.0, box[0] - 6), max(40.0, box[1] - 17), min(640.0, box[2] + 6), min(600.0, box[3] + 17)],
        "keypoints_xy": xy,
        "keypoints_confidence": confidence,
        "crop_keypoints_xy": xy,
        "image": None if image is None else {"bytes": image, "path": f"{photo_id}.png"},
        "content_xyxy": [float(v) for v in CONTENT],
    }


def run(people: Sequence[dict], rows: int = 64, stage: FindFaces | None = None, **config):
    stage = stage or FindDrawnFaces(FacesConfig(**config), zoo=None, device="cpu")
    # Row by row: an image that is None is refused by the schema of photos, as it would be in a shard.
    table = pa.Table.from_pylist(list(people), schema=pa.schema([field.with_nullable(True) for field in COLUMNS]))
    outputs = list(stage.process(iter(table.combine_chunks().to_batches(max_chunksize=rows))))
    kept = pa.concat_tables([pa.table(output.kept) for output in outputs]) if outputs else None
    return kept, [rejection for output in outputs for rejection in output.rejected]


def test_a_face_is_found_placed_and_aligned():
    kept, rejected = run([person("a", 0, (200, 200), photo(((180, 180, 220, 230), 1.0)))])
    assert not rejected
    assert kept.schema == FACE_SCHEMA
    face = kept.to_pylist()[0]
    assert (face["sample_id"], face["parent_id"], face["photo_id"]) == ("a/p0/f0", "a/p0", "a")
    assert (face["idx"], face["label"], face["licence"]) == ("a", "7", "CC0")
    np.testing.assert_allclose(face["face_xyxy"], [180, 180, 220, 230], atol=1)
    np.testing.assert_allclose(face["landmarks_xy"][:2], [180 + 12 - 0.5, 180 + 17.5 - 0.5], atol=1)
    crop = np.array(person("a", 0, (200, 200), b"")["crop_xyxy"])
    np.testing.assert_allclose(face["crop_face_xyxy"], np.array(face["face_xyxy"]) - np.tile(crop[:2], 2), atol=1e-3)
    np.testing.assert_allclose(
        np.reshape(face["crop_landmarks_xy"], (5, 2)), np.reshape(face["landmarks_xy"], (5, 2)) - crop[:2], atol=1e-3
    )
    assert face["face_side_px"] == pytest.approx(50, abs=1)
    assert face["aligned_side_px"] == 160
    assert decode_rgb(face["aligned"]["bytes"]).shape == (160, 160, 3)
    assert 0 < face["sharpness"] <= 1
    assert 0 < face["frontality"] <= 1


@pytest.mark.parametrize(("height", "side"), [(50, 160), (110, 220), (240, 320)])
def test_large_faces_are_saved_larger(height, side):
    head = (300, 250)
    box = (head[0] - height // 3, head[1] - height // 2, head[0] + height // 3, head[1] + height // 2)
    somebody = person("a", 0, head, photo((box, 1.0)))
    for joint in range(7):
        x, y = somebody["keypoints_xy"][2 * joint : 2 * joint + 2]
        grown = [head[0] + (x - head[0]) * height / 50, head[1] + (y - head[1]) * height / 50]
        somebody["keypoints_xy"][2 * joint : 2 * joint + 2] = grown
    kept, rejected = run([somebody])
    assert not rejected
    assert kept["aligned_side_px"].to_pylist() == [pytest.approx(side, abs=6)]


def test_everybody_is_accounted_for_with_a_reason():
    far, small, weak = (400, 400), (200, 300), (500, 200)
    seen = photo(((190, 296, 198, 306), 1.0), ((480, 185, 520, 235), 0.5), ((385, 385, 425, 425), 1.0))
    people = [
        person("a", 0, far, seen),
        person("a", 1, small, seen),
        person("a", 2, weak, seen),
        person("a", 3, (80, 500), seen),
        person("a", 4, (300, 500), seen, seen=False),
        person("b", 0, (300, 300), b"no picture"),
        person("c", 0, (300, 300), None),
    ]
    kept, rejected = run(people)
    assert kept["parent_id"].to_pylist() == ["a/p0"]
    assert {r.sample_id: r.reason for r in rejected} == {
        "a/p1": Reason.FACE_TOO_SMALL,
        "a/p2": Reason.FACE_SCORE_LOW,
        "a/p3": Reason.FACE_NOT_FOUND,
        "a/p4": Reason.HEAD_NOT_VISIBLE,
        "b/p0": Reason.IMAGE_FORMAT_UNSUPPORTED,
        "c/p0": Reason.IMAGE_MISSING,
    }
    scores = {r.sample_id: r.score for r in rejected}
    assert scores["a/p1"] == pytest.approx(10, abs=1)
    assert scores["a/p2"] == pytest.approx(0.5, abs=0.02)
    assert scores["a/p4"] == pytest.approx(0.2)
    assert all(r.detail and r.source_uri for r in rejected)


def test_one_face_is_not_given_to_two_people():
    image = photo(((180, 180, 220, 230), 1.0))
    kept, rejected = run([person("a", 0, (207, 212), image), person("a", 1, (200, 206), image)])
    assert kept["parent_id"].to_pylist() == ["a/p1"]
    assert [(r.sample_id, r.reason) for r in rejected] == [("a/p0", Reason.FACE_CLAIMED_TWICE)]
    assert json.loads(rejected[0].evidence) == {"face_of": "a/p1"}


def test_neighbours_keep_their_own_faces():
    image = photo(((180, 180, 220, 230), 0.8), ((230, 185, 270, 235), 1.0))
    kept, rejected = run([person("a", 0, (200, 200), image), person("a", 1, (250, 205), image)])
    assert not rejected
    lefts = [box[0] for box in kept["face_xyxy"].to_pylist()]
    np.testing.assert_allclose(lefts, [180, 230], atol=1)


def test_a_face_that_the_photo_cuts_off_is_left_out():
    cut = photo(((180, 40, 220, 62), 1.0))  # its upper half would be above the photo
    somebody = person("a", 0, (200, 50), cut)

    class SeesTheWhole(DrawnFaceDetector):
        def _detect(self, image):
            found = super()._detect(image)
            return FaceDetections(found.boxes, found.landmarks - np.float32([0, found.boxes.area[0] / 80]))

    class Stage(FindDrawnFaces):
        detector = SeesTheWhole()

    _, rejected = run([somebody], stage=Stage(FacesConfig(), zoo=None, device="cpu"))
    assert [r.reason for r in rejected] == [Reason.HEAD_NOT_VISIBLE]
    assert "edge" in rejected[0].detail


def test_batches_do_not_matter_and_each_photo_is_decoded_once(monkeypatch):
    decoded = []
    monkeypatch.setattr("tasks.face.faces.decode_rgb", lambda data: decoded.append(1) or decode_rgb(data))
    people = []
    for name in "abcd":
        image = photo(((180, 180, 220, 230), 1.0), ((430, 180, 470, 230), 0.9))
        people += [person(name, 0, (200, 200), image), person(name, 1, (450, 200), image)]
        people += [person(name, 2, (207, 208), image)]
    whole, rejected_whole = run(people)
    assert len(decoded) == 4
    cut, rejected_cut = run(people, rows=2)
    assert len(decoded) == 8
    assert whole.equals(cut)
    assert rejected_whole == rejected_cut
    assert whole.num_rows == 8
    assert len(rejected_whole) == 4


def test_no_people_give_no_faces():
    kept, rejected = run([])
    assert kept is None or kept.num_rows == 0
    assert not rejected


def test_a_picture_that_the_detector_fails_on_costs_one_person():
    class Fails(DrawnFaceDetector):
        def _detect(self, image):
            if image[..., 1].min() == 0:
                raise RuntimeError("out of luck")
            return super()._detect(image)

    class Stage(FindDrawnFaces):
        detector = Fails()

    pixels = decode_rgb(photo(((180, 180, 220, 230), 1.0)))
    good = encode_png(pixels)
    pixels[150:160, 195:205] = 0
    people = [person("a", 0, (200, 200), good), person("b", 0, (200, 200), encode_png(pixels))]
    kept, rejected = run(people, stage=Stage(FacesConfig(), zoo=None, device="cpu"))
    assert kept["parent_id"].to_pylist() == ["a/p0"]
    assert [(r.sample_id, r.reason) for r in rejected] == [("b/p0", Reason.FACE_NOT_FOUND)]
    assert "out of luck" in rejected[0].detail
    with pytest.raises(RuntimeError, match="out of luck"):
        run(people[1:], stage=Stage(FacesConfig(), zoo=None, device="cpu"))


def test_the_key_knows_the_floor_that_counts(tmp_path):
    zoo = Zoo(tmp_path)
    stage = FindFaces(FacesConfig(detector="retinaface-mobilenet0.25"), zoo, "cpu")
    same = FindFaces(FacesConfig(detector="retinaface-mobilenet0.25", score_floor=0.7), zoo, "cpu")
    assert stage.params() == same.params()
    assert stage.models() == same.models()
    assert stage.execution()["provider"] == "cpu"
    assert FindFaces(FacesConfig(detector="retinaface-mobilenet0.25", score_floor=0.9), zoo).params() != stage.params()


def test_a_floor_that_the_detector_cannot_keep_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="choose"):
        FindFaces(FacesConfig(detector="retinaface-mobilenet0.25", score_floor=0.01), Zoo(tmp_path), "cpu")
    with pytest.raises(ModelError, match="retinaface-resnet50"):
        FindFaces(FacesConfig(detector="haar"), Zoo(tmp_path), "cpu")


def candidate(left: float, score: float, distance: float) -> Candidate:
    xyxy = np.array([left, 0, left + 10, 10], np.float32)
    return Candidate(xyxy, np.zeros((5, 2), np.float32), score, distance)


def test_who_loses_a_face_takes_the_next():
    shared, other = candidate(0, 0.9, 0.1), candidate(50, 0.8, 0.4)
    first, second = faces_of_people([[shared], [candidate(1, 0.9, 0.3), other]], 0.7)
    assert first is shared
    assert second is other


def test_a_face_far_from_the_head_is_nobodys():
    (verdict,) = faces_of_people([[candidate(0, 0.99, NEAR + 0.01)]], 0.7)
    assert isinstance(verdict, NoFace)
    assert verdict.reason is Reason.FACE_NOT_FOUND
    assert "beside" in verdict.detail


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "faces"), [("couple_two_faces", 2), ("three_faces_13", 3), ("selfie_six_people", 5), ("no_face", 0)]
)
def test_every_face_of_the_people_in_a_photo_is_found(real_data, tmp_path, name, faces):
    """From all people whom YOLO-pose tells of, however unsure: of the largest of the six it tells nothing."""
    from tasks.body.pose_model import open_pose_model

    zoo = Zoo(tmp_path, real_data / "models")
    content = (real_data / "people" / "faces" / f"{name}.jpg").read_bytes()
    pixels = decode_rgb(content)
    height, width = pixels.shape[:2]
    found = open_pose_model("yolov8n-pose-dequantised", zoo, "cpu").detect([pixels])[0]
    people = []
    for i in range(len(found)):
        somebody = person(name, i, (0, 0), content)
        somebody |= {
            "keypoints_xy": [None if np.isnan(v) else float(v) for v in found.keypoints.xy[i].ravel()],
            "keypoints_confidence": found.keypoints.confidence[i].tolist(),
            "person_xyxy": found.boxes.xyxy[i].tolist(),
            "content_xyxy": [0.0, 0.0, float(width), float(height)],
        }
        people.append(somebody)
    kept, rejected = run(people, stage=FindFaces(FacesConfig(detector="retinaface-mobilenet0.25"), zoo, "cpu"))
    assert (kept.num_rows if kept else 0) == faces
    assert len(rejected) == len(people) - faces
