"""What patches show against the films that they were cut from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.controls.films import BARS, Grey, mean_inside, read_number
from tasks.controls.finding import Finding
from tasks.controls.patches_films import ControlFilm
from tasks.shards.files import file_digest

Row = Mapping[str, Any]
RGB = NDArray[np.uint8]

STAGE: Final = "patches"

MIDDLE: Final = 3
"""The frame of a window that is its ground truth. Source: the seed."""
FIVE: Final = range(1, 6)
"""Frames of the smaller stack. Source: the seed."""
SHRUNK: Final = 3
"""The ground truth is so many times as wide as its low resolution. Source: the seed."""

LEVELS_OFF: Final = 4.0
"""Levels of 255 by which a colour may be off: rounding to codes and back costs up to 2."""
REACH: Final = 3
"""Pixels around its place in which a patch is looked for."""
WRONG_SHARE: Final = 0.04
"""Share of bright and dark pixels that may be taken for each other: edges of fields in a scaled film."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A patch of a control film as it lies in the tree.

    `frame` is the frame that its window has to begin with; `low` are its seven pictures of low resolution, `five` the
    ones of the smaller stack (or those that are in its place).
    """

    film: ControlFilm
    row: Row
    frame: int
    gt: RGB
    low: tuple[RGB, ...]
    five: tuple[RGB, ...]
    files_right: bool

    @property
    def name(self) -> str:
        return str(self.row["sample_id"])

    @property
    def crop(self) -> tuple[int, int, int, int]:
        left, top, right, bottom = self.row["crop_xyxy"]
        return left, top, right, bottom

    @cached_property
    def grey(self) -> Grey:
        """The ground truth without colours, float64."""
        return np.asarray(self.gt.mean(axis=2))

    def number(self) -> int:
        """The frame whose number the ground truth shows."""
        return read_number(self.grey, self.film.box(0, self.crop))

    def numbers(self, pictures: Sequence[RGB]) -> list[int]:
        """The frames whose numbers pictures of low resolution show."""
        left, top, right, bottom = (edge / SHRUNK for edge in self.film.box(0, self.crop))
        return [read_number(np.asarray(low.mean(axis=2)), (left, top, right, bottom)) for low in pictures]


def read_patch(film: ControlFilm, row: Row, tries: Sequence[float], tree: Path) -> Shown:
    """A row of `PATCH_SCHEMA` with its files.

    Args:
        tries: the times of its window.
    Raises:
        OSError: a file is not there.
    """
    stacks = not (tree / row["lr7_path"]).is_dir()
    gt = _picture(tree / row["gt_path"])
    if stacks:
        low, five = (_tiles(_picture(tree / row[f"{part}_path"]), gt) for part in ("lr7", "lr5"))
        right = all(_is_file(tree, row, part) for part in ("gt", "lr5", "lr7"))
    else:
        low = tuple(_picture(tree / row["lr7_path"] / f"im{n}.png") for n in range(1, 8))
        five = low[FIVE.start : FIVE.stop]
        right = _is_file(tree, row, "gt")
    first = int(np.ceil(tries[row["try"]] * 24 - 1e-6))
    return Shown(film, row, first, gt, low, five, right)


def patch_findings(shown: Sequence[Shown]) -> Iterator[Finding]:
    """What the patches of all control films show."""
    yield _count(shown, "files of a row", lambda each: each.files_right, "Digest and size of the PNGs in the tree.")
    yield _count(
        shown,
        "number of the frame in the ground truth",
        lambda each: each.number() == each.frame + MIDDLE,
        "Painted into every frame: the fourth one of the window that was planned.",
    )
    yield _count(
        shown,
        "one shot in a window",
        lambda each: each.film.shot_of(each.frame) == each.film.shot_of(each.frame + 6),
        "No window reaches over a cut.",
    )
    yield _worst(shown, "colours", _colours, LEVELS_OFF, "levels", "Bars of 75 %, matrix and range as tagged.")
    yield _worst(shown, "light of HDR", _light, LEVELS_OFF, "levels", "Greys of known light, tonemapped.")
    yield _worst(shown, "place of the crop", _away, 0, "pixels", "Fields and one-pixel lines, where the row says.")
    yield _worst(shown, "picture of the crop", _unlike, WRONG_SHARE, "share", "Bright and dark pixels that are not.")
    yield _worst(shown, "letterbox", _black_rows, 0, "rows", "Black rows at the ends of a patch.")
    frames = "Numbers in the low resolution, in order, each once."
    yield _count(
        shown,
        "frames of LR_7frames",
        lambda each: each.numbers(each.low) == [each.frame + n for n in range(7)],
        frames,
    )
    yield _count(
        shown, "frames of LR_5frames", lambda each: each.numbers(each.five) == [each.frame + n for n in FIVE], frames
    )
    yield _worst(shown, "low resolution", _off_bicubic, 1, "levels", "Against Pillow's antialiased bicubic of the GT.")


def _count(shown: Sequence[Shown], control: str, right: Any, detail: str) -> Finding:
    return Finding.none_wrong(STAGE, control, {each.name: bool(right(each)) for each in shown}, detail)


def _worst(shown: Sequence[Shown], control: str, measure: Any, bound: float, unit: str, detail: str) -> Finding:
    """The largest of what `measure` gives; what it gives None for has no such property."""
    found = [value for each in shown if (value := measure(each)) is not None]
    return Finding.at_most(STAGE, control, max(found, default=0.0), bound, unit, detail)


def _colours(shown: Shown) -> float | None:
    if shown.film.light:
        return None
    left, top, right, bottom = shown.film.box(1, shown.crop)
    width = (right - left) / len(BARS)
    off = 0.0
    for k, colour in enumerate(BARS):
        box = left + k * width, top, left + (k + 1) * width, bottom
        seen = [mean_inside(shown.gt[..., channel].astype(np.float64), box, 0.35, 0.35) for channel in range(3)]
        off = max(off, *(abs(value - wanted) for value, wanted in zip(seen, colour, strict=True)))
    return off


def _light(shown: Shown) -> float | None:
    light = shown.film.light
    if not light:
        return None
    left, top, right, bottom = shown.film.box(1, shown.crop)
    width = (right - left) / len(light)
    boxes = [(left + k * width, top, left + (k + 1) * width, bottom) for k in range(len(light))]
    seen = [mean_inside(shown.grey, box, 0.35, 0.35) for box in boxes]
    return max(abs(value - wanted) for value, wanted in zip(seen, light.values(), strict=True))


def _bright(shown: Shown) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels of lines and fields have to be bright, of the whole scaled picture, and which of the patch are."""
    film = shown.film
    truth = film.bright(shown.frame + MIDDLE)
    if film.grow != 1:
        painted = Image.fromarray(truth.astype(np.uint8) * 255).resize(film.scaled, Image.Resampling.LANCZOS)
        truth = np.asarray(painted) > 127
    seen = shown.grey > _middle_level(shown)
    return truth, seen


