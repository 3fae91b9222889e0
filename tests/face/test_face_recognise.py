"""Aligned faces through the stage: what they become, and what bad ones cost."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.face.align import ARCFACE_112
from tasks.face.recognise import Recognise, RecogniseConfig, aligned_landmarks
from tasks.models.zoo import Zoo
from tasks.schema.errors import ModelError
from tasks.schema.rejections import Reason
from tasks.schema.webbody import FACE_SCHEMA, embedding_schema
from tasks.shards.stage import stage_key
from tests.face.tiny_recognisers import card_of, faces, write_onnx

LANDMARKS = (ARCFACE_112 * 2 + [30, 40]).ravel().tolist()


@pytest.fixture
def stage(tmp_path) -> Recognise:
    (tmp_path / "given").mkdir()
    card = card_of(write_onnx(tmp_path / "given" / "tiny.onnx"), "onnx-recognition")
    return Recognise(RecogniseConfig(model=card), Zoo(tmp_path / "zoo", tmp_path / "given"), "cpu")


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def row(sample_id: str, image: bytes | None, **changes) -> dict:
    return {
        "sample_id": f"{sample_id}/p0/f0",
        "parent_id": f"{sample_id}/p0",
        "source_uri": f"https://example.org/{sample_id}",
        "licence": "CC0-1.0",
        "idx": "7",
        "label": "someone",
        "photo_id": sample_id,
        "face_score": 0.9,
        "face_side_px": 100.0,
        "face_xyxy": [1.0, 2.0, 101.0, 90.0],
        "landmarks_xy": LANDMARKS,
        "crop_face_xyxy": [1.0, 2.0, 101.0, 90.0],
        "crop_landmarks_xy": LANDMARKS,
        "sharpness": 0.5,
        "frontality": 0.75,
        "aligned": {"bytes": image, "path": None},
        "aligned_side_px": 160,
        **changes,
    }


def batch(*rows: dict) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=FACE_SCHEMA)


def run(stage: Recognise, *batches: pa.RecordBatch) -> tuple[list[dict], dict]:
    outputs = list(stage.process(iter(batches)))
    assert len(outputs) == len(batches)
    kept = [each for output in outputs for each in output.kept.cast(stage.schema).to_pylist()]
    return kept, {r.sample_id.split("/")[0]: r for output in outputs for r in output.rejected}


def test_a_face_becomes_a_unit_embedding_with_its_norm_and_no_pixels(stage):
    pictures = faces(3, 160)
    kept, rejected = run(stage, batch(*(row(f"{i}", png(face)) for i, face in enumerate(pictures))))
    assert not rejected
    raw = stage.recogniser.embed([face[24:136, 24:136] for face in pictures])
    for got, expected in zip(kept, raw, strict=True):
        embedding = np.array(got["embedding"], np.float32)
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=2e-3)
        np.testing.assert_allclose(embedding * got["norm"], expected, atol=2e-3 * got["norm"])
    assert stage.schema.equals(embedding_schema(16))
    same = ("sample_id", "parent_id", "source_uri", "licence", "idx", "label", "photo_id", "face_xyxy", "frontality")
    assert {name: kept[0][name] for name in same} == {name: row("0", None)[name] for name in same}


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        pytest.param({"aligned": {"bytes": None, "path": None}}, Reason.IMAGE_MISSING, "", id="no bytes"),
        pytest.param({"aligned": None}, Reason.IMAGE_MISSING, "", id="null"),
        pytest.param(
            {"aligned": {"bytes": b"no picture", "path": None}}, Reason.IMAGE_FORMAT_UNSUPPORTED, "", id="text"
        ),
        pytest.param(
            {"aligned": {"bytes": png(faces(1, 160)[0])[:900], "path": None}}, Reason.IMAGE_TRUNCATED, "", id="cut"
        ),
        pytest.param(
            {"aligned": {"bytes": png(np.zeros((100, 160, 3), np.uint8)), "path": None}},
            Reason.IMAGE_UNREADABLE,
            "no aligned face",
            id="not square",
        ),
        pytest.param(
            {"landmarks_xy": [float("nan")] * 10, "aligned": {"bytes": png(faces(1, 160)[0]), "path": None}},
            Reason.IMAGE_UNREADABLE,
            "finite",
            id="no landmarks",
        ),
    ],
)
def test_one_bad_face_costs_one_face(stage, changes, reason, says):
    good = [png(face) for face in faces(2, 160)]
    expected, _ = run(stage, batch(row("a", good[0]), row("b", good[1])))
    kept, rejected = run(stage, batch(row("a", good[0]), row("bad", None) | changes, row("b", good[1])))
    assert kept == expected
    assert rejected.keys() == {"bad"}
    assert rejected["bad"].reason is reason, rejected["bad"].detail
    assert says in rejected["bad"].detail
    assert rejected["bad"].source_uri == "https://example.org/bad"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_embedding_that_is_none_is_left_out(stage, monkeypatch, value):
    network = stage.recogniser._loaded()

    class Odd:
        def run(self, pixels):
            out = network.run(pixels)
            out[1] = value
            return out

    monkeypatch.setattr(type(stage.recogniser), "_loaded", lambda _: Odd())
    kept, rejected = run(stage, batch(*(row(name, png(f)) for name, f in zip("abc", faces(3, 160), strict=True))))
    assert [each["photo_id"] for each in kept] == ["a", "c"]
    assert rejected["b"].reason is Reason.EMBEDDING_NOT_FINITE
    assert "tiny gives it an embedding of norm" in rejected["b"].detail


def test_batches_do_not_change_the_rows_and_an_empty_one_is_fine(stage):
    rows = [row(f"{i}", png(face)) for i, face in enumerate(faces(5, 160))]
    whole = run(stage, batch(*rows))
    assert run(stage, batch(*rows[:2]), batch(), batch(*rows[2:])) == whole
    assert run(stage) == ([], {})


def test_all_bad_faces_keep_the_schema(stage):
    (output,) = stage.process(iter([batch(row("a", b""))]))
    assert output.kept.schema.equals(stage.schema)
    assert output.kept.num_rows == 0


def test_the_key_knows_model_code_and_precision_and_nothing_else(stage, tmp_path):
    def key(zoo=stage.zoo, device="cpu", **config):
        return stage_key(Recognise(RecogniseConfig(**config), zoo, device), ("0",), ())

    assert key() == key(zoo=Zoo(tmp_path / "other"))
    others = [key(model="mobilefacenet-128"), key(remote_code=True), key(device="cuda"), key(model=stage.config.model)]
    assert len({key(), *others}) == 5
    assert list(stage.models()) == ["tiny"]
    assert pickle.loads(pickle.dumps(stage)).models() == stage.models()  # noqa: S301


def test_an_unknown_model_fails_at_once(tmp_path):
    with pytest.raises(ModelError, match="Choose one of"):
        Recognise(RecogniseConfig(model="face-net"), Zoo(tmp_path))
    with pytest.raises(ModelError, match="say so twice"):
        Recognise(RecogniseConfig(model="kprpe-vit-base-webface4m"), Zoo(tmp_path))


def test_landmarks_lie_where_alignment_puts_them():
    on_the_points = aligned_landmarks(np.array(LANDMARKS, np.float32).reshape(5, 2))
    np.testing.assert_allclose(on_the_points * 112 - 0.5, ARCFACE_112, atol=1e-3)
    smiling = np.array(LANDMARKS, np.float32).reshape(5, 2)
    smiling[3:, 1] += 10
    assert (aligned_landmarks(smiling)[3:, 1] > on_the_points[3:, 1]).all()
