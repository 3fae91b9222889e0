"""Rows with drawings, with photos, with both, with neither, and with what nobody can read."""

import io
import pickle
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tasks.body import keypoints as module
from tasks.body.drawing import draw_openpose
from tasks.body.keypoints import FindKeypoints, Found, KeypointsConfig, NotFound, found_by_model, found_in_drawing
from tasks.body.pose_model import PersonDetections
from tasks.images.decode import decode_rgb, decoder_build
from tasks.models.body_cards import YOLOV8N_POSE_DEQUANTISED
from tasks.models.zoo import Zoo
from tasks.schema.boxes import Boxes
from tasks.schema.errors import ConfigError, ModelError
from tasks.schema.keypoints import COCO_17, OPENPOSE_18, Keypoints
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason
from tasks.schema.templates import INSPECTED_SCHEMA, KEYPOINTS_SCHEMA, PHOTO_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import Stage, StageOutput, stage_key
from tasks.shards.store import Store

STANDING = [
    (256, 80), (256, 130), (216, 132), (196, 190), (186, 245), (296, 132), (316, 190), (326, 245), (232, 250),
    (228, 340), (226, 430), (280, 250), (284, 340), (286, 430), (248, 72), (264, 72), (238, 78), (274, 78),
]  # fmt: skip
"""Pixels of a 512 x 512 drawing, in the order of OpenPose-18."""

ONLY_DRAWINGS = KeypointsConfig(pose_model="")


def skeleton(missing: tuple[int, ...] = (), scale: float = 1, dx: float = 0) -> Keypoints:
    confidence = np.ones((1, 18), np.float32)
    confidence[0, list(missing)] = 0
    return Keypoints.from_arrays(OPENPOSE_18, np.array([STANDING], float) * scale + [dx, 0], confidence)


def both(a: Keypoints, b: Keypoints) -> Keypoints:
    return Keypoints(a.layout, np.concatenate([a.xy, b.xy]), np.concatenate([a.confidence, b.confidence]))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def drawing(people: Keypoints) -> bytes:
    return png(draw_openpose(people, 512, 512))


GREY = png(np.full((64, 64, 3), 128, np.uint8))


def a_row(sample_id: str, image: bytes | None = GREY, conditioning: bytes | None = None, size=(512, 512)) -> dict:
    return {
        "sample_id": sample_id,
        "parent_id": None,
        "source_uri": f"file:///{sample_id}",
        "licence": "CC0-1.0",
        "width": size[0],
        "height": size[1],
        "format": "PNG",
        "exif_orientation": 1,
        "encoded_bytes": len(image or b""),
        "sha256": "0" * 64,
        "phash": 0,
        "conditioning_ok": conditioning not in (None, b"", b"not a picture", b"no picture"),
        "image": {"bytes": image, "path": None},
        "conditioning": None if conditioning is None else {"bytes": conditioning, "path": None},
        "source": "test",
        "category": "lifestyle",
    }


def run(stage: FindKeypoints, *rows: dict) -> tuple[list[dict], dict[str, Reason]]:
    """Kept rows, and reasons by sample id."""
    columns = pa.schema([*INSPECTED_SCHEMA, PHOTO_SCHEMA.field("image"), PHOTO_SCHEMA.field("conditioning")])
    batch = pa.RecordBatch.from_pylist([{name: r[name] for name in columns.names} for r in rows], schema=columns)
    outputs = list(stage.process(iter([batch])))
    kept = [row for output in outputs for row in pa.table(output.kept).cast(KEYPOINTS_SCHEMA).to_pylist()]
    return kept, {r.sample_id: r for output in outputs for r in output.rejected}


@pytest.fixture
def drawings_only(tmp_path) -> FindKeypoints:
    return FindKeypoints(ONLY_DRAWINGS, Zoo(tmp_path))


def xy(row: dict) -> np.ndarray:
    return np.array(row["keypoints_xy"], float).reshape(18, 2)


def test_a_drawing_gives_its_joints_back_in_pixels_of_the_photo(drawings_only):
    kept, rejected = run(drawings_only, a_row("a", conditioning=drawing(skeleton()), size=(1024, 256)))
    assert not rejected
    (row,) = kept
    expected = (np.array(STANDING) + 0.5) * [2, 0.5] - 0.5
    assert np.median(np.abs(xy(row) - expected).max(axis=1)) <= 1.5
    assert row["keypoints_from"] == "drawing"
    assert row["people"] == 1
    left, top, right, bottom = row["person_xyxy"]
    np.testing.assert_allclose([left, top, right, bottom], [372, 36, 652, 215], atol=3)
    assert (row["sample_id"], row["licence"], row["source_uri"]) == ("a", "CC0-1.0", "file:///a")