def _middle_level(shown: Shown) -> float:
    """The level between dark and bright ones, by the fields below the strips."""
    below = shown.grey[-max(8, len(shown.grey) // 3) :]
    dark, bright = np.quantile(below, [0.1, 0.9])
    return float(dark + bright) / 2


def _matches(shown: Shown) -> tuple[float, float]:
    """How far from its place a patch fits best, pixels, and the share of wrong pixels there."""
    truth, seen = _bright(shown)
    left, top, *_ = shown.crop
    first = max(0, int(np.ceil(shown.film.box(2 if shown.film.grow == 1 else 3, shown.crop)[1])) + 2)
    best = (np.inf, 0.0)
    for dy in range(-REACH, REACH + 1):
        for dx in range(-REACH, REACH + 1):
            rows, columns = slice(REACH + first, seen.shape[0] - REACH), slice(REACH, seen.shape[1] - REACH)
            y, x = top + rows.start + dy, left + columns.start + dx
            height, width = rows.stop - rows.start, columns.stop - columns.start
            there = truth[max(y, 0) : y + height, max(x, 0) : x + width]
            if there.shape != (height, width):
                continue
            wrong = float((there != seen[rows, columns]).mean())
            best = min(best, (wrong, float(np.hypot(dx, dy))))
    return best[1], best[0]


def _away(shown: Shown) -> float:
    return _matches(shown)[0]


def _unlike(shown: Shown) -> float:
    return _matches(shown)[1]


def _black_rows(shown: Shown) -> float:
    height = len(shown.grey)
    ends = np.concatenate([shown.grey[: height // 8], shown.grey[-height // 8 :]])
    return float((ends.max(axis=1) < 24).sum())


def _off_bicubic(shown: Shown) -> float:
    size = shown.gt.shape[1] // SHRUNK, shown.gt.shape[0] // SHRUNK
    shrunk = np.asarray(Image.fromarray(shown.gt).resize(size, Image.Resampling.BICUBIC), np.int16)
    middle = (shown.low[MIDDLE], shown.five[MIDDLE - FIVE.start])
    if any(low.shape != shrunk.shape for low in middle):
        return 255.0
    return max(float(np.abs(low - shrunk).max()) for low in middle)


def _tiles(stack: RGB, gt: RGB) -> tuple[RGB, ...]:
    """The pictures of a stack, top to bottom."""
    height = max(1, gt.shape[0] // SHRUNK)
    return tuple(stack[at : at + height] for at in range(0, len(stack), height))


def _picture(path: Path) -> RGB:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _is_file(tree: Path, row: Row, part: str) -> bool:
    path = tree / row[f"{part}_path"]
    return (path.stat().st_size, file_digest(path)) == (row[f"{part}_bytes"], row[f"{part}_digest"])
