"""Columns and types of the shards that lead from dance videos to samples of music and poses."""

import pyarrow as pa

from tasks.schema.columns import IMAGE, shard_schema
from tasks.schema.films import FILM_SCHEMA

CLIP_FPS = 24
"""Frames a second of a clip, and rows a second of its features. Source: the seed."""

WHOLEBODY_JOINTS = 134
"""OpenPose's 18 joints, 6 of the feet, 68 of the face, 21 of each hand. Source: the seed, and `tasks.body.wholebody`.
"""

EMBEDDING_WIDTH = 512

_VIDEO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

DANCE_SCHEMA = shard_schema(
    *(field for field in FILM_SCHEMA if field.name not in ("sample_id", "parent_id", "source_uri", "licence")),
    pa.field("group", pa.string(), nullable=False),
    pa.field("sound_from", pa.string(), nullable=False),
    pa.field("sound_uri", pa.string(), nullable=False),
    pa.field("sound_digest", pa.string(), nullable=False),
    pa.field("sound_codec", pa.string(), nullable=False),
    pa.field("sound_rate", pa.int32(), nullable=False),
    pa.field("sound_channels", pa.int16(), nullable=False),
    pa.field("sound_start_s", pa.float64(), nullable=False),
    pa.field("sound_duration_s", pa.float64(), nullable=False),
    pa.field("sound_padded_s", pa.float64(), nullable=False),
)
"""A dance video that can be cut: the columns of a film, and its sound.

`group`: the folder it came from, or what the list says; `sound_from`: "video" or "file"; `sound_start_s`: presentation
time of the first sample, counted from the first frame of the video; `sound_padded_s`: silence that has to be added at
the end to reach the last frame, under half a second.
"""

CLIP_SCHEMA = shard_schema(
    pa.field("video", pa.string(), nullable=False),
    pa.field("dancer", pa.int16(), nullable=False),
    pa.field("shot", pa.int32(), nullable=False),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("crop", pa.string(), nullable=False),
    pa.field("crop_centre_xy", pa.list_(pa.float32()), nullable=False),
    pa.field("crop_side", pa.list_(pa.float32()), nullable=False),
    pa.field("dancer_xyxy", pa.list_(pa.float32()), nullable=False),
    pa.field("dancer_score", pa.list_(pa.float32()), nullable=False),
)
"""A piece of a video with one dancer in it: `<video>/c003` (`_d1` for a further dancer), in the order of time.

`start_s` is the presentation time of its first frame, counted from the first frame of the video; frame n of the clip
shows what the video shows at `start_s + n / CLIP_FPS`. `crop`: "tracked" or "letterbox". `crop_centre_xy` (x0 y0 x1 y1
...) and `crop_side`, one for each frame, are the square that becomes the picture, in pixels of the upright video; it
may reach beyond the video, which is black there. `dancer_xyxy` (four numbers a frame) and `dancer_score` are the
dancer's box as detected or tracked; the score is 0 where it is tracked only.
"""

CUT_SCHEMA = shard_schema(
    pa.field("clip", _VIDEO, nullable=False),
    pa.field("clip_digest", pa.string(), nullable=False),
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("repeated_frames", pa.int32(), nullable=False),
    pa.field("sound_rate", pa.int32(), nullable=False),
    pa.field("sound_rms_db", pa.float32(), nullable=False),
    pa.field("sound_padded_s", pa.float64(), nullable=False),
)
"""A clip as MP4 (H.264 yuv420p, AAC), `CLIP_FPS` frames a second. `repeated_frames`: source frames shown twice."""

MUSIC_SCHEMA = shard_schema(
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("features", pa.list_(pa.float32()), nullable=False),
    pa.field("layout", pa.list_(pa.string()), nullable=False),
    pa.field("beats_s", pa.list_(pa.float64()), nullable=False),
    pa.field("tempo_bpm", pa.float32()),
    pa.field("fingerprint", pa.binary(), nullable=False),
)
"""What a clip sounds like. `features` are (frames, width) row by row, `layout` names its columns; beats are in seconds
from the clip's first frame; `tempo_bpm` is null where there is no pulse.
"""

POSE_SCHEMA = shard_schema(
    pa.field("frames", pa.int32(), nullable=False),
    pa.field("keypoints_xy", pa.list_(pa.float32()), nullable=False),
    pa.field("confidence", pa.list_(pa.float32()), nullable=False),
    pa.field("raw_score", pa.list_(pa.float32()), nullable=False),
    pa.field("produced", pa.list_(pa.bool_(), WHOLEBODY_JOINTS), nullable=False),
    pa.field("pose_model", pa.string(), nullable=False),
)
"""Poses of a clip's dancer in pixels of the clip: (frames, 134, 2) and (frames, 134) row by row.

A missing joint is null in `keypoints_xy` with confidence 0; `raw_score` is what the model said; `produced`: joints that
the model can produce at all.
"""

REFERENCE_SCHEMA = shard_schema(
    pa.field("reference", IMAGE, nullable=False),
    pa.field("reference_frame", pa.int32(), nullable=False),
    pa.field("face_xyxy", pa.list_(pa.float32(), 4)),
    pa.field("face_score", pa.float32()),
    pa.field("sharpness", pa.float32(), nullable=False),
    pa.field("frontality", pa.float32()),
    pa.field("embedding", pa.list_(pa.float32(), EMBEDDING_WIDTH)),
    pa.field("embedding_model", pa.string(), nullable=False),
    pa.field("embedding_missing", pa.string()),
)
"""The reference picture of a clip, and the embedding of its face, of unit length.

Without a face `embedding` is null and `embedding_missing` says why.
"""

AUDIT_SCHEMA = shard_schema(
    pa.field("score", pa.float32(), nullable=False),
    pa.field("confident_share", pa.float32(), nullable=False),
    pa.field("largest_jump", pa.float32(), nullable=False),
    pa.field("jumps", pa.int32(), nullable=False),
    pa.field("loop_share", pa.float32(), nullable=False),
    pa.field("sound_offset_s", pa.float32(), nullable=False),
    pa.field("findings", pa.list_(pa.string()), nullable=False),
)
"""A clip that passed the audit; `score` is 0 to 1, `findings` are sentences on what is not perfect."""

SAMPLE_SCHEMA = shard_schema(
    pa.field("video", pa.string(), nullable=False),
    pa.field("song_group", pa.string(), nullable=False),
    pa.field("person_group", pa.string(), nullable=False),
    pa.field("group", pa.string(), nullable=False),
    pa.field("split", pa.string(), nullable=False),
)
"""The samples of a finished dataset; clips of one `group` (joined by song or by person) are all in one split."""
