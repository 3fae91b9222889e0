"""The stage that finds the dancer's joints in every frame of a clip."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from tasks.body.rtmw import WholebodyPoses
from tasks.body.wholebody import OPENPOSE_134
from tasks.dance.clip_frames import ClipError, clip_frames, decoder
from tasks.dance.dancer_models import DancerModel, open_dancer_model
from tasks.models.device import Device
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.clips import POSE_SCHEMA, WHOLEBODY_JOINTS
from tasks.schema.keypoints import Keypoints
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import Side, Stage, StageOutput

Row = dict[str, Any]

CHUNK: Final = 32
"""Frames decoded at once; a model's batches begin anew in each, so that they depend on the clip alone."""


class PosesConfig(Frozen):
    """How joints are found; `min_found` is our choice."""

    pose_model: str = Field(
        "yolov8n-pose",
        title="Pose model",
        description="The name of its card: of a whole-body model, or of one of 17 joints, which fills 18 of the 134.",
    )
    sub_pixel: bool = Field(
        False,
        title="Between pixels",
        description="Of a whole-body model: joints may lie between the half pixels of its input.",
    )
    min_found: float = Field(
        0.5,
        title="Frames with the dancer",
        ge=0,
        le=1,
        description="Share of a clip's frames in which the dancer has to be seen, else the clip is rejected.",
    )


@dataclass(frozen=True)
class FindPoses(Stage):
    """Clips, and beside them where their dancer is, to the dancer's joints in pixels of the clip.

    What the model says is kept as it is: no joint is filled in, smoothed or moved; see `tasks.body.smooth` for that. A
    frame without the dancer has no joint at all. A clip whose dancer is seen in too few frames is rejected.
    """

    config: PosesConfig
    model: DancerModel

    name: ClassVar[str] = "poses"
    version: ClassVar[int] = 1
    sides: ClassVar[tuple[Side, ...]] = (Side(("crop_centre_xy", "crop_side", "dancer_xyxy")),)
    batch_rows: ClassVar[int] = 16

    @classmethod
    def of(cls, config: PosesConfig, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None) -> Self:
        """The stage with the model that the configuration names, not loaded yet.

        Raises:
            ModelError: no card has the model's name; while running also: its weights cannot be had.
        """
        return cls(config, open_dancer_model(config.pose_model, zoo, device, runtime, sub_pixel=config.sub_pixel))

    def __post_init__(self) -> None:
        if self.model.name != self.config.pose_model:
            raise ValueError(f"the model is {self.model.name}, the configuration says {self.config.pose_model}")

    @property
    def schema(self) -> pa.Schema:
        return POSE_SCHEMA

    def models(self) -> dict[str, str]:
        return {self.model.name: self.model.sha256}

    def execution(self) -> dict[str, str]:
        return {**decoder(), **self.model.execution()}

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the thresholds of the model's card."""
        thresholds: dict[str, JsonValue] = dict(self.model.thresholds)
        return {**super().params(), "thresholds": thresholds}

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        with ThreadPoolExecutor(1, "poses") as ahead:
            for batch in batches:
                for row in batch.to_pylist():
                    poses = self._poses(row, ahead)
                    if isinstance(poses, Rejection):
                        yield StageOutput(POSE_SCHEMA.empty_table(), (poses,))
                    else:
                        yield StageOutput(pose_table(row, poses, self.model.produced, self.model.name))

    def _poses(self, row: Row, ahead: ThreadPoolExecutor) -> WholebodyPoses | Rejection:
        """The dancer in each frame, or why the clip has no poses; `ahead` decodes while the model looks."""
        frames: int = row["frames"]
        boxes = dancer_boxes(row)
        if len(boxes) != frames:
            return _rejection(row, Reason.LENGTHS_DIFFER, f"{len(boxes)} places of the dancer for {frames} frames")
        parts: list[WholebodyPoses] = []
        done = 0
        try:
            chunks = clip_frames(row["clip"]["bytes"] or b"", CHUNK)
            waiting = ahead.submit(next, chunks, None)
            while (pictures := waiting.result()) is not None:
                waiting = ahead.submit(next, chunks, None)
                ours = boxes[done : done + len(pictures)]
                done += len(pictures)
                if done > frames:
                    break
                parts.append(self.model.poses(pictures, ours))
        except ClipError as error:
            return _rejection(row, Reason.FRAMES_UNREADABLE, str(error))
        if done != frames or not frames:
            more = "more" if done > frames else str(done)
            return _rejection(row, Reason.LENGTHS_DIFFER, f"the clip shows {more} frames, its row says {frames}")
        poses = together(parts)
        found = float(poses.keypoints.present.any(axis=1).mean())
        if found < self.config.min_found:
            wanted = f"at least {self.config.min_found:.0%} are wanted"
            detail = f"{self.model.name} sees the dancer in {found:.0%} of {frames} frames, {wanted}"
            return _rejection(row, Reason.DANCER_LOST, detail, found)
        return poses


