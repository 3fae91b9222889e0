"""Which column of a feature array is what, and the array of 4800 columns that some models read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.schema.errors import ShapeError

EXPORT_WIDTH = 4800
"""Jukebox's width, which music-to-dance models take; the features are far fewer and the rest is zeros, marked so."""


@dataclass(frozen=True)
class Layout(Mapping[str, slice]):
    """Names and widths of the features of an array, in order; a mapping from name to columns."""

    parts: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.parts]
        if len(set(names)) != len(names) or any(width < 1 for _, width in self.parts):
            raise ShapeError("features of a layout have different names and at least one column each")

    @property
    def width(self) -> int:
        return sum(width for _, width in self.parts)

    @property
    def columns(self) -> list[str]:
        """A name for each column: `tempo` where a feature has one, `mfcc.0` to `mfcc.12` where it has several."""
        return [name if width == 1 else f"{name}.{number}" for name, width in self.parts for number in range(width)]

    def __getitem__(self, name: str) -> slice:
        first = 0
        for each, width in self.parts:
            if each == name:
                return slice(first, first + width)
            first += width
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def with_parts(self, parts: Iterable[tuple[str, int]]) -> "Layout":
        """The same with more behind."""
        return Layout((*self.parts, *parts))


@dataclass(frozen=True)
class Export:
    """Features padded to 4800 columns: values (T, 4800) float32, and which columns are real, (4800,) bool."""

    values: NDArray[np.float32]
    real: NDArray[np.bool_]
    layout: Layout


def export_4800(values: NDArray[np.float32], layout: Layout) -> Export:
    """Pad features with zeros to 4800 columns.

    Args:
        values: (T, width) float32.
        layout: Of these columns.

    Raises:
        ShapeError: Values and layout do not fit, or there are more columns than 4800.
    """
    if values.ndim != 2 or values.shape[1] != layout.width or layout.width > EXPORT_WIDTH:
        raise ShapeError(
            f"features {values.shape} do not fit a layout of {layout.width} columns, at most {EXPORT_WIDTH}"
        )
    padded = np.zeros((len(values), EXPORT_WIDTH), np.float32)
    padded[:, : layout.width] = values
    return Export(padded, np.arange(EXPORT_WIDTH) < layout.width, layout)
