"""What is found from the sources down is what a look into every file finds."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.lineage import family, find
from tasks.lineage.descend import descend
from tasks.lineage.explain import explain
from tasks.lineage.find import SampleNotFoundError
from tasks.lineage.scan import equals, scan
from tasks.lineage.story import Answer
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tests.lineage.told_store import told_store
from tests.shards.sample_stages import build


def queries(store: Store, count: int) -> list[str]:
    """Random ids, beginnings and names of them, and addresses, of rows and of rejects."""
    draw = np.random.default_rng(0)
    paths = [path for each in store.records() for path in (store.data_path(each), store.rejects_path(each)) if path]
    rows = [row for path in paths for row in pq.read_table(path, columns=["sample_id", "source_uri"]).to_pylist()]
    found: dict[str, None] = {}
    for at in draw.choice(len(rows), min(count, len(rows)), replace=False):
        sample_id, uri = rows[at]["sample_id"], rows[at]["source_uri"]
        beginning = sample_id[: draw.integers(1, len(sample_id) + 1)]
        found |= dict.fromkeys((sample_id, beginning, f"{sample_id}/x", sample_id.replace("/", "_"), uri))
    return list(found)


def answer(store: Store, query: str) -> Answer | str:
    try:
        return explain(store, query)
    except SampleNotFoundError as error:
        return str(error)


def differing(store: Store, asked: list[str]) -> list[str]:
    """Queries that a look into every file answers otherwise."""
    found = [answer(store, query) for query in asked]
    with pytest.MonkeyPatch.context() as patch:
        for module in (find, family):
            patch.setattr(module, "descend", scan)
        every = [answer(store, query) for query in asked]
    return [query for query, a, b in zip(asked, found, every, strict=True) if a != b]


@pytest.mark.slow
def test_all_flows() -> None:
    assert differing(told_store(), queries(told_store(), 10)) == []


def test_children_and_fan_in(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(parts=2, rows=12), store)
    asked = queries(store, 6)
    assert differing(store, asked) == []
    for record in store.records():
        if record.stage == "brightness":
            store.erase(record)
        if record.stage == "keep_small":
            store.drop(record.stage, record.key)
    assert differing(store, asked) == []


def test_few_files_are_looked_into(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(parts=8, rows=4), store)
    look = equals("sample_id", "s3-000001")
    (damaged,) = (each for each in store.records() if each.stage == "make" and each.params["part"] == 5)
    store.data_path(damaged).write_bytes(b"")
    looked = list(descend(store, store.records(), look))
    assert [each.record.params.get("part") for each in looked if each.problem] == [5]
    assert {each.record.stage for each in looked if each.rows} == {"make", "keep_small", "brightness"}
