"""Web photos to people: who is kept, who is not and why, and where exactly they are."""

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.body import people as module
from tasks.body.crop import person_crop
from tasks.body.people import FindPeople, PeopleConfig, opened
from tasks.body.rtmo import RtmoPose
from tasks.images.hashing import phash
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason
from tasks.schema.webbody import PERSON_SCHEMA, WEB_PHOTO_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput, stage_key
from tasks.shards.store import Store
from tests.body.blocks_model import BLUES, JOINT_CONFIDENCES, joints_of, paint, write_blocks_model

ROOT = Path(__file__).parents[2]
CONTENT = (0, 106, 640, 533)
"""A photo of 640 x 427 inside a border above and below."""


def bordered(*blocks, content=CONTENT) -> np.ndarray:
    picture = np.full((640, 640, 3), 255, np.uint8)
    left, top, right, bottom = content
    picture[top:bottom, left:right] = np.linspace(30, 90, right - left, dtype=np.uint8)[None, :, None]
    for xyxy, blue, score in blocks:
        paint(picture, xyxy, blue, score)
    return picture


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def a_row(sample_id: str, picture: np.ndarray | bytes | None, content=CONTENT, **changes) -> dict:
    data = png(picture) if isinstance(picture, np.ndarray) else picture
    return {
        **dict.fromkeys(WEB_PHOTO_SCHEMA.names),
        "sample_id": sample_id,
        "source_uri": f"https://example.org/{sample_id}",
        "licence": "unknown",
        "idx": "7",
        "label": "somebody",
        "url": f"https://example.org/{sample_id}",
        "image": {"bytes": data, "path": None},
        "width": 640,
        "height": 640,
        "content_xyxy": list(content),
        "original_width": 1280,
        "original_height": 854,
        "sha256": "ab" * 32,
        "attempt": 0,
        "fetched_at": 0,
        "http_status": 200,
        "final_url": "https://example.org",
        "headers": "{}",
        **changes,
    }


@pytest.fixture
def model(tmp_path) -> RtmoPose:
    return RtmoPose(write_blocks_model(tmp_path), Zoo(tmp_path), "cpu")


def config(**changes) -> PeopleConfig:
    return PeopleConfig(**{"pose_model": "blocks", **changes})


def run(stage: FindPeople, *rows: dict) -> tuple[list[dict], dict]:
    """Kept rows, and rejections by sample id."""
    batch = pa.RecordBatch.from_pylist(list(rows), schema=WEB_PHOTO_SCHEMA)
    outputs = list(stage.process(iter([batch])))
    kept = [row for output in outputs for row in pa.table(output.kept).cast(PERSON_SCHEMA).to_pylist()]
    rejections = [r for output in outputs for r in output.rejected]
    assert len({r.sample_id for r in rejections}) == len(rejections)
    return kept, {r.sample_id: r for r in rejections}


def xy(row: dict, column: str) -> np.ndarray:
    return np.array(row[column], float).reshape(17, 2)


def test_a_person_lies_where_the_photo_shows_it(model):
    block = (200, 150, 300, 450)
    picture = bordered((block, 80, 0.8))
    (row,), rejected = run(FindPeople(config(), model), a_row("list/1", picture))
    assert not rejected
    assert (row["sample_id"], row["parent_id"]) == ("list/1/p0", "list/1")
    assert (row["idx"], row["label"], row["sha256"]) == ("7", "somebody", "ab" * 32)
    assert (row["source_uri"], row["licence"]) == ("https://example.org/list/1", "unknown")
    assert (row["photo_width"], row["photo_height"]) == (640, 640)
    assert row["person_score"] == pytest.approx(0.8, abs=0.01)
    assert row["phash"] == phash(picture[106:533])
    np.testing.assert_allclose(row["person_xyxy"], block, atol=0.1)
    np.testing.assert_allclose(xy(row, "keypoints_xy")[1:], joints_of(block)[1:], atol=0.1)


def test_the_crop_is_the_box_and_five_percent_at_whole_pixels(model):
    (row,), _ = run(FindPeople(config(), model), a_row("a", bordered(((210, 200, 310, 400), 80, 0.8))))
    np.testing.assert_allclose(row["crop_xyxy"], [205, 190, 315, 410], atol=1)
    assert all(v == int(v) for v in row["crop_xyxy"])
    offset = np.array(row["crop_xyxy"][:2])
    np.testing.assert_allclose(xy(row, "crop_keypoints_xy") + offset, xy(row, "keypoints_xy"), atol=1e-3)


