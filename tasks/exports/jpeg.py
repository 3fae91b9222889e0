"""Pictures as upright JPEG files, without another generation where that can be."""

from io import BytesIO

from PIL import Image

from tasks.images.decode import decode

QUALITY = 95
"""Libjpeg's scale; with full colour resolution, so that coloured masks and drawings keep their edges."""

RECIPE = "jpeg-1"
"""Raised when `as_jpeg` gives other bytes for the same picture, so that exported files are made again."""

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


def as_jpeg(data: bytes) -> bytes:
    """The picture as JPEG: the same bytes if it is an upright grey or RGB JPEG, else encoded anew.

    What is encoded anew is 8-bit sRGB (or grey) without metadata, its EXIF orientation applied, transparency on white.

    Raises:
        DecodeError: the bytes are no picture that decodes to its end.
    """
    pixels, facts = decode(data)
    if facts.format in ("JPEG", "MPO") and facts.mode in ("L", "RGB") and facts.exif_orientation == 1:
        return data
    picture = Image.fromarray(pixels[..., 0] if facts.mode in _GREY_MODES else pixels)
    encoded = BytesIO()
    picture.save(encoded, "JPEG", quality=QUALITY, subsampling=0)
    return encoded.getvalue()
