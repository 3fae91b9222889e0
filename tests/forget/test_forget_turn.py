"""One forget at a time, no work beside it, and places that come back later."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.forget.carry_out import carry_out, finish_unfinished, receipts
from tasks.forget.doomed import Erased
from tasks.forget.journal import turn
from tasks.forget.kin import Kin
from tasks.forget.plan import Plan
from tasks.machine.places import PlaceNames
from tasks.schema.errors import StoreError
from tasks.shards.derive import Derivation, realise
from tasks.shards.manifest import build_manifest, publish_manifest
from tasks.shards.stage import StageOutput
from tasks.shards.store import Store
from tasks.shards.tombstones import add_tombstones, demand_nothing_under_way
from tests.shards.sample_stages import Make, MakeConfig, build

PLAN = Plan(("s0-000002",), Kin({"s0-000002"}), ())


def reached(*_: object) -> tuple[Erased, ...]:
    return (Erased("database", 1, 1),)


def out_of_reach(*_: object) -> tuple[Erased, ...]:
    return Erased("exports", 2, 2), Erased("database", 0, 0, problems=("It is down.",), again=True)


def test_one_at_a_time_and_no_work_beside_it(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def looks(*_: object) -> tuple[Erased, ...]:
        for refused in (lambda: carry_out(store, PLAN, reached), lambda: finish_unfinished(store, reached)):
            with pytest.raises(StoreError, match="wait until that has ended"):
                refused()
        with pytest.raises(StoreError, match="mannequin forget"):
            demand_nothing_under_way(store)
        return ()

    carry_out(store, PLAN, looks)
    demand_nothing_under_way(store)
    with turn(store):
        pass


@pytest.mark.slow
def test_tasks_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> None:
    from tasks.machine.task import machine, machine_of

    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    assert machine(PlaceNames()).store == Store(tmp_path)
    (tmp_path / "forgotten" / "unfinished" / "000001").mkdir(parents=True)
    assert machine_of(PlaceNames()).store == Store(tmp_path)
    with pytest.raises(StoreError, match="mannequin forget"):
        machine(PlaceNames())


def test_a_call_that_put_nothing_down_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "forgotten" / "unfinished" / "000001").mkdir(parents=True)
    with pytest.raises(StoreError, match="interrupted"):
        demand_nothing_under_way(Store(tmp_path))
    assert finish_unfinished(Store(tmp_path), reached) is None
    demand_nothing_under_way(Store(tmp_path))


def test_what_could_not_be_reached_is_tried_by_every_later_call(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = carry_out(store, PLAN, out_of_reach)
    demand_nothing_under_way(store)
    assert first.outstanding
    assert "naming nothing" in "\n".join(first.text())
    assert len(list(tmp_path.glob("forgotten/outstanding/*/asked.json"))) == 1
    again = carry_out(store, PLAN, out_of_reach)
    assert (again.number, [each.outstanding for each in receipts(store)]) == (2, [True, True])
    last = finish_unfinished(store, reached)
    assert last is not None
    done, _ = receipts(store)
    assert not done.outstanding
    assert {each.place: (each.things, each.problems) for each in done.taken if each.rows} == {
        "exports": (4, ()),
        "database": (1, ()),
    }
    assert not (tmp_path / "forgotten" / "outstanding").exists()
    assert finish_unfinished(store, reached) is None


@dataclass(frozen=True)
class MakeMeanwhile(Make):
    """A source beside which something is forgotten."""

    store: Store = field(default_factory=lambda: Store(Path("/")))

    def process(self, batches: Iterator[object]) -> Iterator[StageOutput]:  # type: ignore[override]
        yield from super().process(batches)  # type: ignore[arg-type]
        add_tombstones(self.store, ["s0-000002"], (), ())


def test_what_runs_meanwhile_does_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = MakeMeanwhile(MakeConfig(rows=4), store=store)
    with pytest.raises(StoreError, match="was forgotten while make ran"):
        realise(Derivation(stage), store)
    assert not list(tmp_path.glob("shards/*/*/*"))
    assert realise(Derivation(stage), store).record.rejected == {"forgotten": 1}


def test_the_manifest_that_a_request_changes_is_told_to_all_places(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = build_manifest(store, "flow", {}, {"rows": [realise(build(rows=8), store).record]})
    publish_manifest(store, manifest)
    told: list[dict[str, str]] = []

    def fails(_: object, builds: dict[str, str]) -> tuple[Erased, ...]:
        told.append(dict(builds))
        if len(told) < 2:
            raise KeyboardInterrupt
        return ()

    with pytest.raises(KeyboardInterrupt):
        carry_out(store, PLAN, fails)  # type: ignore[arg-type]
    assert finish_unfinished(store, fails) is not None  # type: ignore[arg-type]
    assert told[0] == told[1]
    assert set(told[0]) == {manifest.digest}
