"""Clips whose dancer is a spot or a block that the tests' networks see; what they say follows from the pictures."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import av
import numpy as np
import pyarrow as pa

from tasks.schema.clips import CLIP_FPS, CLIP_SCHEMA, CUT_SCHEMA

SIDE = 256

BESIDE = ("crop_centre_xy", "crop_side", "dancer_xyxy")


def a_clip(pictures: Iterable[np.ndarray], crf: int = 4) -> bytes:
    """RGB pictures as MP4 (H.264 yuv420p), 24 a second."""
    stream_of_bytes = BytesIO()
    with av.open(stream_of_bytes, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": str(crf), "preset": "veryfast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return stream_of_bytes.getvalue()


def spot(x: float, y: float) -> np.ndarray:
    """A dark picture with one bright spot."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    glow = 30 + 225 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 5.0**2))
    return np.repeat(glow[..., None], 3, axis=2).astype(np.uint8)


def a_row(clip: bytes, boxes: np.ndarray, sample_id: str = "v/c000") -> dict[str, Any]:
    """A row of cut clips and what stands beside it. The crop shows twice its pixels, from (100, 50) on.

    Args:
        clip: the MP4.
        boxes: of the dancer, (frames, 4), in pixels of the clip.
        sample_id: of the clip.
    """
    side = SIDE / 2
    return {
        "sample_id": sample_id,
        "parent_id": "v",
        "source_uri": "v.mp4",
        "licence": "CC0-1.0",
        "clip": {"bytes": clip, "path": f"{sample_id}.mp4"},
        "clip_digest": "0",
        "frames": len(boxes),
        "width": SIDE,
        "height": SIDE,
        "repeated_frames": 0,
        "sound_rate": 48_000,
        "sound_rms_db": -20.0,
        "sound_padded_s": 0.0,
        "crop_centre_xy": [100 + side / 2, 50 + side / 2] * len(boxes),
        "crop_side": [side] * len(boxes),
        "dancer_xyxy": (np.asarray(boxes) / 2 + [100, 50, 100, 50]).ravel().tolist(),
    }


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows as the stage gets them."""
    schema = pa.schema([*CUT_SCHEMA, *(CLIP_SCHEMA.field(name) for name in BESIDE)])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def a_music_row(frames: int, *, beats_s: Sequence[float] = (), tempo_bpm: float | None = 120.0) -> dict[str, Any]:
    """A row of music whose mel rises over time."""
    layout = ["tempo", "onset", *(f"mel.{k}" for k in range(8)), *(f"chroma.{k}" for k in range(12))]
    rising = np.arange(frames, dtype=np.float64)[:, None]
    values = np.concatenate(
        [np.full((frames, 1), 120), rising % 3, np.tile(rising, 8), np.eye(12)[:1].repeat(frames, 0)], 1
    )
    return {
        "sample_id": "v/c000",
        "parent_id": "v",
        "source_uri": "v.mp4",
        "licence": "CC0-1.0",
        "frames": frames,
        "features": values.ravel().tolist(),
        "layout": layout,
        "beats_s": list(beats_s),
        "tempo_bpm": tempo_bpm,
        "fingerprint": b"",
    }
