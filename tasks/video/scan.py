"""What a film's packets and some of its frames show; runs in a child process, where bad bytes may do what they like."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.images.decode import DecodeError
from tasks.ingest.video_frames import BOMB_PIXELS, BOMB_PIXELS_PER_BYTE, MAX_FRAME_PIXELS
from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason
from tasks.video.colour_tags import ColourTags
from tasks.video.container import NoPictureError, lacks_index, open_film
from tasks.video.letterbox import Box
from tasks.video.looks import colour_tags, is_interlaced, look
from tasks.video.timestamps import CutOffError, Timestamps, UntimedError, read_timestamps

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer


class Scan(Frozen):
    """What was seen. Pairs are fractions; `content` is in pixels as decoded; `end_pts` is when the last frame ends.

    `declared` are the colour tags of the container, `tags` the different ones of frames; `dolby_vision`: frames carry
    its metadata.
    """

    stream: int
    codec: str
    coded_width: int
    coded_height: int
    pixel_aspect: tuple[int, int]
    rotation: int
    bit_depth: int
    time_base: tuple[int, int]
    start_pts: int
    end_pts: int
    fps: tuple[int, int]
    vfr: bool
    declared: ColourTags
    tags: tuple[ColourTags, ...]
    dolby_vision: bool
    content: Box
    interlaced: bool


def scan(_: bytes, path: str) -> dict[str, Any]:
    """`Scan` of a film as JSON, called by `tasks.images.isolate`, which hands over no bytes.

    Raises:
        DecodeError: it cannot be used.
    """
    import av

    film = Path(path)
    try:
        with open_film(film) as (container, stream):
            return _scan(container, stream, film).model_dump(mode="json")
    except NoPictureError:
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"{film.name} has no moving pictures that decode.") from None
    except UntimedError:
        told = (
            f"{film.name} does not say when its frames are shown. Put its stream into a container, with the frame rate "
            "it was made for: ffmpeg -r 24000/1001 -i <this> -c copy <film>.mkv"
        )
        raise DecodeError(Reason.TIMESTAMPS_MISSING, told) from None
    except CutOffError as cut:
        told = (
            f"{film.name} ends after {cut.ends:.1f} s of {cut.announced:.1f} s: it was copied or written only in part."
        )
        raise DecodeError(Reason.VIDEO_TRUNCATED, told) from None
    except (av.error.FFmpegError, ValueError) as error:
        if lacks_index(film):
            told = f"{film.name} has no index, or ends before it: it was copied or written only in part."
            raise DecodeError(Reason.VIDEO_TRUNCATED, told) from None
        told = getattr(error, "strerror", None) or str(error)
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"{film.name} does not open as a film: {told}.") from None


def _scan(container: "InputContainer", stream: "VideoStream", path: Path) -> Scan:
    size = path.stat().st_size
    declared = colour_tags(stream.codec_context)  # decoding overwrites it
    times = read_timestamps(container, stream, size)
    if times.pace is None or times.frames < WINDOW_FRAMES:
        told = f"{path.name} has {times.frames} frames, a window takes {WINDOW_FRAMES}."
        raise DecodeError(Reason.FILM_TOO_SHORT, told)
    _demand_pictures(path.name, size, times, stream)
    looked = look(container, stream, times)
    first = looked.first
    if first is None or looked.bars is None:
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"No frame of {path.name} decodes where it was looked at.")
    if len(looked.sizes) > 1:
        told = " and ".join(f"{width}x{height}" for width, height in sorted(looked.sizes))
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"The frames of {path.name} change their size: {told}.")
    return Scan(
        stream=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        coded_width=first.width,
        coded_height=first.height,
        pixel_aspect=_pair(stream.sample_aspect_ratio or Fraction(1)),
        rotation=-90 * round(first.rotation / 90) % 360,
        bit_depth=first.format.components[0].bits,
        time_base=_pair(stream.time_base or Fraction(1)),
        start_pts=times.start,
        end_pts=times.end,
        fps=_pair(times.pace.fps),
        vfr=times.pace.vfr,
        declared=declared,
        tags=tuple(looked.tags),
        dolby_vision=looked.dolby_vision,
        content=looked.bars.content(),
        interlaced=is_interlaced(container, stream, times),
    )


def _demand_pictures(name: str, size: int, times: Timestamps, stream: "VideoStream") -> None:
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        raise DecodeError(Reason.VIDEO_UNREADABLE, f"{name} does not say how large its pictures are.")
    told = f"{name} decodes to {times.frames:,} frames of {width}x{height} from {size:,} bytes"
    if width * height > MAX_FRAME_PIXELS:
        raise DecodeError(Reason.VIDEO_BOMB, f"{told}: larger than 8192x8192.")
    pixels = times.frames * width * height
    if pixels > max(BOMB_PIXELS, BOMB_PIXELS_PER_BYTE * size):
        raise DecodeError(Reason.VIDEO_BOMB, f"{told}: {pixels / size:,.0f} pixels a byte, no camera gives that.")


def _pair(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator
