"""Bytes of a stranger to a resized JPEG: runs in a child process that may die.

Decoded by `tasks.images` (upright, sRGB, transparency on white, truncation noticed), then resized, padded and encoded
by img2dataset's Resizer: for an upright RGB picture, byte for byte what that makes of the original bytes.
"""

import io
import json
from base64 import b64encode
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.download.upstream import submodule
from tasks.images.decode import DecodeError, decode
from tasks.schema.rejections import Reason

PRIVATE_EXIF: Final = ("GPS", "MakerNote", "OwnerName", "SerialNumber", "UniqueID")
"""Tags that say where somebody was or whose camera it is; left out of the `exif` column."""

EXIF_CHARACTERS: Final = 16_384


def prepare(
    data: bytes, image_px: int, resize_mode: str, jpeg_quality: int, max_pixels: int, min_side_px: int
) -> dict[str, Any]:
    """Resize one picture; the answer is ready for JSON.

    Returns:
        `jpeg` (base64), `width`, `height`, `original_width`, `original_height` (upright), `content` (left, top, right,
        bottom of the picture inside its border, right and bottom exclusive), `exif` (JSON, as encoded, or None).
    Raises:
        DecodeError: the picture is not usable.
    """
    import cv2

    pixels, facts = decode(data, max_pixels)
    if min(facts.width, facts.height) < min_side_px:
        raise DecodeError(Reason.IMAGE_TOO_SMALL, f"{facts.width} x {facts.height} pixels, less than {min_side_px}")
    plain = _bmp(pixels, cv2)
    del pixels
    jpeg, width, height, _, _, problem = _resizer(image_px, resize_mode, jpeg_quality)(io.BytesIO(plain))
    if problem is not None:
        raise DecodeError(Reason.IMAGE_UNREADABLE, f"the {facts.format} is not resized: {problem}")
    return {
        "jpeg": b64encode(jpeg).decode(),
        "width": width,
        "height": height,
        "original_width": facts.width,
        "original_height": facts.height,
        "content": content_box(facts.width, facts.height, image_px, width, height),
        "exif": exif_json(data),
    }


def content_box(original_width: int, original_height: int, image_px: int, width: int, height: int) -> list[int]:
    """Where the Resizer puts the picture: the longer side fills `image_px`, the rest is split, the odd pixel last."""
    scale = image_px / max(original_width, original_height)
    inner_width = max(1, round(original_width * scale))
    inner_height = max(1, round(original_height * scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return [left, top, left + inner_width, top + inner_height]


def exif_json(data: bytes) -> str | None:
    """The EXIF tags as img2dataset writes them, less `PRIVATE_EXIF`; None where there are none."""
    import exifread  # type: ignore[import-untyped]

    try:
        tags = exifread.process_file(io.BytesIO(data), details=False)
    except Exception:  # noqa: BLE001 - damaged EXIF says nothing about the picture
        return None
    told = {
        name: str(value).strip()
        for name, value in tags.items()
        if value is not None and not any(private in name for private in PRIVATE_EXIF)
    }
    text = json.dumps(told)
    return text if told and len(text) <= EXIF_CHARACTERS else None


@cache
def _resizer(image_px: int, resize_mode: str, jpeg_quality: int) -> Any:
    return submodule("resizer").Resizer(
        image_size=image_px, resize_mode=resize_mode, resize_only_if_bigger=False, encode_quality=jpeg_quality
    )


def _bmp(pixels: NDArray[np.uint8], cv2: Any) -> bytes:
    """Lossless, and as quick as a copy."""
    done, encoded = cv2.imencode(".bmp", pixels[..., ::-1])
    if not done:
        raise DecodeError(Reason.IMAGE_UNREADABLE, "the picture cannot be handed on")
    return bytes(encoded)
