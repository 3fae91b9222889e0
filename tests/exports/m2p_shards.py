"""Small shards of dance videos: real little MP4s, and music, poses and faces that follow from their numbers."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from blake3 import blake3
from PIL import Image

from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.crop import Colours
from tasks.dance.encode import ClipEncoder, Encoding
from tasks.exports.m2p_join import VideoShards
from tasks.schema.clips import (
    AUDIT_SCHEMA,
    CLIP_FPS,
    CLIP_SCHEMA,
    CUT_SCHEMA,
    DANCE_SCHEMA,
    MUSIC_SCHEMA,
    POSE_SCHEMA,
    REFERENCE_SCHEMA,
    SAMPLE_SCHEMA,
)
from tests.dance.make_dance import SOUND_RATE, numbered
from tests.exports.pose_shards import write_shard

SIZE = 64
LAYOUT = ("mfcc_1", "mfcc_2", "beat")

Row = dict[str, Any]


@cache
def clip_bytes(first: int, frames: int, size: int = SIZE) -> bytes:
    """A clip whose pictures show `first`, `first + 1` ... in blocks, with silence."""
    sound = np.zeros((frames * SOUND_RATE // CLIP_FPS, 2), np.float32)
    encoder = ClipEncoder(size, Colours(1, 1, 1), Encoding(preset="ultrafast"), sound)
    draw = numbered((size, size))
    for number in range(first, first + frames):
        frame = av.VideoFrame.from_ndarray(draw(number, False), format="rgb24")
        encoder.add(frame.reformat(format="yuv420p", dst_colorspace="ITU709"))
    return encoder.finish()


def reference_bytes(seed: int, size: int = SIZE) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.full((size, size, 3), (seed * 37 % 256, 90, 120), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def music_of(first: int, frames: int) -> np.ndarray:
    """Features (frames, 3): a row begins with its number."""
    return (np.arange(first, first + frames)[:, None] + np.array([0, 0.25, 0.5])).astype(np.float32)


def poses_of(frames: int, size: int = SIZE) -> np.ndarray:
    """Joints (frames, 134, 3): of joint 0 x is the frame's number; every third joint is missing."""
    joints = np.arange(len(OPENPOSE_134))
    keypoints = np.empty((frames, len(joints), 3), np.float32)
    keypoints[..., 0] = (np.arange(frames)[:, None] + joints * 3.5) % (size - 1)
    keypoints[..., 1] = joints / len(joints) * (size - 1)
    keypoints[..., 2] = 0.5 + joints / 400
    keypoints[:, 2::3] = np.nan, np.nan, 0
    return keypoints


class Video:
    """Rows of one video's shards: clips of the frames given, one behind the other, with a face unless left out."""

    def __init__(
        self,
        name: str = "dance_a",
        frames: Sequence[int] = (30, 50),
        *,
        faceless: Sequence[int] = (),
        split: str = "train",
        size: int = SIZE,
        clip_of: Callable[[int, int, int], bytes] = clip_bytes,
    ) -> None:
        self.rows: dict[str, list[Row]] = {shard: [] for shard in VideoShards.__annotations__}
        self.split: list[Row] = []
        self.rows["dance"].append(_dance(name, size))
        start = 0
        for number, count in enumerate(frames):
            base = _sample(f"{name}/c{number:03d}", name)
            has_face = number not in faceless
            self.rows["clips"].append(base | _clip(name, start, count, size))
            self.rows["cut"].append(base | _cut(base["sample_id"], clip_of(start, count, size), count, size))
            self.rows["music"].append(base | _music(start, count))
            self.rows["poses"].append(base | _poses(count, size))
            self.rows["reference"].append(base | _reference(number, has_face=has_face, size=size))
            self.rows["audit"].append(base | _AUDIT)
            groups = {"song_group": f"song-{name}", "person_group": "person-1", "group": f"group-{name}"}
            self.split.append(base | {"video": name, "split": split} | groups)
            start += count

    def write(self, folder: Path) -> VideoShards:
        schemas = {
            "dance": DANCE_SCHEMA,
            "clips": CLIP_SCHEMA,
            "cut": CUT_SCHEMA,
            "music": MUSIC_SCHEMA,
            "poses": POSE_SCHEMA,
            "reference": REFERENCE_SCHEMA,
            "audit": AUDIT_SCHEMA,
        }
        return VideoShards(**{n: write_shard(folder / f"{n}.parquet", self.rows[n], s) for n, s in schemas.items()})


