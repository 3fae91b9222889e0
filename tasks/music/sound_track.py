"""The sound of a video or of a sound file, decoded in order, at any rate, with every sample at its own time."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.music.sound import SAMPLE_RATE
from tasks.schema.rejections import Reason
from tasks.shards.watchdog import alive
from tasks.video.container import TIMED_FORMATS
from tasks.video.ffmpeg import file_argument

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

Floats = NDArray[np.float32]

PLAIN_FORMATS: Final = ("wav", "mp3", "flac", "aac", "aiff", "caf", "w64")
"""Sound alone, sample after sample; their timestamps are reckoned from sizes, so samples are counted instead."""

OPTIONS: Final = {"format_whitelist": ",".join((*TIMED_FORMATS, *PLAIN_FORMATS)), "protocol_whitelist": "file"}
"""Playlists and scripts would make us read other files and addresses than the one we were given."""

TOLERANCE_S: Final = 0.01
"""Timestamps that are off by more tell of samples that are missing or too many; less is rounding and jitter."""
BLOCK_TOLERANCE_S: Final = 0.05
"""Vorbis: long blocks among short ones shift the timestamps that readers reckon by up to half a long block."""
LONGEST_HOLE_S: Final = 3600.0
"""A jump of the clock by more is no hole but a damaged timestamp."""

QUALITY: Final = "HQ"
"""Of the SoX resampler: 20 bit, pass band to 91 % of the lower Nyquist rate. Source: its documentation."""


class SoundError(Exception):
    """Sound that cannot be used: `reason` for the machine, `detail` one sentence for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


@contextmanager
def open_sound(path: Path) -> "Iterator[tuple[InputContainer, AudioStream]]":
    """A file and its sound stream: the one that ffmpeg takes by itself.

    Native code runs on bytes of strangers here: only for sound that was looked at before, or in a child process.

    Raises:
        SoundError: it does not open, or holds no sound that can be decoded.
    """
    import av

    try:
        container = av.open(file_argument(path), metadata_errors="ignore", options=OPTIONS)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise SoundError(Reason.SOUND_UNREADABLE, f"{path.name} does not open: {told}.") from error
    with container:
        streams = list(container.streams.audio)
        if not streams:
            raise SoundError(Reason.SOUND_MISSING, f"{path.name} has no sound.")
        decodable = [each for each in streams if each.codec_context is not None and each.rate]
        if not decodable:
            raise SoundError(Reason.SOUND_UNREADABLE, f"No decoder knows the sound of {path.name}.")
        best = container.streams.best("audio")
        stream = next((each for each in decodable if best is not None and each.index == best.index), decodable[0])
        yield container, stream


