"""The stage that looks whether clips are fit to train on: what is wrong with them, what is not perfect, a score."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from tasks.body.wholebody import BODY
from tasks.dance.audit_loops import loop_share, thumbnails
from tasks.dance.audit_motion import motion_of
from tasks.dance.audit_rules import AuditConfig, Measured, Verdict, judged
from tasks.dance.clip_frames import ClipError
from tasks.music.sync import ClipTimes, clip_times
from tasks.schema.clips import AUDIT_SCHEMA, WHOLEBODY_JOINTS
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Side, StageOfWhole, StageOutput, Whole

Row = dict[str, Any]

__all__ = ["AuditClips", "AuditConfig"]

_FACTS = (
    "sample_id", "parent_id", "source_uri", "licence", "frames", "tempo_bpm", "repeated_frames", "sound_padded_s",
    "width", "face_xyxy", "embedding_missing",
)  # fmt: skip


@dataclass(frozen=True)
class AuditClips(StageOfWhole):
    """Clips that have music, and beside them all the rest of them, to those that are fit to train on, one to one.

    The whole input is the shard of their video. A clip is left out for the worst of its faults; `evidence` holds all
    of them and what was measured. What is not perfect is told in `findings`, and takes from the score.

    Facts: `score`, the mean of the clips that were judged, and `findings`, how many clips have each kind.
    """

    config: AuditConfig

    name: ClassVar[str] = "audit"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (
        Side(("crop_centre_xy", "crop_side", "dancer_xyxy")),
        Side(("clip", "width", "repeated_frames", "sound_padded_s")),
        Side(("keypoints_xy", "confidence", "produced")),
        Side(("face_xyxy", "embedding_missing")),
    )
    batch_rows: ClassVar[int] = 16

    @property
    def schema(self) -> pa.Schema:
        return AUDIT_SCHEMA

    def execution(self) -> dict[str, str]:
        import av

        libraries = {name: ".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavformat")}
        return libraries | {name: version_of(name) for name in ("numpy", "opencv-python-headless")}

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        (dance,) = whole[0].table(("sound_rate",)).to_pylist() or [{}]
        scores: list[float] = []
        found: Counter[str] = Counter()
        for batch in batches:
            for number, row in enumerate(batch.select(_FACTS).to_pylist()):
                try:
                    mp4 = batch["clip"][number].as_py()["bytes"] or b""
                    times, pictures = _times(mp4), thumbnails(mp4)
                except (ClipError, ValueError) as error:
                    told = f"The clip cannot be read: {error}."
                    why = Rejection(row["sample_id"], Reason.FRAMES_UNREADABLE, told, None, row["source_uri"])
                    yield StageOutput(AUDIT_SCHEMA.empty_table(), (why,))
                    continue
                clip = measured(row | dance, times, pictures, _arrays(batch, number), self.config)
                verdict = judged(clip, self.config)
                scores.append(verdict.score)
                found.update(list(verdict.findings))
                yield _output(row, clip, verdict)
        facts: dict[str, JsonValue] = {"score": float(np.mean(scores)) if scores else None}
        yield StageOutput(AUDIT_SCHEMA.empty_table(), facts=facts | {"findings": dict(sorted(found.items()))})


def measured(
    row: Mapping[str, Any],
    times: ClipTimes,
    pictures: NDArray[np.int16],
    arrays: Mapping[str, NDArray[Any]],
    config: AuditConfig,
) -> Measured:
    """A clip in numbers.

    Args:
        row: facts of the clip, and `sound_rate` of its video.
        times: of picture and sound in its file.
        pictures: its `thumbnails`.
        arrays: `keypoints_xy` (NaN where missing), `confidence`, `produced`, `crop_centre_xy`, `crop_side` and
            `dancer_xyxy` as the shards hold them.
        config: of the stage.
    """
    confidence = arrays["confidence"].reshape(-1, WHOLEBODY_JOINTS)
    xy = arrays["keypoints_xy"].reshape(-1, WHOLEBODY_JOINTS, 2)
    side, boxes = arrays["crop_side"], arrays["dancer_xyxy"].reshape(-1, 4)
    together = min(len(confidence), len(side), len(boxes))
    motion = motion_of(
        xy[:together, BODY],
        confidence[:together, BODY] >= config.joint_confidence,
        arrays["crop_centre_xy"].reshape(-1, 2)[:together],
        side[:together],
        row["width"],
        boxes[:together, 3] - boxes[:together, 1],
    )
    steps = motion.steps()
    produced = confidence[:, arrays["produced"].astype(np.bool_)]
    return Measured(
        video_frames=len(pictures),
        music_rows=row["frames"],
        pose_frames=len(confidence),
        crop_frames=len(side),
        offset_s=times.offset_s,
        end_offset_s=times.offset_s + times.sound_s - times.picture_s,
        repeated=row["repeated_frames"],
        confident_share=float((produced >= config.joint_confidence).mean()) if produced.size else 0.0,
        mean_confidence=float(produced.mean()) if produced.size else 0.0,
        unseen_frames=int((confidence == 0).all(axis=1).sum()),
        largest_jump=float(np.nanmax(steps, initial=0.0)),
        jumps=int((steps > config.jump_torsos).sum()),
        loop_share=loop_share(pictures),
        face=row["face_xyxy"] is not None,
        face_missing=(row["embedding_missing"] or "").rstrip("."),
        side=float(np.median(side)) if len(side) else 0.0,
        sound_rate=row["sound_rate"],
        padded_s=row["sound_padded_s"],
        tempo=row["tempo_bpm"] is not None,
    )


def _output(row: Row, clip: Measured, verdict: Verdict) -> StageOutput:
    if verdict.faults:
        worst = verdict.faults[0]
        evidence = {
            "faults": [[fault.reason.value, fault.detail] for fault in verdict.faults],
            "score": round(verdict.score, 4),
            "measured": asdict(clip),
        }
        why = Rejection(
            row["sample_id"], worst.reason, worst.detail, worst.score, row["source_uri"], json.dumps(evidence)
        )
        return StageOutput(AUDIT_SCHEMA.empty_table(), (why,))
    kept = {
        **{name: row[name] for name in ("sample_id", "parent_id", "source_uri", "licence")},
        "score": verdict.score,
        "confident_share": clip.confident_share,
        "largest_jump": clip.largest_jump,
        "jumps": clip.jumps,
        "loop_share": clip.loop_share,
        "sound_offset_s": clip.offset_s,
        "findings": list(verdict.findings.values()),
    }
    return StageOutput(pa.Table.from_pylist([kept], schema=AUDIT_SCHEMA))


def _times(mp4: bytes) -> ClipTimes:
    """When picture and sound of a clip begin and end.

    Raises:
        ValueError: it is no clip.
    """
    from av.error import FFmpegError

    try:
        return clip_times(mp4)
    except FFmpegError as error:
        raise ValueError(error.strerror) from error
    except StopIteration as error:
        raise ValueError("it has no sound that decodes") from error


def _arrays(batch: pa.RecordBatch, number: int) -> dict[str, NDArray[Any]]:
    """Long columns of a row; NaN where a number is missing."""
    names = ("keypoints_xy", "confidence", "produced", "crop_centre_xy", "crop_side", "dancer_xyxy")
    return {name: batch[name][number].values.to_numpy(zero_copy_only=False) for name in names}
