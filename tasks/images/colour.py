"""Whatever a decoder gives, as 8-bit sRGB: wide samples, palettes, alpha, CMYK, Lab, embedded profiles."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

PROFILE_TOLERANCE = 2
"""Grey levels: a profile that moves no colour of a 9 x 9 x 9 lattice further than this is sRGB under another name."""

_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}


class UnknownRangeError(ValueError):
    """Samples without a defined white: 32-bit integers and floats are data, not photos."""


def to_srgb(image: Image.Image) -> Image.Image:
    """A loaded picture as mode RGB, 8 bits, sRGB.

    16-bit samples are scaled by their white, not cut. Transparency (alpha, a transparent palette entry or colour)
    is laid on white. An embedded ICC profile is applied; one that is broken, of another colour space, or the same as
    sRGB is ignored. CMYK without a profile is converted by (1 - c)(1 - k).

    Raises:
        UnknownRangeError: the samples have no defined white.
    """
    flat, alpha = _eight_bits(image)
    profile = image.info.get("icc_profile")
    rgb = _through_profile(flat, bytes(profile)) if profile else None
    if rgb is None:
        rgb = _lab_to_srgb(flat) if flat.mode == "LAB" else _as_rgb(flat)
    if alpha is None:
        return rgb
    white = Image.new("RGB", rgb.size, (255, 255, 255))
    white.paste(rgb, mask=alpha)
    return white


def _eight_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture in one of `_PROFILE_SPACES`' modes (or one that converts to RGB), and its alpha if it has any."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return _scaled(image)
    if image.mode == "F":
        raise UnknownRangeError("float samples have no defined white")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        return rgba.convert("RGB"), None if alpha.getextrema() == (255, 255) else alpha
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode in _PROFILE_SPACES:
        return image, None
    return image.convert("RGB"), None


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of more than 8 bits: PNG, PGM and JPEG 2000 use all 16, TIFF says how many in tag 258 (BitsPerSample)."""
    bits = 16
    if image.format == "TIFF":
        bits = int(image.tag_v2.get(258, (16,))[0])  # type: ignore[attr-defined]
    if image.mode == "I" and (image.format != "PPM" or bits > 16):
        raise UnknownRangeError(f"{image.format} with 32-bit samples has no defined white")
    samples = np.asarray(image).astype(np.uint32)
    white = (1 << bits) - 1
    grey = Image.fromarray(((np.minimum(samples, white) * 255 + white // 2) // white).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey, None
    return grey, Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8))


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    from PIL import ImageCms

    transform = _transform(profile, image.mode)
    if transform is None:
        return None
    try:
        return ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError):
        return None


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, _lab_transform())
    if converted is None:
        raise UnknownRangeError("Lab could not be converted")
    return converted


@lru_cache(maxsize=1)
def _lab_transform() -> "ImageCms.ImageCmsTransform":
    from PIL import ImageCms

    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform | None":
    """The way from a profile to sRGB; None: there is nothing to do, or nothing that can be done."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _PROFILE_SPACES.get(mode):
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        probe = _lattice(mode)
        if probe is None:
            return transform
        moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform if np.abs(moved - np.asarray(probe.convert("RGB"))).max() > PROFILE_TOLERANCE else None


def _lattice(mode: str) -> Image.Image | None:
    levels: NDArray[np.uint8] = np.linspace(0, 255, 9).astype(np.uint8)
    if mode == "RGB":
        return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3))
    return Image.fromarray(levels[None]) if mode == "L" else None
