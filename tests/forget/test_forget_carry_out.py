"""A sample is taken out of shards and builds, does not come back, and nothing else is made again."""

import json
import shutil
from pathlib import Path

import pytest

from tasks.exports.verify_export import verify
from tasks.forget.carry_out import carry_out, finish_unfinished, receipts
from tasks.forget.doomed import Erased
from tasks.forget.outside_search import search_for
from tasks.forget.plan import plan_forget
from tasks.lineage.explain import explain
from tasks.lineage.find import SampleNotFoundError
from tasks.schema.rejections import Reason
from tasks.shards.files import LocalFiles
from tasks.shards.manifest import read_manifest
from tasks.shards.store import Store
from tasks.shards.tombstones import read_salt
from tasks.shards.verify import verify_store
from tests.forget.forget_builds import ALONE, GOES, build, killed_and_finished, lasting, outside, points, show
from tests.forget.left_behind import traces
from tests.patches.patch_trees import contents

STAYS = "mannequins/seed0-000002"
ADDRESS = "mannequin://seed0/1"

MIDDLE = 190
"""Of 247 write points: those of shards and builds are behind it."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a build, and the salt that every copy of it has."""
    store = Store(tmp_path_factory.mktemp("finished"))
    build(store)
    show(store)
    read_salt(store)
    return store.root


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(finished, tmp_path / "store")))


@pytest.fixture(scope="module")
def forgotten(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store after one sample was forgotten."""
    store = Store(Path(shutil.copytree(finished, tmp_path_factory.mktemp("calm") / "store")))
    carry_out(store, plan_forget(store, [GOES]), outside(store))
    return store.root


def test_a_plan_changes_nothing_and_says_what_goes(store: Store) -> None:
    before = contents(store.root)
    said = "\n".join(plan_forget(store, [GOES]).text())
    assert contents(store.root) == before
    assert GOES in said
    assert "preview" in said
    assert "pose_templates" in said
    assert STAYS not in said


def test_nothing_of_it_is_found_afterwards(finished: Path, forgotten: Path) -> None:
    sought = traces(Store(finished), [GOES])
    assert len(sought.needles["picture"]) == 4 + 1  # photo, drawing, overlay, skeleton, thumbnail
    here = [finished / "shards" / stage for stage in ("ingest_mannequins", "inspect")]
    kinds = {each.partition(":")[0] for each in sought.found(here)}
    assert kinds == {"name", "address", "digest", "picture", "looks like it"}
    assert sought.found([forgotten]) == []
    assert verify_store(Store(forgotten)).ok
    assert not list(forgotten.glob("forgotten/unfinished*"))


def test_the_receipt_counts_and_names_nobody(forgotten: Path) -> None:
    (receipt,) = receipts(Store(forgotten))
    assert receipt.samples == 1
    changed = {each.place: each.things for each in receipt.taken if each.things}
    assert changed == {"shards": 7, "builds": 1, "exports": 5, "reports": 1, "previews": 3, "ledgers": 1}
    assert not receipt.outstanding
    assert receipt.taken[0].stages["ingest_mannequins"] == 1
    assert receipt.rows == sum(receipt.taken[0].stages.values())
    assert len(receipt.taken[0].removed) >= 7
    assert len(receipt.taken[1].removed) == 1


def test_exports_name_the_build_as_it_is_now(finished: Path, forgotten: Path) -> None:
    before, now = (read_manifest(Store(each), "pose_templates").digest for each in (finished, forgotten))
    folder = forgotten / "exports" / "pose_templates_parquet"
    assert json.loads((folder / "contents.json").read_bytes())["made_by"]["manifest"] == now
    assert now in (folder / "README.md").read_text()
    assert not search_for([forgotten / "exports"], [before.encode()])
    for each in (folder, folder.with_name("pose_templates")):
        assert verify(each).faults == []


def test_the_next_run_makes_again_what_was_made_of_all_rows_only(forgotten: Path, tmp_path: Path) -> None:
    store = Store(Path(shutil.copytree(forgotten, tmp_path / "store")))
    before = read_manifest(store, "pose_templates")
    assert build(store) == {"select", "combine"}
    after = read_manifest(store, "pose_templates")
    assert {s.data for s in before.shards if s.stage in ALONE} == {s.data for s in after.shards if s.stage in ALONE}
    assert after.funnel.line("ingest_mannequins").rejected == {Reason.FORGOTTEN: 1}
    assert after.funnel.line("ingest_mannequins").rows_in == 4


@pytest.mark.slow
def test_a_store_that_begins_with_the_tombstone_has_the_same_shards(forgotten: Path, tmp_path: Path) -> None:
    shutil.copytree(forgotten / "forgotten", tmp_path / "fresh" / "forgotten")
    build(Store(tmp_path / "fresh"))
    made = {name: data for name, data in contents(tmp_path / "fresh").items() if name.split("/")[1] in ALONE}
    kept = {name: data for name, data in contents(forgotten).items() if name.split("/")[1] in ALONE}
    assert made == kept
    assert len(made) > 10


def test_the_old_build_still_reads(forgotten: Path) -> None:
    store = Store(forgotten)
    manifest = read_manifest(store, "pose_templates")
    for shard in manifest.shards:
        assert not store.damaged(store.read_record(shard.stage, shard.key))  # type: ignore[arg-type]
    assert len(list(store.root.glob("builds/pose_templates/*.json"))) == 2
    assert explain(store, STAYS)
    with pytest.raises(SampleNotFoundError):
        plan_forget(store, [GOES])


def test_forgetting_again_changes_nothing(forgotten: Path, tmp_path: Path) -> None:
    store = Store(Path(shutil.copytree(forgotten, tmp_path / "store")))
    before = {name: data for name, data in contents(store.root).items() if "/receipts/" not in name}
    receipt = carry_out(store, plan_forget(store, [ADDRESS]), lambda *_: ())
    assert (receipt.number, receipt.samples, receipt.rows) == (2, 0, 0)
    assert {name: data for name, data in contents(store.root).items() if "/receipts/" not in name} == before


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", [pytest.param(8, marks=pytest.mark.slow), 0])
def test_killed_at_a_write_point_the_next_call_finishes(
    finished: Path, forgotten: Path, tmp_path: Path, step: int
) -> None:
    """At every eighth, or at one in the middle of the work on the exports; `kill_every_point` meets them all."""
    expected = lasting(forgotten)
    for at in range(0, points(finished, tmp_path), step) if step else (MIDDLE,):
        for when in ("before", "after") if step else ("after",):
            found = killed_and_finished(finished, tmp_path, at, when)
            wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
            assert not wrong, (at, when, wrong[:3])


@pytest.mark.slow
def test_what_is_killed_outside_is_finished_too(store: Store, forgotten: Path) -> None:
    def fails(*_: object) -> tuple[Erased, ...]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(Store(store.root, LocalFiles()), plan_forget(store, [GOES]), fails)
    assert list(store.root.glob("forgotten/unfinished/*/asked.json"))
    assert finish_unfinished(store, outside(store)) is not None
    assert contents(store.root) == contents(forgotten)
