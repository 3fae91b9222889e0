"""Every photo once; what belongs together is in one fold."""

import json
from collections import defaultdict
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.fashion.groups import ALWAYS_JOINED, GroupConfig, GroupLooks, grouped
from tasks.fashion.near_duplicates import joined, nearest_edges
from tasks.schema.fashion import LABELLED_SCHEMA
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.stage import StageOutput
from tasks.shards.store import Store
from tests.poses.sample_shards import given


def digest(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def photo(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "sample_id": f"s{number}",
        "source_uri": "",
        "licence": "",
        "source": "street",
        "original_dataset": "modanet",
        "image_path": f"{number}.jpg",
        "width": 1,
        "height": 1,
        "sha256": digest(number),
        "phash": int(np.random.default_rng(number).integers(0, 2**64, dtype=np.uint64)),
    } | columns


def made(photos: list[dict[str, Any]], **config: Any) -> tuple[dict[str, str], StageOutput]:
    """The group of each photo, and all that came out."""
    rows = [{name: row.get(name) for name in LABELLED_SCHEMA.names} for row in photos]
    output = grouped(pa.Table.from_pylist(rows, schema=LABELLED_SCHEMA), GroupConfig(**config))
    kept = output.kept.to_pylist()
    folds = defaultdict(set)
    for row in kept:
        folds[row["group_id"]].add(row["fold"])
    assert all(len(fold) == 1 for fold in folds.values())
    return {row["sample_id"]: row["group_id"] for row in kept}, output


def test_bytes_that_came_before_are_rejected_and_named(tmp_path: Any) -> None:
    runway = [photo(0, source="runway", original_dataset="shows"), photo(1, source="runway")]
    street = [photo(2, sha256=digest(0)), photo(3), photo(4, sha256=digest(3))]
    shards = tuple(Derivation(given(name, LABELLED_SCHEMA, rows)) for name, rows in (("r", runway), ("s", street)))
    record = realise(Derivation(GroupLooks(GroupConfig()), shards), Store(tmp_path)).record
    assert record.rejected == {"duplicate_exact": 2}
    assert record.rows_kept == 3
    assert record.facts["in_both_sources"] == 1
    _, output = made([*runway, *street])
    first = output.rejected[0]
    assert (first.sample_id, first.reason) == ("s2", Reason.DUPLICATE_EXACT)
    assert first.detail == "Its bytes are those of 0.jpg in shows (runway)."
    assert json.loads(first.evidence or "")["same_as"] == "s0"


def test_near_duplicates_and_authors_of_one_dataset_are_one_group() -> None:
    photos = [
        photo(0, author="ann", phash=0),
        photo(1, author="ann "),
        photo(2, phash=0b111, source="runway"),
        photo(3, author="ann", original_dataset="other"),
        photo(4, author=" "),
        photo(5, author=" "),
    ]
    groups, _ = made(photos)
    assert groups["s0"] == groups["s1"] == groups["s2"] == f"g{min(map(digest, range(3)))[:16]}"
    assert len(set(groups.values())) == 4
    groups, _ = made(photos, by_author=False, near_duplicate_bits=2)
    assert len(set(groups.values())) == 6


def test_groups_are_those_of_all_pairs() -> None:
    draw = np.random.default_rng(0)
    base = draw.integers(0, 2**64, 60, dtype=np.uint64)
    flips = np.array([sum(1 << int(b) for b in draw.choice(64, n % 8, replace=False)) for n in range(600)], np.uint64)
    hashes = np.unique(np.tile(base, 10) ^ flips)
    edges = nearest_edges(hashes, 7)
    for bits in (3, 7):
        near = np.bitwise_count(hashes[:, None] ^ hashes) <= bits
        expected = joined(len(hashes), np.stack([*np.nonzero(near), np.nonzero(near)[0]]))
        found = joined(len(hashes), edges[:, edges[2] <= bits])
        assert len(set(zip(expected.tolist(), found.tolist(), strict=True))) == len(set(found)) == len(set(expected))


def test_ids_do_not_depend_on_the_order_and_stay_when_photos_are_added() -> None:
    photos = [photo(n, author=f"a{n // 2}") for n in range(1, 41)]
    groups, _ = made(photos)
    assert made(photos[::-1])[0] == groups
    more, _ = made([*photos, *(photo(n, author=f"a{n}") for n in range(100, 120))])
    assert more.items() >= groups.items()


def test_the_folds_have_their_shares() -> None:
    _, output = made([photo(n) for n in range(4000)], near_duplicate_bits=-1, test_share=0.3)
    assert output.facts["folds"]["test"] / 4000 == pytest.approx(0.3, abs=0.03)  # type: ignore[index, call-overload]


def test_an_author_of_a_large_share_is_nobody() -> None:
    crowd = [photo(n, author="unknown") for n in range(ALWAYS_JOINED + 1)]
    few = [photo(100 + n, author=f"a{n // 2}") for n in range(20)]
    groups, output = made([*crowd, *few])
    assert output.facts["authors_ignored"] == ["unknown (modanet)"]
    assert output.facts["largest_group"] == 2
    assert groups["s100"] == groups["s101"]
    assert len(set(groups.values())) == len(crowd) + 10


def test_chains_of_near_duplicates_are_divided_where_they_are_weakest() -> None:
    """Steps of two bits and of one take turns; the blank ones are one hash."""
    chain = [photo(n, phash=(1 << (3 * n + 1) // 2) - 1) for n in range(30)]
    blank = [photo(100 + n, phash=0xFFFF << 48) for n in range(30)]
    groups, output = made([*chain, *blank], near_duplicate_bits=3)
    assert output.facts["near_duplicates_divided"] == 60
    assert output.facts["largest_group"] == 2
    assert groups["s0"] != groups["s1"] == groups["s2"] != groups["s3"]
    assert len({groups[f"s{100 + n}"] for n in range(30)}) == 30


def test_authors_who_chain_near_duplicates_to_a_crowd_do_not_count_there() -> None:
    """Each author has a near-duplicate of the next one's photo; another one is beside them."""
    links = [photo(n, phash=(n + 1) // 2 * 0x9E3779B97F4A7C15 % 2**64, author=f"a{n // 2}") for n in range(60)]
    apart = [photo(100, author="z"), photo(101, author="z")]
    groups, output = made([*links, *apart])
    assert output.facts["chains_of_authors_divided"] == 60
    assert groups["s1"] == groups["s2"] != groups["s3"]
    assert groups["s100"] == groups["s101"]


def test_no_photos() -> None:
    _, output = made([])
    assert output.facts["groups"] == 0
