import hashlib
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.body.drawing import draw_openpose
from tasks.body.main_person import main_person
from tasks.ingest.mannequin_poses import ARMS, FOREARM, LIMITS, POSES, SHANK, THIGH, UPPER_ARM, Arm, Leg, pose_body
from tasks.ingest.mannequins import LICENCE, MannequinConfig, MannequinPhotos, list_mannequins, render_mannequin
from tasks.schema.keypoints import OPENPOSE_18
from tasks.schema.sources import PhotoSource, SourceKind
from tasks.schema.templates import PHOTO_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store


def test_same_index_same_picture() -> None:
    first, again, other = (render_mannequin(5, index, 256) for index in (9, 9, 10))
    assert (first.photo == again.photo).all()
    assert (first.drawing == again.drawing).all()
    np.testing.assert_array_equal(first.keypoints.xy, again.keypoints.xy)
    assert (first.photo != other.photo).any()
    assert (first.photo != render_mannequin(6, 9, 256).photo).any()


def test_picture_does_not_depend_on_the_machine() -> None:
    """Golden digest; pixels use only operations that IEEE 754 rounds alike everywhere."""
    digest = hashlib.sha256(render_mannequin(0, 0, 128).photo.tobytes()).hexdigest()
    assert digest[:16] == "c33a978e1d762cd1"


def test_keypoints_lie_in_the_picture_and_the_drawing_shows_them() -> None:
    for index in range(len(POSES)):
        mannequin = render_mannequin(1, index, 256)
        assert mannequin.photo.shape == mannequin.drawing.shape == (256, 256, 3)
        assert mannequin.photo.dtype == mannequin.drawing.dtype == np.uint8
        there = mannequin.keypoints.xy[mannequin.keypoints.present]
        assert (there >= 0).all()
        assert (there <= 255).all()
        drawn = draw_openpose(mannequin.keypoints, 256, 256, stick_width=2)
        assert (drawn == mannequin.drawing).all()
        assert mannequin.pose == POSES[index].name
        assert mannequin.caption.startswith(f"a mannequin {POSES[index].words}")


@pytest.mark.slow
def test_main_mannequin_is_the_main_person() -> None:
    pictures = [render_mannequin(2, index, 128) for index in range(64)]
    several = [m for m in pictures if len(m.keypoints) > 1]
    assert 4 <= len(several) <= 26
    agreed = [main_person(m.keypoints, None, None, 128, 128) == m.main for m in pictures]
    assert np.mean(agreed) >= 0.9


@pytest.mark.slow
def test_most_joints_show_and_some_are_hidden() -> None:
    main = np.array([render_mannequin(3, index, 128).keypoints.present[0] for index in range(96)])
    assert 0.85 < main.mean() < 0.98
    assert (main.mean(axis=0) > 0.4).all()
    assert main.mean(axis=0)[OPENPOSE_18.index("nose")] < 1


def test_bones_have_their_lengths_and_the_body_stands_on_the_floor() -> None:
    for index, pose in enumerate(POSES):
        joints = {name: np.array(place) for name, place in pose_body(np.random.default_rng(index), pose).joints.items()}
        for side in ("left", "right"):
            for a, b, length in (
                ("shoulder", "elbow", UPPER_ARM),
                ("elbow", "wrist", FOREARM),
                ("hip", "knee", THIGH),
                ("knee", "ankle", SHANK),
            ):
                assert np.linalg.norm(joints[f"{side}_{a}"] - joints[f"{side}_{b}"]) == pytest.approx(length)
        lowest = min(place[1] for place in joints.values())
        assert lowest > 0 if pose.lift else 0 < lowest < 0.08


def test_elbows_and_knees_bend_the_right_way_only() -> None:
    limits = {"abduct": "abduct", "flex": "flex", "twist": "twist", "elbow": "elbow"}
    leg_limits = {"abduct": "hip_abduct", "flex": "hip_flex", "twist": "hip_twist", "knee": "knee", "ankle": "ankle"}
    arms = [arm for left, right, _ in ARMS.values() for arm in (left, right)]
    for pose in POSES:
        for part, names in ((pose.left_leg, leg_limits), (pose.right_leg, leg_limits)):
            assert_within(part, names)
        arms += [pose.left_arm, pose.right_arm]
    for arm in arms:
        assert_within(arm, limits)


def assert_within(part: Arm | Leg, limits: dict[str, str]) -> None:
    for name, limit in limits.items():
        low, high = LIMITS[limit]
        assert low <= getattr(part, name) <= high


def test_captions_speak_of_sport_sometimes() -> None:
    captions = " ".join(pose.words for pose in POSES)
    for word in ("running", "jumping", "yoga", "workout", "football"):
        assert word in captions


def rows_of(config: MannequinConfig) -> list[dict[str, object]]:
    outputs = list(MannequinPhotos(config).process(iter(())))
    assert all(output.rejected == () for output in outputs)
    assert all(output.kept.num_rows <= 32 for output in outputs)
    return [row for output in outputs for row in output.kept.to_pylist()]


def test_rows_hold_photo_and_drawing() -> None:
    config = MannequinConfig(source="toys", category="lifestyle", seed=4, first_row=30, rows=5, size=96)
    rows = rows_of(config)
    assert [r["sample_id"] for r in rows] == [f"toys/seed4-{i:06d}" for i in range(30, 35)]
    assert rows[0]["source_uri"] == "mannequin://seed4/30"
    assert {r["licence"] for r in rows} == {LICENCE}
    assert {(r["source"], r["category"], r["gender"], r["mask"]) for r in rows} == {("toys", "lifestyle", None, None)}
    expected = render_mannequin(4, 30, 96)
    photo, drawing = (Image.open(io.BytesIO(rows[0][c]["bytes"])) for c in ("image", "conditioning"))
    assert (photo.format, drawing.format) == ("JPEG", "PNG")
    assert (np.asarray(drawing) == expected.drawing).all()
    assert np.abs(np.asarray(photo).astype(int) - expected.photo).mean() < 3
    assert rows[0]["image"]["path"] == "seed4-000030.jpg"
    assert rows[0]["caption"] == expected.caption


def test_rows_do_not_depend_on_how_they_are_cut() -> None:
    def rows(first: int, count: int) -> list[dict[str, object]]:
        config = MannequinConfig(source="toys", category="sports", seed=0, first_row=first, rows=count, size=64)
        return rows_of(config)

    assert rows(0, 40) == rows(0, 13) + rows(13, 27)


def test_stage_makes_a_shard(tmp_path) -> None:
    config = MannequinConfig(source="toys", category="fashion", seed=0, first_row=0, rows=3, size=64)
    stage = MannequinPhotos(config)
    store = Store(tmp_path)
    outcome = realise(Derivation(stage), store)
    table = pq.read_table(store.data_path(outcome.record))
    assert table.schema.names == PHOTO_SCHEMA.names
    assert outcome.record.rows_in == outcome.record.rows_kept == 3
    assert realise(Derivation(stage), store).cached


def test_listing_is_cut_into_parts() -> None:
    source = PhotoSource(name="toys", kind=SourceKind.MANNEQUINS, category="sports", seed=7)
    listing = list_mannequins(source, rows=70, part_rows=32)
    assert [(p.first_row, p.rows) for p in listing.parts] == [(0, 32), (32, 32), (64, 6)]
    stage = MannequinPhotos.of(source, listing.parts[1])
    assert (stage.config.seed, stage.config.category, stage.config.first_row) == (7, "sports", 32)
