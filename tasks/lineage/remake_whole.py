"""A stage of all rows together, run again with all of them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from tasks.lineage.remake_flows import Node, OpenBuild, RemakeError
from tasks.schema.records import ShardRecord
from tasks.shards.parquet import Lookup, ShardWriter, read_batches
from tasks.shards.stage import Whole


def compared_whole(build: OpenBuild, node: Node, folder: Path) -> str:
    """Run a stage over its inputs as they lie in the store; the shard that it gives against the one of the build.

    Returns:
        what differs; empty: the same bytes.
    Raises:
        RemakeError: an input was erased on purpose.
    """
    stage, record = node.derivation.stage, node.record
    inputs = [_path(build, each) for each in build.inputs(node)]
    beside = [_path(build, each) for each in build.sides(node)]
    looked_up = beside[: len(stage.sides)]
    lookups = [Lookup(path, side.columns, side.on) for path, side in zip(looked_up, stage.sides, strict=True)]

    def batches() -> Iterator[pa.RecordBatch]:
        for path in inputs:
            yield from read_batches(path, stage.batch_rows, lookups=lookups)

    with (folder / uuid4().hex).open("wb") as stream, ShardWriter(stream, stage.schema) as writer:
        for output in stage.process_with(batches(), tuple(Whole(path) for path in beside[len(looked_up) :])):
            writer.write(output.kept)
        made = writer.finish("shard")
    if made.digest == record.data.digest:
        return ""
    return f"its {made.rows:,} rows are not the bytes of the {record.data.rows:,} rows of the build"


def _path(build: OpenBuild, node: Node | ShardRecord) -> Path:
    record = node if isinstance(node, ShardRecord) else node.record
    if record.erased:
        raise RemakeError(
            f"{record.stage}/{record.key[:12]} was erased on purpose: what was made of it stays as it is."
        )
    return build.store.data_path(record)
