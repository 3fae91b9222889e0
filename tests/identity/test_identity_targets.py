"""What linkage has to reach on made faces in every space, beside HDBSCAN, and on real ones without any label."""

import csv
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.face.align import aligned_face, recognition_input
from tasks.face.recogniser import open_recogniser
from tasks.identity.identities import Identities, IdentitiesConfig
from tasks.identity.metrics import bcubed, pairwise
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.images.decode import decode_rgb
from tasks.models.recognition_cards import MOBILEFACENET_128
from tasks.models.zoo import Zoo
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.identity.face_shards import Recognise, RecogniseConfig, Recognised
from tests.identity.synthetic_faces import SPACES, make_faces


def identified(store: Store, rows: Recognised, config: IdentitiesConfig) -> tuple[np.ndarray, dict]:
    """The identity of every row, as a number (-1: none), and the facts."""
    faces = Derivation(Recognise(RecogniseConfig(name="faces"), rows))
    neighbours = Derivation(FindNeighbours(NeighboursConfig(), "cpu"), (faces,))
    record = realise(Derivation(Identities(config), (faces,), whole=(neighbours,)), store).record
    assert record.rows_in == record.rows_kept + sum(record.rejected.values())
    table = pq.read_table(store.data_path(record), columns=["sample_id", "identity"])
    who = dict(zip(table["sample_id"].to_pylist(), table["identity"].to_pylist(), strict=True))
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(who[each], len(numbers)) if each in who else -1 for each in rows.ids or []]
    return np.array(found), record.facts


def photos_of(made) -> Recognised:
    ids = [f"l/{photo:06}/p{row}/f0" for row, photo in enumerate(made.photo)]
    return Recognised(made.vectors, ids, [f"l/{photo:06}" for photo in made.photo])


CONFIG = IdentitiesConfig(model="made", default_cosine=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_made_faces_are_identified_in_every_space(space: str, tmp_path: Path) -> None:
    made = make_faces(SPACES[space], 16_000)
    found, facts = identified(Store(tmp_path), photos_of(made), CONFIG)
    assert facts["clusters_collapsed"] >= 20
    assert pairwise(made.identity, found).f > 0.87
    assert bcubed(made.identity, found).f > 0.88


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_as_good_as_hdbscan_in_a_fifth_of_its_time(tmp_path: Path) -> None:
    from sklearn.cluster import HDBSCAN

    made = make_faces(SPACES["angled"], 6_000)
    start = time.process_time()
    found, _ = identified(Store(tmp_path), photos_of(made), CONFIG)
    ours = time.process_time() - start
    units = made.vectors.astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    start = time.process_time()
    expected = HDBSCAN(min_cluster_size=2, copy=True).fit_predict(units)
    theirs = time.process_time() - start
    print(f"{ours:.1f} s of CPU time, HDBSCAN {theirs:.1f}")
    assert pairwise(made.identity, found).f >= pairwise(made.identity, expected).f - 0.005
    assert ours <= theirs / 5


@pytest.mark.real
@pytest.mark.slow
def test_real_people_are_identified_without_labels(real_data: Path, tmp_path: Path) -> None:
    weights = real_data / "models" / "face_detection_yunet_2023mar.onnx"
    detector = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), 0.7)
    with (real_data / "identities" / "truth.csv").open() as stream:
        truth = {row["file"]: row["identity"] for row in csv.DictReader(stream)}
    folders = ("people/faces", "people/openpose_coco", "keypoints", "identities/tbbt_group")
    group = [path for folder in folders for path in sorted((real_data / folder).rglob("*.jpg"))]
    ids, photos, sides, who, pictures = [], [], [], [], []
    for name in (*(path.relative_to(real_data).as_posix() for path in group), *truth):
        photo = decode_rgb((real_data / name).read_bytes())
        scale = min(1.0, 640 / max(photo.shape[:2]))
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        detector.setInputSize(photo.shape[1::-1])
        seen = detector.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
        boxes = [box for box in (seen if seen is not None else []) if max(box[2:4]) >= 32]
        for number, box in enumerate(sorted(boxes, key=lambda box: -box[2] * box[3])):
            side = int(2 * max(box[2:4]))
            pictures.append(recognition_input(aligned_face(photo, box[4:14].reshape(5, 2), min(320, side))))
            ids.append(f"{name}/p{number}/f0")
            photos.append(name)
            sides.append(max(box[2:4]))
            who.append("" if number or ";" in truth.get(name, ";") else truth[name])
    zoo = Zoo(tmp_path / "zoo", real_data / "models")
    vectors = open_recogniser(MOBILEFACENET_128.name, zoo, "cpu").embed(pictures).astype(np.float16)
    config = IdentitiesConfig(
        model=MOBILEFACENET_128.sha256 or "", default_cosine=MOBILEFACENET_128.thresholds["match"]
    )
    rows = Recognised(vectors, ids, photos, sides=np.array(sides))
    found, facts = identified(Store(tmp_path / "store"), rows, config)
    known = np.array([at for at, name in enumerate(who) if name])
    _, names = np.unique(np.array(who)[known], return_inverse=True)
    pair, cubed = pairwise(names, found[known]), bcubed(names, found[known])
    kept = float((found[known] >= 0).mean())
    print(f"{len(ids)} faces, cosines {facts['cosines']}: pair F {pair.f:.3f}, BCubed {cubed.f:.3f}, kept {kept:.3f}")
    print({key: value for key, value in facts.items() if key != "calibration"}, pair, cubed)
    assert min(pair.f, cubed.f) >= 0.95
    assert kept >= 0.9
