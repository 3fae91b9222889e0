"""The whole flow on real photos, real drawings and broken files, into a real Postgres."""

from collections import Counter
from pathlib import Path

import numpy as np
import psycopg
import pyarrow.parquet as pq
import pytest

from flows.pose_templates import pose_templates
from tasks.body.layouts import coco17_to_openpose18
from tasks.body.main_person import main_person
from tasks.body.pose_model import open_pose_model
from tasks.catalog.embedded import start_embedded
from tasks.images.decode import decode_rgb
from tasks.models.zoo import Zoo
from tasks.poses.config import Exports, KeypointRules, PoseTemplatesForm
from tasks.schema.keypoints import OPENPOSE_18
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.manifest import read_manifest, rejects
from tasks.shards.store import Store
from tasks.shards.verify import verify_store

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MODEL = "yolov8n-pose-dequantised"
FRAMES = 96


@pytest.fixture(scope="module")
def built(home: Path, real_data: Path, monkeypatch_module: pytest.MonkeyPatch) -> Store:
    monkeypatch_module.setenv("MANNEQUIN_MODELS", str(real_data / "models"))
    folders = {"tryon": "people/tryon_models", "coco": "people/openpose_coco", "bad": "badinputs"}
    sources = tuple(
        PhotoSource(name=name, kind=SourceKind.FOLDER, location=str(real_data / place), limit=1000)
        for name, place in folders.items()
    )
    dance = PhotoSource(
        name="dance",
        kind=SourceKind.VIDEO,
        category="lifestyle",
        limit=FRAMES,
        near_duplicates=False,
        location=str(real_data / "dance" / "xdyna_1_driving_8fps_noaudio.mp4"),
        conditioning_location=str(real_data / "dance" / "xdyna_1_openpose_8fps.mp4"),
    )
    form = PoseTemplatesForm(
        sources=(*sources, dance),
        keypoints=KeypointRules(pose_model=MODEL),
        exports=Exports(folders=True, parquet=True),
        shard_rows=24,
    )
    pose_templates(form)
    return Store(home)


@pytest.fixture(scope="module")
def monkeypatch_module() -> pytest.MonkeyPatch:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_photos_become_rows_of_postgres(built: Store) -> None:
    with psycopg.connect(start_embedded(built.root / "postgres")) as connection:
        found = dict(connection.execute("SELECT category, count(*) FROM pose_templates GROUP BY category").fetchall())
    assert found["lifestyle"] == FRAMES
    assert found["fashion"] >= 13 + 11
    assert verify_store(built).ok


def test_every_broken_file_has_a_reason(built: Store) -> None:
    manifest = read_manifest(built, "pose_templates")
    reasons = Counter(
        row["reason"]
        for batch in rejects(built, manifest)
        for row in batch.to_pylist()
        if row["sample_id"].startswith("bad/")
    )
    assert reasons["image_truncated"] + reasons["image_unreadable"] >= 5
    assert reasons["image_bomb"] >= 2
    assert reasons["image_too_small"] >= 20
    assert all(line.rows_in == line.rows_kept + sum(line.rejected.values()) for line in manifest.funnel.lines)


def test_drawings_agree_with_the_model_on_the_photo(built: Store, real_data: Path) -> None:
    """Target: 95 % of the frames read, median distance of at most 0.15 torso."""
    manifest = read_manifest(built, "pose_templates")
    records = {record.key: record for record in built.records()}
    used = [records[shard.key] for shard in manifest.shards]
    photos = {r["sample_id"]: r for s in used if s.stage == "ingest" for r in rows(built, s, "image")}
    joints = [r for s in used if s.stage == "keypoints" for r in rows(built, s, None)]
    drawn = [r for r in joints if r["sample_id"].startswith("dance/") and r["keypoints_from"] == "drawing"]
    frames = sum(sample.startswith("dance/") for sample in photos)
    assert len(drawn) >= 0.95 * frames
    model = open_pose_model(MODEL, Zoo(built.root / "models", real_data / "models"))
    apart = []
    for row in drawn[::4]:
        image = decode_rgb(photos[row["sample_id"]]["image"]["bytes"])
        people = model.detect([image])[0]
        if len(people.boxes) == 0:
            continue
        best = main_person(people.keypoints, people.boxes, people.boxes.score, image.shape[1], image.shape[0])
        seen = coco17_to_openpose18(people.keypoints).person(best)
        xy = np.array([np.nan if v is None else v for v in row["keypoints_xy"]]).reshape(18, 2)
        hips = [OPENPOSE_18.index("right_hip"), OPENPOSE_18.index("left_hip")]
        torso = np.linalg.norm(seen.xy[0, 1] - seen.xy[0, hips].mean(axis=0))
        apart.append(np.linalg.norm(xy - seen.xy[0], axis=1)[seen.confidence[0] > 0.5] / torso)
    median = float(np.nanmedian(np.concatenate(apart)))
    print(f"{len(drawn)} of {frames} drawings read; median distance to the model {median:.3f} torso")
    assert median <= 0.15


def rows(store: Store, record: object, column: str | None) -> list[dict[str, object]]:
    return pq.read_table(store.data_path(record), columns=["sample_id", column] if column else None).to_pylist()