def test_missing_joints_are_null_and_never_made_up(drawings_only):
    kept, _ = run(drawings_only, a_row("a", conditioning=drawing(skeleton(missing=(4, 10, 13)))))
    for joint in range(18):
        gone = joint in (4, 10, 13)
        assert (kept[0]["keypoints_xy"][2 * joint] is None) == gone
        assert (kept[0]["keypoints_xy"][2 * joint + 1] is None) == gone
        assert (kept[0]["keypoints_confidence"][joint] == 0) == gone


def test_the_larger_person_of_a_drawing_is_the_main_one(drawings_only):
    crowd = both(skeleton(scale=0.3, dx=20), skeleton(dx=60))
    kept, _ = run(drawings_only, a_row("a", conditioning=drawing(crowd)))
    assert kept[0]["people"] == 2
    assert np.nanmedian(np.abs(xy(kept[0]) - np.array(STANDING) - [60, 0])) <= 1.5


@pytest.mark.parametrize(
    ("conditioning", "reason", "says"),
    [
        pytest.param(None, Reason.DRAWING_UNREADABLE, "no drawing, and no pose model", id="none"),
        pytest.param(b"", Reason.DRAWING_UNREADABLE, "no drawing, and no pose model", id="empty"),
        pytest.param(b"not a picture", Reason.DRAWING_UNREADABLE, "does not decode", id="no picture"),
        pytest.param(png(np.zeros((64, 64, 3), np.uint8)), Reason.DRAWING_UNREADABLE, "no skeleton", id="black"),
        pytest.param(GREY, Reason.DRAWING_UNREADABLE, "no skeleton", id="grey"),
        pytest.param(
            drawing(skeleton(missing=(0, 1, *range(8, 18)))), Reason.TOO_FEW_JOINTS, "6 joints", id="arms only"
        ),
    ],
)
def test_without_a_model_what_does_not_read_is_left_out_with_its_reason(drawings_only, conditioning, reason, says):
    whole = drawing(skeleton())
    kept, rejected = run(
        drawings_only,
        a_row("before", conditioning=whole),
        a_row("bad", conditioning=conditioning),
        a_row("after", conditioning=whole),
    )
    assert [row["sample_id"] for row in kept] == ["before", "after"]
    assert rejected["bad"].reason is reason
    assert says in rejected["bad"].detail
    assert rejected["bad"].score == (6 if reason is Reason.TOO_FEW_JOINTS else None)


def test_the_photo_is_not_even_decoded_where_the_drawing_reads(drawings_only):
    kept, _ = run(drawings_only, a_row("a", image=b"no picture", conditioning=drawing(skeleton())))
    assert len(kept) == 1


def test_a_drawing_that_is_not_fit_is_never_decoded(drawings_only, monkeypatch):
    monkeypatch.setattr(module, "decode_rgb", lambda *_: pytest.fail("decoded"))
    rows = [a_row("a", conditioning=drawing(skeleton())) | {"conditioning_ok": False}]
    kept, rejected = run(drawings_only, *rows)
    assert not kept
    assert rejected["a"].reason is Reason.DRAWING_UNREADABLE
    assert "far larger than its photo" in rejected["a"].detail


def test_a_drawing_far_larger_than_its_photo_is_refused_before_it_is_decoded():
    bomb = png(np.zeros((4000, 4001, 3), np.uint8))
    refused = found_in_drawing(bomb, 512, 512, 8)
    assert isinstance(refused, NotFound)
    assert "claims 4001 x 4000 pixels, more than 16000000" in refused.detail
    assert "no skeleton" in found_in_drawing(bomb, 2001, 2001, 8).detail


def test_chunks_count_the_drawings_too(monkeypatch):
    columns = ("width", "height", "conditioning", "conditioning_ok")
    fit = {name: a_row("a", conditioning=drawing(skeleton()))[name] for name in columns}
    schema = pa.schema([*INSPECTED_SCHEMA, PHOTO_SCHEMA.field("conditioning")])

    def chunks(**changes):
        batch = pa.RecordBatch.from_pylist([fit | changes] * 6, pa.schema([schema.field(name) for name in columns]))
        return [len(chunk) for chunk in module._chunks([batch])]

    monkeypatch.setattr(module, "CHUNK_PIXELS", 4 * 512 * 512)
    assert chunks() == [2, 2, 2]
    assert chunks(conditioning_ok=False) == [4, 2]
    assert chunks(conditioning={"bytes": b"BM whose header we do not read", "path": None}) == [1] * 6


