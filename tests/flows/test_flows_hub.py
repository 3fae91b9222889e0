"""The seed's two datasets, of their shape on the hub, from a local server that speaks its API, through the flow."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blocks import HubAccount
from flows.pose_templates import pose_templates
from tasks.images.sheet import encode_jpeg, encode_png
from tasks.ingest.mannequins import render_mannequin
from tasks.machine.places import PlaceNames
from tasks.poses.config import Exports, KeypointRules, Mix, PoseTemplatesForm, Seeding
from tasks.schema.columns import IMAGE
from tasks.schema.errors import SourceError
from tasks.schema.sources import FASHION, LIFESTYLE
from tests.ingest.hub_server import HubServer

pytestmark = pytest.mark.timeout(300)

ROWS = 40


def fashion_file(rows: int) -> bytes:
    """Columns of SaffalPoosh/deepFashion-with-masks, and a drawing, so that no weights are needed."""
    made = []
    for index in range(rows):
        mannequin = render_mannequin(11, index)
        photo = {"bytes": encode_jpeg(mannequin.photo, 90), "path": None}
        drawing = {"bytes": encode_png(mannequin.drawing), "path": None}
        made.append(
            {"images": photo, "mask": drawing, "mask_overlay": photo, "drawing": drawing, "pose": "front"}
            | {
                "gender": "WOMEN" if index % 10 < 6 else "MEN",
                "cloth": "Dresses",
                "caption": "a dress",
                "pid": f"id_{index}",
            }
        )
    images = dict.fromkeys(("images", "mask", "mask_overlay", "drawing"), IMAGE)
    return parquet(made, images | dict.fromkeys(("gender", "pose", "cloth", "caption", "pid"), pa.string()))


def lifestyle_file(rows: int) -> bytes:
    """Columns of raulc0399/open_pose_controlnet; every fourth caption speaks of sport."""
    made = []
    for index in range(rows):
        mannequin = render_mannequin(12, index)
        made.append(
            {
                "image": {"bytes": encode_jpeg(mannequin.photo, 90), "path": None},
                "conditioning_image": {"bytes": encode_png(mannequin.drawing), "path": None},
                "text": "a person playing basketball" if index % 4 == 0 else "a person waiting in a city street",
            }
        )
    return parquet(made, {"image": IMAGE, "conditioning_image": IMAGE, "text": pa.string()})


def parquet(rows: list[dict[str, object]], types: dict[str, pa.DataType]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(types.items()))), stream, row_group_size=10)
    return stream.getvalue()


@pytest.fixture(scope="module")
def hub(home: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.tokens.add("hf_secret")
        server.publish(FASHION.location, {"data/train-00000-of-00001.parquet": fashion_file(ROWS)})
        server.publish(LIFESTYLE.location, {"data/train-00000-of-00001.parquet": lifestyle_file(ROWS)})
        HubAccount(endpoint=server.endpoint, token="hf_secret").save("local", overwrite=True)
        yield server


HERE = PlaceNames(hub="local")
RULES = KeypointRules(pose_model="")
DRAWN = FASHION.model_copy(update={"columns": FASHION.columns.model_copy(update={"conditioning": "drawing"})})


@pytest.mark.slow
def test_the_seeds_folders_come_out_as_promised(hub: HubServer, home: Path) -> None:
    sources = (DRAWN.model_copy(update={"limit": 12}), LIFESTYLE.model_copy(update={"limit": 12}))
    form = PoseTemplatesForm(sources=sources, keypoints=RULES, exports=Exports(folders=True), shard_rows=10)
    summary = pose_templates(form, HERE)
    assert summary.templates == {"fashion": 12, "lifestyle": 9, "sports": 3}
    folder = home / "exports" / "pose_templates"
    fashion = json.loads((folder / "fashion" / "metadata.json").read_text())
    assert fashion[0] == {
        "id": "fashion_0000",
        "category": "fashion",
        "gender": "women",
        "pose": "front",
        "cloth": "Dresses",
        "caption": "a dress",
        "pid": "id_0",
        "image_filename": "fashion_0000_image.jpg",
        "mask_filename": "fashion_0000_mask.jpg",
        "mask_overlay_filename": "fashion_0000_overlay.jpg",
    }
    assert list(json.loads((folder / "sports" / "metadata.json").read_text())[0]) == [
        "id", "category", "text", "image_filename", "conditioning_filename",
    ]  # fmt: skip
    pictures = sorted(path.name for path in folder.rglob("*.jpg"))
    assert len(pictures) == 12 * 3 + 12 * 2
    assert summary.seeded is not None
    assert summary.seeded.total_active == 24


@pytest.mark.slow
def test_the_mix_streams_until_each_share_is_full(hub: HubServer) -> None:
    form = PoseTemplatesForm(
        sources=(DRAWN, LIFESTYLE),
        keypoints=RULES,
        mix=Mix(enabled=True, total=30),
        seeding=Seeding(enabled=False),
        shard_rows=10,
    )
    summary = pose_templates(form, HERE)
    assert summary.templates == {"fashion": 18, "lifestyle": 9, "sports": 3}


def test_a_mapping_that_does_not_fit_fails_at_once_and_lists_the_columns(hub: HubServer) -> None:
    wrong = LIFESTYLE.model_copy(update={"columns": LIFESTYLE.columns.model_copy(update={"caption": "prompt"})})
    sent = hub.sent()
    with pytest.raises(SourceError, match="conditioning_image"):
        pose_templates(PoseTemplatesForm(sources=(wrong,), keypoints=RULES), HERE)
    assert hub.sent() - sent < 200_000


def test_a_dataset_that_does_not_exist_is_one_clear_error(hub: HubServer) -> None:
    nowhere = LIFESTYLE.model_copy(update={"location": "nobody/nothing"})
    with pytest.raises(SourceError, match="nobody/nothing"):
        pose_templates(PoseTemplatesForm(sources=(nowhere,), keypoints=RULES), HERE)


def test_the_token_reaches_no_record(hub: HubServer, home: Path) -> None:
    for path in (home / "shards").rglob("record.json"):
        assert "hf_secret" not in path.read_text()
    for path in (home / "builds").rglob("*.json"):
        assert "hf_secret" not in path.read_text()
