"""Every recogniser against files of its form, and the real small one against real faces."""

import csv
import logging
import sys
import textwrap
from hashlib import sha256

import cv2
import numpy as np
import pytest

from tasks.face.align import aligned_face, recognition_input
from tasks.face.recogniser import model_input, open_recogniser, recognition_card
from tasks.face.recogniser_onnx import OnnxRecogniser, _in_half_precision
from tasks.face.recogniser_timm import TimmRecogniser
from tasks.images.decode import decode_rgb
from tasks.models.card import ModelCard
from tasks.models.embedding import EmbeddingSpec
from tasks.models.recognition_cards import AURAFACE_V1, MOBILEFACENET_128, RECOGNITION_CARDS
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError, ShapeError
from tests.face.tiny_recognisers import NO_FLOORS, card_of, faces, write_onnx, write_vit
from tests.models.model_contract import assert_batched_equals_single


@pytest.fixture
def zoo(tmp_path) -> Zoo:
    (tmp_path / "given").mkdir()
    return Zoo(tmp_path / "zoo", tmp_path / "given", trust_unknown_digest=True)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_onnx_batched_equals_single(zoo, batch):
    card = card_of(
        write_onnx(zoo.given / f"tiny-{batch}.onnx", batch=batch), "onnx-recognition", name=f"tiny-{batch}".lower()
    )
    recogniser = open_recogniser(card, zoo, "cpu")
    assert_batched_equals_single(recogniser.embed, faces(6), lambda embedding: [embedding], tolerance=0)
    embedded = recogniser.embed(faces(6))
    assert embedded.dtype == np.float32
    assert embedded.shape == (6, recogniser.spec.width)
    assert not np.allclose(np.linalg.norm(embedded, axis=1), 1), "raw, not normalised"


