"""Clips of real dance videos, with small real weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.body.pose_model import open_fast_pose_model
from tasks.dance.clips import ClipsConfig, PlanClips
from tasks.dance.film_pass import film_frames
from tasks.dance.grid import first_on_grid
from tasks.models.zoo import Zoo
from tasks.schema.clips import CLIP_FPS
from tasks.schema.films import Film
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video.convert import Converter
from tasks.video.films import FilmConfig, ProbeFilm, film_digest, film_of_row

WEIGHTS = "yolov8n-pose-dequantised"
VIDEOS = (
    "aist_d2m_high2_2s.mp4",
    "aist_gt_music_5s.mp4",
    "mmhuman3d_multi_person.mp4",
    "musepose_dance_1080x1920_with_music.mp4",
    "openpose_street_video_50fps.avi",
    "xdyna_1_driving_8fps_noaudio.mp4",
    "xdyna_1_openpose_8fps.mp4",
)
DANCERS = (*VIDEOS[:4], VIDEOS[5])

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def zoo(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"), real_data / "models")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("home") / "store")


def planned(path: Path, zoo: Zoo, store: Store) -> tuple[Film, list[dict[str, Any]], list[dict[str, Any]], Any]:
    known = FilmConfig(name=path.stem, file_name=path.name, digest=film_digest(path), licence="unknown")
    video = Derivation(ProbeFilm(known, path))
    clips = Derivation(PlanClips.of(ClipsConfig(pose_model=WEIGHTS), path, zoo, "cpu"), (video,))
    record = realise(clips, store).record
    film = film_of_row(pq.read_table(store.data_path(realise(video, store).record)).to_pylist()[0], path)
    rejects = store.rejects_path(record)
    rows = pq.read_table(store.data_path(record)).to_pylist()
    return film, rows, pq.read_table(rejects).to_pylist() if rejects else [], record


@pytest.mark.parametrize("name", VIDEOS)
def test_every_second_is_in_a_clip_or_has_a_reason(real_data: Path, zoo: Zoo, store: Store, name: str) -> None:
    film, rows, rejects, record = planned(real_data / "dance" / name, zoo, store)
    facts = record.facts
    assert facts["seconds"] == pytest.approx(film.duration_s, abs=1.5 / CLIP_FPS)
    assert facts["clip_seconds"] + sum(facts["left_out"].values()) == pytest.approx(facts["seconds"])
    assert facts["clip_seconds"] == pytest.approx(sum(r["frames"] for r in rows) / CLIP_FPS)
    left = [json.loads(r["evidence"]) for r in rejects if r["evidence"]]
    assert sum(each["end_s"] - each["start_s"] for each in left) == pytest.approx(sum(facts["left_out"].values()))
    assert rows or [r for r in rejects if r["sample_id"] == film.path.rpartition("/")[2].rpartition(".")[0]]
    assert {r["reason"] for r in rejects} <= {reason.value for reason in Reason}
    if name in DANCERS:
        assert facts["clip_seconds"] >= 0.75 * facts["seconds"]


@pytest.mark.parametrize("name", DANCERS)
def test_limbs_are_inside_and_the_square_is_calm(real_data: Path, zoo: Zoo, store: Store, name: str) -> None:
    film, rows, _, _ = planned(real_data / "dance" / name, zoo, store)
    rows = rows[:3]
    model = open_fast_pose_model(WEIGHTS, zoo, "cpu")
    converter = Converter(film)
    inside = joints = 0
    for row in rows:
        first = round(row["start_s"] * CLIP_FPS)
        centres, sides = np.reshape(row["crop_centre_xy"], (-1, 2)), np.array(row["crop_side"])
        boxes = np.reshape(row["dancer_xyxy"], (-1, 4))
        assert np.abs(np.diff(centres, axis=0)).max() <= 0.03 * np.median(sides)
        assert np.abs(np.diff(centres, 2, axis=0)).mean() <= 0.001 * np.median(sides)
        assert np.abs(np.diff(sides)).max() <= 0.015 * np.median(sides)
        for n, each in enumerate(film_frames(film, Path(film.path))):
            at = first_on_grid(film, each.pts) - first
            if n % 5 or not 0 <= at < row["frames"]:
                continue
            size = (film.width, film.height)
            (people,) = model.detect([converter.crop(each.frame, size, (0, 0, *size))])
            if not len(people):
                continue
            middles = (people.boxes.xyxy[:, :2] + people.boxes.xyxy[:, 2:]) / 2
            dancer = np.abs(middles - (boxes[at, :2] + boxes[at, 2:]) / 2).sum(axis=1).argmin()
            sure = people.keypoints.confidence[dancer] >= 0.5
            xy = people.keypoints.xy[dancer][sure]
            inside += int((np.abs(xy - centres[at]) <= sides[at] / 2).all(axis=1).sum())
            joints += len(xy)
    assert joints > 50
    assert inside >= 0.995 * joints, (inside, joints)
