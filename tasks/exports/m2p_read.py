"""One window of a sample's files as arrays; only what the window needs is decoded."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.exports.m2p_files import FACE_WIDTH, FPS, JOINTS, MUSIC_WIDTH
from tasks.schema.errors import SourceError

_RATE_TOLERANCE = 0.05
"""Frames a second by which the rate in a file may differ: containers round it."""


def music_rows(path: Path) -> int:
    """Rows of music features, from the head of the file.

    Raises:
        SourceError: they are missing, or not (T, 4800).
    """
    return len(_music(path))


def read_music(path: Path, start: int, count: int) -> NDArray[np.float32]:
    """Rows of the music features, (count, 4800).

    Raises:
        SourceError: as `music_rows`, or there are fewer rows.
    """
    rows = _music(path)[start : start + count]
    if len(rows) < count:
        raise SourceError(f"{path} ends before frame {start + count}: export the sample again.")
    return np.array(rows, np.float32)


def _music(path: Path) -> NDArray[Any]:
    rows = _numbers(path, mapped=True)
    if rows.ndim != 2 or rows.shape[1] != MUSIC_WIDTH:
        raise SourceError(f"{path} has the shape {rows.shape}, (T, {MUSIC_WIDTH}) is wanted.")
    return rows


def read_face(path: Path) -> NDArray[np.float32]:
    """The embedding, (512,).

    Raises:
        SourceError: it is missing, or has another shape.
    """
    embedding = _numbers(path)
    if embedding.shape != (FACE_WIDTH,):
        raise SourceError(f"{path} has the shape {embedding.shape}, ({FACE_WIDTH},) is wanted.")
    return embedding.astype(np.float32)


def _numbers(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{path} does not read: {error}") from error
    if not np.issubdtype(found.dtype, np.floating):
        raise SourceError(f"{path} holds {found.dtype}, numbers with a fraction are wanted.")
    return found


def read_poses(path: Path, start: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints in pixels (count, 134, 2), NaN where missing, and their confidence (count, 134).

    A file with one frame a line, as ours are, is parsed only where it is needed.

    Raises:
        SourceError: the file is missing, has fewer frames, or other fields.
    """
    try:
        frames = _frames(path.read_text(encoding="utf-8"), start, count)
        if [frame["frame_id"] for frame in frames] != list(range(start, start + count)):
            raise SourceError(f"{path} has not the frames {start} to {start + count - 1} in their order.")
        joints = [(joint["x"], joint["y"], joint["confidence"]) for frame in frames for joint in frame["keypoints"]]
        values = np.array(joints, np.float32).reshape(count, JOINTS, 3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} does not read as {JOINTS} joints a frame: {error!r}") from error
    return values[..., :2], values[..., 2]


def _frames(text: str, start: int, count: int) -> list[dict[str, Any]]:
    lines = text.split("\n")
    if lines[0].endswith('"poses": [') and lines[-2:] == ["]}", ""]:
        some = lines[1:-2][start : start + count]
        found: list[dict[str, Any]] = json.loads(f"[{''.join(some).removesuffix(',')}]")
        return found
    every: list[dict[str, Any]] = json.loads(text)["poses"]
    return every[start : start + count]


def read_picture(path: Path, side: int) -> NDArray[np.uint8]:
    """RGB, (3, side, side).

    Raises:
        SourceError: it is missing, does not decode, or is not square.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise SourceError(f"{path} does not read: {error}") from error
    _demand_square(path, picture.width, picture.height)
    if picture.width != side:
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(picture, np.uint8).transpose(2, 0, 1))


def read_frames(path: Path, start: int, count: int, side: int) -> tuple[NDArray[np.uint8], int]:
    """Frames of a square clip, RGB (count, 3, side, side), and the side that they have in the file.

    Decoding begins at the last key frame before the window.

    Raises:
        SourceError: it is missing, does not decode, ends before the window does, is not square, or has not 24 frames a
            second.
    """
    pictures = np.empty((count, 3, side, side), np.uint8)
    missing = set(range(count))
    stored = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stored = stream.codec_context.width
            _demand_square(path, stored, stream.codec_context.height)
            rate = stream.average_rate
            if rate is None or abs(rate - FPS) > _RATE_TOLERANCE:
                raise SourceError(f"{path} has {rate} frames a second, {FPS} are wanted.")
            stream.codec_context.thread_count = 1
            first, tick = stream.start_time or 0, float(stream.time_base or 0)
            container.seek(first + round(start / FPS / tick), stream=stream)
            for frame in container.decode(stream):
                place = round(((frame.pts or 0) - first) * tick * FPS) - start
                if place >= count:
                    break
                if place in missing:
                    _put_rgb(frame, pictures[place])
                    missing.discard(place)
    except (av.error.FFmpegError, OSError, IndexError, ZeroDivisionError) as error:
        raise SourceError(f"{path} does not decode: {error}") from error
    if missing:
        raise SourceError(f"{path} lacks {len(missing)} of the frames {start} to {start + count - 1}.")
    return pictures, stored


def _put_rgb(frame: "av.VideoFrame", out: NDArray[np.uint8]) -> None:
    """Write a frame as RGB planes, (3, side, side); planar from the scaler on, which is faster than turning pixels."""
    side = out.shape[1]
    green, blue, red = frame.reformat(width=side, height=side, format="gbrp", interpolation="BICUBIC").planes
    for channel, plane in zip(out, (red, green, blue), strict=True):
        channel[:] = np.frombuffer(memoryview(plane), np.uint8).reshape(side, plane.line_size)[:, :side]


def _demand_square(path: Path, width: int, height: int) -> None:
    if width != height:
        raise SourceError(f"{path} is {width} x {height}, a square is wanted.")