def test_chunks_do_not_change_the_rows(drawings_only, monkeypatch):
    rows = [a_row(f"{i}", conditioning=drawing(skeleton(dx=i)) if i % 3 else None) for i in range(7)]
    whole = run(drawings_only, *rows)
    monkeypatch.setattr(module, "CHUNK_PIXELS", 512 * 512 * 2)
    assert run(drawings_only, *rows) == whole


def detections(confidence: float, score: float, count: int = 1) -> PersonDetections:
    grid = np.random.default_rng(7).uniform(10, 90, (count, 17, 2))
    shift = np.arange(count)[:, None] * 100
    boxes = np.concatenate([np.full((count, 2), 5) + shift * [1, 0], np.full((count, 2), 95) + shift * [1, 0]], axis=1)
    return PersonDetections(
        Boxes(boxes.astype(np.float32), np.full(count, score, np.float32)),
        Keypoints.from_arrays(COCO_17, grid, np.full((count, 17), confidence)),
    )


def seen(people: PersonDetections) -> Found | NotFound:
    return found_by_model(people, (100, 300), "m", 8, joint_floor=0.5, person_floor=0.4)


def test_what_a_model_sees_becomes_openpose_joints():
    found = seen(detections(0.9, 0.8, count=3))
    assert isinstance(found, Found)
    assert (found.people, found.source) == (3, "m")
    assert found.xyxy.tolist() == [105, 5, 195, 95], "the person in the middle"
    assert found.person.present.all()


def test_joints_under_the_floor_do_not_count():
    few = seen(detections(0.49, 0.8))
    assert isinstance(few, NotFound)
    assert (few.reason, few.score) == (Reason.TOO_FEW_JOINTS, 0)


def test_people_under_the_floor_are_nobody():
    nobody = seen(detections(0.9, 0.39))
    assert isinstance(nobody, NotFound)
    assert nobody.reason is Reason.NOBODY_FOUND


def test_the_key_knows_the_model_without_its_file(tmp_path):
    stage = FindKeypoints(KeypointsConfig(), Zoo(tmp_path))
    assert list(stage.models()) == ["yolov8n-pose"]
    assert stage.params()["joint_floor"] == 0.5
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_the_key_names_none(drawings_only):
    assert drawings_only.models() == {}
    assert drawings_only.execution() == {**decoder_build(), "opencv": cv2.__version__}


def test_the_key_depends_on_what_decides_and_on_nothing_else(tmp_path):
    def key(zoo=tmp_path, device="cpu", **config):
        return stage_key(FindKeypoints(KeypointsConfig(**config), Zoo(zoo), device), ("0",), ("1",))

    assert key() == key(zoo=tmp_path / "elsewhere") == key(joint_floor=0.5)
    others = [key(joint_floor=0.6), key(min_joints=9), key(drawings="never"), key(pose_model=""), key(device="cuda")]
    assert len({key(), *others}) == 6


def test_a_stage_travels_to_a_worker(tmp_path):
    stage = FindKeypoints(KeypointsConfig(), Zoo(tmp_path))
    assert stage.models() == pickle.loads(pickle.dumps(stage)).models()  # noqa: S301


def test_an_unknown_model_and_a_floor_it_cannot_reach_fail_at_once(tmp_path):
    with pytest.raises(ModelError, match="Choose one of"):
        FindKeypoints(KeypointsConfig(pose_model="yolo99"), Zoo(tmp_path))
    with pytest.raises(ConfigError, match=r"person_floor.*0\.25"):
        FindKeypoints(KeypointsConfig(person_floor=0.1), Zoo(tmp_path))


class RowsConfig(Frozen):
    inspected: bool


@dataclass(frozen=True)
class Rows(Stage):
    """Two rows that read and one that does not, as ingest or as inspection gives them."""

    config: RowsConfig
    name = "rows"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return INSPECTED_SCHEMA if self.config.inspected else PHOTO_SCHEMA

    def process(self, batches):
        pictures = [drawing(skeleton()), None, drawing(skeleton(dx=20))]
        rows = [a_row(f"r{i}", conditioning=picture) for i, picture in enumerate(pictures)]
        columns = self.schema
        yield StageOutput(
            pa.Table.from_pylist([{n: row.get(n) for n in columns.names} for row in rows], schema=columns)
        )


