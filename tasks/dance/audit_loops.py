"""Whether the pictures of a clip repeat themselves, forwards or backwards."""

from io import BytesIO
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.body.smooth import runs
from tasks.dance.clip_frames import ClipError

Thumbnails = NDArray[np.int16]
Floats = NDArray[np.float64]

SIDE: Final = 16
SHARE: Final = 0.95
"""Of a thumbnail's pixels: two pictures are as far apart as this share of them is, in grey levels."""
SAME: Final = 6.0
"""At most so far apart is a picture from itself, encoded twice: 1 to 2 in real clips at a CRF of 28, made 32 x 32."""
MOVED: Final = 24.0
"""And from some picture in between at least so far: who stands still does not repeat himself. Our choice."""
SHORTEST: Final = 12
"""Frames that repeat in a row, and from the first time to the second."""
LONGEST: Final = 240
"""Frames from one time to the next, at most: ten seconds."""


def thumbnails(mp4: bytes) -> Thumbnails:
    """Brightness of every picture of a clip, made small, (T, 256).

    Raises:
        ClipError: it does not decode, or there is no picture.
    """
    import av

    small = []
    try:
        with av.open(BytesIO(mp4), "r") as container:
            if not container.streams.video:
                raise ClipError("the clip has no pictures")
            for frame in container.decode(container.streams.video[0]):
                plane = frame.planes[0]
                luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                shown = luma[: frame.height, : frame.width]
                small.append(cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel())
    except (av.error.FFmpegError, ValueError) as error:
        raise ClipError(f"the clip does not decode: {error}") from error
    return np.array(small, np.int16).reshape(-1, SIDE * SIDE)


def loop_share(pictures: Thumbnails) -> float:
    """Share of the pictures that were there before in the same order, or backwards, with motion in between.

    Args:
        pictures: (T, 256).
    """
    frames = len(pictures)
    apart = _apart(pictures, min(frames - 1, LONGEST))
    lags = len(apart) - 1
    again = (apart <= SAME) & (np.fmax.accumulate(apart) >= MOVED)
    most = 0
    for lag in range(SHORTEST, lags + 1):
        most = max(most, _in_runs(again[lag]))
    for both in range(2 * frames - 1):  # the pictures n and both - n: forwards, then backwards
        apart_by = np.arange(both % 2, lags + 1, 2)
        frame = (both + apart_by) // 2
        inside = (apart_by >= SHORTEST) & (frame < frames) & (frame >= apart_by)
        most = max(most, _in_runs(again[apart_by[inside], frame[inside]]))
    return most / max(frames, 1)


def _apart(pictures: Thumbnails, lags: int) -> Floats:
    """How far each picture is from the one `lag` before, (lags + 1, T); NaN where there is none."""
    frames, pixels = pictures.shape
    at = round(SHARE * (pixels - 1))
    found = np.full((max(lags, 0) + 1, frames), np.nan)
    for lag in range(1, lags + 1):
        far = np.abs(pictures[lag:] - pictures[: frames - lag])
        found[lag, lag:] = np.partition(far, at, axis=1)[:, at]
    return found


def _in_runs(marks: NDArray[np.bool_]) -> int:
    """Pictures in rows of at least `SHORTEST` marked ones."""
    if np.count_nonzero(marks) < SHORTEST:
        return 0
    return sum(end - start for start, end in runs(marks) if end - start >= SHORTEST)
