"""What a film is, found out before any work on it: a `Film`, or one reason why not, within bounded time."""

from fractions import Fraction
from pathlib import Path
from typing import Final

import ffmpeg

from tasks.images.decode import DecodeError
from tasks.images.isolate import Isolated
from tasks.schema.films import Film
from tasks.schema.rejections import Reason, RefusedError
from tasks.video.colour_tags import UNKNOWN, contradiction, told
from tasks.video.container import OPTIONS
from tasks.video.digest import film_digest
from tasks.video.dolby_vision import dolby_vision, why_unsupported
from tasks.video.ffmpeg import FFmpegTimeoutError, file_argument, run_ffmpeg
from tasks.video.headers import TRACED, chroma_location
from tasks.video.letterbox import upright_box
from tasks.video.scan import Scan, scan

SCAN_TIMEOUT_S: Final = 300.0
HEADERS_TIMEOUT_S: Final = 60.0

SQUARE_ENOUGH: Final = Fraction(1, 100)
"""Pixel shapes this near to 1 come from rounding sizes to even numbers, and nobody can see them."""
ODDEST_PIXEL: Final = 4
"""Film and television know pixel shapes from 8:9 to 2:1; beyond 4 the tag is taken for none."""


class ProbeError(RefusedError):
    """A film that cannot be used."""


def probe(path: Path, *, timeout_s: float = SCAN_TIMEOUT_S) -> Film:
    """Everything that cutting needs to know about a film. The digest is taken too (see `film_digest`).

    Native code looks at the film in processes that may die or hang without us; a scan that takes longer than
    `timeout_s` is tried once more.

    Raises:
        ProbeError: the film is missing or cannot be used.
        FFmpegMissingError: this machine has no usable ffmpeg.
    """
    path = path.absolute()
    try:
        if path.exists() and not path.is_file():
            raise ProbeError(Reason.FILM_MISSING, f"{path.name} is not a file.")
        digest = film_digest(path)
    except OSError as error:
        raise ProbeError(Reason.FILM_MISSING, f"{path.name} cannot be read: {error.strerror}.") from error
    return film_of_scan(path, digest, _scanned(path, timeout_s))


def film_of_scan(path: Path, digest: str, seen: Scan) -> Film:
    """What a scan and the headers tell about a film.

    Raises:
        ProbeError: colours of which nobody can say what they are.
        FFmpegMissingError: this machine has no usable ffmpeg.
    """
    headers = _headers(path, seen)
    _demand_plain_layer(headers, seen)
    wrong = contradiction(seen.declared, seen.tags)
    if wrong is not None:
        raise ProbeError(Reason.COLOUR_TAGS_CONTRADICT, wrong)
    width, height = upright_size(seen.coded_width, seen.coded_height, Fraction(*seen.pixel_aspect), seen.rotation)
    coded = (seen.coded_width, seen.coded_height)
    tags, time_base = told(seen.declared, seen.tags[0]), Fraction(*seen.time_base)
    return Film(
        path=str(path),
        digest=digest,
        size_bytes=path.stat().st_size,
        codec=seen.codec,
        width=width,
        height=height,
        coded_width=seen.coded_width,
        coded_height=seen.coded_height,
        rotation=seen.rotation,
        content=upright_box(seen.content, coded, seen.rotation, (width, height)),
        fps=Fraction(*seen.fps),
        time_base=time_base,
        start_pts=seen.start_pts,
        duration_s=float((seen.end_pts - seen.start_pts) * time_base),
        bit_depth=seen.bit_depth,
        transfer=tags.kind,
        primaries=tags.primaries,
        matrix=tags.matrix,
        full_range=tags.full_range,
        interlaced=seen.interlaced,
        vfr=seen.vfr,
        chroma_location=chroma_location(headers),
    )


def upright_size(coded_width: int, coded_height: int, pixel_aspect: Fraction, rotation: int) -> tuple[int, int]:
    """Width and height after turning and with square pixels: the longer side of a pixel is shrunk, none is enlarged."""
    aspect = pixel_aspect if 1 / ODDEST_PIXEL <= pixel_aspect <= ODDEST_PIXEL else Fraction(1)
    width, height = coded_width, coded_height
    if aspect > 1 + SQUARE_ENOUGH:
        height = round(height / aspect / 2) * 2
    elif aspect < 1 - SQUARE_ENOUGH:
        width = round(width * aspect / 2) * 2
    return (width, height) if rotation % 180 == 0 else (height, width)


def _scanned(path: Path, timeout_s: float) -> Scan:
    with Isolated(scan, {}, timeout_s) as child:
        answer = child.map([b""], [{"path": str(path)}])[0]
    if isinstance(answer, DecodeError):
        match answer.reason:
            case Reason.IMAGE_BOMB:
                raise ProbeError(Reason.VIDEO_BOMB, f"{path.name} takes more memory than a film may.")
            case Reason.DECODER_CRASHED | Reason.DECODER_TIMED_OUT:
                raise ProbeError(answer.reason, f"{path.name}: {answer.detail}.")
            case _:
                raise ProbeError(answer.reason, answer.detail)
    return Scan.model_validate(answer, strict=False)


def _headers(path: Path, seen: Scan) -> str:
    """What ffmpeg says of the film before it decodes any of it."""
    looked = ffmpeg.input(file_argument(path), **OPTIONS)
    spelt = {"bsf:v": "trace_headers"} if seen.codec in TRACED else {}
    nothing = ffmpeg.output(looked[str(seen.stream)], "-", format="null", c="copy", t=0, **spelt)
    try:
        return run_ffmpeg(nothing, HEADERS_TIMEOUT_S).log
    except FFmpegTimeoutError as error:
        raise ProbeError(Reason.DECODER_TIMED_OUT, f"{path.name}: {error}.") from error


def _demand_plain_layer(headers: str, seen: Scan) -> None:
    """Refuse Dolby Vision whose base layer is no picture by itself."""
    tags = told(seen.declared, seen.tags[0])
    tagged = UNKNOWN not in (tags.transfer, tags.matrix)
    why = why_unsupported(dolby_vision(headers, seen.stream), metadata=seen.dolby_vision, tagged=tagged)
    if why is not None:
        raise ProbeError(Reason.DOLBY_VISION_UNSUPPORTED, why)
