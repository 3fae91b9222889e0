"""Why a sample was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from tasks.schema.errors import MannequinError


class Reason(StrEnum):
    """Every reason a stage may give; one list for the whole project, each value is what people see."""

    IMAGE_MISSING = "image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_BOMB = "image_bomb"
    IMAGE_EMPTY = "image_empty"
    IMAGE_TOO_SMALL = "image_too_small"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_FORMAT_UNSUPPORTED = "image_format_unsupported"
    DECODER_CRASHED = "decoder_crashed"
    DECODER_TIMED_OUT = "decoder_timed_out"
    METADATA_MISSING = "metadata_missing"
    METADATA_WITHOUT_FILE = "metadata_without_file"
    DUPLICATE_EXACT = "duplicate_exact"
    DUPLICATE_NEAR = "duplicate_near"
    OVER_LIMIT = "over_limit"
    NOBODY_FOUND = "nobody_found"
    DRAWING_UNREADABLE = "drawing_unreadable"
    TOO_FEW_JOINTS = "too_few_joints"
    VIDEO_UNREADABLE = "video_unreadable"
    VIDEO_BOMB = "video_bomb"
    URL_MALFORMED = "url_malformed"
    ADDRESS_REFUSED = "address_refused"
    REDIRECT_REFUSED = "redirect_refused"
    OPTED_OUT = "opted_out"
    HTTP_GONE = "http_gone"
    HTTP_REFUSED = "http_refused"
    HTTP_RATE_LIMITED = "http_rate_limited"
    HTTP_SERVER_ERROR = "http_server_error"
    DNS_FAILED = "dns_failed"
    TLS_FAILED = "tls_failed"
    CONNECTION_FAILED = "connection_failed"
    RESPONSE_TIMED_OUT = "response_timed_out"
    RESPONSE_TOO_LARGE = "response_too_large"
    RESPONSE_TRUNCATED = "response_truncated"
    RESPONSE_NO_IMAGE = "response_no_image"
    PERSON_SCORE_LOW = "person_score_low"
    HEAD_NOT_VISIBLE = "head_not_visible"
    FACE_NOT_FOUND = "face_not_found"
    FACE_SCORE_LOW = "face_score_low"
    FACE_TOO_SMALL = "face_too_small"
    FACE_BLURRED = "face_blurred"
    FACE_TURNED_AWAY = "face_turned_away"
    FACE_FAINT = "face_faint"
    FACE_CLAIMED_TWICE = "face_claimed_twice"
    EMBEDDING_NOT_FINITE = "embedding_not_finite"
    EMBEDDING_COLLAPSED = "embedding_collapsed"
    NO_MATCH = "no_match"
    NOT_LARGEST_CLUSTER = "not_largest_cluster"
    IDENTITY_AMBIGUOUS = "identity_ambiguous"
    VALIDATION_OVERLAP = "validation_overlap"
    TOO_FEW_IMAGES = "too_few_images"
    REVIEWED_OUT = "reviewed_out"
    VIDEO_TRUNCATED = "video_truncated"
    FILM_MISSING = "film_missing"
    FILM_TOO_SHORT = "film_too_short"
    FILM_TOO_SMALL = "film_too_small"
    TIMESTAMPS_MISSING = "timestamps_missing"
    DOLBY_VISION_UNSUPPORTED = "dolby_vision_unsupported"
    COLOUR_TAGS_CONTRADICT = "colour_tags_contradict"
    FORMAT_DOES_NOT_FIT = "format_does_not_fit"
    FRAMES_UNREADABLE = "frames_unreadable"
    FRAMES_TOO_FEW = "frames_too_few"
    FRAME_GAPS_UNEQUAL = "frame_gaps_unequal"
    SCENE_CUT = "scene_cut"
    SCENE_UNSTABLE = "scene_unstable"
    SCENE_FADE = "scene_fade"
    SCENE_BLACK = "scene_black"
    SCENE_STATIC = "scene_static"
    PATCH_FLAT = "patch_flat"
    PATCH_DEFOCUSED = "patch_defocused"
    PATCH_MOTION_BLURRED = "patch_motion_blurred"
    PATCH_GRAIN_ONLY = "patch_grain_only"
    VIDEO_MISSING = "video_missing"
    VIDEO_TOO_SHORT = "video_too_short"
    VIDEO_TOO_SMALL = "video_too_small"
    FRAME_RATE_LOW = "frame_rate_low"
    SOUND_MISSING = "sound_missing"
    SOUND_UNREADABLE = "sound_unreadable"
    SOUND_TOO_SHORT = "sound_too_short"
    SOUND_SILENT = "sound_silent"
    SOUND_OUT_OF_SYNC = "sound_out_of_sync"
    NO_STEADY_SHOT = "no_steady_shot"
    DANCER_LOST = "dancer_lost"
    CLIP_LOOPS = "clip_loops"
    POSE_NOT_CONFIDENT = "pose_not_confident"
    POSE_JUMPS = "pose_jumps"
    LENGTHS_DIFFER = "lengths_differ"
    FACE_MISSING = "face_missing"
    SOUND_RATE_LOW = "sound_rate_low"
    AUDIT_SCORE_LOW = "audit_score_low"

    DUPLICATE_NAME = "duplicate_name"
    ANNOTATION_UNREADABLE = "annotation_unreadable"
    ANNOTATION_WITHOUT_IMAGE = "annotation_without_image"
    BLOCKED = "blocked"
    FORGOTTEN = "forgotten"


class RefusedError(MannequinError):
    """A sample that cannot be used: `reason` for the machine, `detail` one sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


@dataclass(frozen=True)
class Rejection:
    """One sample that a stage left out.

    `detail` is one sentence for a person; `score` is the measured value that decided, where there was one; `evidence`
    is a JSON object of what else was seen, where that matters later (what a server said, which rule, whom it is like).
    """

    sample_id: str
    reason: Reason
    detail: str
    score: float | None = None
    source_uri: str = ""
    evidence: str | None = None


REJECT_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("source_uri", pa.string(), nullable=False),
        pa.field("evidence", pa.string()),
    ]
)


def rejection_table(stage: str, rejections: Sequence[Rejection]) -> pa.Table:
    """Rejections of one stage as rows of `REJECT_SCHEMA`, in the order given."""
    rows = [
        {
            "sample_id": r.sample_id,
            "stage": stage,
            "reason": r.reason.value,
            "detail": r.detail,
            "score": r.score,
            "source_uri": r.source_uri,
            "evidence": r.evidence,
        }
        for r in rejections
    ]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)
