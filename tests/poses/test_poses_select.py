from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from tasks.poses.select import Combine, CombineConfig, Select, SelectConfig, choose
from tasks.schema.rejections import Reason, Rejection
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.derive import Derivation, realise
from tasks.shards.parquet import read_batches
from tasks.shards.store import Store
from tests.poses.figures import described_row
from tests.poses.sample_shards import given

FAR = [int(h) for h in np.random.default_rng(1).integers(0, 2**63, 64, np.uint64)]
"""Hashes that differ in about 32 bits."""


def batches(rows: list[dict[str, Any]], size: int = 1000) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        yield pa.RecordBatch.from_pylist(rows[start : start + size], schema=TEMPLATE_SCHEMA)


def chosen(
    rows: list[dict[str, Any]], quotas: dict[str, int] | None = None, distance: int = 6, size: int = 1000
) -> tuple[list[str], list[Rejection]]:
    outputs = list(choose(batches(rows, size), quotas or {}, distance))
    return (
        [i for output in outputs for i in output.kept["sample_id"].to_pylist()],
        [r for output in outputs for r in output.rejected],
    )


def row(name: str, phash: int, **columns: Any) -> dict[str, Any]:
    return described_row(name, phash=phash, **columns)


def test_the_first_of_equal_bytes_stays() -> None:
    rows = [row("a", FAR[0], sha256="x"), row("b", FAR[1]), row("c", FAR[2], sha256="x")]
    kept, rejected = chosen(rows)
    assert kept == ["a", "b"]
    assert [(r.sample_id, r.reason, r.detail) for r in rejected] == [
        ("c", Reason.DUPLICATE_EXACT, "the same bytes as a")
    ]


def test_the_same_id_twice_is_an_exact_duplicate() -> None:
    kept, rejected = chosen([row("a", FAR[0]), row("a", FAR[0])], distance=-1)
    assert kept == ["a"]
    assert [(r.sample_id, r.reason) for r in rejected] == [("a", Reason.DUPLICATE_EXACT)]


def test_a_near_duplicate_names_the_earliest_kept_and_the_distance() -> None:
    rows = [row("a", FAR[0]), row("b", FAR[0] ^ 0b111), row("c", FAR[0] ^ 0b111111000000)]
    kept, rejected = chosen(rows)
    assert kept == ["a"]
    assert [(r.sample_id, r.reason, r.detail, r.score) for r in rejected] == [
        ("b", Reason.DUPLICATE_NEAR, "looks like a", 3),
        ("c", Reason.DUPLICATE_NEAR, "looks like a", 6),
    ]
    assert rejected[0].source_uri == "made://b"


def test_a_row_that_only_looks_like_one_left_out_stays() -> None:
    rows = [row("a", FAR[0]), row("b", FAR[0] ^ 0b11111), row("c", FAR[0] ^ 0b1111111111)]
    assert chosen(rows, distance=5)[0] == ["a", "c"]


def test_near_duplicates_can_be_left_alone() -> None:
    assert chosen([row("a", 7), row("b", 7)], distance=-1)[0] == ["a", "b"]
    assert chosen([row("a", 7), row("b", 7)], distance=0)[0] == ["a"]


def test_quotas_count_what_is_kept_by_category() -> None:
    categories = ["lifestyle", "sports", "lifestyle", "lifestyle", "sports", "fashion"]
    rows = [row(f"r{i}", FAR[i], category=c) for i, c in enumerate(categories)]
    rows.insert(1, row("again", FAR[0], category="lifestyle"))
    kept, rejected = chosen(rows, {"lifestyle": 2, "sports": 1})
    assert kept == ["r0", "r1", "r2", "r5"]
    assert [(r.sample_id, r.reason) for r in rejected] == [
        ("again", Reason.DUPLICATE_NEAR),
        ("r3", Reason.OVER_LIMIT),
        ("r4", Reason.OVER_LIMIT),
    ]


def test_any_counts_all_categories_together() -> None:
    rows = [row(f"r{i}", FAR[i], category=["lifestyle", "sports"][i % 2]) for i in range(6)]
    kept, rejected = chosen(rows, {"any": 3})
    assert kept == ["r0", "r1", "r2"]
    assert {r.reason for r in rejected} == {Reason.OVER_LIMIT}
    assert chosen(rows, {"any": 0})[0] == []


def test_batches_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    rows = [
        row(f"r{i}", FAR[int(rng.integers(40))] ^ (1 << int(rng.integers(60))), category=["fashion", "sports"][i % 2])
        for i in range(300)
    ]
    quotas = {"fashion": 12, "sports": 9}
    assert chosen(rows, quotas, size=1) == chosen(rows, quotas, size=7) == chosen(rows, quotas, size=1000)


def test_the_greedy_rule_by_its_definition() -> None:
    rng = np.random.default_rng(6)
    hashes = [FAR[int(rng.integers(5))] ^ int(rng.integers(0, 2**10)) for _ in range(200)]
    expected: list[int] = []
    for i, value in enumerate(hashes):
        if all((value ^ hashes[j]).bit_count() > 4 for j in expected):
            expected.append(i)
    kept, _ = chosen([row(f"r{i}", h) for i, h in enumerate(hashes)], distance=4)
    assert kept == [f"r{i}" for i in expected]


def test_nothing_in_nothing_out() -> None:
    assert chosen([]) == ([], [])
    assert chosen([], size=1) == ([], [])


def test_a_distance_out_of_range_is_refused() -> None:
    with pytest.raises(ValidationError):
        SelectConfig(near_duplicate_distance=16)


def test_stages_fan_in_and_account_for_every_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = [row("a", FAR[0]), row("b", FAR[1])]
    second = [row("a", FAR[0]), row("c", FAR[1] ^ 1), row("d", FAR[3])]
    shards = tuple(Derivation(given("described", TEMPLATE_SCHEMA, rows)) for rows in (first, second))
    selected = Derivation(Select(SelectConfig(quotas={"any": 10})), shards)
    record = realise(selected, store).record
    assert (record.rows_in, record.rows_kept) == (5, 3)
    assert record.rejected == {"duplicate_exact": 1, "duplicate_near": 1}

    other = Derivation(
        given("described", TEMPLATE_SCHEMA, [row("x/1", FAR[5]), row("x/2", FAR[6], sha256="b#".ljust(64, "0"))])
    )
    combined = realise(Derivation(Combine(CombineConfig()), (selected, other)), store).record
    assert combined.rejected == {"duplicate_exact": 1}
    ids = [i for batch in read_batches(store.data_path(combined), 10) for i in batch["sample_id"].to_pylist()]
    assert ids == ["a", "b", "d", "x/1"]