def test_no_crop_reaches_into_the_border(model):
    (row,), _ = run(FindPeople(config(pad=0.5), model), a_row("a", bordered(((0, 106, 200, 533), 80, 0.8))))
    assert row["crop_xyxy"] == [0, 106, 300, 533]
    narrow = (213, 0, 427, 640)
    picture = bordered(((220, 5, 420, 630), 80, 0.8), content=narrow)
    (row,), _ = run(FindPeople(config(pad=0.5), model), a_row("a", picture, narrow))
    assert row["crop_xyxy"] == [213, 0, 427, 640]


def test_every_confidence_is_kept_and_only_what_the_model_does_not_say_is_missing(model):
    block = (540, 150, 640, 450)
    (row,), _ = run(FindPeople(config(), model), a_row("a", bordered((block, 80, 0.8))))
    np.testing.assert_allclose(row["keypoints_confidence"], JOINT_CONFIDENCES)
    gone = np.isnan(xy(row, "keypoints_xy")).any(axis=1)
    assert gone.tolist() == [True] + [False] * 16
    assert (np.isnan(xy(row, "crop_keypoints_xy")).any(axis=1) == gone).all()
    assert xy(row, "keypoints_xy")[16, 0] == pytest.approx(540 - 0.5 + 125, abs=0.2), "beyond the photo, not moved"


def test_the_surest_are_kept_and_the_others_say_why_they_are_not(model):
    scores = (0.71, 0.95, 0.3, 0.9, 0.85, 0.8, 0.6, 0.75)
    blocks = [((10 + 75 * k, 150, 70 + 75 * k, 400), BLUES[k], score) for k, score in enumerate(scores)]
    kept, rejected = run(FindPeople(config(max_people=4), model), a_row("a", bordered(*blocks)))
    assert [row["sample_id"] for row in kept] == ["a/p0", "a/p1", "a/p2", "a/p3"]
    np.testing.assert_allclose([row["person_score"] for row in kept], [0.95, 0.9, 0.85, 0.8], atol=0.01)
    assert {name: r.reason for name, r in rejected.items()} == {
        "a/p4": Reason.OVER_LIMIT,
        "a/p5": Reason.OVER_LIMIT,
        "a/p6": Reason.PERSON_SCORE_LOW,
        "a/p7": Reason.PERSON_SCORE_LOW,
    }
    assert rejected["a/p6"].score == pytest.approx(0.6, abs=0.01)
    assert rejected["a/p6"].source_uri == "https://example.org/a"


@pytest.mark.parametrize(
    ("blocks", "reason", "score", "says"),
    [
        ([], Reason.NOBODY_FOUND, None, "blocks sees nobody"),
        ([((100, 150, 200, 400), 80, 0.1)], Reason.NOBODY_FOUND, None, "blocks sees nobody"),
        (
            [((100, 150, 200, 400), 80, 0.4), ((300, 150, 400, 400), 50, 0.6)],
            Reason.PERSON_SCORE_LOW,
            0.6,
            "of 2 people that blocks sees none is kept; the surest: score 0.60, at least 0.7",
        ),
        ([((100, 200, 110, 230), 80, 0.9)], Reason.IMAGE_TOO_SMALL, 12, "12 pixels on the shorter side"),
    ],
)
def test_a_photo_of_which_nobody_is_kept_says_why(model, blocks, reason, score, says):
    kept, rejected = run(FindPeople(config(), model), a_row("a", bordered(*blocks)))
    assert not kept
    assert list(rejected) == ["a"]
    assert rejected["a"].reason is reason
    assert rejected["a"].score == (None if score is None else pytest.approx(score, abs=0.01))
    assert says in rejected["a"].detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"image": {"bytes": b"", "path": None}}, Reason.IMAGE_MISSING, id="empty"),
        pytest.param({"image": {"bytes": None, "path": None}}, Reason.IMAGE_MISSING, id="null"),
        pytest.param({"image": {"bytes": b"<html>", "path": None}}, Reason.IMAGE_FORMAT_UNSUPPORTED, id="html"),
        pytest.param({"image": {"bytes": png(bordered())[:900], "path": None}}, Reason.IMAGE_TRUNCATED, id="cut"),
        pytest.param({"width": 320}, Reason.IMAGE_TOO_LARGE, id="larger than it says"),
        pytest.param({"content_xyxy": [0, 533, 640, 106]}, Reason.IMAGE_EMPTY, id="inside out"),
        pytest.param({"content_xyxy": [700, 0, 900, 640]}, Reason.IMAGE_EMPTY, id="content elsewhere"),
    ],
)
def test_what_cannot_be_looked_at_costs_only_itself(model, changes, reason):
    good = bordered(((200, 150, 300, 450), 80, 0.8))
    rows = a_row("before", good), a_row("bad", good, **changes), a_row("after", good)
    kept, rejected = run(FindPeople(config(), model), *rows)
    assert [row["parent_id"] for row in kept] == ["before", "after"]
    assert list(rejected) == ["bad"]
    assert rejected["bad"].reason is reason
    assert rejected["bad"].detail


