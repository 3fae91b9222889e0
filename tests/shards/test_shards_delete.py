"""One stage's output goes, after a look at what would go; the next run makes it again, and nothing else."""

from pathlib import Path

import pytest

from tasks.schema.errors import StoreError
from tasks.shards.delete import delete_outputs, outputs_of
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.shards.sample_stages import build


def test_a_look_changes_nothing_and_says_what_depends_on_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(), store)
    found = outputs_of(store, "brightness")
    assert (len(found.records), found.made_of_them) == (2, {"halves": 2})
    assert found.bytes > 0
    assert realise(build(), store).cached


def test_only_the_deleted_stage_runs_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole = realise(build(), store)
    delete_outputs(store, outputs_of(store, "brightness"))
    assert not list((store.root / "shards" / "brightness").iterdir())
    again = realise(build(), store)
    assert set(again.ran) == {"brightness"}
    assert again.record == whole.record
    assert verify_store(store).ok


def test_a_stage_that_never_ran_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    realise(build(), store)
    with pytest.raises(StoreError, match="halves"):
        outputs_of(store, "nothing")
