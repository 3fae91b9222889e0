"""The intermediate products in the seed's folders."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.exports.webbody_folders import DOWNLOADED_SCHEMA, FOLDERS, export_folders
from tasks.schema.errors import ConfigError, StoreError
from tests.exports.recordio_reader import read_indexed
from tests.exports.webbody_shards import Build, Row, face_bytes

EVERY = ("photos", "people", "faces")


def numbered() -> Build:
    """A build whose list has numbers as labels, and shards in step."""
    build = Build(photos=4)
    for rows in (build.photos, build.people, build.faces):
        for row in rows:
            row["label"] = str(row["label"])[1:]
    return build


def test_the_seeds_folders(tmp_path: Path) -> None:
    build = numbered()
    shards = build.write(tmp_path / "in", per_shard=100)
    changes = export_folders(shards.photos, shards.people, shards.faces, tmp_path / "out", EVERY)
    assert {product: change.written for product, change in changes.items()} == {"photos": 1, "people": 6, "faces": 5}
    table = pq.read_table(tmp_path / "out" / FOLDERS["photos"] / "0_parquet/00000.parquet", partitioning=None)
    assert table.schema.equals(DOWNLOADED_SCHEMA)
    columns = "idx,label,url,key,status,error_message,width,height,original_width,original_height,exif,sha256,jpg"
    assert ",".join(table.schema.names) == columns
    first = table.to_pylist()[0]
    assert (first["key"], first["status"], first["error_message"], first["width"]) == ("000000000", "success", None, 80)
    image = build.photos[0]["image"]
    assert isinstance(image, dict)
    assert first["jpg"] == image["bytes"]
    people = tmp_path / "out" / FOLDERS["people"] / "0_parquet"
    read = read_indexed(people / "train.rec", people / "train.idx")
    with Image.open(io.BytesIO(read[1][1])) as crop:
        assert crop.size == (40, 50)
    assert (people / "train.tsv").read_text().splitlines()[1] == "1\t0/0_1.jpg\t0"
    joints = [float(v) for v in (people / "body_kps_xyn.csv").read_text().splitlines()[1].split(",")]
    assert joints[:5] == pytest.approx([0, 0, 0, 8.5 / 80, 6.5 / 60], abs=1e-5)
    assert (people / "bbox_xyxyn.csv").read_text().splitlines()[1] == "0,0,0,0.07500,0.08333,0.57500,0.91667"
    faces = tmp_path / "out" / FOLDERS["faces"] / "0_parquet"
    assert read_indexed(faces / "train.rec", faces / "train.idx")[0][1] == face_bytes(0)
    points = np.array((faces / "face_kps_xyn.csv").read_text().splitlines()[1].split(",")[3:], float).reshape(5, 2)
    assert ((points > 0.2) & (points < 0.8)).all()
    assert points[0][0] < points[2][0] < points[1][0]
    again = export_folders(shards.photos, shards.people, shards.faces, tmp_path / "out", EVERY)
    assert {change.written for change in again.values()} == {0}


def test_a_bad_photo_costs_its_people_and_wrong_input_is_told(tmp_path: Path) -> None:
    build = numbered()
    build.photos[1]["image"] = {"bytes": b"", "path": "x"}
    shards = build.write(tmp_path / "in", per_shard=100)
    export_folders(shards.photos, shards.people, shards.faces, tmp_path / "out", ("people",))
    listed = (tmp_path / "out" / FOLDERS["people"] / "0_parquet/train.tsv").read_text().splitlines()
    assert len(listed) == len(build.people) - 1
    others: list[Row] = build.photos
    others[0]["sample_id"] = "list/9999"
    strange = build.write(tmp_path / "strange", per_shard=100)
    with pytest.raises(StoreError, match="has no photo list/0000"):
        export_folders(strange.photos, strange.people, strange.faces, tmp_path / "out", ("people",))
    texts = Build(photos=2).write(tmp_path / "texts", per_shard=100)
    with pytest.raises(ConfigError, match="whole numbers"):
        export_folders(texts.photos, texts.people, texts.faces, tmp_path / "out", ("faces",))
