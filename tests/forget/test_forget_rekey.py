"""Rewritten outputs are those that a run with the tombstones gives: rows, rejects, counts and keys."""

import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.forget.carry_out import carry_out
from tasks.forget.kin import Kin
from tasks.forget.plan import Plan, plan_forget
from tasks.forget.rekey import from_the_sources_on
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.lineage.remake_rules import RULES, Rule, Way
from tasks.schema.records import DataFile, InputRef, ShardRecord
from tasks.schema.rejections import Reason
from tasks.shards.derive import Derivation, Made, realise
from tasks.shards.manifest import build_manifest, publish_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.identity.clean_cases import embeddings, person
from tests.patches.patch_trees import contents
from tests.shards.sample_stages import build

ROWS = {"make": Way.SOURCE, "keep_small": Way.ROW, "brightness": Way.ROW, "halves": Way.ROW}


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, way in ROWS.items():
        monkeypatch.setitem(RULES, stage, Rule(way))  # type: ignore[arg-type]


def forget(store: Store, *roots: str) -> None:
    """Forget samples and what is below them, and nothing above."""
    carry_out(store, Plan(roots, Kin(set(roots)), ()), lambda *_: ())


def of_rows(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(root).items() if name.split("/")[1] in ROWS}


GOES = (
    "s0-000002",  # a row of the source
    "s1-000002/p0",  # a child that has a sister
    "s0-000005/p0",  # an only child: its parent goes with it
    "s0-000003",  # a row that its stage rejects with all of its children
    "s1-000015",  # a row that only the side input still holds
)


def test_every_output_comes_after_all_that_it_was_made_of() -> None:
    """Also one that is named by several, nearer and further ones."""

    def record(key: str, inputs: str = "", sides: str = "") -> ShardRecord:
        refs = {n: tuple(InputRef(stage="s", key=each, digest=each) for each in each_of)
                for n, each_of in (("inputs", inputs), ("sides", sides))}  # fmt: skip
        data = DataFile(name="shard.parquet", digest=key, size=1, rows=0)
        return ShardRecord.model_construct(stage="s", key=key, data=data, params={}, **refs)

    audit = [record("a", "m", "cxpr"), record("m", "r", "c"), record("c"), record("x", "c"), record("p", "x", "c"),
             record("r", "p", "x")]  # fmt: skip
    for given in permutations(audit):
        found = [each.key for each in from_the_sources_on(given)]
        assert len(found) == 6
        for each in audit:
            assert all(found.index(ref.key) < found.index(each.key) for ref in (*each.inputs, *each.sides))


def test_what_is_left_is_what_a_run_with_the_tombstones_gives(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    realise(build(rows=24), store)
    forget(store, *GOES)
    assert verify_store(store).ok
    shutil.copytree(store.root / "forgotten", tmp_path / "fresh" / "forgotten")
    realise(build(rows=24), Store(tmp_path / "fresh"))
    assert of_rows(tmp_path / "fresh") == of_rows(store.root)
    assert set(realise(build(rows=24), store).ran) == {"gather"}


@pytest.mark.slow
def test_a_parent_without_children_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    realise(build(rows=24), store)
    forget(store, "s0-000005/p0")
    (halves,) = [each for each in store.records() if each.stage == "halves" and Reason.FORGOTTEN in each.rejected]
    assert halves.rejected[Reason.FORGOTTEN] == 1
    assert halves.children_rejected[Reason.FORGOTTEN] == 1
    path = store.rejects_path(halves)
    assert path is not None
    told = [row for row in pq.read_table(path).to_pylist() if row["reason"] == Reason.FORGOTTEN]
    assert all(row["sample_id"].startswith("forgotten-") and not row["source_uri"] for row in told)


@pytest.mark.slow
def test_outputs_that_become_equal_become_one(tmp_path: Path) -> None:
    """The same rows with and without one, as a list before and after somebody took an address out of it."""
    store = Store(tmp_path / "store")
    longer, shorter = (realise(build(rows=rows), store).record for rows in (24, 23))
    publish_manifest(store, build_manifest(store, "flow", {}, {"rows": [longer]}))
    forget(store, "s0-000023", "s1-000023")
    found = [each for each in store.records() if each.stage in ROWS and each.stage != "make"]
    assert len(found) == 6
    assert verify_store(store).ok
    assert set(realise(build(rows=23), store).ran) == set()
    assert shorter.data.rows == 25


@pytest.mark.slow
def test_neighbours_are_counted_anew_and_not_gone_on_from_where_some_are_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    crowd = [*person("a", 6, 0), *person("b", 6, 5)]
    stage = FindNeighbours(NeighboursConfig(k=4), device="cpu")
    faces = embeddings(crowd)
    before = pq.read_table(store.data_path(realise(Derivation(stage, (faces,)), store).record)).to_pylist()
    goes = before[2]["sample_id"]
    forget(store, goes)
    (record,) = [each for each in store.records() if each.stage == "neighbours"]
    after = pq.read_table(store.data_path(record)).to_pylist()
    ids = [row["sample_id"] for row in before]
    for row in after:
        old = before[ids.index(row["sample_id"])]
        left = [(ids[at], cosine) for at, cosine in zip(old["neighbours"], old["cosines"], strict=True) if at != 2]
        new = [(after[at]["sample_id"], cosine) for at, cosine in zip(row["neighbours"], row["cosines"], strict=True)
               if at >= 0]  # fmt: skip
        assert new == left
        assert all(cosine == -2 for at, cosine in zip(row["neighbours"], row["cosines"], strict=True) if at < 0)
    again = FindNeighbours(NeighboursConfig(k=4, extends=True), device="cpu")
    extended = realise(Derivation(again, (faces,), whole=(Made(record.ref),)), store).record
    anew = realise(Derivation(stage, (faces,)), store).record
    assert extended.facts["extended"] == 0
    assert extended.data == anew.data
    lists = pq.read_table(store.data_path(anew))["neighbours"].combine_chunks().flatten().to_numpy()
    assert np.all(lists >= 0)


@pytest.mark.slow
def test_two_requests_one_after_the_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    realise(build(rows=24), store)
    for goes in ("s0-000002", "s1-000004"):
        carry_out(store, plan_forget(store, [goes]), lambda *_: ())
        assert verify_store(store).ok
    assert set(realise(build(rows=24), store).ran) == {"gather"}
