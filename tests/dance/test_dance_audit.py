"""The audit of clips: each fault by its reason, what is not perfect in words, and a score that follows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.dance.audit import AuditClips, AuditConfig
from tasks.dance.audit_loops import loop_share, thumbnails
from tasks.dance.audit_motion import motion_of
from tasks.dance.audit_rules import Measured, judged
from tasks.schema.clips import (
    AUDIT_SCHEMA,
    CLIP_SCHEMA,
    CUT_SCHEMA,
    DANCE_SCHEMA,
    MUSIC_SCHEMA,
    POSE_SCHEMA,
    REFERENCE_SCHEMA,
)
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.dance.audit_clips import SIZE, again, dancing, drawn, parts
from tests.dance.cut_films import cut, dance_shard
from tests.dance.make_dance import clip_row, even_times, flash_film
from tests.poses.sample_shards import given

FRAMES = 72

GOOD = Measured(
    video_frames=120, music_rows=120, pose_frames=120, crop_frames=120, offset_s=0.0, end_offset_s=0.0, repeated=0,
    confident_share=1.0, mean_confidence=0.9, unseen_frames=0, largest_jump=0.1, jumps=0, loop_share=0.0, face=True,
    face_missing="", side=900.0, sound_rate=48_000, padded_s=0.0, tempo=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a video, and that of a clip of three seconds cut from it, as their stages make them."""
    folder = tmp_path_factory.mktemp("audit")
    pictures = np.repeat(drawn(dancing(96))[..., None], 3, axis=3)
    made = flash_film(folder / "film.mp4", even_times(24, 4), size=(64, 64), picture=lambda n, _: pictures[n])
    (clip,) = cut(folder, made.path, [clip_row(0, 0.5, FRAMES, (64, 64))]).kept
    assert loop_share(thumbnails(clip["clip"]["bytes"])) == 0
    (dance,) = pq.read_table(dance_shard(folder, made.path)).to_pylist()
    return dance, clip