def write_build(folder: Path, videos: Sequence[Video]) -> tuple[list[VideoShards], Path]:
    """The shards of videos, and their split."""
    shards = [video.write(folder / f"{number:03d}") for number, video in enumerate(videos)]
    rows = [row for video in videos for row in video.split]
    return shards, write_shard(folder / "split.parquet", rows, SAMPLE_SCHEMA)


def _sample(sample_id: str, parent: str | None) -> Row:
    return {"sample_id": sample_id, "parent_id": parent, "source_uri": "dance.mp4", "licence": "CC-BY-4.0"}


def _dance(name: str, size: int) -> Row:
    told: Mapping[str, Any] = {
        "name": name,
        "codec": "h264",
        "size_bytes": 1,
        **dict.fromkeys(("width", "height", "coded_width", "coded_height"), size),
        "rotation": 0,
        "content": [0, 0, size, size],
        "fps": [24, 1],
        "time_base": [1, 24],
        "start_pts": 0,
        "duration_s": 10.0,
        "bit_depth": 8,
        "transfer": "sdr",
        "primaries": "bt709",
        "matrix": "bt709",
        "full_range": False,
        "interlaced": False,
        "vfr": False,
        "chroma_location": "left",
        "digest": "0",
        "group": "folder",
        "sound_from": "video",
        "sound_uri": "dance.mp4",
        "sound_digest": "0",
        "sound_codec": "aac",
        "sound_rate": SOUND_RATE,
        "sound_channels": 2,
        "sound_start_s": 0.0,
        "sound_duration_s": 10.0,
        "sound_padded_s": 0.0,
    }
    return _sample(name, None) | dict(told)


def _clip(video: str, start: int, frames: int, size: int) -> Row:
    return {
        "video": video,
        "dancer": 0,
        "shot": 0,
        "start_s": start / CLIP_FPS,
        "frames": frames,
        "crop": "tracked",
        "crop_centre_xy": [size / 2, size / 2] * frames,
        "crop_side": [float(size)] * frames,
        "dancer_xyxy": [0.0, 0.0, float(size), float(size)] * frames,
        "dancer_score": [0.9] * frames,
    }


def _cut(sample_id: str, clip: bytes, frames: int, size: int) -> Row:
    return {
        "clip": {"bytes": clip, "path": sample_id.replace("/", "_") + ".mp4"},
        "clip_digest": blake3(clip).hexdigest(),
        "frames": frames,
        "width": size,
        "height": size,
        "repeated_frames": 0,
        "sound_rate": SOUND_RATE,
        "sound_rms_db": -20.0,
        "sound_padded_s": 0.0,
    }


def _music(start: int, frames: int) -> Row:
    return {
        "frames": frames,
        "features": music_of(start, frames).ravel().tolist(),
        "layout": list(LAYOUT),
        "beats_s": [0.5, 1.0],
        "tempo_bpm": 120.0,
        "fingerprint": b"",
    }


def _poses(frames: int, size: int) -> Row:
    keypoints = poses_of(frames, size)
    return {
        "frames": frames,
        "keypoints_xy": [None if np.isnan(v) else v for v in keypoints[..., :2].ravel().tolist()],
        "confidence": keypoints[..., 2].ravel().tolist(),
        "raw_score": (keypoints[..., 2] * 10).ravel().tolist(),
        "produced": [joint % 3 != 2 for joint in range(len(OPENPOSE_134))],
        "pose_model": "test-wholebody",
    }


def _reference(number: int, *, has_face: bool, size: int) -> Row:
    unit = np.eye(512, dtype=np.float32)[number].tolist()
    return {
        "reference": {"bytes": reference_bytes(number, size), "path": "reference.jpg"},
        "reference_frame": 3,
        "face_xyxy": [1.0, 2.0, 3.0, 4.0] if has_face else None,
        "face_score": 0.9 if has_face else None,
        "sharpness": 0.7,
        "frontality": 0.8 if has_face else None,
        "embedding": unit if has_face else None,
        "embedding_model": "test-arcface",
        "embedding_missing": None if has_face else "the best face has 31.5 pixels",
    }


_AUDIT: Row = {
    "score": 0.9,
    "confident_share": 0.8,
    "largest_jump": 0.1,
    "jumps": 0,
    "loop_share": 0.0,
    "sound_offset_s": 0.001,
    "findings": ["a little dark"],
}
