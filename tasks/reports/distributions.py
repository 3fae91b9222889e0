"""What the rows of a finished dataset are like: a few columns, counted or cut into ranges, one column in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.reports.build_facts import BuildFacts
from tasks.schema.columns import SAMPLE_FIELDS

MOST_COLUMNS: Final = 12
MOST_WORDS: Final = 24
_BINS: Final = 32
_LOOKED_AT: Final = 4096
"""Rows of the first shard that tell whether a column of text says the same few words again and again."""

RULE: Final = (
    f"The first {MOST_COLUMNS} columns that tell something about the rows of the dataset, those of its last stage "
    "first, then of the stages before it that hold the same samples. Text, lists of text and yes or no are counted "
    f"where there are at most {MOST_WORDS} different values that come twice on average; numbers are cut into {_BINS} "
    "equal ranges (their values are counted where there are few). A column with one value, ids and digests are left "
    "out."
)

_SHARED: Final = frozenset(field.name for field in SAMPLE_FIELDS)


@dataclass(frozen=True)
class Distribution:
    """A column of the dataset's rows: `counts` of its values, or of `bins` from `low` to `high`.

    `missing` counts rows without a value (or one that is not finite); of lists every value counts.
    """

    column: str
    stage: str
    missing: int
    counts: tuple[tuple[str, int], ...] = ()
    bins: tuple[int, ...] = ()
    low: float = 0.0
    median: float = 0.0
    high: float = 0.0


def final_ids(build: BuildFacts) -> pa.ChunkedArray:
    """The sample ids of the dataset's rows, in the order of its shards."""
    return _column(build.paths(build.final_stage), "sample_id", pa.string())


def distributions(build: BuildFacts, ids: pa.ChunkedArray, most: int = MOST_COLUMNS) -> list[Distribution]:
    """Up to `most` columns by `RULE`; `ids`: those of the dataset's rows."""
    found: dict[str, Distribution] = {}
    flowing = [line.stage for line in build.manifest.funnel.lines if not line.beside]
    before = flowing[: flowing.index(build.final_stage) + 1] if build.final_stage in flowing else []
    beyond = [stage for stage in flowing if stage not in before]
    for stage in [*reversed(before), *beyond]:
        for each in _of_stage(build, stage, ids, frozenset(found)):
            found[each.column] = each
            if len(found) == most:
                return list(found.values())
    return list(found.values())


def _of_stage(build: BuildFacts, stage: str, ids: pa.ChunkedArray, seen: frozenset[str]) -> Iterator[Distribution]:
    paths = build.paths(stage)
    fields = [field for field in build.schema(stage) if field.name not in _SHARED | seen and _kind(field.type)]
    if not paths or not fields:
        return
    mask = None
    if stage != build.final_stage:
        mask = pc.is_in(_column(paths, "sample_id", pa.string()), value_set=ids.combine_chunks())
        if not pc.any(mask).as_py():
            return
    for field in fields:
        kind = _kind(field.type)
        if kind == "words" and not _repeats(paths[0], field.name):
            continue
        values = _column(paths, field.name, field.type)
        values = values if mask is None else values.filter(mask)
        made = _words(field.name, stage, values) if kind == "words" else _numbers(field.name, stage, values)
        if made is not None:
            yield made


def _kind(data_type: pa.DataType) -> str:
    """How a column is shown; empty: not at all. Unsigned 64 bits are hashes."""
    if pa.types.is_list(data_type):
        return "words" if pa.types.is_string(data_type.value_type) else ""
    if pa.types.is_string(data_type) or pa.types.is_boolean(data_type):
        return "words"
    number = pa.types.is_integer(data_type) or pa.types.is_floating(data_type)
    return "numbers" if number and data_type != pa.uint64() else ""


def _column(paths: list[Path], name: str, data_type: pa.DataType) -> pa.ChunkedArray:
    chunks = [chunk for path in paths for chunk in pq.read_table(path, columns=[name])[name].cast(data_type).chunks]
    return pa.chunked_array(chunks, data_type)


def _repeats(path: Path, name: str) -> bool:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        batch = next(file.iter_batches(_LOOKED_AT, row_groups=[0], columns=[name]), None)
    return batch is None or len(pc.unique(_flat(batch[name]))) <= MOST_WORDS + 1


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.list_flatten(values) if pa.types.is_list(values.type) else values


def _words(name: str, stage: str, values: pa.ChunkedArray) -> Distribution | None:
    said = _flat(values).drop_null()
    counted = sorted(
        ((str(entry["values"]), entry["counts"]) for entry in pc.value_counts(said).to_pylist()),
        key=lambda each: (-each[1], each[0]),
    )
    if not 1 < len(counted) <= MOST_WORDS or len(said) < 2 * len(counted):
        return None
    return Distribution(name, stage, values.null_count, counts=tuple(counted))


def _numbers(name: str, stage: str, values: pa.ChunkedArray) -> Distribution | None:
    numbers = values.drop_null().to_numpy().astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size or numbers.min() == numbers.max():
        return None
    missing = len(values) - numbers.size
    low, high, median = float(numbers.min()), float(numbers.max()), float(np.median(numbers))
    if pa.types.is_integer(values.type):
        each, counts = np.unique(numbers, return_counts=True)
        if len(each) <= MOST_WORDS // 2:
            told = tuple((f"{value:.0f}", int(count)) for value, count in zip(each, counts, strict=True))
            return Distribution(name, stage, missing, told, low=low, median=median, high=high)
    bins, _ = np.histogram(numbers, _BINS, (low, high))
    return Distribution(name, stage, missing, bins=tuple(bins.tolist()), low=low, median=median, high=high)
