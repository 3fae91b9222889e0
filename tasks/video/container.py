"""Films as PyAV opens them: local files in containers of films only, and the stream that holds the picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasks.video.ffmpeg import file_argument

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

TIMED_FORMATS: Final = ("mov", "matroska", "mpegts", "mpeg", "avi", "asf", "flv", "mxf", "ogg", "nut", "gxf")
RAW_FORMATS: Final = (
    "hevc",
    "h264",
    "av1",
    "obu",
    "ivf",
    "m4v",
    "mpegvideo",
    "vc1",
    "vvc",
    "evc",
    "dv",
    "yuv4mpegpipe",
)
"""Bare streams: what they give as timestamps was counted by a reader, not written by a camera."""

_FIRST_BOXES: Final = (b"ftyp", b"wide", b"mdat", b"skip", b"free", b"pnot")
_BOX_HEAD: Final = 8

OPTIONS: Final = {"format_whitelist": ",".join((*TIMED_FORMATS, *RAW_FORMATS)), "protocol_whitelist": "file"}
"""Playlists and scripts would make us read other files and addresses than the one we were given."""


class NoPictureError(Exception):
    """The file opens, and holds no stream of pictures that can be decoded."""


@contextmanager
def open_film(path: Path, threads: int = 1) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """A film and its picture stream: the one that ffmpeg takes by itself, never a cover.

    Native code runs on bytes of strangers here: only for films that `probe` let pass, or in a child process.

    Raises:
        NoPictureError: it has sound only, or only covers, or pictures of an unknown codec.
        av.error.FFmpegError: it does not open.
    """
    import av

    with av.open(file_argument(path), metadata_errors="ignore", options=OPTIONS) as container:
        still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        decodable = [each for each in container.streams.video if each.codec_context is not None]
        moving = [each for each in decodable if not each.disposition & still]
        if not moving:
            raise NoPictureError
        best = container.streams.best("video")
        stream = next((each for each in moving if best is not None and each.index == best.index), moving[0])
        stream.codec_context.thread_count = threads
        yield container, stream


def is_raw(container: "InputContainer") -> bool:
    """Whether a container carries no timestamps of its own."""
    return not set(container.format.name.split(",")).isdisjoint(RAW_FORMATS)


def lacks_index(path: Path) -> bool:
    """Whether a file begins as MP4 or MOV does and ends before its box `moov` is complete."""
    with path.open("rb") as film:
        end = film.seek(0, 2)
        start, first = 0, True
        while start < end:
            film.seek(start)
            head = film.read(16)
            size, name = int.from_bytes(head[:4], "big"), head[4:8]
            if first and name not in _FIRST_BOXES:
                return False
            if size == 1:  # the size follows the name
                size = int.from_bytes(head[8:16], "big")
            if size == 0 or start + size > end:
                return True
            if size < _BOX_HEAD or name == b"moov":
                return False
            start, first = start + size, False
    return not first
