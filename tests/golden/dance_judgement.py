"""Small fixed inputs for the stages that judge clips of dance: a second of drums, made poses, three videos."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.dance.audit import AuditClips, AuditConfig
from tasks.dance.music import ClipMusic, MusicConfig
from tasks.dance.split import SplitClips, SplitConfig
from tasks.schema.clips import (
    AUDIT_SCHEMA,
    CLIP_SCHEMA,
    CUT_SCHEMA,
    DANCE_SCHEMA,
    MUSIC_SCHEMA,
    POSE_SCHEMA,
    REFERENCE_SCHEMA,
)
from tasks.shards.derive import Derivation
from tasks.shards.store import Store
from tests.dance.audit_clips import SIZE, again, dancing, drawn, parts
from tests.dance.cut_films import cut, dance_shard
from tests.dance.make_dance import clip_row, even_times, flash_film, write_wav
from tests.dance.test_dance_split import a_face, a_print
from tests.music.drums import RATE, render_drums
from tests.poses.sample_shards import given

FRAMES = 48
FILM_SIZE = (64, 64)


def judgement_cases(store: Store) -> dict[str, Derivation]:
    """Stage name -> a derivation that ends in that stage."""
    folder = store.root / "made_dance"
    folder.mkdir(parents=True, exist_ok=True)
    return {"music": _music(folder), "audit": _audit(folder), "split": _split()}


def _given(name: str, schema: pa.Schema, rows: list[dict[str, object]]) -> Derivation:
    return Derivation(given(name, schema, rows))


def _music(folder: Path) -> Derivation:
    """A clip with drums, and one without a sound."""
    film = flash_film(folder / "drums.mp4", even_times(24, 4), size=FILM_SIZE, sound=None).path
    drums = render_drums(3, bpm=140, seconds=4.0).samples
    drums[3 * RATE :] = 0
    song = write_wav(folder / "drums.wav", drums, RATE)
    clips = [clip_row(0, 1.0, 24, FILM_SIZE), clip_row(1, 3.25, 12, FILM_SIZE)]
    dance = pq.read_table(dance_shard(folder, film, song)).to_pylist()
    return Derivation(
        ClipMusic(MusicConfig(), film, song),
        (_given("drum references", REFERENCE_SCHEMA, [_reference(clip) for clip in clips]),),
        (_given("drum clips", CLIP_SCHEMA, clips),),
        (_given("drum video", DANCE_SCHEMA, dance),),
    )


def _audit(folder: Path) -> Derivation:
    """A clip that passes, and one that repeats itself."""
    order = np.concatenate([np.arange(48), again(48, 20)])
    pictures = np.repeat(drawn(dancing(48, jitter=0))[order][..., None], 3, axis=3)
    film = flash_film(folder / "audit.mp4", even_times(24, 4), size=FILM_SIZE, picture=lambda n, _: pictures[n]).path
    clips = [clip_row(number, 2.0 * number, FRAMES, FILM_SIZE) for number in range(2)]
    made = [parts(dancing(FRAMES), side=300.0), parts(dancing(FRAMES))]
    cuts = [row | {"width": SIZE} for row in cut(folder, film, clips).kept]
    rows = {
        "clips": (CLIP_SCHEMA, [clip | each["clips"] for clip, each in zip(clips, made, strict=True)]),
        "cut": (CUT_SCHEMA, cuts),
        "poses": (POSE_SCHEMA, [_ids(clip) | each["poses"] for clip, each in zip(clips, made, strict=True)]),
        "reference": (REFERENCE_SCHEMA, [_reference(clip) for clip in clips]),
    }
    sides = tuple(_given(f"audit {name}", schema, each) for name, (schema, each) in rows.items())
    music = _given("audit music", MUSIC_SCHEMA, [_music_row(clip, 1, FRAMES) for clip in clips])
    dance = _given("audit video", DANCE_SCHEMA, pq.read_table(dance_shard(folder, film)).to_pylist())
    return Derivation(AuditClips(AuditConfig()), (music,), sides, (dance,))


def _split() -> Derivation:
    """Three videos: two of one song, and somebody else."""
    draw = np.random.default_rng(0)
    audits, whole = [], []
    for number, song in enumerate((1, 1, 2)):
        video = {"sample_id": f"v{number}", "source_uri": f"v{number}.mp4", "licence": ""}
        clip = {**video, "sample_id": f"v{number}/c000", "parent_id": f"v{number}"}
        face = {"embedding": a_face(number, draw), "embedding_model": "auraface-v1", "embedding_missing": None}
        judged = {"score": 1.0, "confident_share": 1.0, "largest_jump": 0.0, "jumps": 0, "loop_share": 0.0}
        audits.append(_given("audits", AUDIT_SCHEMA, [clip | judged | {"sound_offset_s": 0.0, "findings": []}]))
        whole += [
            _given("musics", MUSIC_SCHEMA, [_music_row(clip, song, 24)]),
            _given("faces", REFERENCE_SCHEMA, [_reference(clip) | face]),
            _given("videos", _DANCE_OF_SPLIT, [video | {"sound_digest": f"s{number}", "group": "all"}]),
        ]
    return Derivation(SplitClips(SplitConfig()), tuple(audits), whole=tuple(whole))


_DANCE_OF_SPLIT = pa.schema([DANCE_SCHEMA.field(name) for name in ("sample_id", "sound_digest", "group")])


def _ids(clip: dict[str, object]) -> dict[str, object]:
    return {name: clip[name] for name in ("sample_id", "parent_id", "source_uri", "licence")}


def _music_row(clip: dict[str, object], song: int, frames: int) -> dict[str, object]:
    described = {"frames": frames, "features": [], "layout": [], "beats_s": [], "tempo_bpm": 120.0}
    return _ids(clip) | described | {"fingerprint": a_print(song, 0)}


def _reference(clip: dict[str, object]) -> dict[str, object]:
    shown = {"reference": {"bytes": b"", "path": ""}, "reference_frame": 0, "face_xyxy": None, "sharpness": 0.5}
    return _ids(clip) | shown | {"embedding_model": "none", "embedding_missing": "no face was found"}
