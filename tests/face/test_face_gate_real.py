"""The gate among real faces: ten blurred or tiny ones for every good one."""

import csv
import io

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.face.align import aligned_face, native_side
from tasks.face.gate import Gate, GateConfig
from tasks.face.quality import frontality, sharpness
from tasks.face.recognise import Recognise, RecogniseConfig
from tasks.images.decode import decode_rgb
from tasks.models.recognition_cards import MOBILEFACENET_128
from tasks.models.zoo import Zoo
from tasks.schema.webbody import FACE_SCHEMA

STORED_SIDE = 640
DISTRACTORS = 10


def stored(photo: np.ndarray) -> np.ndarray:
    """As the download stores it: the longer side at 640 px, whatever it was."""
    scale = STORED_SIDE / max(photo.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=way)


def face_row(name: str, photo: np.ndarray, box: np.ndarray, score: float, landmarks: np.ndarray) -> dict:
    side = float(max(box[2:4]))
    aligned = aligned_face(photo, landmarks, min(320, max(16, int(2 * side))))
    stream = io.BytesIO()
    Image.fromarray(aligned).save(stream, "PNG", compress_level=1)
    xyxy = [*box[:2].tolist(), *(box[:2] + box[2:4]).tolist()]
    points = landmarks.ravel().tolist()
    return {
        "sample_id": name,
        "parent_id": name,
        "source_uri": "",
        "licence": "",
        "idx": "0",
        "label": "",
        "photo_id": name,
        "face_score": score,
        "face_side_px": side,
        "face_xyxy": xyxy,
        "landmarks_xy": points,
        "crop_face_xyxy": xyxy,
        "crop_landmarks_xy": points,
        "sharpness": sharpness(aligned, native_side(landmarks)),
        "frontality": frontality(landmarks),
        "aligned": {"bytes": stream.getvalue(), "path": None},
        "aligned_side_px": aligned.shape[0],
    }


def spoiled(photo: np.ndarray, box: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator):
    """The same face blurred (3 to 10 % of its side), or shrunk to 6 to 20 px, or shrunk and enlarged again.

    Nothing tells that the detector would find it: what it would miss makes the task no easier here.
    """
    side = float(max(box[2:4]))
    kind = rng.choice(["blurred", "tiny", "enlarged"])
    if kind == "blurred":
        return kind, cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.03, 0.1) * side), box, landmarks
    scale = rng.uniform(6, 20) / side
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if kind == "tiny":
        return kind, small, box * scale, (landmarks + 0.5) * scale - 0.5
    height, width = photo.shape[:2]
    return kind, cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), box, landmarks


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_blurred_and_tiny_faces_are_kept_out_and_good_ones_are_not(real_data, tmp_path):
    weights = real_data / "models" / "face_detection_yunet_2023mar.onnx"
    detector = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), 0.7)
    with (real_data / "identities" / "truth.csv").open() as stream:
        good = {row["file"] for row in csv.DictReader(stream)}
    folders = ("identities", "people", "keypoints")
    files = sorted(
        path for folder in folders for path in (real_data / folder).rglob("*") if path.suffix in (".jpg", ".png")
    )
    rng = np.random.default_rng(17)
    rows: list[dict] = []
    found: list[tuple] = []
    for path in files:
        photo = stored(decode_rgb(path.read_bytes()))
        detector.setInputSize(photo.shape[1::-1])
        seen = detector.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
        large = [each for each in (seen if seen is not None else []) if max(each[2:4]) >= 48]
        if not large:
            continue
        main = max(large, key=lambda each: each[2] * each[3])
        left, top, width, height = main[:4]
        x, y = (max(0, int(left - width)), max(0, int(top - height)))
        around = photo[y : int(top + 2 * height), x : int(left + 2 * width)]
        box, landmarks = main[:4] - [x, y, 0, 0], main[4:14].reshape(5, 2) - [x, y]
        found.append((around, box, landmarks, float(main[14])))
        name = path.relative_to(real_data).as_posix()
        if name in good:
            rows.append(face_row(f"good/{name}", around, box, float(main[14]), landmarks))
    clean = len(rows)
    assert clean >= 150
    for number in range(DISTRACTORS * clean):
        around, box, landmarks, score = found[number % len(found)]
        kind, *picture = spoiled(around, box, landmarks, rng)
        rows.append(face_row(f"{kind}/{number}", *picture[:2], score, picture[2]))

    stage = Recognise(RecogniseConfig(model=MOBILEFACENET_128.name), Zoo(tmp_path, real_data / "models"), "cpu")
    gate = Gate(GateConfig(model=MOBILEFACENET_128.name))
    batches = pa.Table.from_pylist(rows, schema=FACE_SCHEMA).combine_chunks().to_batches(256)
    recognised = [batch for output in stage.process(iter(batches)) for batch in output.kept.to_batches()]
    outputs = list(gate.process(iter(recognised)))
    kept = [sample for output in outputs for sample in output.kept["sample_id"].to_pylist()]
    stopped = [rejection for output in outputs for rejection in output.rejected]
    assert len(kept) + len(stopped) == len(rows)
    good_kept = sum(name.startswith("good/") for name in kept) / clean
    gated = 1 - sum(not name.startswith("good/") for name in kept) / (DISTRACTORS * clean)
    kinds = {k: sum(name.startswith(k) for name in kept) for k in ("blurred", "tiny", "enlarged")}
    print(f"{clean} good faces, {good_kept:.3f} kept; {DISTRACTORS * clean} others, {gated:.3f} gated; left: {kinds}")
    print([(r.sample_id, r.reason.value, r.score) for r in stopped if r.sample_id.startswith("good/")])
    assert good_kept >= 0.98
    assert gated >= 0.95
