"""Encoded bytes to an upright RGB picture, or one typed reason why not."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tasks.images.colour import UnknownRangeError, to_srgb
from tasks.images.headers import largest_canvas, picture_format
from tasks.schema.rejections import Reason, RefusedError

MAX_PIXELS = 178_956_970
"""Pillow's own limit, twice its `MAX_IMAGE_PIXELS`: half a gibibyte of RGB."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_LOADED_UPRIGHT = ("TIFF", "HEIF")
"""Formats that the decoder turns by itself: Pillow a TIFF by its tag, libheif a HEIF by its own transformations."""

_DECODERS_FAIL_WITH = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_SAYS_CUT = (
    "truncated",
    "end of file",
    "unexpected end",
    "not enough image data",
    "insufficient",
    "cannot read full",
    "cannot load this image",  # Pillow: the headers ended without a picture
)
_DECODER_MODULES = r"(PIL|pillow_heif)\."


class DecodeError(RefusedError):
    """A picture that we do not take."""


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a picture that decodes.

    `width` and `height` in pixels after the orientation was applied; `format` and `mode` in Pillow's words, as encoded;
    `exif_orientation` 1 to 8, 1 where there is none; `sha256` of the encoded bytes, in hex.
    """

    width: int
    height: int
    format: str
    mode: str
    exif_orientation: int
    encoded_bytes: int
    sha256: str


def decode_rgb(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The first frame, upright (EXIF orientation applied), as sRGB.

    Args:
        data: an encoded picture: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, HEIF, JPEG 2000, ICO, PNM, MPO.
        max_pixels: pictures that claim more are refused before pixels are allocated, as too large, or beyond
            `MAX_PIXELS`, which always holds, as bombs.
    Returns:
        uint8, (H, W, 3), writable; transparency is laid on white, embedded profiles are converted.
    Raises:
        DecodeError: nothing else, whatever the bytes are.
    """
    return decode(data, max_pixels)[0]


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], ImageFacts]:
    """Like `decode_rgb`, with what is known of the picture."""
    max_pixels = min(max_pixels, MAX_PIXELS)
    announced = _announced_format(data, max_pixels)
    _silence_decoders()
    try:
        with _open(data, announced) as image:
            name, mode, size = image.format or announced, image.mode, image.size
            if size[0] * size[1] > max_pixels:
                raise _too_many(size, max_pixels)
            turned_by_decoder = _orientation(image) if announced == "TIFF" else 1
            image.load()
            turn = 1 if announced in _LOADED_UPRIGHT else _orientation(image)
            rgb = to_srgb(image)
            if turn != 1:
                rgb = rgb.transpose(_UPRIGHT[turn])
            pixels = np.array(rgb)
    except Image.DecompressionBombError as error:
        raise DecodeError(Reason.IMAGE_BOMB, f"the {announced} claims more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise DecodeError(Reason.IMAGE_UNREADABLE, f"begins like {announced}, but its header is broken") from error
    except UnknownRangeError as error:
        raise DecodeError(Reason.IMAGE_FORMAT_UNSUPPORTED, str(error)) from error
    except MemoryError as error:
        raise DecodeError(Reason.IMAGE_BOMB, f"the {announced} needs more memory than there is") from error
    except _DECODERS_FAIL_WITH as error:
        raise _failure(error, data, announced) from error
    facts = ImageFacts(
        width=pixels.shape[1],
        height=pixels.shape[0],
        format=name,
        mode=mode,
        exif_orientation=max(turn, turned_by_decoder),
        encoded_bytes=len(data),
        sha256=sha256(data).hexdigest(),
    )
    return pixels, facts


@cache
def decoder_build() -> dict[str, str]:
    """Name -> version of Pillow and of every library behind it: other builds may give other pixels."""
    import PIL
    import pillow_heif
    from PIL import features

    libraries = ("libjpeg_turbo", "zlib_ng", "libtiff", "webp", "avif", "jpg_2000", "littlecms2")
    versions = {name: str(features.version(name)) for name in libraries}
    return {"pillow": PIL.__version__, **versions, "libheif": pillow_heif.libheif_version()}


def _announced_format(data: bytes, max_pixels: int) -> str:
    if not data:
        raise DecodeError(Reason.IMAGE_MISSING, "no bytes")
    announced = picture_format(data)
    if announced is None:
        raise DecodeError(Reason.IMAGE_FORMAT_UNSUPPORTED, f"not a picture that we read: begins with {data[:16]!r}")
    canvas = largest_canvas(data, announced)
    if canvas is not None:
        if 0 in canvas:
            raise DecodeError(Reason.IMAGE_EMPTY, f"the {announced} is {canvas[0]} x {canvas[1]} pixels")
        if canvas[0] * canvas[1] > max_pixels:
            raise _too_many(canvas, max_pixels)
    return announced


def _open(data: bytes, announced: str) -> Image.Image:
    if announced != "HEIF":
        return Image.open(io.BytesIO(data), formats=[announced])
    from pillow_heif.as_plugin import HeifImageFile

    image: Image.Image = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def _orientation(image: Image.Image) -> int:
    """1 to 8; damaged EXIF says nothing about the pixels, so it counts as 1."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _DECODERS_FAIL_WITH:
        return 1
    return value if value in _UPRIGHT else 1


def _too_many(size: tuple[int, int], max_pixels: int) -> DecodeError:
    reason = Reason.IMAGE_BOMB if size[0] * size[1] > MAX_PIXELS else Reason.IMAGE_TOO_LARGE
    return DecodeError(reason, f"claims {size[0]} x {size[1]} pixels, more than {max_pixels}")


def _failure(error: Exception, data: bytes, announced: str) -> DecodeError:
    said = str(error).lower()
    if any(words in said for words in _SAYS_CUT) or _riff_is_cut(data, announced):
        return DecodeError(Reason.IMAGE_TRUNCATED, f"the {announced} ends before its picture does")
    return DecodeError(Reason.IMAGE_UNREADABLE, f"the {announced} does not decode: {error or type(error).__name__}")


def _riff_is_cut(data: bytes, announced: str) -> bool:
    return announced == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _silence_decoders() -> None:
    """Warnings about broken metadata are no news to a program that judges the file itself.

    A filter is added once and stays: `warnings.catch_warnings` is not safe in threads.
    """
    if not any(getattr(entry[3], "pattern", None) == _DECODER_MODULES for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_DECODER_MODULES)
