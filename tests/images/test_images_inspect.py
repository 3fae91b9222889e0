from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.images import inspect
from tasks.images.examine import max_drawing_pixels
from tasks.images.hashing import phash
from tasks.images.inspect import Inspect, InspectConfig
from tasks.images.sheet import encode_jpeg, encode_png
from tasks.schema.rejections import Reason
from tasks.schema.templates import INSPECTED_SCHEMA, PHOTO_SCHEMA
from tasks.shards.stage import StageOutput, stage_key


def photos(*images: dict | None) -> pa.RecordBatch:
    rows = [
        {
            "sample_id": f"s{i}",
            "source_uri": f"file:///{i}",
            "licence": "none",
            "source": "test",
            "category": "fashion",
            "image": image,
            "conditioning": {"bytes": b"a broken drawing", "path": None},
        }
        for i, image in enumerate(images)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=PHOTO_SCHEMA)


def with_drawings(image: bytes, *drawings: bytes | None) -> pa.RecordBatch:
    """One photo, beside each of the drawings; None: no drawing."""
    rows = photos(*({"bytes": image, "path": None} for _ in drawings)).to_pylist()
    cells = [None if drawing is None else {"bytes": drawing, "path": None} for drawing in drawings]
    return pa.RecordBatch.from_pylist(
        [row | {"conditioning": cell} for row, cell in zip(rows, cells, strict=True)], schema=PHOTO_SCHEMA
    )


def run(stage: Inspect, *batches: pa.RecordBatch) -> list[StageOutput]:
    return list(stage.process(iter(batches)))


def test_every_row_is_kept_or_rejected_with_its_reason(photo) -> None:
    jpeg, png = encode_jpeg(photo), encode_png(photo)
    batch = photos(
        {"bytes": jpeg, "path": "a.jpg"},
        None,
        {"bytes": None, "path": "gone.jpg"},
        {"bytes": b"", "path": None},
        {"bytes": jpeg[:2000], "path": None},
        {"bytes": b"<html>", "path": None},
        {"bytes": encode_png(photo[:100]), "path": None},
        {"bytes": jpeg + bytes(2_000_000), "path": None},
        {"bytes": png, "path": None},
    )
    stage = Inspect(InspectConfig(max_encoded_bytes=1_000_000))
    (output,) = run(stage, batch)
    kept = output.kept
    assert kept.schema.equals(INSPECTED_SCHEMA, check_metadata=True)
    assert kept["sample_id"].to_pylist() == ["s0", "s8"]
    assert kept["source_uri"].to_pylist() == ["file:///0", "file:///8"]
    assert kept["width"].to_pylist() == [480, 480]
    assert kept["height"].to_pylist() == [320, 320]
    assert kept["format"].to_pylist() == ["JPEG", "PNG"]
    assert kept["encoded_bytes"].to_pylist() == [len(jpeg), len(png)]
    assert kept["phash"].to_pylist()[1] == phash(photo)
    assert {r.sample_id: r.reason for r in output.rejected} == {
        "s1": Reason.IMAGE_MISSING,
        "s2": Reason.IMAGE_MISSING,
        "s3": Reason.IMAGE_MISSING,
        "s4": Reason.IMAGE_TRUNCATED,
        "s5": Reason.IMAGE_FORMAT_UNSUPPORTED,
        "s6": Reason.IMAGE_TOO_SMALL,
        "s7": Reason.IMAGE_TOO_LARGE,
    }
    small = next(r for r in output.rejected if r.reason is Reason.IMAGE_TOO_SMALL)
    assert (small.score, small.source_uri, small.detail) == (100, "file:///6", "480 x 100 pixels, wanted 256 a side")


def test_a_drawing_is_fit_where_it_decodes_and_is_not_far_larger_than_its_photo(photo) -> None:
    image = encode_jpeg(photo)
    limit = encode_png(np.zeros((4000, 4000, 3), np.uint8))
    beyond = encode_png(np.zeros((4000, 4001, 3), np.uint8))
    batch = with_drawings(
        image, encode_png(photo), None, b"", limit, image[:2000], b"<html>", beyond, encode_png(photo)
    )
    (output,) = run(Inspect(InspectConfig()), batch)
    assert output.rejected == ()
    assert output.kept["conditioning_ok"].to_pylist() == [True, False, False, True, False, False, False, True]
    (strict,) = run(Inspect(InspectConfig(max_encoded_bytes=len(image), max_pixels=photo.size)), batch)
    assert strict.kept["conditioning_ok"].to_pylist() == [False] * 8


def test_a_larger_photo_may_have_a_larger_drawing() -> None:
    assert max_drawing_pixels(512, 512) == 16_000_000
    assert max_drawing_pixels(3000, 2000) == 24_000_000


@pytest.mark.slow
def test_a_drawing_of_which_the_decoder_dies_or_hangs_only_loses_itself(photo, monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import functions_that_fail

    monkeypatch.setattr(inspect, "examine", functions_that_fail.examine_or_die)
    png = encode_png(photo)
    batch = with_drawings(encode_jpeg(photo), png, png + b"die", png, png + b"hang", png)
    (output,) = run(Inspect(InspectConfig(timeout_s=2)), batch)
    assert output.rejected == ()
    assert output.kept["conditioning_ok"].to_pylist() == [True, False, True, False, True]


def test_drawings_beside_photos_that_are_left_out_do_not_matter(photo) -> None:
    image, drawing = encode_jpeg(photo), encode_png(photo)
    batch = with_drawings(image, None, drawing, drawing)
    rows = batch.to_pylist()
    rows[1]["image"] = None
    (output,) = run(Inspect(InspectConfig()), pa.RecordBatch.from_pylist(rows, schema=PHOTO_SCHEMA))
    assert output.kept["conditioning_ok"].to_pylist() == [False, True]
    (bare,) = run(Inspect(InspectConfig()), batch.drop_columns(["conditioning"]))
    assert bare.kept["conditioning_ok"].to_pylist() == [False] * 3


def test_batches_do_not_matter(photo) -> None:
    rows = [{"bytes": encode_jpeg(photo, q), "path": None} if q % 3 else None for q in range(20, 30)]
    whole = photos(*rows)
    stage = Inspect(InspectConfig())
    (one,) = run(stage, whole)
    many = run(stage, *(whole.slice(i, 3) for i in range(0, 10, 3)))
    assert pa.concat_tables([o.kept for o in many]).combine_chunks().equals(one.kept.combine_chunks())
    assert sum((o.rejected for o in many), ()) == one.rejected


def test_nothing_in_gives_nothing_out() -> None:
    (output,) = run(Inspect(InspectConfig()), photos())
    assert output.kept.num_rows == 0
    assert output.kept.schema.equals(INSPECTED_SCHEMA)
    assert run(Inspect(InspectConfig())) == []


def test_the_key_knows_the_decoders() -> None:
    stage = Inspect(InspectConfig())
    build = stage.execution()
    assert {"pillow", "libjpeg_turbo", "libheif"} <= build.keys()
    assert all(version not in ("", "None") for version in build.values())
    other = Inspect(InspectConfig(min_side_px=128))
    assert stage_key(stage, ("a",), ()) != stage_key(other, ("a",), ())
    with pytest.raises(ValueError, match="less than or equal"):
        InspectConfig(max_pixels=10**10)
    assert replace(stage, config=other.config) == other
    assert np.iinfo(np.int32).max > stage.config.max_pixels