def test_through_the_engine_every_row_is_accounted_for(drawings_only, tmp_path):
    photos, inspected = (Derivation(Rows(RowsConfig(inspected=flag))) for flag in (False, True))
    derivation = Derivation(drawings_only, (inspected,), (photos,))
    store = Store(tmp_path / "store")
    record = realise(derivation, store).record
    assert (record.rows_in, record.rows_kept, record.rejected) == (3, 2, {"drawing_unreadable": 1})
    assert realise(derivation, store).cached


@pytest.fixture
def with_model(real_data, tmp_path) -> FindKeypoints:
    config = KeypointsConfig(pose_model=YOLOV8N_POSE_DEQUANTISED.name)
    return FindKeypoints(config, Zoo(tmp_path, real_data / "models"), "cpu")


def photo_row(path, **more) -> dict:
    data = path.read_bytes()
    height, width = decode_rgb(data).shape[:2]
    return a_row(path.stem, data, size=(width, height), **more)


@pytest.mark.real
def test_a_photo_gives_what_the_model_sees_and_a_bad_one_only_loses_itself(with_model, real_data):
    models = sorted((real_data / "people" / "tryon_models").glob("*.jpg"))[:5]
    rows = [photo_row(path) for path in models]
    rows.insert(2, a_row("broken", b"\xff\xd8\xff\xe0 cut short"))
    rows.insert(4, photo_row(real_data / "people" / "faces" / "no_face.jpg"))
    kept, rejected = run(with_model, *rows)
    assert rejected["broken"].reason.value.startswith("image_")
    assert rejected["no_face"].reason in (Reason.NOBODY_FOUND, Reason.TOO_FEW_JOINTS)
    assert len(kept) + len(rejected) == len(rows)
    assert len(kept) >= 4
    for row in kept:
        image = decode_rgb(next(r for r in rows if r["sample_id"] == row["sample_id"])["image"]["bytes"])
        people = with_model.model.detect([image])[0]
        expected = found_by_model(people, image.shape[:2], "m", 8, joint_floor=0.5, person_floor=0.25)
        np.testing.assert_array_equal(xy(row), expected.person.xy[0].astype(float))
        assert row["keypoints_from"] == YOLOV8N_POSE_DEQUANTISED.name


@pytest.mark.real
def test_the_model_helps_where_a_drawing_does_not_read(with_model, real_data):
    path = min((real_data / "people" / "tryon_models").glob("*.jpg"))
    rows = [
        photo_row(path, conditioning=picture) | {"sample_id": name}
        for name, picture in {
            "reads": drawing(skeleton()),
            "black": png(np.zeros((64, 64, 3), np.uint8)),
            "few": drawing(skeleton(missing=tuple(range(7, 18)))),
            "bytes": b"no picture",
            "large": png(np.zeros((4000, 4001, 3), np.uint8)),
        }.items()
    ]
    kept, rejected = run(with_model, *rows)
    assert not rejected
    assert [row["keypoints_from"] for row in kept] == ["drawing"] + [YOLOV8N_POSE_DEQUANTISED.name] * 4


@pytest.mark.real
def test_drawings_can_be_left_aside(with_model, real_data):
    path = min((real_data / "people" / "tryon_models").glob("*.jpg"))
    never = FindKeypoints(with_model.config.model_copy(update={"drawings": "never"}), with_model.zoo, "cpu")
    kept, _ = run(never, photo_row(path, conditioning=drawing(skeleton())))
    assert kept[0]["keypoints_from"] == YOLOV8N_POSE_DEQUANTISED.name


@pytest.mark.real
def test_an_unreadable_photo_keeps_its_reason_whatever_file_it_is(with_model, real_data):
    rows = [
        a_row(path.name, path.read_bytes(), size=(64, 64))
        for path in sorted((real_data / "badinputs").iterdir())
        if path.suffix in (".jpg", ".png", ".gif", ".webp", ".tif", ".tiff") and path.stat().st_size < 300_000
    ]
    kept, rejected = run(with_model, *rows)
    assert len(kept) + len(rejected) == len(rows) > 30
    assert Counter(r.reason for r in rejected.values())[Reason.NOBODY_FOUND] > 0
    assert all(np.isnan(xy(row)).any(axis=1).tolist() == [c == 0 for c in row["keypoints_confidence"]] for row in kept)
