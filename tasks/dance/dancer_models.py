"""The dancer's joints in pictures whose place of the dancer is known, whichever model sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.body.pose_model import PersonDetections, PoseModel, open_fast_pose_model
from tasks.body.rtmw import WholebodyModel, WholebodyPoses, open_wholebody_model
from tasks.body.track import overlaps
from tasks.body.wholebody import BODY, OPENPOSE_134, produced_by, to_openpose134
from tasks.models.cards import card_named
from tasks.models.device import Device
from tasks.models.runtimes import Runtime
from tasks.models.zoo import Zoo
from tasks.schema.keypoints import COCO_17, Keypoints

LEAST_OVERLAP: Final = 0.2
"""Of the box that a model sees with the box where the dancer is expected, under which it is somebody else. Our choice:
a box followed between detections lags behind a leap."""


class DancerModel(Protocol):
    """Gives the 134 joints of the dancer; constructed cheaply, batched equals single."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """Of the weights, known without loading them."""
        ...

    @property
    def thresholds(self) -> dict[str, float]:
        """Those of the model's card."""
        ...

    @property
    def produced(self) -> NDArray[np.bool_]:
        """Which of the 134 the model can produce at all, (134,)."""
        ...

    def execution(self) -> dict[str, str]:
        """What decides the bytes of the results besides the weights."""
        ...

    def poses(self, frames: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> WholebodyPoses:
        """One person a frame, RGB uint8, (H, W, 3), the one in its box, (N, 4); no joint is there where nobody is."""
        ...


def open_dancer_model(
    name: str, zoo: Zoo, device: Device = "auto", runtime: Runtime | None = None, *, sub_pixel: bool = False
) -> DancerModel:
    """The model of a card, not loaded yet: a whole-body model, or one that finds people and their 17 joints.

    Args:
        runtime: of a model of 17 joints; None: the fastest.
        sub_pixel: of a whole-body model; see `RtmwPose`.
    Raises:
        ModelError: no such model has that name.
    """
    if card_named(name).family == "onnx-wholebody":
        return BoxedDancer(open_wholebody_model(name, zoo, device, sub_pixel=sub_pixel))
    return SeenDancer(open_fast_pose_model(name, zoo, device, runtime))


@dataclass(frozen=True)
class BoxedDancer:
    """By a whole-body model in the dancer's box; nobody is there where the body's mean confidence is too low."""

    model: WholebodyModel

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def sha256(self) -> str:
        return self.model.sha256

    @property
    def thresholds(self) -> dict[str, float]:
        return dict(self.model.card.thresholds)

    @property
    def produced(self) -> NDArray[np.bool_]:
        return self.model.produced

    def execution(self) -> dict[str, str]:
        return self.model.execution()

    def poses(self, frames: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> WholebodyPoses:
        seen = self.model.estimate(frames, xyxy)
        there = seen.keypoints.confidence[:, BODY].mean(axis=1) >= self.thresholds["person"]
        return only_where(there, seen.keypoints, seen.raw_score)


@dataclass(frozen=True)
class SeenDancer:
    """By a model that finds people in the whole frame: the one who overlaps the dancer's box most. 18 joints of 134."""

    model: PoseModel

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def sha256(self) -> str:
        return self.model.sha256

    @property
    def thresholds(self) -> dict[str, float]:
        return dict(self.model.card.thresholds)

    @property
    def produced(self) -> NDArray[np.bool_]:
        return produced_by(COCO_17)

    def execution(self) -> dict[str, str]:
        return self.model.execution()

    def poses(self, frames: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> WholebodyPoses:
        found = [
            nearest(people, box, frame.shape[1], frame.shape[0])
            for people, box, frame in zip(self.model.detect(frames), xyxy, frames, strict=True)
        ]
        joints = np.full((len(found), len(COCO_17), 2), np.nan, np.float32)
        confidence = np.zeros(joints.shape[:2], np.float32)
        for k, person in enumerate(found):
            if person is not None:
                joints[k], confidence[k] = person.xy[0], person.confidence[0]
        seen = to_openpose134(Keypoints(COCO_17, joints, confidence))
        return WholebodyPoses(seen, seen.confidence.copy())


def nearest(people: PersonDetections, xyxy: NDArray[np.float32], width: int, height: int) -> Keypoints | None:
    """The person whose box overlaps `xyxy` most inside the frame, at least by `LEAST_OVERLAP`; None: nobody does."""
    if not len(people):
        return None
    inside = np.clip(xyxy, 0, np.array([width, height, width, height], np.float32))
    shared = overlaps(inside[None], people.boxes.xyxy)[0]
    best = int(shared.argmax())
    return people.keypoints.person(best) if shared[best] >= LEAST_OVERLAP else None


def only_where(there: NDArray[np.bool_], keypoints: Keypoints, raw_score: NDArray[np.float32]) -> WholebodyPoses:
    """The same people; of those who are not `there`, (N,), every joint is missing."""
    confidence = np.where(there[:, None], keypoints.confidence, 0)
    raw = np.where(there[:, None], raw_score, np.float32(0))
    return WholebodyPoses(Keypoints.from_arrays(OPENPOSE_134, keypoints.xy, confidence), raw)
