"""Similar poses for people who look for some: by template, by drawing, by photo, from templates made for real."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.catalog.rows import template_rows
from tasks.catalog.seed import seed_templates
from tasks.catalog.similar import upsert_vectors
from tasks.exports.previews import PUBLIC, preview_path
from tasks.ingest.hub import HubAccess
from tasks.ingest.mannequins import list_mannequins
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.poses.config import KeypointRules, PoseTemplatesForm
from tasks.poses.derivations import SourceRead, part_chain, templates
from tasks.poses.rows import joints
from tasks.poses.search import as_rows, pose_on_photo, similar_to_id, similar_to_pose
from tasks.poses.similar import pose_vector
from tasks.schema.errors import DatabaseError, ModelError, SourceError
from tasks.schema.ids import template_id
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.shards.derive import realise_whole
from tasks.shards.store import Store
from tests.poses.figures import photo_bytes

RENDERED = 24
COUNT = 15
SMALL_MODEL = "yolov8n-pose-dequantised"


@dataclass(frozen=True)
class Mannequins:
    """Templates of rendered mannequins, with the pictures that they came from and were rendered to, by sample."""

    table: pa.Table
    pictures: dict[str, dict[str, bytes]]

    @property
    def samples(self) -> list[str]:
        return list(self.table["sample_id"].to_pylist())

    def seed(self, database: str) -> None:
        rows = template_rows(self.table, {sample: preview_path(sample) for sample in self.samples})
        seed_templates(database, [rows], "build-1")
        vectors = np.array([pose_vector(*joints(row)) for row in self.table.to_pylist()], np.float32)
        upsert_vectors(database, rows["id"].to_pylist(), vectors)


@pytest.fixture(scope="module")
def mannequins(tmp_path_factory: pytest.TempPathFactory) -> Mannequins:
    store = Store(tmp_path_factory.mktemp("store"))
    machine = Machine(store, HubAccess(), Zoo(store.root / "models"))
    source = PhotoSource(
        name="mannequins", kind=SourceKind.MANNEQUINS, category="lifestyle", limit=COUNT, near_duplicates=False
    )
    form = PoseTemplatesForm(sources=(source,), keypoints=KeypointRules(min_joints=14))
    listing = list_mannequins(source, rows=RENDERED, part_rows=RENDERED)
    read = SourceRead.upto(source, listing, 1)
    chain = part_chain(read, listing.parts[0], form, machine)
    made, photos, previews = (
        store.data_path(realise_whole(each, store).record)
        for each in (templates((read,), form, machine), chain.photos, chain.preview)
    )
    pictures: dict[str, dict[str, bytes]] = {}
    for path, columns in ((photos, ("image", "conditioning")), (previews, ("skeleton",))):
        for row in pq.read_table(path, columns=["sample_id", *columns]).to_pylist():
            pictures.setdefault(row["sample_id"], {}).update({name: row[name]["bytes"] for name in columns})
    return Mannequins(pq.read_table(made), pictures)


@pytest.fixture
def seeded(mannequins: Mannequins, database: str) -> str:
    mannequins.seed(database)
    return database


@pytest.fixture
def without_models(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "models")


@pytest.mark.parametrize("picture", [pytest.param("conditioning", marks=pytest.mark.slow), "skeleton"])
def test_a_drawing_finds_its_template_first(
    mannequins: Mannequins, seeded: str, without_models: Zoo, picture: str
) -> None:
    assert len(mannequins.samples) == COUNT
    for sample in mannequins.samples[::3]:
        found = pose_on_photo(mannequins.pictures[sample][picture], without_models)
        assert found.source == "drawing"
        hits = similar_to_pose(seeded, found.person, 3)
        assert hits[0].template.id == template_id(sample)
        assert hits[0].similarity > 0.99
        assert len(hits) == 3


def test_a_template_finds_others(mannequins: Mannequins, seeded: str) -> None:
    own = template_id(mannequins.samples[0])
    hits = similar_to_id(seeded, own, 5)
    similarities = [hit.similarity for hit in hits]
    assert len(hits) == 5
    assert own not in {hit.template.id for hit in hits}
    assert similarities == sorted(similarities, reverse=True)
    assert len(similar_to_id(seeded, own, 1000)) == COUNT - 1


def test_rows_show_what_the_database_says_and_where_the_picture_is(
    mannequins: Mannequins, seeded: str, tmp_path: Path
) -> None:
    hits = similar_to_id(seeded, template_id(mannequins.samples[0]), 3)
    described = {template_id(row["sample_id"]): row for row in mannequins.table.to_pylist()}
    first = tmp_path / PUBLIC / preview_path(described[hits[0].template.id]["sample_id"])
    first.parent.mkdir(parents=True)
    first.write_bytes(b"a picture")
    rows = as_rows(hits, tmp_path)
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert row["tags"] == ", ".join(described[row["template"]]["tags"])
        assert row["difficulty"] == described[row["template"]]["difficulty"]
    assert rows[0]["preview"] == str(first)
    assert rows[1]["preview"] == f"pose_templates/{rows[1]['template']}.jpg"


def test_no_such_template_and_no_vectors_are_told(seeded: str, postgres_server: str) -> None:
    with pytest.raises(DatabaseError, match="pt_0 has no similarity vector"):
        similar_to_id(seeded, "pt_0")
    with pytest.raises(DatabaseError, match="seed it first"):
        similar_to_id(postgres_server, "pt_0")


def test_a_database_without_vectors_is_told(mannequins: Mannequins, database: str) -> None:
    rows = template_rows(mannequins.table, {sample: preview_path(sample) for sample in mannequins.samples})
    seed_templates(database, [rows], "build-1")
    with pytest.raises(DatabaseError, match="no similarity vectors"):
        similar_to_id(database, rows["id"][0].as_py())


def test_nobody_in_a_drawing_is_told(without_models: Zoo) -> None:
    with pytest.raises(SourceError, match="no pose on the picture: the drawing shows no skeleton"):
        pose_on_photo(photo_bytes(), without_models, "")


@pytest.mark.parametrize("data", [b"", b"no picture", photo_bytes()[:900]], ids=["empty", "text", "cut"])
def test_what_is_no_picture_is_told(data: bytes, without_models: Zoo) -> None:
    with pytest.raises(SourceError, match="The picture cannot be used: "):
        pose_on_photo(data, without_models)


def test_missing_weights_are_told_with_the_models_that_are_here(without_models: Zoo) -> None:
    with pytest.raises(ModelError, match=r"no model 'yolo99'.* yolov8n-pose, yolov8n-pose-dequantised"):
        pose_on_photo(photo_bytes(), without_models, "yolo99")
    with pytest.raises(ModelError, match=r"Put the right file at .*_from_int8\.pt"):
        pose_on_photo(photo_bytes(), without_models, SMALL_MODEL)
    without_models.folder.mkdir()
    (without_models.folder / "yolov8n-pose.pt").write_bytes(b"found, not read")
    with pytest.raises(ModelError, match=r"model that is here \(yolov8n-pose\) by .*config\.keypoints\.pose_model"):
        pose_on_photo(photo_bytes(), without_models, SMALL_MODEL)


def test_joints_without_a_limb_are_told() -> None:
    xy = np.full((1, 18, 2), np.nan)
    xy[0, OPENPOSE_18.index("right_ankle")] = 3
    with pytest.raises(SourceError, match="no common limb"):
        similar_to_pose("postgresql://nowhere/", Keypoints.from_arrays(OPENPOSE_18, xy, np.isfinite(xy[..., 0])))


@pytest.mark.real
def test_people_on_their_feet_on_real_photos_find_such_mannequins(
    mannequins: Mannequins, seeded: str, real_data: Path
) -> None:
    zoo = Zoo(real_data / "models")
    for name in ("049205_0", "049447_0", "049713_0"):
        found = pose_on_photo((real_data / "people" / "tryon_models" / f"{name}.jpg").read_bytes(), zoo, SMALL_MODEL)
        assert (found.source, found.people) == (SMALL_MODEL, 1)
        hits = similar_to_pose(seeded, found.person, 3)
        assert {"standing", "walking"} & set(hits[0].template.tags)
        assert hits[0].similarity > 0.95


@pytest.mark.real
def test_nobody_on_a_real_photo_is_told(real_data: Path) -> None:
    photo = (real_data / "people" / "faces" / "no_face.jpg").read_bytes()
    with pytest.raises(SourceError, match=f"no pose on the picture: {SMALL_MODEL} sees nobody"):
        pose_on_photo(photo, Zoo(real_data / "models"), SMALL_MODEL)
