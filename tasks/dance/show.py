"""A sample for people to look at: the clip beside its skeleton, over what its music is like."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from io import BytesIO
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tasks.dance.clip_frames import ClipError, clip_frames
from tasks.dance.poses import poses_of_row
from tasks.dance.skeleton import draw_skeleton
from tasks.images.sheet import encode_jpeg
from tasks.schema.clips import CLIP_FPS
from tasks.schema.keypoints import Keypoints

Row = Mapping[str, Any]
Picture = NDArray[np.uint8]

BANDS: Final = (("mel", 80), ("chroma", 48), ("onset", 40))
"""Features of the strip, and how many pixels high each is."""

_GAP, _TEXT, _CAPTION = 4, 12, 24
_PAPER, _INK, _BEAT, _CURSOR, _CURVE = (18, 18, 18), (225, 225, 225), (255, 255, 255), (255, 70, 70), (120, 200, 255)
_FLASH_S: Final = 0.15
"""Seconds that a beat's light takes to fade."""
_DECODED_AT_ONCE: Final = 8


def side_by_side(clip: bytes, poses: Row, music: Row, *, joint_floor: float = 0.5) -> bytes:
    """The clip beside its skeleton, a light that flashes with the beat, and its features with a moving cursor.

    A frame that has no pose shows no skeleton; lengths that differ do no harm.

    Args:
        clip: MP4, as `CUT_SCHEMA` has it.
        poses: of the clip, a row of `POSE_SCHEMA`.
        music: of the clip, a row of `MUSIC_SCHEMA`.
        joint_floor: joints that are less sure are not drawn.
    Returns:
        MP4: H.264 yuv420p, `CLIP_FPS`, and the clip's own sound, not encoded again.
    Raises:
        ClipError: the clip does not decode.
    """
    stage = _Stage.of(poses, music, joint_floor)
    drawn = (stage.drawn(frame, picture) for frame, picture in _frames(clip))
    return _encoded(drawn, clip)


def poster(clip: bytes, poses: Row, music: Row, *, frame: int | None = None, joint_floor: float = 0.5) -> Picture:
    """One frame of what `side_by_side` shows, RGB uint8, (H, W, 3).

    Args:
        frame: which; None: the middle one. Of a clip that is shorter the last.
    Raises:
        ClipError: the clip does not decode.
    """
    wanted = poses["frames"] // 2 if frame is None else frame
    shown = None
    for number, picture in _frames(clip):
        shown = number, picture
        if number == wanted:
            break
    if shown is None:
        raise ClipError("the clip has no pictures")
    return _Stage.of(poses, music, joint_floor).drawn(*shown)


def poster_jpeg(clip: bytes, poses: Row, music: Row, *, frame: int | None = None, quality: int = 85) -> bytes:
    """The poster as a JPEG, for artifacts."""
    return encode_jpeg(poster(clip, poses, music, frame=frame), quality)


def feature_strip(music: Row, width: int) -> Picture:
    """What a clip sounds like from left to right, RGB uint8, (H, width, 3): `BANDS`, the beats as lines through them.

    Mel and chroma are as bright as they are strong, from the 2nd to the 98th percentile of the clip; the onset curve is
    as high as its highest. A feature that the layout does not have leaves its band empty.
    """
    values = np.array(music["features"], np.float32).reshape(music["frames"], -1)
    bands = [_band(values[:, columns_of(music["layout"], name)], width, height) for name, height in BANDS]
    gap = np.full((_GAP, width, 3), _PAPER, np.uint8)
    strip = np.concatenate([part for band in bands for part in (gap, band)])
    for beat in music["beats_s"]:
        x = _at(beat * CLIP_FPS, music["frames"], width)
        strip[:, max(x, 0) : x + 1] = _BEAT
    sheet = Image.fromarray(strip)
    draw, top = ImageDraw.Draw(sheet), 0
    for name, height in BANDS:
        draw.text((6, top + _GAP + 2), name, fill=_INK, font=_font(), stroke_width=2, stroke_fill=_PAPER)
        top += _GAP + height
    return np.array(sheet)


def columns_of(layout: list[str], feature: str) -> list[int]:
    """Columns of a feature: those of its name, alone or followed by what is no letter (`onset`, `mel.3`)."""
    after = len(feature)
    return [k for k, name in enumerate(layout) if name.startswith(feature) and not name[after : after + 1].isalpha()]


