"""A small build with every shape the engine knows: source, one-to-one with rejects, side input, fan-out, fan-in."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks.schema.columns import IMAGE, shard_schema
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.derive import Derivation
from tasks.shards.stage import Side, Stage, StageOutput

PICTURES = shard_schema(pa.field("image", IMAGE), pa.field("value", pa.int64()))
VALUES = shard_schema(pa.field("value", pa.int64()))


class MakeConfig(Frozen):
    part: int = 0
    rows: int = 40
    image_bytes: int = 1000


class LimitConfig(Frozen):
    limit: int = 10


class NoConfig(Frozen):
    pass


@dataclass(frozen=True)
class Make(Stage):
    """Rows with a picture; value counts up."""

    config: MakeConfig
    name = "make"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return PICTURES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        assert list(batches) == []
        c = self.config
        for start in range(0, c.rows, 16):
            rows = [
                {
                    "sample_id": f"s{c.part}-{i:06d}",
                    "source_uri": f"made://{c.part}/{i}",
                    "licence": "CC0-1.0",
                    "image": {"bytes": bytes([i % 256]) * c.image_bytes, "path": f"{i}.bin"},
                    "value": i,
                }
                for i in range(start, min(start + 16, c.rows))
            ]
            yield StageOutput(pa.Table.from_pylist(rows, schema=PICTURES))


@dataclass(frozen=True)
class KeepSmall(Stage):
    """Keeps values modulo 20 under a limit."""

    config: LimitConfig
    name = "keep_small"
    version = 1
    batch_rows = 7

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            small = pa.array([v % 20 < self.config.limit for v in batch["value"].to_pylist()])
            large = batch.filter(pc.invert(small))
            yield StageOutput(
                batch.filter(small),
                tuple(Rejection(i, Reason.OVER_LIMIT, "too large") for i in large["sample_id"].to_pylist()),
            )


@dataclass(frozen=True)
class Brightness(Stage):
    """Looks at the picture of the rows that are left."""

    config: NoConfig
    name = "brightness"
    version = 1
    batch_rows = 7
    sides = (Side(("image",)),)

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            first = pa.array([image["bytes"][0] for image in batch["image"].to_pylist()], pa.int64())
            assert first.to_pylist() == [v % 256 for v in batch["value"].to_pylist()]
            yield StageOutput(batch.set_column(batch.schema.get_field_index("value"), "value", first))


@dataclass(frozen=True)
class Halves(Stage):
    """Every row becomes two children; odd second halves are rejected, rows of value 3 wholly."""

    config: NoConfig
    name = "halves"
    version = 1
    fan_out = True
    batch_rows = 7

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for batch in batches:
            kept, rejected = [], []
            for row in batch.to_pylist():
                if row["value"] == 3:
                    rejected.append(Rejection(row["sample_id"], Reason.NOBODY_FOUND, "three"))
                    continue
                for half in (0, 1):
                    child = row | {"sample_id": f"{row['sample_id']}/p{half}", "parent_id": row["sample_id"]}
                    if half and row["value"] % 2:
                        rejected.append(Rejection(child["sample_id"], Reason.OVER_LIMIT, "odd"))
                    else:
                        kept.append(child)
            yield StageOutput(pa.Table.from_pylist(kept, schema=VALUES), tuple(rejected))


@dataclass(frozen=True)
class Gather(Stage):
    """Fan-in: all rows of all inputs, at most `limit`."""

    config: LimitConfig
    name = "gather"
    version = 1

    @property
    def schema(self) -> pa.Schema:
        return VALUES

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        left = self.config.limit
        for batch in batches:
            over = batch.slice(left)["sample_id"].to_pylist() if left < batch.num_rows else []
            yield StageOutput(
                batch.slice(0, left), tuple(Rejection(i, Reason.OVER_LIMIT, "enough", float(left)) for i in over)
            )
            left = max(0, left - batch.num_rows)


@dataclass(frozen=True)
class Unlike(Make):
    """Other bytes in every process, as a model on other hardware might give."""

    name = "unlike"

    def process(self, batches: Iterator[pa.RecordBatch]) -> Iterator[StageOutput]:
        for output in Make.process(self, batches):
            rows = [row | {"value": os.getpid()} for row in output.kept.to_pylist()]
            yield StageOutput(pa.Table.from_pylist(rows, schema=PICTURES))


def build(parts: int = 2, limit: int = 10, rows: int = 40) -> Derivation:
    """make -> keep_small -> brightness (with make's pictures) -> halves, per part; gathered."""
    ends = []
    for part in range(parts):
        made = Derivation(Make(MakeConfig(part=part, rows=rows)))
        small = Derivation(KeepSmall(LimitConfig(limit=limit)), (made,))
        bright = Derivation(Brightness(NoConfig()), (small,), (made,))
        ends.append(Derivation(Halves(NoConfig()), (bright,)))
    return Derivation(Gather(LimitConfig(limit=25)), tuple(ends))
