import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tasks.catalog.read import parse_keypoints
from tasks.catalog.rows import (
    OWN_COLUMNS,
    ROW_SCHEMA,
    KeypointsForm,
    TagsForm,
    parse_tags,
    row_digest,
    rows_of,
    template_rows,
)
from tasks.catalog.staging import copy_text
from tasks.schema.errors import ConfigError
from tasks.schema.ids import template_id

Make = Callable[..., pa.Table]


def urls_of(table: pa.Table) -> dict[str, str]:
    return {sample: f"https://pictures.test/{sample}.jpg" for sample in table["sample_id"].to_pylist()}


def test_a_row_holds_the_openpose_json_that_controlnet_loads(make_templates: Make) -> None:
    table = make_templates(3)
    row = next(rows_of(template_rows(table, urls_of(table))))
    assert row.id == template_id("mannequins/000000")
    assert row.preview_url == "https://pictures.test/mannequins/000000.jpg"
    assert row.tags == ("standing", "full-body")
    read = json.loads(row.keypoints_json)
    assert (read["version"], read["canvas_width"], read["canvas_height"]) == (1.3, 512, 768)
    numbers = np.array(read["people"][0]["pose_keypoints_2d"]).reshape(18, 3)
    xy = np.array(table["keypoints_xy"][0].as_py()[:34], np.float32).reshape(17, 2)
    np.testing.assert_allclose(numbers[:17, :2], xy, atol=0.005001)
    np.testing.assert_allclose(numbers[:17, 2], 0.9)
    assert numbers[17].tolist() == [0, 0, 0]
    assert all(abs(number * 100 - round(number * 100)) < 1e-6 for number in numbers[:, :2].ravel())


def test_both_forms_read_back_as_the_same_keypoints(make_templates: Make) -> None:
    table = make_templates(2)
    openpose = template_rows(table, urls_of(table))["keypointsJson"][1].as_py()
    listed = template_rows(table, urls_of(table), KeypointsForm.LIST)["keypointsJson"][1].as_py()
    assert set(json.loads(listed)[0]) == {"x", "y", "confidence"}
    one, other = parse_keypoints(openpose), parse_keypoints(listed)
    np.testing.assert_array_equal(one.xy, other.xy)
    np.testing.assert_array_equal(one.confidence, other.confidence)
    assert one.present.sum() == 17


def test_joints_outside_the_frame_and_huge_coordinates_are_written_as_they_are(make_templates: Make) -> None:
    xy = [[-12.345, 5e7] * 18]
    table = make_templates(1, keypoints_xy=xy)
    numbers = json.loads(template_rows(table, urls_of(table))["keypointsJson"][0].as_py())["people"][0]
    assert numbers["pose_keypoints_2d"][:2] == pytest.approx([-12.35, 5e7], abs=0.006)


def test_tags_are_a_json_array_or_comma_separated(make_templates: Make) -> None:
    table = make_templates(3, tags=[['say "hi"', "a,b"], [], ["été"]])
    assert [parse_tags(text.as_py()) for text in template_rows(table, urls_of(table))["tags"]] == [
        ('say "hi"', "a,b"),
        (),
        ("été",),
    ]
    with pytest.raises(ConfigError, match="a,b"):
        template_rows(table, urls_of(table), tags_form=TagsForm.COMMA)
    plain = make_templates(2, tags=[["standing", "walking"], []])
    assert template_rows(plain, urls_of(plain), tags_form=TagsForm.COMMA)["tags"].to_pylist() == [
        "standing,walking",
        "",
    ]


def test_the_digest_covers_what_we_own_and_nothing_else(make_templates: Make) -> None:
    table = make_templates(2)
    rows = template_rows(table, urls_of(table))
    row = rows.slice(1, 1).to_pylist()[0]
    assert row["digest"] == row_digest([row[name] for name in OWN_COLUMNS])
    better = make_templates(2, quality=[0.1, 0.2])
    assert template_rows(better, urls_of(better))["digest"] == rows["digest"]
    without = make_templates(2, caption=["", None])
    assert template_rows(without, urls_of(without))["digest"][1] != rows["digest"][1]


def test_a_missing_preview_is_named(make_templates: Make) -> None:
    with pytest.raises(ConfigError, match="2 templates have no preview address, the first is mannequins/000001"):
        template_rows(make_templates(3), {"mannequins/000000": "https://pictures.test/0.jpg"})


def test_batches_give_the_rows_of_the_whole(make_templates: Make) -> None:
    table = make_templates(50)
    parts = [template_rows(batch, urls_of(table)) for batch in table.to_batches(max_chunksize=7)]
    assert pa.concat_tables(parts).combine_chunks() == template_rows(table, urls_of(table)).combine_chunks()
    assert template_rows(table.slice(0, 0), {}).num_rows == 0
    assert template_rows(table.slice(20, 5), urls_of(table)).equals(template_rows(table, urls_of(table)).slice(20, 5))


def test_copy_text_escapes_what_captions_may_hold() -> None:
    letters = np.random.default_rng(5).choice(list("a\\\t\n\r\"'é,N"), (100, 12))
    captions = ["".join(row) for row in letters]
    table = pa.table({"id": [str(i) for i in range(100)], "caption": [*captions[:-1], None]})
    text = b"".join(bytes(piece) for piece in copy_text(table)).decode()
    assert text.count("\n") == 100
    assert text.endswith("99\t\\N\n")
    undone = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    for line, caption in zip(text.split("\n")[:99], captions, strict=False):
        field, read, i = line.split("\t")[1], "", 0
        while i < len(field):
            step = 2 if field[i] == "\\" else 1
            read += undone.get(field[i : i + step], field[i : i + step])
            i += step
        assert read == caption


def test_rows_have_exactly_the_schema(make_templates: Make) -> None:
    table = make_templates(1)
    assert template_rows(table, urls_of(table)).schema == ROW_SCHEMA