@dataclass(frozen=True, eq=False)
class _Stage:
    """What is the same in all frames of a clip; `strips` by their width, each drawn once."""

    poses: Keypoints
    beats_s: NDArray[np.float64]
    tempo_bpm: float | None
    music: Row
    joint_floor: float
    strips: dict[int, Picture] = field(default_factory=dict)

    @classmethod
    def of(cls, poses: Row, music: Row, joint_floor: float) -> Self:
        beats = np.array(music["beats_s"], np.float64)
        return cls(poses_of_row(dict(poses)).keypoints, beats, music["tempo_bpm"], music, joint_floor)

    def drawn(self, frame: int, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        skeleton = np.zeros((height, height, 3), np.uint8)
        if frame < len(self.poses):
            skeleton = draw_skeleton(self.poses, frame, height, self.joint_floor)
        self._flash(skeleton, frame / CLIP_FPS)
        if width + height not in self.strips:
            self.strips[width + height] = feature_strip(self.music, width + height)
        strip = self.strips[width + height].copy()
        x = _at(frame, self.music["frames"], strip.shape[1])
        strip[:, max(x - 1, 0) : x + 1] = _CURSOR
        sheet = np.concatenate(
            [np.concatenate([picture, skeleton], axis=1), strip, self._caption(frame, width + height)]
        )
        return sheet[: len(sheet) // 2 * 2, : sheet.shape[1] // 2 * 2]

    def _flash(self, skeleton: Picture, now_s: float) -> None:
        since = now_s + 0.5 / CLIP_FPS - self.beats_s
        since = since[since >= 0]
        light = max(0.0, 1 - float(since.min(initial=_FLASH_S)) / _FLASH_S)
        radius = skeleton.shape[1] // 32
        centre = (skeleton.shape[1] - 2 * radius, 2 * radius)
        cv2.circle(skeleton, centre, radius, (60, 60, 60), 1, cv2.LINE_AA)
        if light > 0:
            cv2.circle(skeleton, centre, radius - 2, tuple(round(light * c) for c in _BEAT), cv2.FILLED, cv2.LINE_AA)

    def _caption(self, frame: int, width: int) -> Picture:
        tempo = "no pulse" if self.tempo_bpm is None else f"{self.tempo_bpm:.1f} BPM"
        sure = int((self.poses.confidence[frame] >= self.joint_floor).sum()) if frame < len(self.poses) else 0
        line = f"frame {frame} of {self.music['frames']}   {frame / CLIP_FPS:.3f} s   {tempo}   {sure} sure joints"
        sheet = Image.new("RGB", (width, _CAPTION), _PAPER)
        ImageDraw.Draw(sheet).text((6, 5), line, fill=_INK, font=_font())
        return np.array(sheet)


def _band(values: NDArray[np.float32], width: int, height: int) -> Picture:
    """(T, n) as a picture: a curve of one column, else a map with the first column at the bottom."""
    if not values.size:
        return np.full((height, width, 3), _PAPER, np.uint8)
    if values.shape[1] == 1:
        return _curve(values[:, 0], width, height)
    low, high = np.percentile(values, (2, 98))
    level = np.clip((values.T[::-1] - low) / max(high - low, 1e-9), 0, 1)
    small = np.rint(255 * np.nan_to_num(level)).astype(np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.applyColorMap(large, cv2.COLORMAP_MAGMA)[..., ::-1], np.uint8)


def _curve(values: NDArray[np.float32], width: int, height: int) -> Picture:
    band = np.full((height, width, 3), _PAPER, np.uint8)
    level = np.clip(np.nan_to_num(values) / max(float(np.nanmax(values)), 1e-9), 0, 1)
    x = (np.arange(len(values)) + 0.5) / len(values) * width
    y = (height - 1) * (1 - level)
    outline = np.concatenate([[[x[0], height]], np.stack([x, y], axis=1), [[x[-1], height]]])
    cv2.fillPoly(band, [np.rint(outline).astype(np.int32)], _CURVE, cv2.LINE_AA)
    return band


def _at(frame: float, frames: int, width: int) -> int:
    """Where the middle of a frame lies on the strip."""
    return round((frame + 0.5) / max(frames, 1) * width)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)


def _frames(clip: bytes) -> Iterator[tuple[int, Picture]]:
    number = 0
    for pictures in clip_frames(clip, _DECODED_AT_ONCE):
        for picture in pictures:
            yield number, picture
            number += 1


def _encoded(pictures: Iterator[Picture], clip: bytes) -> bytes:
    """Pictures as MP4 with the sound of a clip."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    first = next(pictures, None)
    if first is None:
        raise ClipError("the clip has no pictures")
    out = BytesIO()
    with (
        av.open(BytesIO(clip), "r") as source,
        av.open(out, "w", format="mp4", options={"max_interleave_delta": "0"}) as container,
    ):
        options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "bframes=0"}
        video = container.add_stream("libx264", rate=CLIP_FPS, options=options)
        video.height, video.width = first.shape[:2]
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        sound = container.add_stream_from_template(source.streams.audio[0]) if source.streams.audio else None
        if sound is not None:
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = sound
                    container.mux(packet)
        number = 0
        while first is not None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(first), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, Fraction(1, CLIP_FPS)
            container.mux(video.encode(frame))
            first, number = next(pictures, None), number + 1
        container.mux(video.encode(None))
    return out.getvalue()
