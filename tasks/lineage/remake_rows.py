"""Single rows of shards: found, put into a file of their own, and sent through a stage again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.ingest.mannequins import MannequinPhotos
from tasks.schema.rejections import Rejection
from tasks.shards.parquet import Lookup, ShardWriter, read_batches
from tasks.shards.stage import Stage, StageOutput, Whole


@dataclass(frozen=True)
class MadeNow:
    """What a stage made of some rows now."""

    rows: pa.Table
    rejected: tuple[Rejection, ...] = ()

    def why_not(self, sample_id: str) -> str:
        """Why a sample is not among the rows."""
        for each in self.rejected:
            if each.sample_id == sample_id:
                return f"it is left out now: {each.reason.value}, {each.detail}"
        return "it is not made of this input any more"


def holds(path: Path, sample_id: str) -> bool:
    """Whether a shard has a row of that id."""
    return any(found.num_rows for _, found in _groups_with(path, "sample_id", [sample_id]))


def rows_with(path: Path, column: str, values: Sequence[str]) -> pa.Table:
    """The rows of a shard that have one of the values in a column of texts, in its order.

    Raises:
        OSError: the file is missing or damaged.
    """
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        found = [
            file.read_row_group(group).filter(mask)
            for group, marks in _groups_with(path, column, values)
            for mask in [marks["marks"]]
        ]
        return pa.concat_tables(found) if found else file.schema_arrow.empty_table()


def _groups_with(path: Path, column: str, values: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Row groups with such rows, and which of their rows they are, in a column `marks`."""
    wanted = pa.array(values, pa.string())
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        at = file.schema_arrow.get_field_index(column)
        for group in range(file.num_row_groups) if at >= 0 else ():
            marks = pc.is_in(file.read_row_group(group, columns=[column])[column], value_set=wanted)
            if pc.any(marks).as_py():
                yield group, pa.table({"marks": marks})


def put(folder: Path, rows: pa.Table) -> Path:
    """A file with these rows, as shards are."""
    path = folder / f"{uuid4().hex}.parquet"
    with path.open("wb") as stream, ShardWriter(stream, rows.schema) as writer:
        writer.write(rows)
        writer.finish("shard")
    return path


def from_source(stage: Stage, sample_ids: Sequence[str], stored: pa.Table | None) -> MadeNow:
    """The rows of these ids as a source gives them now; it is read no further than to the last of them.

    Args:
        stored: the rows as they were, which may say where in the source they are.
    """
    missing, kept, rejected = set(sample_ids), [], []
    for output in _narrowed(stage, stored).process(iter(())):
        rows = _of_schema(output, stage.schema)
        found = rows.filter(pc.is_in(rows["sample_id"], value_set=pa.array(sample_ids, pa.string())))
        kept.append(found)
        rejected += [each for each in output.rejected if each.sample_id in missing]
        missing -= set(found["sample_id"].to_pylist())
        if not missing:
            break
    return MadeNow(pa.concat_tables([stage.schema.empty_table(), *kept]), tuple(rejected))


def from_rows(
    stage: Stage, rows: Path, sides: Sequence[Path], wholes: Sequence[Path], sample_ids: Sequence[str] = ()
) -> MadeNow:
    """What a stage makes of the rows of a file, those of the side inputs beside them.

    Args:
        sample_ids: the only rows that are wanted: the stage goes no further than to the last of them; empty: all.
    """
    lookups = [Lookup(path, side.columns, side.on) for path, side in zip(sides, stage.sides, strict=True)]
    batches = read_batches(rows, stage.batch_rows, lookups=lookups)
    missing, kept = set(sample_ids), [stage.schema.empty_table()]
    rejected: list[Rejection] = []
    for output in stage.process_with(batches, tuple(Whole(path) for path in wholes)):
        kept.append(_of_schema(output, stage.schema))
        rejected += output.rejected
        missing -= set(kept[-1]["sample_id"].to_pylist())
        if sample_ids and not missing:
            break
    return MadeNow(pa.concat_tables(kept), tuple(rejected))


def _of_schema(output: StageOutput, schema: pa.Schema) -> pa.Table:
    kept = output.kept
    table = kept if isinstance(kept, pa.Table) else pa.Table.from_batches([kept])
    return table.select(schema.names).cast(schema)


def _narrowed(stage: Stage, stored: pa.Table | None) -> Stage:
    """The source of these rows alone, where it can be told which ones they are."""
    if isinstance(stage, MannequinPhotos) and stored is not None and stored.num_rows == 1:
        index = int(stored["source_uri"][0].as_py().rpartition("/")[2])
        return replace(stage, config=stage.config.model_copy(update={"first_row": index, "rows": 1}))
    return stage
