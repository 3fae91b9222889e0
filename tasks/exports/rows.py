"""Templates joined with the pictures they come from, in bounded memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def pick(paths: Sequence[Path], wanted: Mapping[str, str], columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Rows of wanted samples with `sample_id` and `columns`, in file order, one row group at a time.

    Row groups without a wanted sample are not read.

    Args:
        wanted: sample -> its `source_uri`, which tells it from an equal photo elsewhere in the source.
    Raises:
        StoreError: a wanted sample is in no shard.
    """
    left = dict(wanted)
    ids = pa.array(left, pa.string())
    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, ["sample_id", "source_uri"])
                if not pc.any(pc.is_in(names["sample_id"], value_set=ids)).as_py():
                    continue
                pairs = zip(names["sample_id"].to_pylist(), names["source_uri"].to_pylist(), strict=True)
                chosen = [left.get(sample_id) == uri and left.pop(sample_id) == uri for sample_id, uri in pairs]
                if any(chosen):
                    rows = file.read_row_group(group, ["sample_id", *columns])
                    yield rows.filter(pa.array(chosen)).combine_chunks()
    if left:
        raise StoreError(f"{len(left)} samples have no picture in the shards given, {min(left)!r} among them.")