def dancer_boxes(row: Row) -> NDArray[np.float32]:
    """The dancer's box in each frame in pixels of the clip, float32, (frames, 4).

    Args:
        row: of `CUT_SCHEMA`, with the crop and the dancer of `CLIP_SCHEMA` beside it. Their lists hold equally many
            frames, else the shorter decides.
    """
    centre = np.asarray(row["crop_centre_xy"], np.float64).reshape(-1, 2)
    side = np.asarray(row["crop_side"], np.float64).reshape(-1, 1)
    boxes = np.asarray(row["dancer_xyxy"], np.float64).reshape(-1, 4)
    count = min(len(centre), len(side), len(boxes))
    corner = (centre - side / 2)[:count]
    scale = np.array([row["width"], row["height"]]) / np.maximum(side[:count], 1e-9)
    return ((boxes[:count] - np.tile(corner, 2)) * np.tile(scale, 2)).astype(np.float32)


def together(parts: list[WholebodyPoses]) -> WholebodyPoses:
    """Consecutive frames one after the other."""
    xy = np.concatenate([part.keypoints.xy for part in parts])
    confidence = np.concatenate([part.keypoints.confidence for part in parts])
    return WholebodyPoses(
        Keypoints(OPENPOSE_134, xy, confidence), np.concatenate([part.raw_score for part in parts]).astype(np.float32)
    )


def pose_table(row: Row, poses: WholebodyPoses, produced: NDArray[np.bool_], model: str) -> pa.Table:
    """One row of `POSE_SCHEMA`."""
    xy = poses.keypoints.xy.ravel()
    columns = {
        **{name: pa.array([row[name]]) for name in ("sample_id", "parent_id", "source_uri", "licence")},
        "frames": pa.array([len(poses)], pa.int32()),
        "keypoints_xy": _one_list(pa.array(xy, pa.float32(), mask=np.isnan(xy))),
        "confidence": _one_list(pa.array(poses.keypoints.confidence.ravel())),
        "raw_score": _one_list(pa.array(poses.raw_score.ravel())),
        "produced": pa.array([produced.tolist()], pa.list_(pa.bool_(), WHOLEBODY_JOINTS)),
        "pose_model": pa.array([model]),
    }
    return pa.table({name: columns[name] for name in POSE_SCHEMA.names}).cast(POSE_SCHEMA)


def poses_of_row(row: Row) -> WholebodyPoses:
    """A row of `POSE_SCHEMA` as arrays: one person a frame."""
    frames = row["frames"]
    xy = np.array(row["keypoints_xy"], np.float32).reshape(frames, WHOLEBODY_JOINTS, 2)
    confidence = np.array(row["confidence"], np.float32).reshape(frames, WHOLEBODY_JOINTS)
    raw = np.array(row["raw_score"], np.float32).reshape(frames, WHOLEBODY_JOINTS)
    return WholebodyPoses(Keypoints(OPENPOSE_134, xy, confidence), raw)


def _one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _rejection(row: Row, reason: Reason, detail: str, score: float | None = None) -> Rejection:
    return Rejection(row["sample_id"], reason, detail, score, row["source_uri"])
