"""Thresholds that a collection finds by itself: on generated embeddings whose rates are known, and on real photos."""

import csv
import json
from statistics import NormalDist

import cv2
import numpy as np
import pytest

from tasks.face.align import aligned_face, recognition_input
from tasks.face.recogniser import open_recogniser
from tasks.identity.calibrate import calibrate
from tasks.identity.calibration import Calibration, linkage_rate
from tasks.identity.metrics import bcubed, pairwise
from tasks.images.decode import decode_rgb
from tasks.models.recognition_cards import MOBILEFACENET_128
from tasks.models.zoo import Zoo

WIDTH = 128
SD = WIDTH**-0.5
"""Of the cosine of two random directions, nearly normal."""


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def gallery(photos: int, faces: int = 2, *, seed: int = 0, alike: float = 0.0) -> dict:
    """Strangers; `alike`: the cosine that all of them have on average."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.normal(size=(photos * faces, WIDTH)))
    rows = unit(rows * (1 - alike) ** 0.5 + np.eye(WIDTH)[0] * alike**0.5)
    return {
        "embeddings": rows.astype(np.float16),
        "photo_ids": [f"p{i // faces:06}" for i in range(len(rows))],
        "sides_px": np.full(len(rows), 100.0),
        "sample_ids": [f"p{i // faces:06}/f{i % faces}" for i in range(len(rows))],
    }


def calibrated(given: dict) -> Calibration:
    return calibrate(**given, model="digest", default_cosine=0.6)


def joined(*parts: dict) -> dict:
    return {
        "embeddings": np.concatenate([part["embeddings"] for part in parts]),
        "photo_ids": [f"{n}-{p}" for n, part in enumerate(parts) for p in part["photo_ids"]],
        "sides_px": np.concatenate([part["sides_px"] for part in parts]),
        "sample_ids": [f"{n}-{s}" for n, part in enumerate(parts) for s in part["sample_ids"]],
    }


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-4])
def test_a_rate_becomes_the_cosine_that_it_really_has(rate):
    found = calibrated(gallery(4_000))
    assert found.source == "photos"
    assert found.resolve(rate, 100) == pytest.approx(NormalDist().inv_cdf(1 - rate) * SD, abs=0.02)


def test_rates_beyond_what_was_counted_are_extrapolated_and_bounded():
    true = NormalDist().inv_cdf(1 - 1e-5) * SD
    estimates, bounds = [], []
    for seed in range(20):
        found = calibrated(gallery(150, seed=seed))
        estimates.append(found.resolve(1e-5, 100))
        bounds.append(found.resolve(1e-5, 100, confidence=0.95))
    assert np.mean(estimates) == pytest.approx(true, abs=0.02)
    assert np.std(estimates) < 0.04
    assert np.mean(np.array(bounds) > true) >= 0.85
    assert (np.array(bounds) >= estimates).all()


def test_a_smaller_rate_never_gives_a_lower_cosine():
    found = calibrated(gallery(5_000))
    cosines = [found.resolve(rate, 100) for rate in np.geomspace(0.5, 1e-12, 60)]
    assert (np.diff(cosines) >= 0).all()
    assert cosines[-1] <= 1


def test_small_faces_that_are_more_alike_get_a_higher_cosine():
    small = gallery(400, alike=0.4) | {"sides_px": np.full(800, 30.0)}
    found = calibrated(joined(gallery(400, seed=1), small))
    assert found.resolve(1e-3, 30) > found.resolve(1e-3, 100) + 0.3
    assert found.resolve(1e-3, 10) >= found.resolve(1e-3, 30)
    sides = np.array([5, 30, 100, 500.0])
    assert found.resolve(1e-3, 500) == found.resolve(1e-3, 100), "larger than any that was measured"
    np.testing.assert_allclose(found.cosines(1e-3, sides), [found.resolve(1e-3, s) for s in sides], rtol=1e-6)


def test_a_pair_counts_with_its_smaller_face():
    given = gallery(100)
    given["sides_px"] = np.tile([30.0, 300.0], 100)
    assert [(each.from_px, each.pairs) for each in calibrated(given).bins if each.pairs] == [(24.0, 100)]


def test_a_thin_bin_leans_on_the_others():
    alone = calibrated(gallery(500))
    few = gallery(6, seed=4, alike=0.1) | {"sides_px": np.full(12, 30.0)}
    found = calibrated(joined(gallery(500), few))
    assert found.bins[1].pairs == 6
    assert found.bins[1].tail is None
    assert found.resolve(1e-3, 30) == pytest.approx(alone.resolve(1e-3, 30), abs=0.05)


def test_people_shown_twice_are_recorded_and_do_not_count():
    clean, given = gallery(300), gallery(300)
    for photo in range(12):  # a collage: the second face is the first, slightly changed
        noise = np.random.default_rng(photo).normal(size=WIDTH) * 0.04
        given["embeddings"][2 * photo + 1] = unit((given["embeddings"][2 * photo] + noise)[None])[0]
    found, expected = calibrated(given), calibrated(clean)
    assert (found.exceptions, expected.exceptions) == (12, 0)
    assert {each.photo_id for each in found.twice} == {f"p{i:06}" for i in range(12)}
    assert found.twice[0].faces[0].endswith("/f0")
    assert found.resolve(1e-4, 100) == pytest.approx(expected.resolve(1e-4, 100), abs=0.02)
    shown = found.shown_twice(np.array([0.95, 0.1]), np.array([100.0, 100.0]))
    assert shown.tolist() == [True, False]


def test_a_crowd_counts_as_one_photo_among_others():
    crowd = gallery(1, faces=150, alike=0.8)
    found = calibrated(joined(gallery(300), crowd))
    assert found.pairs <= 300 + 64
    assert found.resolve(1e-2, 100) < 0.5


def test_the_order_of_the_rows_does_not_matter():
    given = gallery(200, faces=3)
    order = np.random.default_rng(9).permutation(600)
    mixed = {
        "embeddings": given["embeddings"][order],
        "sides_px": given["sides_px"][order],
        **{name: [given[name][i] for i in order] for name in ("photo_ids", "sample_ids")},
    }
    assert calibrated(mixed) == calibrated(given)


@pytest.mark.parametrize("photos", [0, 1, 7, 29])
def test_too_few_pairs_fall_back_to_the_models_own_cosine_and_say_so(photos):
    found = calibrated(gallery(photos))
    assert (found.source, found.pairs, found.photos) == ("default", photos, photos)
    assert found.resolve(1e-6, 100) == 0.6
    np.testing.assert_allclose(found.cosines(1e-6, np.array([10.0, 300.0])), 0.6, rtol=1e-6)
    assert not found.shown_twice(np.array([0.99]), np.array([50.0])).any()


def test_one_crowd_is_not_enough():
    assert calibrated(gallery(3, faces=20)).source == "default"


def test_photos_with_one_face_say_nothing():
    assert calibrated(joined(gallery(200), gallery(500, faces=1))).pairs == 200


def test_facts_are_json_and_come_back_whole():
    found = calibrated(gallery(200))
    assert Calibration.from_facts(json.loads(json.dumps(found.facts()))) == found
    assert found.facts()["model"] == "digest"


@pytest.mark.parametrize("asked", [{"rate": 0.0}, {"rate": 0.7}, {"rate": 0.1, "confidence": 1.0}])
def test_rates_and_confidences_out_of_range_are_refused(asked):
    with pytest.raises(ValueError, match="lies in"):
        calibrated(gallery(50)).resolve(asked["rate"], 50, confidence=asked.get("confidence", 0.5))


def test_the_rate_for_linkage_falls_with_the_collection():
    assert linkage_rate(1001) == pytest.approx(4e-5)
    assert linkage_rate(1_000_001) == pytest.approx(4e-8)
    assert 0 < linkage_rate(0) <= 0.5


@pytest.mark.slow
def test_a_large_collection_is_sampled_in_bounded_memory():
    import tracemalloc

    given = gallery(300_000)
    tracemalloc.start()
    found = calibrated(given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.pairs == 300_000
    assert peak < 600e6
    assert found.resolve(1e-5, 100) == pytest.approx(NormalDist().inv_cdf(1 - 1e-5) * SD, abs=0.02)


@pytest.fixture(scope="module")
def real_faces(real_data, tmp_path_factory) -> dict:
    """Every face of 32 px and more of the identity photos and of the group photos beside them, embedded."""
    weights = real_data / "models" / "face_detection_yunet_2023mar.onnx"
    detector = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), 0.7)
    with (real_data / "identities" / "truth.csv").open() as stream:
        truth = {row["file"]: row["identity"] for row in csv.DictReader(stream)}
    folders = ("people/faces", "people/openpose_coco", "keypoints", "identities/tbbt_group")
    group = [path for folder in folders for path in sorted((real_data / folder).rglob("*.jpg"))]
    files = {**{path.relative_to(real_data).as_posix(): "" for path in group}, **truth}
    pictures: list[np.ndarray] = []
    faces: list[dict] = []
    for name, identity in files.items():
        photo = decode_rgb((real_data / name).read_bytes())
        scale = 640 / max(photo.shape[:2])
        if scale < 1:
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        detector.setInputSize(photo.shape[1::-1])
        seen = detector.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
        boxes = [box for box in (seen if seen is not None else []) if max(box[2:4]) >= 32]
        for number, box in enumerate(sorted(boxes, key=lambda box: -box[2] * box[3])):
            points = box[4:14].reshape(5, 2)
            pictures.append(recognition_input(aligned_face(photo, points, min(320, int(2 * max(box[2:4]))))))
            main = "" if number or ";" in identity else identity
            faces.append({"photo": name, "face": f"{name}/f{number}", "side": max(box[2:4]), "who": main})
    zoo = Zoo(tmp_path_factory.mktemp("zoo"), real_data / "models")
    embedded = unit(open_recogniser(MOBILEFACENET_128.name, zoo, "cpu").embed(pictures))
    return {"embeddings": embedded.astype(np.float16), "faces": faces, "photos": len(truth)}


@pytest.mark.real
@pytest.mark.slow
def test_real_people_are_told_apart_at_a_cosine_that_nobody_labelled(real_faces):
    from scipy.sparse.csgraph import connected_components

    faces, embeddings = real_faces["faces"], real_faces["embeddings"]
    sides = np.array([face["side"] for face in faces], np.float32)
    found = calibrate(
        embeddings,
        [face["photo"] for face in faces],
        sides,
        [face["face"] for face in faces],
        model=MOBILEFACENET_128.sha256 or "",
        default_cosine=MOBILEFACENET_128.thresholds["match"],
    )
    assert found.source == "photos"
    known = np.array([at for at, face in enumerate(faces) if face["who"]])
    assert len(known) >= 0.9 * real_faces["photos"]
    _, who = np.unique([faces[at]["who"] for at in known], return_inverse=True)
    alike = embeddings.astype(np.float32) @ embeddings.astype(np.float32).T

    def agreement(cosines: np.ndarray) -> tuple[float, float]:
        _, linked = connected_components(alike >= np.maximum(cosines[:, None], cosines))
        return pairwise(who, linked[known]).f, bcubed(who, linked[known]).f

    cosines = found.cosines(linkage_rate(len(faces)), sides)
    pair_f, bcubed_f = agreement(cosines)
    best = max(agreement(np.full(len(faces), c, np.float32))[0] for c in np.arange(0.3, 0.7, 0.01))
    print(f"pairs {found.pairs}, cosines {cosines.min():.3f} to {cosines.max():.3f}, F {pair_f:.3f} of {best:.3f}")
    assert pair_f >= best - 0.02
    assert min(pair_f, bcubed_f) >= 0.95
    assert agreement(np.full(len(faces), 0.3, np.float32))[0] < 0.5, "a constant of another model cannot be right"
