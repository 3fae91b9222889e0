"""Photos of the runway and of the street with what they are taken for, for people to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.rows import pick
from tasks.images.decode import decode_rgb
from tasks.images.sheet import contact_sheet, thumbnail

_COLUMNS: Final = 6
_TILE_PX: Final = 176
_SAID: Final = ("pred_category", "confidence", "abstained")


def looks_sheets(
    photos: Sequence[Path], groups: Sequence[Path], predicted: Sequence[Path], count: int = 12
) -> dict[str, NDArray[np.uint8]]:
    """Up to `count` looks of each side, evenly spread, RGB uint8 (H, W, 3), by the name of the side.

    Under each stand the category it is taken for, how sure that is, and its label where it has one.

    Args:
        photos: shards of `LOOK_SCHEMA`.
        groups: shards of `GROUPED_SCHEMA`.
        predicted: shards of `PREDICTED_SCHEMA`.
    Raises:
        StoreError: a photo is in no shard of `photos`.
    """
    said = {row["sample_id"]: row for path in predicted for row in _rows(path, _SAID)}
    looks = [
        row | said[row["sample_id"]] for path in groups for row in _rows(path, ("source", "source_uri", "category"))
    ]
    sheets = {}
    for side in sorted({look["source"] for look in looks}):
        mine = [look for look in looks if look["source"] == side]
        chosen = {look["sample_id"]: look for look in mine[:: -(-len(mine) // count)]}
        tiles: dict[str, NDArray[np.uint8]] = {}
        for table in pick(photos, {each: look["source_uri"] for each, look in chosen.items()}, ("image",)):
            for row in table.to_pylist():
                tiles[row["sample_id"]] = thumbnail(decode_rgb(row["image"]["bytes"]), _TILE_PX)
        labels = [_label(look) for look in chosen.values()]
        sheets[side] = contact_sheet([tiles[each] for each in chosen], labels, _COLUMNS, _TILE_PX)
    return sheets


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path, columns=["sample_id", *columns]).to_pylist()
    return rows


def _label(look: Mapping[str, Any]) -> str:
    said = "not sure" if look["abstained"] else f"{look['pred_category']} {look['confidence']:.2f}"
    return said if look["category"] is None else f"{said}, label {look['category']}"
