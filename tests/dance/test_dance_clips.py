"""From a video to its clips: real files, a real network that sees painted blocks."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.body.pose_model import PoseModel
from tasks.body.rtmo import RtmoPose
from tasks.dance.clips import ClipsConfig, PlanClips
from tasks.dance.crop_track import CropRules
from tasks.dance.dancers import DancerRules
from tasks.dance.plan import PieceRules
from tasks.models.zoo import Zoo
from tasks.schema.clips import CLIP_FPS, CLIP_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.films import FILM_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video.films import FilmConfig, film_row
from tests.body.blocks_model import write_blocks_model
from tests.dance.blocks_film import BlockShot, SeesBlocks, blocks_film, only, swaying
from tests.dance.cut_films import probed
from tests.poses.sample_shards import Rows, given

MAIN = swaying(80, 40, 60, 160)
SECOND = swaying(200, 60, 50, 140, 10)
DANCERS = DancerRules(smallest_height=80)
CROP = CropRules(smallest_side=64)
PIECES = PieceRules(shortest_s=1, longest_s=4)


@pytest.fixture
def model() -> SeesBlocks:
    return SeesBlocks()


def config(**other: Any) -> ClipsConfig:
    return ClipsConfig(**{"pose_model": "blocks", "dancers": DANCERS, "crop": CROP, "pieces": PIECES, **other})


def shard(path: Path) -> Rows:
    """The video as the stage before gives it."""
    film = probed(path)
    known = FilmConfig(name=path.stem, file_name=path.name, digest=film.digest, licence="CC0-1.0")
    return given("video", FILM_SCHEMA, [film_row(film, known)])


def planned(path: Path, model: PoseModel, **other: Any) -> tuple[list[dict], list[dict], Any]:
    """Kept rows, rejected rows and the record, through the engine."""
    store = Store(path.parent / "store")
    record = realise(Derivation(PlanClips(config(**other), path, model), (Derivation(shard(path)),)), store).record
    rejects = store.rejects_path(record)
    rows = pq.read_table(store.data_path(record)).to_pylist()
    return rows, pq.read_table(rejects).to_pylist() if rejects else [], record


def demand_all_accounted(rows: Sequence[dict], rejects: Sequence[dict], record: Any) -> None:
    facts = record.facts
    assert facts["seconds"] == pytest.approx(facts["clip_seconds"] + sum(facts["left_out"].values()))
    children = [r for r in rejects if "/" in r["sample_id"]]
    spans = [json.loads(r["evidence"]) for r in children]
    marks = np.zeros(round(facts["seconds"] * CLIP_FPS), int)
    for span in spans:
        marks[round(span["start_s"] * CLIP_FPS) : round(span["end_s"] * CLIP_FPS)] += 1
    for row in rows:
        first = round(row["start_s"] * CLIP_FPS)
        marks[first : first + row["frames"]] += 1
    assert (marks >= 1).all()
    for row in rows:
        frames = row["frames"]
        lengths = [len(row[name]) for name in ("crop_centre_xy", "crop_side", "dancer_xyxy", "dancer_score")]
        assert lengths == [2 * frames, frames, 4 * frames, frames]


def test_pieces_end_at_cuts_and_hold_the_dancer(tmp_path: Path, model: PoseModel) -> None:
    shots = [BlockShot(1, 1, [MAIN]), BlockShot(0.5, 2, [MAIN]), BlockShot(1.25, 3, [MAIN]), BlockShot(0.5, 4)]
    path = blocks_film(tmp_path / "video.mkv", shots)
    rows, rejects, record = planned(path, model)
    assert [(r["sample_id"], r["start_s"], r["frames"], r["shot"]) for r in rows] == [
        ("video/c000", 0.0, 24, 0),
        ("video/c001", 1.5, 30, 2),
    ]
    assert [(r["reason"], r["score"]) for r in rejects] == [("no_steady_shot", 0.5), ("no_steady_shot", 0.5)]
    demand_all_accounted(rows, rejects, record)
    for row in rows:
        t = np.arange(row["frames"]) / 24
        block = np.array([MAIN(float(each)) for each in t])
        centre, side = np.reshape(row["crop_centre_xy"], (-1, 2)), np.array(row["crop_side"])
        assert (centre[:, 0] - side / 2 <= block[:, 0] + 1).all()
        assert (centre[:, 0] + side / 2 >= block[:, 2] - 1).all()
        boxes, score = np.reshape(row["dancer_xyxy"], (-1, 4)), np.array(row["dancer_score"])
        assert np.abs(boxes[score > 0] - block[score > 0]).max() < 2
        assert np.abs(boxes - block).max() < 12
        assert score[0] > 0
        assert score[-1] > 0


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), 25, 60])
def test_the_grid_follows_presentation_time(tmp_path: Path, model: PoseModel, fps: Fraction | int) -> None:
    path = blocks_film(tmp_path / "video.mkv", [BlockShot(1.2, 1, [MAIN]), BlockShot(1.2, 2, [MAIN])], fps=fps)
    rows, rejects, record = planned(path, model)
    cut = round(1.2 * fps) / float(fps)
    assert len(rows) == 2
    assert rows[1]["start_s"] == pytest.approx(np.ceil((cut - 0.001) * 24) / 24)
    assert rows[0]["frames"] == round(rows[1]["start_s"] * 24)
    demand_all_accounted(rows, rejects, record)
    row = rows[1]
    block = np.array([MAIN(row["start_s"] + n / 24 - cut) for n in range(row["frames"])])
    boxes, score = np.reshape(row["dancer_xyxy"], (-1, 4)), np.array(row["dancer_score"])
    assert np.abs(boxes - block)[score > 0].max() < 40 * np.pi / 24 + 2


@pytest.mark.slow
def test_a_short_video_gives_one_clip(tmp_path: Path, model: PoseModel) -> None:
    path = blocks_film(tmp_path / "v.mkv", [BlockShot(2, 1, [MAIN])])
    rows, rejects, record = planned(path, model, pieces=PieceRules())
    assert [(r["sample_id"], r["frames"]) for r in rows] == [("v/c000", 48)]
    assert not rejects
    demand_all_accounted(rows, rejects, record)
    stage = PlanClips(config(pieces=PieceRules()), path, model)
    again = [row for o in stage.process(iter(shard(path).rows.to_batches())) for row in o.kept.to_pylist()]
    assert again == rows
    boxed = planned(path, model, crop=CropRules(mode="letterbox"), look_every=12)[0]
    assert {r["crop"] for r in boxed} == {"letterbox"}
    assert set(boxed[0]["crop_side"]) == {320.0}


@pytest.mark.slow
def test_two_dancers(tmp_path: Path, model: PoseModel) -> None:
    path = blocks_film(tmp_path / "duo.mkv", [BlockShot(3, 1, [only(MAIN, 0, 1.5), SECOND])])
    rows, rejects, record = planned(path, model)
    demand_all_accounted(rows, rejects, record)
    assert [(r["dancer"], r["start_s"], r["frames"]) for r in rows] == [(0, 0.0, 72)]
    everybody = planned(path, model, dancers=DancerRules(smallest_height=80, who="all"))
    demand_all_accounted(*everybody)
    assert [(r["sample_id"], r["dancer"]) for r in everybody[0]] == [("duo/c000_d1", 1), ("duo/c001", 0)]


@pytest.mark.parametrize(
    ("shots", "reason"),
    [
        ([BlockShot(1, 1, [swaying(100, 100, 20, 50)])], "video_too_small"),
        pytest.param([BlockShot(1.5, 1)], "nobody_found", marks=pytest.mark.slow),
        pytest.param([BlockShot(1.5, None)], "no_steady_shot", marks=pytest.mark.slow),
        pytest.param([BlockShot(0.75, seed, [MAIN]) for seed in (1, 2)], "no_steady_shot", marks=pytest.mark.slow),
        pytest.param([BlockShot(2, 1, [only(MAIN, 0.5, 1.25)])], "dancer_lost", marks=pytest.mark.slow),
    ],
)
def test_a_video_without_a_clip_says_why(tmp_path: Path, model: PoseModel, shots: list[BlockShot], reason: str) -> None:
    rows, rejects, record = planned(blocks_film(tmp_path / "v.mkv", shots), model)
    assert not rows
    assert [r["reason"] for r in rejects if r["sample_id"] == "v"] == [reason]
    assert (record.rows_in, record.rows_kept, record.rejected) == (1, 0, {reason: 1})
    demand_all_accounted(rows, rejects, record)


@pytest.mark.slow
def test_a_gap_in_the_frames_ends_a_clip(tmp_path: Path, model: PoseModel) -> None:
    path = blocks_film(tmp_path / "v.mkv", [BlockShot(4.5, 1, [MAIN])], dropped=lambda t: 1.5 < t < 3)
    rows, rejects, record = planned(path, model)
    demand_all_accounted(rows, rejects, record)
    assert [r["reason"] for r in rejects] == ["frames_unreadable"]
    assert [(r["start_s"], r["frames"]) for r in rows] == [(0.0, 38), (3.0, 37)]


@pytest.mark.slow
def test_a_network_sees_the_same(tmp_path: Path, model: PoseModel) -> None:
    path = blocks_film(tmp_path / "v.mkv", [BlockShot(1.25, 1, [MAIN, SECOND])])
    zoo = Zoo(tmp_path / "zoo", tmp_path)
    network = RtmoPose(write_blocks_model(tmp_path), zoo, "cpu")
    rows, again = planned(path, model, look_every=12)[0], planned(path, network, look_every=12)[0]
    assert [r["sample_id"] for r in rows] == [r["sample_id"] for r in again] == ["v/c000"]
    np.testing.assert_allclose(rows[0]["dancer_xyxy"], again[0]["dancer_xyxy"], atol=1.5)
    np.testing.assert_allclose(rows[0]["crop_side"], again[0]["crop_side"], rtol=0.02)


def test_the_key_knows_the_model_and_not_the_path(tmp_path: Path, model: PoseModel) -> None:
    stage = PlanClips(config(), tmp_path / "a.mkv", model)
    assert stage.models() == {"blocks": model.sha256}
    assert stage.params() == PlanClips(config(), tmp_path / "b.mkv", model).params()
    assert stage.params()["thresholds"] == {"person": 0.15, "joint": 0.5}
    with pytest.raises(ValueError, match="the configuration says"):
        PlanClips(ClipsConfig(), tmp_path / "a.mkv", model)


def test_a_video_that_is_gone_is_an_error_and_no_rejection(tmp_path: Path, model: PoseModel) -> None:
    path = blocks_film(tmp_path / "v.mkv", [BlockShot(0.5, 1)])
    row = shard(path).rows
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        list(PlanClips(config(), path, model).process(iter(row.to_batches())))
    path.write_bytes(b"other")
    with pytest.raises(SourceError, match="has changed"):
        list(PlanClips(config(), path, model).process(iter(row.to_batches())))


def test_no_video_gives_no_clip(tmp_path: Path, model: PoseModel) -> None:
    empty = iter([pa.RecordBatch.from_pylist([], schema=FILM_SCHEMA)])
    outputs = list(PlanClips(config(), tmp_path / "v.mkv", model).process(empty))
    assert [o.kept.num_rows for o in outputs] == [0]
    assert outputs[0].kept.schema == CLIP_SCHEMA
    assert outputs[0].facts["seconds"] == 0
