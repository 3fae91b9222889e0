"""Rows of one stage in two builds: which came, which went, which are otherwise, and where the others were lost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.reports.build_facts import BuildFacts
from tasks.shards.manifest import BuildShard

_NOTHING: Final = pl.DataFrame(schema={"sample_id": pl.String, "digest": pl.UInt64})
_REJECTED: Final = {"kin": pl.String, "stage": pl.String, "reason": pl.String, "order": pl.Int32}
_BATCH_ROWS: Final = 1024


@dataclass(frozen=True)
class Why:
    """Where a build lost samples that another has: the stage that decided it (empty: none), in words, how many, and
    some of them.
    """

    stage: str
    told: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class StageRows:
    """Rows of some shards of a stage, in the columns that all of them have; `unread` rows were erased or are lost."""

    build: BuildFacts
    shards: Sequence[BuildShard]
    columns: tuple[str, ...]
    unread: int

    def paths(self) -> list[Path]:
        return [path for shard in self.shards if shard.data.rows and (path := self.build.path(shard)) is not None]

    def digests(self, columns: Sequence[str]) -> pl.DataFrame:
        """`sample_id` and a digest of 64 bits, the same for equal rows within a process; a row group in memory."""
        frames = [_NOTHING]
        for path in self.paths():
            for batch in _row_groups(path, columns):
                rows = pl.DataFrame(pl.from_arrow(batch))
                frames.append(rows.select("sample_id", digest=rows.select(sorted(columns)).hash_rows()))
        return pl.concat(frames).group_by("sample_id").agg(pl.col("digest").sum())


@dataclass(frozen=True)
class RowsApart:
    """Ids that only one side has, and how many rows of the same id are otherwise: in which columns, some of them."""

    came: pl.Series
    went: pl.Series
    changed: int
    columns: tuple[str, ...]
    names: tuple[str, ...]


def read_stage_rows(build: BuildFacts, shards: Sequence[BuildShard]) -> StageRows:
    """The rows of some shards of a stage; those that were erased or are lost are counted."""
    unread = sum(shard.data.rows for shard in shards if shard.data.rows and build.path(shard) is None)
    rows = StageRows(build, shards, (), unread)
    names = [set(pq.read_schema(path).names) for path in rows.paths()]
    return StageRows(build, shards, tuple(sorted(set.intersection(*names))) if names else (), unread)


def rows_apart(before: StageRows, after: StageRows, named: int) -> RowsApart:
    """Compare rows by id, in the columns that both sides have."""
    columns = sorted(set(before.columns) & set(after.columns)) if before.columns and after.columns else []
    columns = columns or ["sample_id"]
    old, new = before.digests(columns), after.digests(columns)
    both = old.join(new, on="sample_id", suffix="_new")
    changed = both.filter(pl.col("digest") != pl.col("digest_new"))["sample_id"].sort()
    names = tuple(changed.head(named))
    return RowsApart(
        came=new.join(old, on="sample_id", how="anti")["sample_id"].sort(),
        went=old.join(new, on="sample_id", how="anti")["sample_id"].sort(),
        changed=len(changed),
        columns=tuple(_differing(before, after, names, columns)) if names else (),
        names=names,
    )


def why_missing(ids: pl.Series, build: BuildFacts, stage: str, named: int) -> tuple[Why, ...]:
    """Where a build lost samples that another build has at a stage, the most first.

    A sample (or what it was made from) was rejected by a stage, or lived as far as some stage and was not made from
    there on, or was never offered by a source.
    """
    if not len(ids):
        return ()
    kin = _kin(ids)
    rejected = _last(kin, _rejected(build, kin))
    left = kin.join(rejected, on="sample_id", how="anti")
    lived = _last(left, _lived(build, stage, left))
    found = [
        (by, f"rejected by {by} ({reason})", rows["sample_id"])
        for (by, reason), rows in rejected.group_by("stage", "reason", maintain_order=True)
    ]
    found += [
        (stage, f"in the rows of {last}, but not made by {stage}", rows["sample_id"])
        for (last,), rows in lived.group_by("stage", maintain_order=True)
    ]
    unknown = left.join(lived, on="sample_id", how="anti")["sample_id"].unique()
    found.append(("", "not offered by a source", unknown))
    told = [Why(str(by), words, len(rows), tuple(rows.sort().head(named))) for by, words, rows in found if len(rows)]
    return tuple(sorted(told, key=lambda why: (-why.count, why.told)))


def _kin(ids: pl.Series) -> pl.DataFrame:
    """Each id with itself and with those of what it was made from, which it extends: `sample_id`, `kin`, `length`."""
    return (
        pl.DataFrame({"sample_id": ids})
        .with_columns(parts=pl.col("sample_id").str.split("/"))
        .with_columns(length=pl.int_ranges(1, pl.col("parts").list.len() + 1))
        .explode("length")
        .select("sample_id", "length", kin=pl.col("parts").list.head(pl.col("length")).list.join("/"))
    )


def _last(kin: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Of each sample the last place where it, or its nearest kin, was seen: `order` counts stages."""
    seen = kin.join(places, on="kin").sort("order", "length", "sample_id")
    return seen.group_by("sample_id", maintain_order=True).last()


def _rejected(build: BuildFacts, kin: pl.DataFrame) -> pl.DataFrame:
    """Which stage rejected which of the ids, why, and its number among the stages."""
    order = {stage: number for number, stage in enumerate(build.stages)}
    frames = [pl.DataFrame(schema=_REJECTED)]
    for shard, batch in build.rejects(("sample_id", "reason")):
        if build.flows(shard):
            rows = pl.DataFrame(pl.from_arrow(batch)).rename({"sample_id": "kin"})
            place = pl.lit(order[shard.stage], pl.Int32)
            frames.append(rows.with_columns(stage=pl.lit(shard.stage), order=place).select(list(_REJECTED)))
    return pl.concat(frames).join(kin, on="kin", how="semi")


def _lived(build: BuildFacts, stage: str, kin: pl.DataFrame) -> pl.DataFrame:
    """The stages before a stage whose rows hold an id."""
    before = build.stages[: build.stages.index(stage)] if stage in build.stages else build.stages
    frames = [pl.DataFrame(schema={"kin": pl.String, "stage": pl.String, "order": pl.Int32})]
    for number, name in enumerate(before if len(kin) else ()):
        read = [pl.DataFrame(pl.from_arrow(pq.read_table(path, columns=["sample_id"]))) for path in build.paths(name)]
        if read:
            mine = pl.concat(read).rename({"sample_id": "kin"}).join(kin, on="kin", how="semi")
            frames.append(mine.with_columns(stage=pl.lit(name), order=pl.lit(number, pl.Int32)))
    return pl.concat(frames)


def _differing(before: StageRows, after: StageRows, names: Iterable[str], columns: Sequence[str]) -> Iterator[str]:
    """Columns in which some rows differ."""
    wanted = sorted(names)
    old, new = (
        {row["sample_id"]: row for path in rows.paths() for row in _rows(path, wanted, columns)}
        for rows in (before, after)
    )
    for column in columns:
        if any(repr(old[name][column]) != repr(new[name][column]) for name in wanted):
            yield column


def _rows(path: Path, ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for batch in _row_groups(path, columns):
        rows = [row for row, each in enumerate(batch["sample_id"].to_pylist()) if each in ids]
        found += batch.take(pa.array(rows, pa.int64())).to_pylist()
    return found


def _row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.metadata.num_row_groups):
            yield from file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(columns))
