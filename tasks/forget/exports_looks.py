"""The tables and features of runway and street without the photos that go."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.exports.fashion_features import INDEX_FILE
from tasks.exports.fashion_tables import CATEGORY_COLUMNS, LABELS, WITH_CATEGORY
from tasks.forget.exports_change import Change
from tasks.forget.exports_names import Names
from tasks.forget.exports_tables import csv_lines, cut_csv, cut_parquet, open_text, without_rows

LOOKS: Final = "looks/"
_FEATURES: Final = "data/image_features_"
_CLASSIFIER: Final = "classifier/classifier.skops"
_ROW: Final = CATEGORY_COLUMNS.index("feature_row")
_BLOCK_ROWS: Final = 1024
"""Embeddings that are in memory at once."""


def cut_looks(change: Change, names: Names) -> Names:
    """Take photos out of the tables and out of the array of embeddings, whose rows are numbered anew.

    Returns:
        the names, with the numbers that the photos have here.
    """
    looks = [name for name in change.names if name.startswith(LOOKS)]
    columns = ("sample_id", "image_id", "garments")
    table = pa.concat_tables(
        [pq.read_table(change.folder / n, columns=list(columns), partitioning=None) for n in looks]
    )
    goes = names.rows(table)
    if not pc.any(goes).as_py():
        return names
    names = names.more(table["image_id"].filter(goes).to_pylist())
    if LABELS in change.names:
        _cut_labels(change, goes.filter(pc.is_valid(table["garments"])).to_pylist())
    numbers = _cut_features(change, names)
    for name in looks:
        cut_parquet(change, name, names, lambda rows: _numbered(rows, numbers))
    if WITH_CATEGORY in change.names:
        cut_csv(change, WITH_CATEGORY, names, lambda row: [*row[:_ROW], numbers[int(row[_ROW])], *row[_ROW + 1 :]])
    if _CLASSIFIER in change.names:
        change.say(
            f"{change.folder / _CLASSIFIER} may have learned from photos that went: run runway_street again, which "
            "learns anew from those that are left, and replace copies of it."
        )
    return names


def _cut_labels(change: Change, goes: list[bool]) -> None:
    """Annotated photos stand in the order of the looks: their file names alone do not tell all of them apart."""
    with open_text(change.folder / LABELS) as stream:
        (_, head), *lines = csv_lines(stream)
    kept = [text for (_, text), gone in zip(lines, goes, strict=True) if not gone]
    change.put(LABELS, "".join([head, *kept]).encode("utf-8", "surrogateescape"), sum(goes))


def _cut_features(change: Change, names: Names) -> NDArray[np.int64]:
    """Take rows out of the array and its index; the number of each row now, -1: it is gone."""
    if INDEX_FILE not in change.names:
        return np.zeros(0, np.int64)
    with open_text(change.folder / INDEX_FILE) as stream:
        _, *lines = without_rows(stream, names)
    goes = np.array([gone for _, _, gone in lines], bool)
    numbers = np.where(goes, -1, np.cumsum(~goes) - 1).astype(np.int64)
    if goes.any():
        for name in change.names:
            if name.startswith(_FEATURES) and name.endswith(".npy"):
                _cut_array(change, name, np.flatnonzero(~goes))
        cut_csv(change, INDEX_FILE, names, lambda row: [row[0], numbers[int(row[1])]])
    return numbers


def _cut_array(change: Change, name: str, kept: NDArray[np.int64]) -> None:
    array = np.load(change.folder / name, mmap_mode="r")
    draft = change.draft()
    with change.files.create(draft) as stream:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": (len(kept), *array.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(kept), _BLOCK_ROWS):
            stream.write(np.ascontiguousarray(array[kept[start : start + _BLOCK_ROWS]]).tobytes())
        change.files.sync(stream)
    change.put_file(name, draft, len(array) - len(kept))


def _numbered(rows: pa.Table, numbers: NDArray[np.int64]) -> pa.Table:
    """Looks with the row of their features as it is now."""
    index = rows.schema.get_field_index("feature_row")
    now = [None if row is None else int(numbers[row]) for row in rows["feature_row"].to_pylist()]
    return rows.set_column(index, rows.schema.field(index), pa.array(now, pa.int64()))
