"""Pictures for people: contact sheets, and the encoders of everything that is rendered."""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PAPER = (250, 250, 250)
_INK = (40, 40, 40)
_GAP_PX = 8
_TEXT_SHARE = 14
_TEXT_PX = 11, 18
"""A label is a fourteenth of its tile high, from the 11 px that just read on a screen to 18."""


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], labels: Sequence[str], columns: int = 6, tile_px: int = 256
) -> NDArray[np.uint8]:
    """Pictures in reading order on light paper, each whole (never cropped or enlarged) over its one-line label.

    Args:
        images: RGB uint8, (H, W, 3), any sizes.
        labels: one for each picture; too long ones lose their middle.
        columns: tiles a row.
        tile_px: width of a tile, and its height where a picture needs that.
    Returns:
        uint8, (H, W, 3); no pictures give an empty sheet of one tile.
    Raises:
        ValueError: not as many labels as pictures.
    """
    text_px = min(max(_TEXT_PX[0], tile_px // _TEXT_SHARE), _TEXT_PX[1])
    font = ImageFont.load_default(text_px)
    tiles = [thumbnail(pixels, tile_px) for pixels in images]
    tile_height = max((tile.shape[0] for tile in tiles), default=tile_px)
    cell_height = tile_height + _GAP_PX + math.ceil(text_px * 1.4)
    across = max(1, min(columns, len(images)))
    down = max(1, math.ceil(len(images) / across))
    size = (across * (tile_px + _GAP_PX) + _GAP_PX, down * (cell_height + _GAP_PX) + _GAP_PX)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (pixels, label) in enumerate(zip(tiles, labels, strict=True)):
        left = _GAP_PX + i % across * (tile_px + _GAP_PX)
        top = _GAP_PX + i // across * (cell_height + _GAP_PX)
        tile = Image.fromarray(pixels)
        sheet.paste(tile, (left + (tile_px - tile.width) // 2, top + (tile_height - tile.height) // 2))
        text = _fitting(label, font, tile_px)
        draw.text((left + tile_px / 2, top + tile_height + _GAP_PX / 2), text, fill=_INK, font=font, anchor="ma")
    return np.array(sheet)


def thumbnail(rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """The picture scaled down (antialiased) to fit a square; one that fits already is returned as it is."""
    height, width = rgb.shape[:2]
    scale = side_px / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """JPEG of an RGB picture, (H, W, 3); from quality 90 on without chroma subsampling, as thin coloured lines need."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True)
    return stream.getvalue()


def jpeg_within(rgb: NDArray[np.uint8], most_bytes: int) -> bytes:
    """JPEG of an RGB picture, (H, W, 3), of at most so many bytes: of lower quality, then smaller, until it fits.

    Raises:
        ValueError: not even a single pixel fits.
    """
    for quality in (88, 80, 70, 55):
        encoded = encode_jpeg(rgb, quality)
        if len(encoded) <= most_bytes:
            return encoded
    if rgb.shape[0] * rgb.shape[1] == 1:
        raise ValueError(f"{most_bytes} bytes hold no picture")
    return jpeg_within(thumbnail(rgb, max(1, round(0.7 * max(rgb.shape[:2])))), most_bytes)


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """PNG of an RGB picture, (H, W, 3)."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()


def _fitting(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    line = " ".join(label.split())
    if font.getlength(line) <= width_px:
        return line
    for kept in range(len(line) - 1, -1, -1):
        shorter = line[: kept - kept // 2] + "…" + line[len(line) - kept // 2 :]
        if font.getlength(shorter) <= width_px:
            return shorter
    return ""
