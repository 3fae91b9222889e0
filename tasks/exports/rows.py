"""Templates joined with the pictures they come from, in bounded memory."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.schema.errors import StoreError
from tasks.schema.templates import TEMPLATE_SCHEMA


def read_templates(paths: Iterable[Path]) -> pa.Table:
    """All rows of template shards (`TEMPLATE_SCHEMA`), in order; they hold no pixels, so they fit in memory.

    Raises:
        StoreError: a shard has other columns, or a sample is there twice.
    """
    tables = []
    for path in paths:
        table = pq.read_table(path, pre_buffer=False, page_checksum_verification=True, partitioning=None)
        if not table.schema.equals(TEMPLATE_SCHEMA):
            raise StoreError(f"{path} is no shard of templates.")
        tables.append(table)
    templates = pa.concat_tables(tables) if tables else TEMPLATE_SCHEMA.empty_table()
    ids = templates["sample_id"].to_pylist()
    if len(set(ids)) != len(ids):
        raise StoreError(f"{len(ids) - len(set(ids))} templates are there twice: pass each shard once.")
    return templates


def pick(paths: Sequence[Path], wanted: Collection[str], columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Rows of `wanted` samples with `sample_id` and `columns`, in file order, one row group at a time.

    Row groups without a wanted sample are not read. Of a sample that is in several shards the first is taken.

    Raises:
        StoreError: a wanted sample is in no shard.
    """
    left = set(wanted)
    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                ids = pa.array(left, pa.string())
                chosen = pc.is_in(file.read_row_group(group, ["sample_id"])["sample_id"], value_set=ids)
                if not pc.any(chosen).as_py():
                    continue
                rows = file.read_row_group(group, ["sample_id", *columns]).filter(chosen)
                left.difference_update(rows["sample_id"].to_pylist())
                yield rows.combine_chunks()
    if left:
        raise StoreError(f"{len(left)} templates have no picture in the shards given, {min(left)!r} among them.")
