"""Frames of a clip that may show the dancer's face, told by joints and pixels before any face is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.wholebody import BODY, OPENPOSE_134
from tasks.dance.clip_frames import Picture, clip_frames
from tasks.face.head_region import HeadRegion, head_region
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import COCO_17, Keypoints

_COCO: Final = [OPENPOSE_134.index(joint) for joint in COCO_17.joints]
_NOSE, _LEFT_EYE, _RIGHT_EYE = (OPENPOSE_134.index(joint) for joint in ("nose", "left_eye", "right_eye"))
_NECK, _LEFT, _RIGHT = (OPENPOSE_134.index(joint) for joint in ("neck", "left_shoulder", "right_shoulder"))

_NOISE: Final = 4.0
"""Grey levels squared that slopes must exceed before their fineness counts."""
_DECODED_AT_ONCE: Final = 8


@dataclass(frozen=True, eq=False)
class Head:
    """A frame whose head is worth looking at, RGB uint8, (H, W, 3), and where the head is in it."""

    frame: int
    picture: Picture
    region: HeadRegion


@dataclass(frozen=True, eq=False)
class Looked:
    """What a clip offers.

    Args:
        heads: the most promising frames, in order; none where the poses show no head.
        frame: number of the frame in which the dancer shows most detail.
        picture: that frame.
        detail: how much, as `detail` measures it.
        frames: how many frames the clip has.
    """

    heads: tuple[Head, ...]
    frame: int
    picture: Picture
    detail: float
    frames: int


def looked_at(mp4: bytes, poses: Keypoints, most: int, joint_floor: float) -> Looked | None:
    """The most promising head of each of `most` equal stretches of a clip, so that they are spread over it.

    A head promises as much as `towards` and `detail` say together. The clip is decoded once, and only the frames that
    are given back are held.

    Args:
        mp4: the clip.
        poses: one person a frame, `OPENPOSE_134`, in pixels of the clip.
        most: heads.
        joint_floor: joints that are less sure count as not seen.
    Returns:
        None: the poses show the dancer in no frame.
    Raises:
        ClipError: the clip does not decode.
        ShapeError: the clip has another number of frames than there are poses.
    """
    facing = towards(poses, joint_floor)
    best: dict[int, tuple[float, Head]] = {}
    sharpest: tuple[float, int, Picture] | None = None
    frame = 0
    for pictures in clip_frames(mp4, _DECODED_AT_ONCE):
        for picture in pictures:
            if frame >= len(poses):
                raise ShapeError(f"the clip shows more frames than the {len(poses)} that have poses")
            box = _body_box(poses, frame)
            if box is not None:
                shown = detail(_cut(picture, box))
                if sharpest is None or shown > sharpest[0]:
                    sharpest = shown, frame, picture
                head = _head(poses, frame, picture, box, joint_floor)
                if head is not None:
                    promise = float(facing[frame]) * detail(_cut(picture, head.region.xyxy))
                    stretch = frame * most // len(poses)
                    if stretch not in best or promise > best[stretch][0]:
                        best[stretch] = promise, head
            frame += 1
    if frame != len(poses):
        raise ShapeError(f"the clip shows {frame} frames, {len(poses)} have poses")
    if sharpest is None:
        return None
    return Looked(tuple(best[k][1] for k in sorted(best)), sharpest[1], sharpest[2], sharpest[0], frame)


def towards(poses: Keypoints, joint_floor: float) -> NDArray[np.float64]:
    """How much each person looks at the viewer, told by joints, (T,), 0 to 1.

    The mean confidence of nose and eyes, times the mean of three: 1; how near the nose is to midway between the eyes
    (0: at an eye, beyond it, or seen from behind); 1 if the shoulders stand as those of a person seen from the front.
    Joints less sure than `joint_floor` say nothing. Nothing here depends on which way is up. Our choice: it orders the
    frames of one clip, and what it puts first is judged by the face itself.
    """
    xy = np.where((poses.confidence >= joint_floor)[..., None], poses.xy.astype(np.float64), np.nan)
    face = [_NOSE, _LEFT_EYE, _RIGHT_EYE]
    sure = np.where(np.isfinite(xy[:, face]).all(axis=2), poses.confidence[:, face], 0).mean(axis=1)
    eyes, middle = xy[:, _LEFT_EYE] - xy[:, _RIGHT_EYE], (xy[:, _LEFT_EYE] + xy[:, _RIGHT_EYE]) / 2
    apart = (eyes**2).sum(axis=1)
    off = 2 * np.abs(((xy[:, _NOSE] - middle) * eyes).sum(axis=1)) / np.where(apart > 0, apart, np.nan)
    faces_us = _cross(eyes, xy[:, _NECK] - middle) > 0
    front = np.where(faces_us, np.clip(1 - np.nan_to_num(off, nan=1), 0, 1), 0)
    shoulders = _cross(xy[:, _LEFT] - xy[:, _RIGHT], xy[:, _NECK] - xy[:, _NOSE]) > 0
    return np.asarray(sure * (1 + front + shoulders) / 3, np.float64)


def detail(picture: Picture) -> float:
    """How fine the slopes of a picture are, 0 to 1: bends by bends and slopes, both squared.

    Contrast and light change both alike; blur takes the bends first. It compares frames of one clip.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    bends = float(np.square(cv2.Laplacian(grey, cv2.CV_32F)).mean())
    slopes = sum(float(np.square(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=0.25)).mean()) for dx in (0, 1))
    return bends / (bends + slopes + _NOISE)


def _head(poses: Keypoints, frame: int, picture: Picture, box: Sequence[int], joint_floor: float) -> Head | None:
    content = np.array([0, 0, picture.shape[1], picture.shape[0]], np.float32)
    person = np.array(box, np.float32)
    region = head_region(poses.xy[frame, _COCO], poses.confidence[frame, _COCO], person, content, joint_floor)
    return None if region is None else Head(frame, picture, region)


def _body_box(poses: Keypoints, frame: int) -> tuple[int, int, int, int] | None:
    """Of the joints of the body, in whole pixels; None where there is none."""
    there = poses.present[frame, BODY]
    if not there.any():
        return None
    xy = poses.xy[frame, BODY][there]
    low, high = np.floor(xy.min(axis=0)), np.ceil(xy.max(axis=0)) + 1
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _cut(picture: Picture, xyxy: Sequence[int]) -> Picture:
    """What of the picture lies in a box; the whole picture where the box lies beyond it."""
    left, top, right, bottom = (max(0, side) for side in xyxy)
    part = picture[top:bottom, left:right]
    return part if part.size else picture


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float64)