def test_onnx_does_what_onnx_runtime_does_on_the_normalised_picture(zoo):
    import onnxruntime

    path = write_onnx(zoo.given / "tiny.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for channels, scale in (("rgb", 127.5), ("bgr", 128.0)):
        card = card_of(path, "onnx-recognition", channels=channels, scale=scale)
        (face,) = faces(1)
        seen = (face[..., :: -1 if channels == "bgr" else 1].astype(np.float32) - 127.5) / np.float32(scale)
        (expected,) = session.run(None, {"data": seen.transpose(2, 0, 1)[None]})
        np.testing.assert_allclose(open_recogniser(card, zoo, "cpu").embed([face]), expected, atol=1e-5)


def test_onnx_in_half_precision_says_nearly_the_same(zoo):
    import onnxruntime

    path = write_onnx(zoo.given / "tiny.onnx")
    card = card_of(path, "onnx-recognition")
    half = onnxruntime.InferenceSession(_in_half_precision(path), providers=["CPUExecutionProvider"])
    (embedding,) = half.run(None, {"data": model_input(faces(1), card.embedding)})
    assert cosine(embedding[0], open_recogniser(card, zoo, "cpu").embed(faces(1))[0]) > 0.9999


def test_a_gpu_that_onnx_runtime_cannot_use_is_said(zoo):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use a GPU")
    card = card_of(write_onnx(zoo.given / "tiny.onnx"), "onnx-recognition")
    with pytest.raises(ModelError, match="install onnxruntime-gpu"):
        open_recogniser(card, zoo, "cuda").embed(faces(1))


@pytest.mark.slow
@pytest.mark.parametrize("averages", [False, True])
def test_timm_batched_equals_single(zoo, averages):
    path = write_vit(zoo.given / f"vit-{averages}.safetensors", averages=averages)
    recogniser = open_recogniser(
        card_of(path, "timm-recognition", width=512, name=f"vit-{averages}".lower()), zoo, "cpu"
    )
    assert_batched_equals_single(recogniser.embed, faces(3), lambda embedding: [embedding], tolerance=0)


@pytest.mark.parametrize(
    ("name", "sizes", "build"),
    [
        ("vit_tiny_patch8_112.arcface_ms1mv3", {"width": 192, "depth": 12}, {}),
        (
            "vit_small_patch8_gap_112.cosface_ms1mv3",
            {"width": 384, "depth": 12, "averages": True},
            {"class_token": False, "global_pool": "avg"},
        ),
    ],
)
@pytest.mark.slow
def test_timm_files_of_full_size_are_the_network_that_timm_builds(zoo, name, sizes, build):
    import timm
    import torch
    from safetensors.torch import load_file

    path = write_vit(zoo.given / recognition_card(name).file_name, **sizes)
    backbone = "vit_tiny_patch16_224" if sizes["width"] == 192 else "vit_small_patch16_224"
    expected = timm.create_model(backbone, img_size=112, patch_size=8, num_classes=512, **build).eval()
    expected.load_state_dict(load_file(path), strict=True)
    recogniser = open_recogniser(name, zoo, "cpu")
    with torch.inference_mode():
        said = expected(torch.from_numpy(model_input(faces(1), recogniser.spec))).numpy()
    np.testing.assert_allclose(recogniser.embed(faces(1)), said, atol=1e-4)


@pytest.mark.slow
def test_the_digest_of_a_timm_file_is_recorded_and_must_stay(zoo):
    card = recognition_card("vit_tiny_patch8_112.arcface_ms1mv3")
    path = write_vit(zoo.given / card.file_name)
    recogniser = open_recogniser(card.name, zoo, "cpu")
    assert recogniser.embed(faces(1)).shape == (1, 512)
    assert recogniser.sha256 == sha256(path.read_bytes()).hexdigest()
    write_vit(path, depth=1)
    with pytest.raises(ModelError, match="has changed"):
        open_recogniser(card.name, Zoo(zoo.folder, zoo.given), "cpu").embed(faces(1))


@pytest.mark.parametrize(
    ("family", "name", "content"),
    [
        ("onnx-recognition", "broken.onnx", b"no model"),
        pytest.param("timm-recognition", "broken.safetensors", b"no model", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_no_model_is_said(zoo, family, name, content):
    (zoo.given / name).write_bytes(content)
    with pytest.raises(ModelError, match="does not load as"):
        open_recogniser(card_of(zoo.given / name, family, name=name), zoo, "cpu").embed(faces(1))


def test_another_network_than_the_card_says_is_refused(zoo):
    path = write_onnx(zoo.given / "tiny.onnx", width=16)
    with pytest.raises(ModelError, match=r"gives \(1, 16\).*width of 32"):
        open_recogniser(card_of(path, "onnx-recognition", width=32), zoo, "cpu").embed(faces(1))
    wide = write_onnx(zoo.given / "wide.onnx", side=160)
    with pytest.raises(ModelError, match=r"takes .*not one"):
        open_recogniser(card_of(wide, "onnx-recognition", name="wide"), zoo, "cpu").embed(faces(1))


@pytest.mark.parametrize("face", [np.zeros((112, 112), np.uint8), np.zeros((112, 112, 3)), faces(1, 160)[0]])
def test_faces_of_another_form_are_refused(face):
    with pytest.raises(ShapeError, match="RGB uint8"):
        model_input([face], EmbeddingSpec(width=1, floors=NO_FLOORS))


def test_names_lead_to_wrappers_and_an_unknown_one_lists_those_there_are(zoo):
    assert isinstance(open_recogniser("auraface-v1", zoo), OnnxRecogniser)
    assert isinstance(open_recogniser("vit_tiny_patch8_112.arcface_ms1mv3", zoo), TimmRecogniser)
    with pytest.raises(ModelError, match="auraface-v1, mobilefacenet-128"):
        open_recogniser("arcface", zoo)
    with pytest.raises(ModelError, match="auraface-v1, mobilefacenet-128"):
        open_recogniser("yolov8n-pose", zoo)


def test_width_and_digest_are_known_without_the_file(zoo):
    recogniser = open_recogniser("auraface-v1", zoo, "cpu")
    assert (recogniser.spec.width, recogniser.sha256) == (512, AURAFACE_V1.sha256)
    assert recogniser.execution()["precision"] == "fp32"
    assert open_recogniser("auraface-v1", zoo, "cuda").execution()["precision"] == "fp16"


@pytest.mark.parametrize("card", RECOGNITION_CARDS, ids=lambda card: card.name)
def test_every_card_says_what_its_model_takes_and_where_it_links_without_calibration(card):
    assert card.embedding is not None
    assert 0 < card.thresholds["match"] < 1


NETWORK = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.pixels = torch.nn.Linear(3 * 16, width)
            self.points = torch.nn.Linear(10, width)

        def forward(self, x, keypoints):
            small = torch.nn.functional.adaptive_avg_pool2d(x, 4)
            return self.pixels(small.flatten(1)) + self.points(keypoints.flatten(1))

    def get_model(config):
        from .vit_kprpe.RPE.rpe_ops.rpe_index import RPEIndexFunction
        assert RPEIndexFunction is None
        assert config.rpe_config.num_keypoints == 5 and not config.start_from
        print("Loaded")
        return Net(config.output_dim)
"""


@pytest.fixture
def kprpe(zoo, monkeypatch) -> ModelCard:
    """Weights and code in the layout of the repository on the hub; the operator has said yes."""
    import torch

    monkeypatch.setenv("MANNEQUIN_ALLOW_REMOTE_CODE", "1")
    generator = torch.Generator().manual_seed(3)
    shapes = {"pixels.weight": (8, 48), "pixels.bias": (8,), "points.weight": (8, 10), "points.bias": (8,)}
    torch.save({key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}, zoo.given / "kp.pt")
    card = card_of(zoo.given / "kp.pt", "kprpe-recognition", width=8, name="kp")
    folder = zoo.given / f"kp-{card.revision}"
    for part in ("models/vit_kprpe/RPE/rpe_ops", "pretrained_model"):
        (folder / part).mkdir(parents=True)
    for package in ("models/vit_kprpe", "models/vit_kprpe/RPE", "models/vit_kprpe/RPE/rpe_ops"):
        (folder / package / "__init__.py").touch()
    (folder / "models" / "__init__.py").write_text(textwrap.dedent(NETWORK))
    (folder / "models/vit_kprpe/RPE/rpe_ops/rpe_index.py").write_text("raise SystemExit('it compiles')")
    (folder / "pretrained_model" / "model.yaml").write_text(
        "output_dim: 8\nstart_from: x\nrpe_config: {num_keypoints: 5}"
    )
    return card


def test_kprpe_sees_the_landmarks_and_batched_equals_single(zoo, kprpe, capsys):
    recogniser = open_recogniser(kprpe, zoo, "cpu", remote_code=True)
    assert_batched_equals_single(recogniser.embed, faces(3), lambda embedding: [embedding], tolerance=0)
    points = np.random.default_rng(0).uniform(0, 1, (3, 5, 2)).astype(np.float32)
    moved = recogniser.embed(faces(3), points)
    assert np.abs(moved - recogniser.embed(faces(3))).min(axis=0).max() > 0.01
    np.testing.assert_array_equal(recogniser.embed(faces(3)[1:2], points[1:2]), moved[1:2])
    assert capsys.readouterr().out == ""
    assert "models" not in sys.modules
    with pytest.raises(ShapeError, match="landmarks"):
        recogniser.embed(faces(3), points[:2])


def test_kprpe_needs_two_yeses(zoo, kprpe, monkeypatch):
    with pytest.raises(ModelError, match="say so twice"):
        open_recogniser(kprpe, zoo, "cpu")
    monkeypatch.delenv("MANNEQUIN_ALLOW_REMOTE_CODE")
    with pytest.raises(ModelError, match=r"minchul/.*6530d73.*MANNEQUIN_ALLOW_REMOTE_CODE=1"):
        open_recogniser("kprpe-vit-base-webface4m", zoo, "cpu", remote_code=True)


def test_kprpe_code_that_changed_is_not_run(zoo, kprpe):
    open_recogniser(kprpe, zoo, "cpu", remote_code=True).embed(faces(1))
    code = zoo.given / f"kp-{kprpe.revision}" / "models" / "__init__.py"
    code.write_text(code.read_text() + "\n# changed\n")
    with pytest.raises(ModelError, match="has changed since it was first run"):
        open_recogniser(kprpe, Zoo(zoo.folder, zoo.given), "cpu", remote_code=True).embed(faces(1))


def test_kprpe_says_which_package_its_code_wants(zoo, kprpe):
    code = zoo.given / f"kp-{kprpe.revision}" / "models" / "__init__.py"
    code.write_text("import easydict_of_nobody")
    with pytest.raises(ModelError, match="wants the package easydict_of_nobody"):
        open_recogniser(kprpe, zoo, "cpu", remote_code=True).embed(faces(1))


@pytest.fixture(scope="module")
def people(real_data) -> list[tuple[str, np.ndarray]]:
    """Four people of the real identities, four faces each: name and the face as models see it."""
    weights = real_data / "models" / "face_detection_yunet_2023mar.onnx"
    detector = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), 0.6)
    found: list[tuple[str, np.ndarray]] = []
    with (real_data / "identities" / "truth.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "lfw"]
    for name in sorted({row["identity"] for row in rows})[:4]:
        for row in [row for row in rows if row["identity"] == name][:4]:
            photo = decode_rgb((real_data / row["file"]).read_bytes())
            detector.setInputSize(photo.shape[1::-1])
            seen = detector.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
            main = max(seen, key=lambda each: each[2] * each[3])
            found.append((name, recognition_input(aligned_face(photo, main[4:14].reshape(5, 2), 160))))
    return found


@pytest.mark.real
def test_the_small_real_model_knows_people_apart_and_wants_rgb(real_data, people, tmp_path):
    recogniser = open_recogniser(MOBILEFACENET_128.name, Zoo(tmp_path, real_data / "models"), "cpu")
    pictures = [face for _, face in people]
    assert_batched_equals_single(recogniser.embed, pictures[:4], lambda embedding: [embedding], tolerance=0)

    def gap(embeddings: np.ndarray) -> float:
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        same = np.array([[a == b for b, _ in people] for a, _ in people])
        i, j = np.triu_indices(len(people), 1)
        values = (unit @ unit.T)[i, j]
        return float(values[same[i, j]].mean() - values[~same[i, j]].mean())

    right = gap(recogniser.embed(pictures))
    assert right > 0.5
    assert right > gap(recogniser.embed([np.ascontiguousarray(face[..., ::-1]) for face in pictures]))


def test_nothing_is_printed_or_logged_while_a_model_loads(zoo, caplog, capfd):
    card = card_of(write_onnx(zoo.given / "quiet.onnx"), "onnx-recognition", name="quiet")
    with caplog.at_level(logging.INFO):
        open_recogniser(card, zoo, "cpu").embed(faces(1))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
