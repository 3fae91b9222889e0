"""Pictures of a build for people: ground truths, each beside its two stacks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tasks.images.decode import DecodeError, decode_rgb
from tasks.images.sheet import jpeg_within, thumbnail

Row = Mapping[str, Any]
"""A row of `PATCH_SCHEMA`."""

COLUMNS = (
    *("sample_id", "film", "category", "format", "try", "time_s", "scaled_width", "scaled_height", "crop_xyxy"),
    *("gt_path", "lr5_path", "lr7_path"),
)
"""What a sheet needs of a row."""

SAMPLES = 4
"""Of each category."""

MOST_SHARDS = 48
"""Shards that samples are taken from, spread evenly."""

LARGEST_BYTES = 500_000
"""Of the JPEG."""

_WIDTH = 1100
"""Sharp in the 550 pixels that the UI gives an artifact."""

_FRAMES = {"lr5": range(1, 6), "lr7": range(7)}
_ACROSS = 2
_GT_WIDTH, _HEIGHT = 300, 360
_STACK_WIDTH = 110
_GAP, _TEXT, _HEADING = 10, 12, 18
_PAPER, _INK, _FAINT, _MISSING = (250, 250, 250), (40, 40, 40), (120, 120, 120), (226, 226, 226)


def sample_rows(shards: Sequence[Path], each: int = SAMPLES) -> list[dict[str, Any]]:
    """Some rows of every category, spread over the shards and their formats, in the order of category and time.

    Args:
        shards: files of `PATCH_SCHEMA`; of many only some are read.
        each: rows of a category at most.
    """
    step = max(1, -(-len(shards) // MOST_SHARDS))
    groups: defaultdict[str, defaultdict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in shards[::step]:
        for row in pq.read_table(path, columns=list(COLUMNS)).to_pylist():
            groups[row["category"]][row["format"]].append(row)
    chosen = []
    for category in sorted(groups):
        formats = [_evenly(groups[category][name], each) for name in sorted(groups[category])]
        turns = [row for turn in range(each) for rows in formats for row in rows[turn : turn + 1]]
        chosen += sorted(turns[:each], key=lambda row: (row["film"], row["time_s"]))
    return chosen


def contact_sheet(rows: Sequence[Row], tree: Path) -> bytes:
    """The sheet as a JPEG of at most `LARGEST_BYTES`."""
    return jpeg_within(sheet_picture(rows, tree), LARGEST_BYTES)


def sheet_picture(rows: Sequence[Row], tree: Path) -> NDArray[np.uint8]:
    """Patches under the name of their category, each the ground truth beside its 5-stack and 7-stack.

    A picture that is larger than its place is scaled down, none is enlarged or cropped; a file that is missing or does
    not read is a grey box.

    Args:
        rows: of `PATCH_SCHEMA`, as `sample_rows` gives them.
        tree: the root of their paths.
    Returns:
        RGB uint8, (H, 1100, 3).
    """
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["category"]].append(row)
    bands = [_band(category, members, tree) for category, members in groups.items()]
    return np.concatenate(bands) if bands else np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)


def _evenly(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    picked = min(count, len(rows))
    return [rows[(2 * i + 1) * len(rows) // (2 * picked)] for i in range(picked)]


def _band(category: str, rows: Sequence[Row], tree: Path) -> NDArray[np.uint8]:
    """The patches of a category, RGB uint8 (H, `_WIDTH`, 3)."""
    cells = [(row, {kind: _picture(tree / row[f"{kind}_path"], kind) for kind in ("gt", "lr5", "lr7")}) for row in rows]
    lines = [cells[i : i + _ACROSS] for i in range(0, len(cells), _ACROSS)]
    top = 2 * _GAP + _HEADING
    cell_height = _HEIGHT + 2 * _GAP + _TEXT
    sheet = Image.new("RGB", (_WIDTH, top + len(lines) * cell_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), category, fill=_INK, font=ImageFont.load_default(_HEADING))
    for number, line in enumerate(lines):
        for place, (row, pictures) in enumerate(line):
            left = _GAP + place * (_WIDTH - _GAP) // _ACROSS
            _cell(sheet, (left, top + number * cell_height), row, pictures)
    return np.array(sheet)


def _cell(
    sheet: Image.Image, corner: tuple[int, int], row: Row, pictures: Mapping[str, NDArray[np.uint8] | None]
) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    left, top = corner
    shown = _fitted(pictures["gt"], _GT_WIDTH, _HEIGHT - 5 * (_TEXT + 4))
    sheet.paste(shown, (left, top))
    for number, line in enumerate(_labels(row)):
        y = top + shown.height + 6 + number * (_TEXT + 4)
        draw.text((left, y), _cut(line, font, _GT_WIDTH), fill=_INK if number == 0 else _FAINT, font=font)
    x = left + _GT_WIDTH + _GAP
    for kind, name in (("lr5", "5"), ("lr7", "7")):
        picture = pictures[kind]
        tile = _fitted(picture, _STACK_WIDTH, _HEIGHT)
        sheet.paste(tile, (x, top))
        size = "missing" if picture is None else f"{picture.shape[1]}x{picture.shape[0]}"
        draw.text((x, top + _HEIGHT + 4), f"{name}: {size}", fill=_FAINT, font=font)
        x += max(tile.width, 80) + _GAP


def _labels(row: Row) -> Iterator[str]:
    left, top, right, bottom = row["crop_xyxy"]
    yield f"{row['format']}  {right - left}x{bottom - top}"
    yield str(row["film"])
    tried = f", replacement {row['try']}" if row["try"] else ""
    yield f"{_clock(row['time_s'])}{tried}"
    yield f"at {left}, {top} of {row['scaled_width']}x{row['scaled_height']}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{rest:06.3f}"


def _picture(path: Path, kind: str) -> NDArray[np.uint8] | None:
    """The file; the frames one above the other, where the tree has sequences and the path is that of their folder."""
    try:
        if kind in _FRAMES and path.is_dir():
            return np.concatenate([decode_rgb((path / f"im{n + 1}.png").read_bytes()) for n in _FRAMES[kind]])
        return decode_rgb(path.read_bytes())
    except (OSError, DecodeError):
        return None


def _fitted(rgb: NDArray[np.uint8] | None, width: int, height: int) -> Image.Image:
    if rgb is None:
        return Image.new("RGB", (width, height), _MISSING)
    scale = min(1.0, width / rgb.shape[1], height / rgb.shape[0])
    return Image.fromarray(thumbnail(rgb, max(1, round(max(rgb.shape[:2]) * scale))))


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    kept = line
    while kept and font.getlength(kept) > width:
        kept = kept[:-2].rstrip("…") + "…" if len(kept) > 2 else ""
    return kept