@dataclass
class Decoding:
    """Sound as it comes out of the decoder: iterate once over (channels, n) float32, gapless from the first sample on.

    Known while iterating: `rate`, `channels` of the first frame; `start_s`, the time of the first sample by the
    container's clock; `samples` so far; `hole_samples` of them that are silence where sound is missing; `packets` and
    the `damaged` ones among them, which do not decode.

    Args:
        stereo: let ffmpeg mix more than two channels down to two.
    """

    container: "InputContainer"
    stream: "AudioStream"
    stereo: bool = False
    rate: int = 0
    channels: int = 0
    start_s: float = 0.0
    samples: int = 0
    hole_samples: int = 0
    packets: int = 0
    damaged: int = 0
    _lost_s: Fraction = Fraction(0)
    _resamplers: dict[Any, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Floats]:
        counted = not set(self.container.format.name.split(",")).isdisjoint((*PLAIN_FORMATS, "ogg"))
        blocky = self.stream.codec_context.name == "vorbis"
        tolerance = BLOCK_TOLERANCE_S if blocky else TOLERANCE_S
        first = Fraction(0)
        for frame in self._frames():
            at = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            if not self.rate:
                self.rate, self.channels = frame.rate, frame.layout.nb_channels
                first = at or Fraction(0)
                self.start_s, self._lost_s = float(first), Fraction(0)
            sound = self._floats(frame)
            skip = 0
            if counted:
                missing = round(self._lost_s * self.rate)
            else:
                missing = 0 if at is None else round((at - first) * self.rate) - self.samples
            self._lost_s = Fraction(0)
            if counted or abs(missing) > tolerance * self.rate:
                if 0 < missing <= LONGEST_HOLE_S * self.rate:
                    self.hole_samples += missing
                    yield from self._silence(sound.shape[0], missing)
                elif missing < 0:
                    skip = -missing
            sound = sound[:, skip:]
            self.samples += sound.shape[1]
            yield sound

    def _silence(self, channels: int, count: int) -> Iterator[Floats]:
        while count:
            part = min(count, self.rate)
            self.samples += part
            count -= part
            yield np.zeros((channels, part), np.float32)

    def _frames(self) -> "Iterator[AudioFrame]":
        """Frames that decode; a container that is damaged ends there."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                self.damaged += 1
                return
            if packet is None:
                return
            self.packets += bool(packet.size)
            alive()
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.damaged += 1
                if packet.duration and packet.time_base:
                    self._lost_s += packet.duration * packet.time_base

    def _floats(self, frame: "AudioFrame") -> Floats:
        """(channels, n) at the rate of the first frame."""
        from av import AudioResampler

        known = f"{frame.layout.nb_channels} channels" != frame.layout.name
        layout = "stereo" if self.stereo and known and frame.layout.nb_channels > 2 else frame.layout.name
        key = (frame.format.name, frame.layout.name, frame.rate)
        if key not in self._resamplers:
            self._resamplers[key] = (
                None
                if (frame.format.name, layout, self.rate) == ("fltp", frame.layout.name, frame.rate)
                else AudioResampler("fltp", layout if known else frame.layout, self.rate)
            )
        resampler = self._resamplers[key]
        if resampler is None:
            return _planes(frame)
        frame.pts = None
        parts = [_planes(each) for each in resampler.resample(frame)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((frame.layout.nb_channels, 0), np.float32)


def _planes(frame: "AudioFrame") -> Floats:
    """Of a frame of planar float32: (channels, n)."""
    return np.asarray(frame.to_ndarray(), np.float32)


def sound_blocks(path: Path, rate: int = SAMPLE_RATE, channels: int = 1) -> Generator[Floats]:
    """The whole sound of a file from its first sample on, about a second at a time, in bounded memory.

    One channel is the mean of all, as librosa makes it; two are left and right, mixed down by ffmpeg where there are
    more. The SoX resampler changes the rate, always over blocks of the same length: the same file gives the same
    samples, however they are read. Where sound is missing within, there is silence.

    Args:
        path: a video or a sound file.
        rate: samples a second.
        channels: 1 or 2.
    Yields:
        float32: (n,) for one channel, else (n, 2).
    Raises:
        SoundError: it does not open, or holds no sound.
    """
    import soxr

    with open_sound(path) as (container, stream):
        decoding = Decoding(container, stream, stereo=channels == 2)
        resampler: Any = None
        for block in _blocks(decoding, channels):
            if resampler is None and decoding.rate != rate:
                resampler = soxr.ResampleStream(decoding.rate, rate, channels, dtype="float32", quality=QUALITY)
            out = block if resampler is None else resampler.resample_chunk(block)
            if len(out):
                yield out[:, 0] if channels == 1 else out
        if resampler is not None:
            rest = resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)
            if len(rest):
                yield rest[:, 0] if channels == 1 else rest


def _blocks(decoding: Decoding, channels: int) -> Iterator[Floats]:
    """Blocks of a second: (n, channels)."""
    waiting: list[Floats] = []
    count = 0
    for sound in decoding:
        waiting.append(_mixed(sound, channels))
        count += sound.shape[1]
        while count >= decoding.rate:
            joined = np.concatenate(waiting)
            yield joined[: decoding.rate]
            waiting, count = [joined[decoding.rate :]], count - decoding.rate
    if count:
        yield np.concatenate(waiting)


def _mixed(sound: Floats, channels: int) -> Floats:
    """(n, channels) of (any, n)."""
    if channels == 1 or sound.shape[0] > 2:
        sound = sound.mean(axis=0, dtype=np.float32)[None]
    return np.ascontiguousarray(np.broadcast_to(sound, (channels, sound.shape[1])).T)