def test_the_network_does_not_see_the_border():
    photo = opened(a_row("a", bordered()))
    assert photo.inside.shape == (427, 640, 3)
    assert photo.inside.max() < 255
    assert photo.content == CONTENT
    np.testing.assert_array_equal(photo.inside, person_crop(bordered(), CONTENT))


def test_chunks_do_not_change_the_rows(model, monkeypatch):
    rows = [a_row(f"r{k}", bordered(((100 + 9 * k, 150, 300, 450), 80, 0.8))) for k in range(4)]
    whole = run(FindPeople(config(), model), *rows)
    monkeypatch.setattr(module, "CHUNK_PIXELS", 640 * 640)
    assert run(FindPeople(config(), model), *rows) == whole


class Photos(Stage):
    """Offers the given rows."""

    name = "photos"
    version = 1
    rows: list[dict] = []  # noqa: RUF012

    @property
    def schema(self) -> pa.Schema:
        return WEB_PHOTO_SCHEMA

    def process(self, batches):
        yield StageOutput(pa.Table.from_pylist(self.rows, schema=WEB_PHOTO_SCHEMA))


class Nothing(Frozen):
    pass


def test_every_photo_is_accounted_for_and_found_again(model, tmp_path, monkeypatch):
    two = bordered(((100, 150, 200, 450), 80, 0.8), ((300, 150, 400, 450), 50, 0.75), ((450, 150, 500, 450), 20, 0.5))
    monkeypatch.setattr(Photos, "rows", [a_row("a", two), a_row("b", bordered()), a_row("c", b"broken")])
    store = Store(tmp_path / "store")
    stage = FindPeople(config(), model)
    record = realise(Derivation(stage, (Derivation(Photos(Nothing())),)), store).record
    assert (record.rows_in, record.rows_kept, record.data.rows) == (3, 1, 2)
    assert record.rejected == {"image_format_unsupported": 1, "nobody_found": 1}
    assert record.children_rejected == {"person_score_low": 1}
    assert record.models == {"blocks": model.sha256}
    again = Derivation(pickle.loads(pickle.dumps(stage)), (Derivation(Photos(Nothing())),))  # noqa: S301 - our own
    assert realise(again, store).cached


def test_the_key_covers_what_decides(model, tmp_path):
    key = stage_key(FindPeople(config(), model), ("x",), ())
    for changes in ({"person_floor": 0.8}, {"max_people": 5}, {"pad": 0.1}, {"min_crop_side": 17}):
        assert stage_key(FindPeople(config(**changes), model), ("x",), ()) != key
    other = model.card.model_copy(update={"thresholds": {"person": 0.2}})
    assert stage_key(FindPeople(config(), RtmoPose(other, model.zoo, "cpu")), ("x",), ()) != key
    zoo = Zoo(tmp_path)
    keys = {
        stage_key(FindPeople.of(PeopleConfig(), zoo, "cpu", runtime), ("x",), ())
        for runtime in ("torch", "onnxruntime", "openvino")
    }
    assert len(keys) == 3
    assert stage_key(FindPeople.of(PeopleConfig(), zoo, "cpu"), ("x",), ()) in keys


def test_a_key_is_known_without_loading_anything(tmp_path):
    program = (
        "import sys; from pathlib import Path; from tasks.body.people import FindPeople, PeopleConfig; "
        "from tasks.models.zoo import Zoo; from tasks.shards.stage import stage_key; "
        f"stage_key(FindPeople.of(PeopleConfig(), Zoo(Path({str(tmp_path)!r}))), ('x',), ()); "
        "sys.exit(', '.join(sys.modules.keys() & {'torch', 'ultralytics', 'openvino', 'onnxruntime', 'onnx'}) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_said_before_anything_runs(model, tmp_path):
    with pytest.raises(ConfigError, match=r"tells of nobody under 0\.15"):
        FindPeople(config(person_floor=0.1), model)
    with pytest.raises(ModelError, match="no model 'yolo99'"):
        FindPeople.of(PeopleConfig(pose_model="yolo99"), Zoo(tmp_path))
    with pytest.raises(ValueError, match="the model is blocks"):
        FindPeople(PeopleConfig(), model)
    with pytest.raises(ModelError, match="on the CPU only"):
        FindPeople.of(PeopleConfig(), Zoo(tmp_path), "cuda", "openvino")
