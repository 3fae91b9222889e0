"""Small videos with flashes and clicks at known times, and a number in every picture, through real encoders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tasks.schema.clips import CLIP_FPS

BITS = 16
CLICK = np.hanning(17)[1:-1].astype(np.float32)
"""A click, its peak in the middle: about a third of a millisecond at 48 kHz."""
SOUND_RATE = 48_000
FLASH_S = 0.05
"""So that 24 pictures a second show every flash."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class FlashFilm:
    """A video, when its pictures are shown (seconds from the first one), and when it flashes with a click."""

    path: Path
    times_s: tuple[float, ...]
    events_s: tuple[float, ...]

    def shown(self, time_s: float) -> int:
        """The number of the picture that is shown at a time; a millisecond is forgiven."""
        return int(np.searchsorted(np.array(self.times_s), time_s + 1e-3 + 1e-9, side="right")) - 1


def even_times(fps: Fraction | int, seconds: float) -> list[Fraction]:
    return [Fraction(n) / fps for n in range(round(seconds * fps))]


def uneven_times(seconds: float, seed: int = 0) -> list[Fraction]:
    """Gaps of 10 to 60 ms."""
    rng, times = np.random.default_rng(seed), [Fraction(0)]
    while times[-1] < seconds:
        times.append(times[-1] + Fraction(int(rng.integers(10, 61)), 1000))
    return times[:-1]


def flash_film(
    path: Path,
    times: Sequence[Fraction],
    *,
    every_s: float = 1.0,
    sound_start_s: float = 0.0,
    sound_end_s: float | None = None,
    sound: str | None = "aac",
    sound_rate: int = SOUND_RATE,
    channels: int = 1,
    size: tuple[int, int] = (128, 128),
    codec: str = "libx264",
    time_base: Fraction = Fraction(1, 90_000),
    beside: Path | None = None,
    picture: Callable[[int, bool], Picture] | None = None,
    options: dict[str, str] | None = None,
) -> FlashFilm:
    """Encode a video whose sound begins with an offset to its first picture.

    Args:
        path: the suffix chooses the container.
        times: of the pictures, ascending, the first 0.
        every_s: about so often it begins to flash, and clicks then where there is sound.
        sound_start_s: when the sound begins; before 0 the pictures begin late in the file.
        sound_end_s: by default a little behind the last picture.
        sound: encoder of the sound inside; None: there is none.
        beside: write the sound as WAV there too, its first sample with the first picture.
        picture: RGB of a number and whether it flashes, by default the number in black and white blocks.
    """
    at = np.array([float(time) for time in times])
    starts = at[np.searchsorted(at, np.arange(every_s / 2, at[-1] - 0.2, every_s))]
    flashing = {n for n, time in enumerate(at) if ((starts <= time) & (time < starts + FLASH_S)).any()}
    end_s = float(at[-1]) + 0.05 if sound_end_s is None else sound_end_s
    events = tuple(float(each) for each in starts if sound_start_s + 0.01 < each < end_s - 0.01)
    lead = max(0.0, -sound_start_s)
    draw = picture or numbered(size)
    exact = {"movie_timescale": "144000"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=exact) as container:
        video = container.add_stream(codec, rate=CLIP_FPS, options=options or {"preset": "ultrafast", "crf": "12"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = time_base
        video.codec_context.gop_size = 48
        audio: Any = None
        if sound is not None:
            audio = container.add_stream(sound, rate=sound_rate, layout="mono" if channels == 1 else "stereo")
            samples = click_track([event - sound_start_s for event in events], end_s - sound_start_s, sound_rate)
            _sound(container, audio, samples, sound_start_s + lead, sound_rate, channels)
        for n, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(n, n in flashing), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = round((time + Fraction(lead)) / time_base), time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    if beside is not None:
        write_wav(beside, click_track(events, end_s, sound_rate), sound_rate)
    shown = [float(round(time, 3) if path.suffix in (".mkv", ".webm") else time) for time in times]
    return FlashFilm(path, tuple(shown), events)


def numbered(size: tuple[int, int]) -> Callable[[int, bool], Picture]:
    """A picture of a number: blocks at the top; all the rest is white in a flash."""
    width, height = size

    def draw(number: int, flash: bool) -> Picture:
        picture = np.full((height, width, 3), 235 if flash else 16, np.uint8)
        for bit in range(BITS):
            left, right = bit * width // BITS, (bit + 1) * width // BITS
            picture[: height // 4, left:right] = 235 if number >> bit & 1 else 16
        return picture

    return draw


def number_of(luma: NDArray[np.uint8]) -> int:
    """What `numbered` drew, from the luma of a whole picture of any size."""
    height, width = luma.shape
    row = luma[height // 16 : height * 3 // 16]
    blocks = [row[:, round((bit + 0.25) * width / BITS) : round((bit + 0.75) * width / BITS)] for bit in range(BITS)]
    return sum(1 << bit for bit, block in enumerate(blocks) if block.mean() > 126)


def click_track(events_s: Sequence[float], seconds: float, rate: int = SOUND_RATE) -> NDArray[np.float32]:
    """Clicks whose peaks are at the times given, to a fraction of a sample; on a faint hum."""
    samples = (0.002 * np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 110 / rate)).astype(np.float32)
    reach = len(CLICK) // 2
    offsets = np.arange(-reach - 1, reach + 2)
    for event in events_s:
        middle = round(event * rate)
        shifted = np.interp(offsets - (event * rate - middle), np.arange(-reach, reach + 1), CLICK, 0, 0)
        inside = (middle + offsets >= 0) & (middle + offsets < len(samples))
        samples[(middle + offsets)[inside]] += 0.8 * shifted[inside].astype(np.float32)
    return samples


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = SOUND_RATE) -> Path:
    import soundfile

    soundfile.write(str(path), samples, rate)
    return path


def _sound(container: Any, stream: Any, samples: NDArray[np.float32], start_s: float, rate: int, channels: int) -> None:
    formats = [each.name for each in stream.codec_context.codec.audio_formats or ()]
    chosen = "fltp" if "fltp" in formats else "flt" if "flt" in formats else "s16"
    stream.codec_context.format = chosen
    size = 960 if stream.codec_context.name == "libopus" else 1024
    for at in range(0, len(samples), size):
        part = np.repeat(samples[None, at : at + size], channels, 0)
        if chosen == "s16":
            part = np.round(part * 32767).astype(np.int16)
        if chosen != "fltp":
            part = part.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(part), format=chosen, layout="mono" if channels == 1 else "stereo"
        )
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(start_s * rate) + at
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def clip_row(number: int, start_s: float, frames: int, size: tuple[int, int], **other: Any) -> dict[str, Any]:
    """A row of `CLIP_SCHEMA`: the largest square in the middle of the video."""
    width, height = size
    return {
        "sample_id": f"film/c{number:03d}",
        "parent_id": "film",
        "source_uri": "film.mp4",
        "licence": "",
        "video": "film",
        "dancer": 0,
        "shot": 0,
        "start_s": start_s,
        "frames": frames,
        "crop": "tracked",
        "crop_centre_xy": [width / 2, height / 2] * frames,
        "crop_side": [float(min(size))] * frames,
        "dancer_xyxy": [0.0, 0.0, float(width), float(height)] * frames,
        "dancer_score": [1.0] * frames,
    } | other
