"""The stage that divides the finished dataset."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.identity.members import Members, MembersConfig
from tasks.identity.split import SplitConfig, split_of
from tasks.identity.subsets import SubsetConfig
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.identity.clean_cases import Face, axis, identities, people, read

SMALL = SubsetConfig(covered_images=(0, 99), testing_images=(1, 99), pool_share=1.0)
HALVES = MembersConfig(split=SplitConfig(test=0.4, validation=0.2), subsets=SMALL)
BAREFACED = (0.1,) + (1.0,) * 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def faces(count: int, each: int = 3, first: int = 0) -> list[Face]:
    return [
        Face(f"f{i:03d}-{j}", f"id{i:03d}", axis(0), confidence=BAREFACED)
        for i in range(first, first + count)
        for j in range(each)
    ]


def divide(
    rows: list[Face], store: Store, config: MembersConfig = HALVES, former: Derivation | None = None
) -> tuple[Derivation, dict[str, dict[str, Any]], dict[str, dict[str, Any]], dict[str, Any]]:
    whole = (people(rows),) if former is None else (former, people(rows))
    made = Derivation(Members(config), (identities(rows),), whole=whole)
    record = realise(made, store).record
    rejects = store.rejects_path(record)
    kept = read(pq.read_table(store.data_path(record)))
    return made, kept, read(pq.read_table(rejects)) if rejects else {}, dict(record.facts)


def test_everybody_gets_a_group_a_split_and_subsets(store: Store) -> None:
    rows = faces(60)
    _, kept, gone, facts = divide(rows, store)
    assert list(kept) == [face.name for face in rows]
    assert not gone
    assert facts["overlaps"] == []
    assert facts["groups"] == 60
    for row in kept.values():
        assert row["split"] == split_of(row["group_id"], HALVES.split)
        assert not set(row["subsets"]) - {"wb4m", "wb12m", "wb_testing"}
        assert ("wb_testing" in row["subsets"]) == (row["split"] == "test")
        assert not (set(row["subsets"]) & {"wb4m", "wb12m"} and row["split"] != "train")
    assert facts["faces_by_split"] == dict(sorted(Counter(row["split"] for row in kept.values()).items()))


def test_what_must_not_be_divided_is_one_group(store: Store) -> None:
    rows = faces(8)
    rows[0], rows[3] = replace(rows[0], photo="both"), replace(rows[3], photo="both")
    rows[6], rows[9] = replace(rows[6], photo_bytes="same"), replace(rows[9], photo_bytes="same")
    rows[12], rows[15] = replace(rows[12], phash=0), replace(rows[15], phash=0b11)
    _, kept, _, facts = divide(rows, store)
    group = {row["identity"]: row["group_id"] for row in kept.values()}
    assert group["id000"] == group["id001"]
    assert group["id002"] == group["id003"]
    assert group["id004"] == group["id005"]
    assert facts["groups"] == len(set(group.values())) == 5


def test_a_photo_is_in_one_split_where_groups_cannot_grow(store: Store) -> None:
    config = HALVES.model_copy(update={"split": SplitConfig(test=0.4, validation=0.2, max_group_identities=1)})
    rows = [replace(face, photo=f"shared{i % 5}") if i % 3 == 0 else face for i, face in enumerate(faces(40))]
    _, kept, gone, facts = divide(rows, store, config)
    assert facts["overlaps"] == []
    assert gone
    assert len(kept) + len(gone) == len(rows)
    for row in gone.values():
        assert row["reason"] in (Reason.DUPLICATE_EXACT.value, Reason.TOO_FEW_IMAGES.value)
        assert json.loads(row["evidence"])["split"] != "test"
    where = {}
    for name, row in kept.items():
        assert where.setdefault(row["photo_id"], row["split"]) == row["split"], name


def test_who_loses_too_many_photos_goes(store: Store) -> None:
    config = MembersConfig(split=SplitConfig(test=0.5, validation=0.0, max_group_identities=1), subsets=SMALL)
    rows = [replace(face, photo=f"shared-{face.name[-1]}") for face in faces(12, each=2)]
    _, kept, gone, facts = divide(rows, store, config)
    assert {row["split"] for row in kept.values()} == {"test"}
    assert len(kept) + len(gone) == 24
    assert facts["overlaps"] == []


def test_nobody_moves_when_the_set_grows(store: Store) -> None:
    first, before, _, _ = divide(faces(50), store)
    grown = faces(60)
    for i in range(0, 120, 12):
        grown[i] = replace(grown[i], photo=f"crowd{i // 24}")
    _, after, _, _ = divide(grown, store, former=first)
    order = ("train", "validation", "test")
    moved = Counter((before[name]["split"], after[name]["split"]) for name in before.keys() & after.keys())
    assert all(order.index(b) >= order.index(a) for a, b in moved)
    kept = sum(after[name]["group_id"] == before[name]["group_id"] for name in before.keys() & after.keys())
    assert kept > 0.7 * len(before)


def test_order_does_not_decide(store: Store) -> None:
    rows = faces(30)
    _, first, _, facts = divide(rows, store)
    _, second, _, again = divide([rows[i] for i in np.random.default_rng(0).permutation(len(rows))], store)
    assert first == second
    assert facts == again


def test_people_are_needed(store: Store) -> None:
    with pytest.raises(LookupError, match="people of 3 of 3"):
        realise(Derivation(Members(HALVES), (identities(faces(1)),)), store)


def test_nobody_in_nobody_out(store: Store) -> None:
    _, kept, gone, _ = divide([], store)
    assert not kept
    assert not gone


def test_the_config_survives_json() -> None:
    assert MembersConfig.model_validate_json(HALVES.model_dump_json()) == HALVES
