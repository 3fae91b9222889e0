"""Where batches end follows from the rows, and side rows come beside them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.schema.columns import IMAGE
from tasks.shards import parquet
from tasks.shards.parquet import Lookup, payload, read_batches

MEGA = 1_000_000


def rows(sizes: list[int]) -> pa.Table:
    """Rows r0, r1, .. with a picture of each size, some with none."""
    pictures = [{"bytes": bytes([n % 256]) * size, "path": None} if size else None for n, size in enumerate(sizes)]
    names = [f"r{n}" for n in range(len(sizes))]
    return pa.table({"sample_id": names, "image": pa.array(pictures, IMAGE), "value": range(len(sizes))})


def write(path: Path, table: pa.Table, group: int) -> Path:
    pq.write_table(table, path, row_group_size=group, compression="none")
    return path


def ends(batches: list[pa.RecordBatch]) -> list[int]:
    return [batch.num_rows for batch in batches]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thousandth of what holds."""
    monkeypatch.setattr(parquet, "BATCH_BYTES", parquet.BATCH_BYTES // 1000)


@pytest.mark.usefixtures("small_batches")
def test_a_batch_of_large_rows_closes_early(tmp_path: Path) -> None:
    table = rows([40_000] * 70)
    batches = list(read_batches(write(tmp_path / "a", table, 70), 64))
    assert ends(batches) == [2] * 35
    assert pa.Table.from_batches(batches).equals(table)
    assert ends(list(read_batches(tmp_path / "a", 64, ("sample_id", "value")))) == [64, 6]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("group", [1, 3, 16, 17, 1000])
def test_batches_end_at_the_same_rows_however_the_row_groups_lie(tmp_path: Path, group: int) -> None:
    table = rows([(n * 7919) % 30_000 if n % 3 else 0 for n in range(100)] + [200_000] + [10] * 40)
    batches = list(read_batches(write(tmp_path / "a", table, group), 16))
    assert pa.Table.from_batches(batches).equals(table)
    sums = [int(payload(batch).sum()) for batch in batches]
    last = [int(payload(batch)[-1]) for batch in batches]
    assert all(size - row < parquet.BATCH_BYTES for size, row in zip(sums, last, strict=True))
    assert all(b.num_rows == 16 or size >= parquet.BATCH_BYTES for b, size in zip(batches[:-1], sums[:-1], strict=True))
    assert max(ends(batches)) == 16


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("group", [1, 5, 1000])
def test_side_columns_count_and_repeats_count_again(tmp_path: Path, group: int) -> None:
    photos = write(tmp_path / "photos", rows([40_000] * 70), group)
    light = rows([0] * 70).select(["sample_id", "value"])
    kept = light.filter(pa.array([n % 7 != 0 for n in range(70)]))
    side = Lookup(photos, ("image",))
    batches = list(read_batches(write(tmp_path / "light", kept, 1000), 64, lookups=[side]))
    assert ends(batches) == [2] * 30
    for row in pa.Table.from_batches(batches).to_pylist():
        assert row["image"]["bytes"][0] == row["value"]

    children = pa.table({"sample_id": [f"c{n}" for n in range(8)], "parent_id": ["r3"] * 5 + ["r4"] * 3})
    side = Lookup(photos, ("value", "image"), on="parent_id")
    batches = list(read_batches(write(tmp_path / "children", children, 1000), 64, lookups=[side]))
    assert ends(batches) == [2] * 4
    assert batches[0].schema.names == ["sample_id", "parent_id", "value", "image"]
    assert [v for batch in batches for v in batch["value"].to_pylist()] == [3] * 5 + [4] * 3


def test_neighbours_are_not_copied(tmp_path: Path) -> None:
    path = write(tmp_path / "a", rows([MEGA] * 8), 8)
    batches = list(read_batches(path, 4, lookups=[Lookup(path, ("image",))]))
    for column in (1, 3):
        first, second = (batch.column(column).field(0).buffers()[2].address for batch in batches)
        assert first == second


@pytest.mark.parametrize(
    ("wanted", "missing"), [(["r1", "ghost"], "ghost"), (["r2", "r1"], "r1")], ids=["not there", "another order"]
)
def test_a_row_that_is_not_found_is_named(tmp_path: Path, wanted: list[str], missing: str) -> None:
    side = Lookup(write(tmp_path / "side", rows([5] * 4), 2), ("image",))
    with pytest.raises(LookupError, match=f"lacks {missing}"):
        list(read_batches(write(tmp_path / "a", pa.table({"sample_id": wanted}), 9), 4, lookups=[side]))


@pytest.mark.parametrize("group", [1, 10])
def test_no_rows_give_no_batch(tmp_path: Path, group: int) -> None:
    assert list(read_batches(write(tmp_path / "a", rows([]), group), 4)) == []
    assert ends(list(read_batches(write(tmp_path / "b", rows([0] * 9), group), 4))) == [4, 4, 1]


@pytest.mark.slow
def test_photos_of_many_megabytes_pass(tmp_path: Path) -> None:
    schema = rows([0]).schema
    with pq.ParquetWriter(tmp_path / "a", schema, compression="none", use_dictionary=False) as writer:
        for n in range(64):
            writer.write_table(rows([40 * MEGA]).set_column(0, "sample_id", pa.array([f"r{n}"])))
    side = Lookup(tmp_path / "a", ("image",))
    counts = [batch.num_rows for batch in read_batches(tmp_path / "a", 64, ("sample_id", "value"), lookups=[side])]
    assert counts == [2] * 32