def audited(
    folder: Path, filmed: tuple[dict[str, Any], dict[str, Any]], xy: np.ndarray, cut_row: Any = None, **config: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Kept rows, rejects and facts of two clips in the engine: the one in question, and a good one."""
    dance, clip = filmed
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("music", "clips", "cut", "poses", "reference")}
    for number, joints in enumerate((xy, dancing(FRAMES, 7))):
        same = clip_row(number, 0.5, FRAMES, (64, 64))
        ids = {name: same[name] for name in ("sample_id", "parent_id", "source_uri", "licence")}
        made = parts(joints)
        rows["clips"].append(same | made["clips"])
        rows["poses"].append(ids | made["poses"])
        rows["cut"].append(clip | (cut_row or {} if number == 0 else {}) | ids | {"width": SIZE})
        rows["music"].append(
            ids | {"frames": FRAMES, "features": [], "layout": [], "beats_s": [], "fingerprint": b"", "tempo_bpm": None}
        )
        rows["reference"].append(
            ids
            | {"reference": {"bytes": b"", "path": ""}, "reference_frame": 0, "sharpness": 0.5, "embedding_model": "m"}
            | {"face_xyxy": [0.0, 0.0, 9.0, 9.0], "embedding_missing": None}
        )
    schemas = {
        "music": MUSIC_SCHEMA, "clips": CLIP_SCHEMA, "cut": CUT_SCHEMA, "poses": POSE_SCHEMA,
        "reference": REFERENCE_SCHEMA,
    }  # fmt: skip
    music, *sides = (Derivation(given(name, schema, rows[name])) for name, schema in schemas.items())
    video = Derivation(given("dance", DANCE_SCHEMA, [dance]))
    store = Store(folder / "store")
    record = realise(Derivation(AuditClips(AuditConfig(**config)), (music,), tuple(sides), (video,)), store).record
    rejects = store.rejects_path(record)
    kept = pq.read_table(store.data_path(record)).to_pylist()
    assert kept[-1]["sample_id"] == "film/c001"
    return kept, pq.read_table(rejects).to_pylist() if rejects else [], record.facts


def test_a_good_clip_passes_and_says_what_is_not_perfect(tmp_path, filmed):
    kept, rejected, facts = audited(tmp_path, filmed, dancing(FRAMES))
    assert not rejected
    assert len(kept) == 2
    assert pq.read_schema(next((tmp_path / "store/shards/audit").rglob("shard-*"))).equals(AUDIT_SCHEMA)
    row = kept[0]
    assert row["score"] == pytest.approx(1.0, abs=1e-6)
    assert (row["confident_share"], row["jumps"], row["loop_share"]) == (1.0, 0, 0.0)
    assert 0.02 < row["largest_jump"] < 0.3
    assert abs(row["sound_offset_s"]) < 1e-3
    assert row["findings"] == ["No beat was found in this clip."]
    assert facts["findings"] == {"no_beat": 2}
    assert facts["score"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("xy", "reason", "says"),
    [
        (dancing(FRAMES - 8), Reason.LENGTHS_DIFFER, "The clip shows 72 frames, and there are 64 of its poses."),
        (np.full((FRAMES, 18, 2), np.nan), Reason.POSE_NOT_CONFIDENT, "0% of the joints"),
    ],
)
def test_a_bad_clip_costs_itself_alone(tmp_path, filmed, xy, reason, says):
    kept, (why,), _ = audited(tmp_path, filmed, xy)
    assert (why["sample_id"], why["reason"]) == ("film/c000", reason.value)
    evidence = json.loads(why["evidence"])
    assert evidence["faults"][0] == [reason.value, why["detail"]]
    assert any(says in detail for _, detail in evidence["faults"])
    assert evidence["measured"]["video_frames"] == FRAMES
    assert len(kept) == 1


def test_a_clip_whose_pictures_come_again(tmp_path, filmed):
    pictures = np.repeat(drawn(dancing(90))[again(96, 40)][..., None], 3, axis=3)
    made = flash_film(tmp_path / "loop.mp4", even_times(24, 4), size=(64, 64), picture=lambda n, _: pictures[n])
    (looping,) = cut(tmp_path, made.path, [clip_row(0, 0.5, FRAMES, (64, 64))]).kept
    _, (why,), _ = audited(tmp_path, filmed, dancing(FRAMES), {"clip": looping["clip"]})
    assert why["reason"] == Reason.CLIP_LOOPS.value
    assert why["score"] == pytest.approx(32 / FRAMES, abs=0.1)
    assert "of the frames were there before" in why["detail"]


@pytest.mark.parametrize("bytes_", [b"", b"no film", None])
def test_a_clip_that_does_not_open(tmp_path, filmed, bytes_):
    _, (why,), _ = audited(tmp_path, filmed, dancing(FRAMES), {"clip": {"bytes": bytes_, "path": "x.mp4"}})
    assert why["reason"] == Reason.FRAMES_UNREADABLE.value


def motion(xy: np.ndarray, centre: np.ndarray | None = None):
    frames = len(xy)
    centre = np.tile([960.0, 540.0], (frames, 1)) if centre is None else centre
    height, side = np.full(frames, 350.0), np.full(frames, float(SIZE))
    return motion_of(xy, np.isfinite(xy).all(axis=2), centre, side, SIZE, height)


@pytest.mark.parametrize("seed", range(2))
def test_loops_are_told_from_dancing(seed):
    once = drawn(dancing(240, seed, jitter=0))

    def share(order: np.ndarray) -> float:
        noise = np.random.default_rng(seed).normal(0, 1.5, (len(order), 16, 16))
        small = once[order].reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4)) + noise
        return loop_share(np.round(small).astype(np.int16).reshape(len(order), 256))

    assert share(np.arange(240)) == 0
    assert share(again(240, 60)) == pytest.approx(0.75, abs=0.1)
    assert share(again(240, 180)) == pytest.approx(0.25, abs=0.06)
    assert share(again(240, 120, backwards=True)) == pytest.approx(0.5, abs=0.15)
    assert share(np.zeros(200, np.int64)) == 0
    assert share(np.arange(1)) == share(np.arange(0)) == 0


def test_jumps_are_the_dancers_and_not_the_crops():
    centre = np.tile([960.0, 540.0], (60, 1))
    centre[30:] += 200
    there = dancing(60)
    followed = there.copy()
    followed[30:] -= 200
    assert np.nanmax(motion(followed, centre).steps()) == pytest.approx(np.nanmax(motion(there).steps()))
    steps = motion(there, centre).steps()
    assert np.flatnonzero(steps > 0.5).tolist() == [29]
    unseen = there.copy()
    unseen[20:40] = np.nan
    assert np.isnan(motion(unseen, centre).steps()[19:39]).all()


@pytest.mark.parametrize(
    ("changes", "rules", "reason"),
    [
        ({"music_rows": 119}, {}, Reason.LENGTHS_DIFFER),
        ({"end_offset_s": -0.2}, {}, Reason.SOUND_OUT_OF_SYNC),
        ({"offset_s": 0.05, "end_offset_s": 0.05}, {}, Reason.SOUND_OUT_OF_SYNC),
        ({"repeated": 100}, {}, Reason.CLIP_LOOPS),
        ({"jumps": 4, "largest_jump": 2.0}, {}, Reason.POSE_JUMPS),
        ({"face": False}, {"require_face": True}, Reason.FACE_MISSING),
        ({"side": 300.0}, {"require_side": True}, Reason.VIDEO_TOO_SMALL),
        ({"sound_rate": 22_050}, {"require_sound_rate": True}, Reason.SOUND_RATE_LOW),
        ({"confident_share": 0.6, "face": False}, {"pass_mark": 0.8}, Reason.AUDIT_SCORE_LOW),
    ],
)
def test_every_fault_has_its_reason(changes, rules, reason):
    verdict = judged(replace(GOOD, **changes), AuditConfig(**rules))
    assert [fault.reason for fault in verdict.faults] == [reason]
    assert verdict.faults[0].detail.endswith(".")


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"side": 300.0}, "small", "300 pixels of the video, 512 are wanted"),
        ({"sound_rate": 22_050}, "sound_rate", "22050 samples a second, 44100"),
        ({"face": False, "face_missing": "nobody looks here"}, "no_face", "nobody looks here"),
        ({"face_missing": "The face is 20 px"}, "no_embedding", "20 px"),
        ({"mean_confidence": 0.7}, "confidence", "0.70"),
        ({"unseen_frames": 3}, "unseen", "3 of 120"),
        ({"jumps": 1, "largest_jump": 1.0}, "jumps", "1 times"),
        ({"loop_share": 0.2}, "loop", "20%"),
        ({"repeated": 24}, "repeated", "24 of 120"),
        ({"padded_s": 0.25}, "padded", "0.25 s"),
    ],
)
def test_what_is_not_perfect_is_told_and_kept(changes, kind, says):
    verdict = judged(replace(GOOD, **changes), AuditConfig())
    assert not verdict.faults
    assert list(verdict.findings) == [kind]
    assert says in verdict.findings[kind]
    assert verdict.score <= judged(GOOD, AuditConfig()).score == pytest.approx(1)
