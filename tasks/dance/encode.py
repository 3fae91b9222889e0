"""A clip as MP4: H.264 and AAC from frames and samples, the same bytes for the same input."""

from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.dance.crop import Colours
from tasks.schema.clips import CLIP_FPS
from tasks.schema.records import Frozen

if TYPE_CHECKING:
    from av import VideoFrame

AAC_FRAME = 1024
"""Samples a frame of AAC. Source: ISO/IEC 14496-3."""


class Encoding(Frozen):
    """How clips are encoded. `crf` and `preset` are x264's; `gop`: frames from one key frame to the next.

    There are no B-frames: what is decoded first is shown first, so that readers that overlook edit lists see no frame
    late. `sound_rate` in samples a second, two channels; `sound_bitrate` in bits a second.
    """

    crf: Annotated[int, Field(ge=0, le=51)] = 18
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = "fast"
    gop: Annotated[int, Field(ge=1)] = CLIP_FPS
    sound_rate: Literal[24_000, 44_100, 48_000] = 48_000
    sound_bitrate: Annotated[int, Field(ge=32_000, le=512_000)] = 192_000


class ClipEncoder:
    """One clip: the sound first, then every frame in order, then `finish`; for one thread at a time.

    Args:
        size: width and height of the frames.
        colours: of the frames.
        encoding: how.
        sound: (n, 2) float32 at `encoding.sound_rate`; its first sample sounds when the first frame is shown.
    """

    def __init__(self, size: int, colours: Colours, encoding: Encoding, sound: NDArray[np.float32]) -> None:
        import av

        self._bytes = BytesIO()
        self._frames = 0
        # packets of both streams are sorted by time, however late those of one come
        self._container = av.open(self._bytes, "w", format="mp4", options={"max_interleave_delta": "0"})
        options = {"crf": str(encoding.crf), "preset": encoding.preset, "threads": "1", "x264-params": "bframes=0"}
        self._video = self._container.add_stream("libx264", rate=CLIP_FPS, options=options)
        self._video.width = self._video.height = size
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.gop_size = encoding.gop
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        context.colorspace, context.color_range = colours.matrix, 1
        self._audio = self._container.add_stream("aac", rate=encoding.sound_rate, layout="stereo")
        self._audio.bit_rate = encoding.sound_bitrate
        self._audio.codec_context.thread_count = 1
        self._encode_sound(sound, encoding.sound_rate)

    def add(self, frame: "VideoFrame") -> None:
        """The next frame, shown for 1 / `CLIP_FPS` seconds."""
        from fractions import Fraction

        frame.pts = self._frames
        frame.time_base = Fraction(1, CLIP_FPS)
        self._frames += 1
        self._container.mux(self._video.encode(frame))

    def finish(self) -> bytes:
        """The clip."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        return self._bytes.getvalue()

    def _encode_sound(self, sound: NDArray[np.float32], rate: int) -> None:
        from fractions import Fraction

        from av import AudioFrame

        planar = np.ascontiguousarray(sound.T)
        for at in range(0, planar.shape[1], AAC_FRAME):
            part = np.ascontiguousarray(planar[:, at : at + AAC_FRAME])
            frame = AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            self._container.mux(self._audio.encode(frame))
        self._container.mux(self._audio.encode(None))
