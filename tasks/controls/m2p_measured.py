"""Measures of clips and poses against the dance video that they were made of."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.controls.films import BARS, FPS, Box, mean_inside, read_number
from tasks.controls.m2p_video import SHOT_FRAMES, DanceFilm
from tasks.controls.sounds import clicks_of, sound_of

Row = Mapping[str, Any]
Floats = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]

JOINTS: Final = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
"""The first 18 of the 134. Source: OpenPose's output format."""
ALL_JOINTS: Final = 134

_LIMBS: Final = tuple(name for name in JOINTS if name.partition("_")[2] not in ("", "eye", "ear"))
_QUIET_S: Final = 0.01
"""At the ends of a clip, where a click may be cut off."""


def pictures_of(mp4: bytes) -> list[NDArray[np.uint8]]:
    """RGB of all frames of a clip."""
    import av

    with av.open(BytesIO(mp4), "r") as container:
        return [np.asarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def _square(row: Row, n: int) -> tuple[float, float, float]:
    """Left, top and side of the square of a frame, in pixels of the video."""
    x, y = row["crop_centre_xy"][2 * n : 2 * n + 2]
    side = float(row["crop_side"][n])
    return x - side / 2, y - side / 2, side


def in_clip(box: Sequence[float], row: Row, n: int, size: int) -> Box:
    """Where a box of the video is in a clip."""
    left, top, side = _square(row, n)
    scale = size / side
    return tuple((edge - origin) * scale for edge, origin in zip(box, (left, top, left, top), strict=True))  # type: ignore[return-value]


def number_in(picture: NDArray[np.uint8], row: Row, n: int, film: DanceFilm, frame: int) -> int:
    """The frame whose number a picture shows."""
    grey = np.asarray(picture.mean(axis=2))
    return read_number(grey, in_clip(film.number_box(frame), row, n, picture.shape[1]))


def colours_off(picture: NDArray[np.uint8], row: Row, n: int, film: DanceFilm, frame: int) -> float:
    """The largest difference of a colour from what was painted, levels."""
    off = 0.0
    for k, colour in enumerate(BARS):
        box = in_clip(film.colour_box(frame, k), row, n, picture.shape[1])
        seen = [mean_inside(picture[..., channel].astype(float), box, 0.3, 0.3) for channel in range(3)]
        off = max(off, *(abs(value - wanted) for value, wanted in zip(seen, colour, strict=True)))
    return off


def away(picture: NDArray[np.uint8], row: Row, n: int, film: DanceFilm, frame: int) -> float:
    """How far a clip's picture is from its place, pixels of the video."""
    left, top, side = _square(row, n)
    size = picture.shape[1]
    step = side / size
    places = np.array([[step, 0, left + 0.5 * step - 0.5], [0, step, top + 0.5 * step - 0.5]])
    luma = film.planes(frame).y.astype(np.float32)
    wanted = cv2.warpAffine(luma, places, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    seen = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    window = cv2.createHanningWindow((size, size), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(_edges(np.asarray(wanted)), _edges(seen), window)
    return float(np.hypot(x, y) * step)


def _edges(picture: Floats) -> Floats:
    return np.asarray(cv2.Laplacian(cv2.GaussianBlur(picture, (0, 0), 1.5), cv2.CV_32F))


def clicks_in(film: DanceFilm, shot: int) -> list[int]:
    """Frames of a shot that click."""
    return [frame for frame in film.clicks if shot * SHOT_FRAMES <= frame < (shot + 1) * SHOT_FRAMES]


def sound_late(row: Row, film: DanceFilm, shot: int) -> list[float]:
    """How far each click is from its frame, ms; a second where their numbers differ."""
    samples, start_s, rate = sound_of(row["clip"]["bytes"])
    wanted = [(frame - shot * SHOT_FRAMES) / FPS for frame in clicks_in(film, shot)]
    begin, end = _QUIET_S, SHOT_FRAMES / FPS - _QUIET_S
    heard = [at for at in clicks_of(samples, start_s, rate) if begin < at < end]
    wanted = [at for at in wanted if begin < at < end]
    if len(heard) != len(wanted):
        return [1000.0]
    return [abs(a - b) * 1000 for a, b in zip(heard, wanted, strict=True)]


def poses_of(row: Row) -> tuple[Floats, Floats]:
    """Joints (T, 134, 2), NaN where missing, and confidences (T, 134)."""
    xy = np.array(row["keypoints_xy"], np.float64).reshape(-1, ALL_JOINTS, 2)
    return xy, np.array(row["confidence"], np.float64).reshape(-1, ALL_JOINTS)


def in_video(xy: Floats, row: Row, size: int) -> Floats:
    """The first 18 joints in pixels of the video."""
    squares = np.array([_square(row, n) for n in range(len(xy))])
    scale = squares[:, 2] / size
    moved = (xy[:, : len(JOINTS)] + 0.5) * scale[:, None, None] + squares[:, None, :2] - 0.5
    return np.asarray(moved)


def named_right(there: Floats, film: DanceFilm, shot: int) -> float:
    """Share of the limbs' joints whose nearest true joint has their name."""
    right, count = 0, 0
    for n, joints in enumerate(there):
        truth = film.joints(shot * SHOT_FRAMES + n)
        places = np.array([truth[name] for name in _LIMBS])
        for k, name in enumerate(_LIMBS):
            place = joints[JOINTS.index(name)]
            if np.isfinite(place).all():
                count += 1
                right += int(np.hypot(*(places - place).T).argmin()) == k
    return right / max(count, 1)


def speed_of(there: Floats) -> float:
    """Pixels a frame to the right, the median of all joints seen in half of the frames."""
    slopes = []
    for x in there[..., 0].T:
        frames = np.flatnonzero(np.isfinite(x))
        if len(frames) * 2 >= len(x):
            slopes.append(float(np.polyfit(frames, x[frames], 1)[0]))
    return float(np.median(slopes)) if slopes else float("nan")


def alone_off(xy: Floats, confidence: Floats, row: Row, cut: Row, model: Any) -> float:
    """How far sure joints of a frame in the middle are from those that the model sees in it alone."""
    n = SHOT_FRAMES // 2
    pictures = pictures_of(cut["clip"]["bytes"])
    if n >= min(len(pictures), len(xy)):
        return float("nan")
    box = in_clip(row["dancer_xyxy"][4 * n : 4 * n + 4], row, n, cut["width"])
    poses = model.poses([np.ascontiguousarray(pictures[n])], np.array([box], np.float32))
    apart = np.hypot(*(poses.keypoints.xy[0] - xy[n]).T)
    sure = (confidence[n] > 0.5) & np.isfinite(apart)
    return float(apart[sure].max(initial=0.0))


def overlap(xyxy: Sequence[float], joints: Mapping[str, tuple[float, float]]) -> float:
    """IoU of a box with that around joints."""
    places = np.array(list(joints.values()))
    truth = np.concatenate([places.min(axis=0), places.max(axis=0)])
    box = np.array(xyxy, np.float64)
    sides = np.minimum(box[2:], truth[2:]) - np.maximum(box[:2], truth[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(each[2:] - each[:2])) for each in (box, truth)]
    return both / max(sum(areas) - both, 1e-9)


def share_inside(row: Row, n: int, joints: Mapping[str, tuple[float, float]]) -> float:
    """Share of joints inside the square of a frame."""
    left, top, side = _square(row, n)
    held = [left <= x <= left + side and top <= y <= top + side for x, y in joints.values()]
    return sum(held) / len(held)


def beats_off(beats_s: Sequence[float], clicks_s: Sequence[float]) -> float:
    """The largest distance of a beat from its click, seconds; a second where one has no other."""
    if len(beats_s) != len(clicks_s):
        return 1.0
    return max((abs(a - b) for a, b in zip(beats_s, clicks_s, strict=True)), default=0.0)


def mean_of(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return float(np.mean(values)) if values else 0.0
