"""What a build is, in equal bytes everywhere."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.reports.build_facts import BuildFacts
from tasks.schema.errors import ConfigError, StoreError
from tasks.schema.records import ShardRecord
from tasks.shards.accounting import AccountingError
from tasks.shards.code_version import code_version
from tasks.shards.derive import Derivation, realise
from tasks.shards.funnel import FunnelLine, unaccounted
from tasks.shards.manifest import (
    BuildModel,
    Manifest,
    build_manifest,
    manifest_damage,
    publish_manifest,
    read_manifest,
    rejects,
)
from tasks.shards.store import Store
from tests.shards.faulty_files import CountingFiles, ForgetfulFiles, KilledFiles, PowerLossError, UnsyncedFiles
from tests.shards.sample_stages import KeepSmall, LimitConfig, Make, MakeConfig, build

TOP = Path(__file__).parents[2]


def made(root: Path, parts: int = 2) -> tuple[Store, ShardRecord, Manifest]:
    store = Store(root)
    final = realise(build(parts), store).record
    return store, final, build_manifest(store, "sample", {"parts": parts}, {"rows": [final]})


def test_funnel_counts_every_record_once(tmp_path: Path) -> None:
    _, final, manifest = made(tmp_path / "store")
    lines = manifest.funnel.lines
    assert [(x.stage, x.shards, x.rows_in, x.rows_kept, x.rows_out, x.beside) for x in lines] == [
        ("make", 2, 80, 80, 80, False),
        ("keep_small", 2, 80, 40, 40, False),
        ("brightness", 2, 40, 40, 40, False),
        ("halves", 2, 40, 38, 58, False),
        ("gather", 1, 58, 25, 25, False),
    ]
    assert [x.rejected for x in lines] == [
        {},
        {"over_limit": 40},
        {},
        {"nobody_found": 2},
        {"over_limit": 33},
    ]
    assert manifest.funnel.line("halves").children_rejected == {"over_limit": 18}
    assert manifest.outputs == {"rows": (final.ref,)}
    assert len(manifest.shards) == 9
    assert manifest.funnel.rows()[1] == {
        "stage": "keep_small",
        "shards": 2,
        "in": 80,
        "kept": 40,
        "rejected": 40,
        "reasons": "over_limit 40",
        "children rejected": "",
        "out": 40,
    }
    with pytest.raises(KeyError):
        manifest.funnel.line("dream")


def test_an_output_that_another_build_made_first_leads_to_nothing_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    builds = []
    for rows in (20, 30):  # nothing is kept of either, so that what is made of the two is one output
        made = Derivation(Make(MakeConfig(rows=rows)))
        small = Derivation(KeepSmall(LimitConfig(limit=0)), (made,))
        steps = {"made": made, "small": small, "smaller": Derivation(KeepSmall(LimitConfig(limit=5)), (small,))}
        records = {name: [realise(each, store).record] for name, each in steps.items()}
        builds.append(build_manifest(store, "sample", {}, records))
    assert builds[0].outputs["smaller"] == builds[1].outputs["smaller"]
    assert [[line.rows_in for line in build.funnel.lines] for build in builds] == [[20, 20], [30, 30]]
    facts = BuildFacts(store, builds[1], builds[1].digest)
    (last,) = (shard for shard in facts.shards_of("keep_small") if shard.key == builds[1].outputs["smaller"][0].key)
    assert [record.rows_in for record in facts.above(last).values()] == [30, 30]


def test_what_is_only_looked_up_in_is_listed_beside_the_flow(tmp_path: Path) -> None:
    store, final, _ = made(tmp_path / "store", parts=1)
    bright = store.read_record(*_upstream(store, final, "brightness"))
    assert bright is not None
    alone = bright.model_copy(update={"inputs": bright.sides, "sides": bright.inputs, "rows_in": 40, "rows_kept": 40})
    alone = alone.model_copy(update={"data": bright.data.model_copy(update={"rows": 40})})
    funnel = build_manifest(store, "sample", {}, {"rows": [alone]}).funnel
    assert [(x.stage, x.beside) for x in funnel.lines] == [
        ("make", False),
        ("keep_small", True),
        ("brightness", False),
    ]


def _upstream(store: Store, record: ShardRecord, stage: str) -> tuple[str, str]:
    while record.stage != stage:
        below = store.read_record(record.inputs[0].stage, record.inputs[0].key)
        assert below is not None
        record = below
    return record.stage, record.key


def test_equal_builds_give_equal_bytes_in_any_place(tmp_path: Path) -> None:
    store, _, manifest = made(tmp_path / "one")
    other, _, same = made(tmp_path / "elsewhere" / "two")
    assert manifest.to_bytes() == same.to_bytes()
    assert str(tmp_path).encode() not in manifest.to_bytes()
    path = publish_manifest(store, manifest)
    assert path.read_bytes() == publish_manifest(other, same).read_bytes()
    assert path.name == f"{manifest.digest}.json"
    assert read_manifest(store, "sample") == manifest
    assert json.loads((path.parent / "latest.json").read_bytes()) == {"digest": manifest.digest}
    assert not list(store.tmp.iterdir())


def test_latest_follows_and_older_builds_stay(tmp_path: Path) -> None:
    store, _, first = made(tmp_path / "store", parts=1)
    _, _, second = made(tmp_path / "store", parts=2)
    publish_manifest(store, first)
    publish_manifest(store, second)
    assert read_manifest(store, "sample") == second
    publish_manifest(store, first)
    assert read_manifest(store, "sample") == first
    assert read_manifest(store, "sample", second.digest) == second


def test_damaged_manifests_are_seen_and_written_again(tmp_path: Path) -> None:
    store, _, manifest = made(tmp_path / "store")
    with pytest.raises(StoreError, match="run the flow first"):
        read_manifest(store, "sample")
    path = publish_manifest(store, manifest)
    path.write_bytes(path.read_bytes()[:-9])
    assert list(manifest_damage(store)) == [path]
    with pytest.raises(StoreError, match="damaged"):
        read_manifest(store, "sample")
    publish_manifest(store, manifest)
    assert manifest_damage(store) == {}
    (path.parent / "latest.json").write_text('{"digest": "../../secret"}')
    assert list(manifest_damage(store)) == [path.parent / "latest.json"]
    with pytest.raises(StoreError, match="damaged"):
        read_manifest(store, "sample")


def test_rejects_of_a_build_are_those_that_the_funnel_counts(tmp_path: Path) -> None:
    store, _, manifest = made(tmp_path / "store")
    table = pa.Table.from_batches(rejects(store, manifest))
    counted = sum(sum(x.rejected.values()) + sum(x.children_rejected.values()) for x in manifest.funnel.lines)
    assert table.num_rows == counted
    assert set(table["stage"].to_pylist()) == {"keep_small", "halves", "gather"}
    for shard in manifest.shards:
        if shard.rejects is not None:
            (store.folder(shard.stage, shard.key) / shard.rejects.name).unlink()
    with pytest.raises(StoreError, match="run the flow sample again"):
        list(rejects(store, manifest))


def test_a_lost_input_or_a_wrong_equation_is_no_manifest(tmp_path: Path) -> None:
    store, final, _ = made(tmp_path / "store")
    wrong = final.model_copy(update={"rows_kept": 24})
    assert unaccounted(final) == ""
    assert "58 rows in" in unaccounted(wrong)
    with pytest.raises(AccountingError, match="gather"):
        build_manifest(store, "sample", {}, {"rows": [wrong]})
    with pytest.raises(ValueError, match="3 rows in"):
        FunnelLine(stage="x", shards=1, rows_in=3, rows_kept=1, rows_out=1, rejected={"over_limit": 1})
    store.drop(final.inputs[0].stage, final.inputs[0].key)
    with pytest.raises(StoreError, match="run the flow again"):
        build_manifest(store, "sample", {}, {"rows": [final]})


def test_flow_names_stay_inside(tmp_path: Path) -> None:
    store, final, _ = made(tmp_path / "store")
    with pytest.raises(ConfigError):
        build_manifest(store, "../x", {}, {"rows": [final]})


def test_models_carry_their_licence(tmp_path: Path) -> None:
    store, final, _ = made(tmp_path / "store")
    seen = final.model_copy(update={"models": {"b": "2" * 64, "a": "1" * 64}})
    known = [BuildModel(name="a", sha256="", licence="MIT", non_commercial=True)]
    manifest = build_manifest(store, "sample", {}, {"rows": [seen]}, known)
    said = [(m.name, m.licence, m.non_commercial) for m in manifest.models]
    assert said == [("a", "MIT", True), ("b", "unknown", False)]
    assert Manifest.model_validate_json(manifest.to_bytes()) == manifest
    older = BuildModel(name="b", sha256="2", licence="MIT").model_dump_json()
    assert "non_commercial" not in older


def test_code_version_is_that_of_the_sources_alone(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("schema", "shards"):
        for path in (TOP / "tasks" / name).glob("*.py"):
            target = copy / "tasks" / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (copy / "tasks/__init__.py").write_text("")
    command = [sys.executable, "-c", "from tasks.shards.code_version import code_version as v; print(v())"]

    def version() -> str:
        return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True).stdout.strip()

    first = version()
    (copy / "tasks/notes.txt").write_text("no source")
    leaf = copy / "tasks/schema/boxes.py"
    leaf.write_bytes(leaf.read_bytes().replace(b"\n", b"\r\n"))
    assert version() == first
    leaf.write_bytes(leaf.read_bytes() + b"\n# changed\n")
    assert version() != first
    assert code_version().count("+") == 1


@dataclass(frozen=True)
class Publishing:
    """A manifest to publish, what was there before, and what a reader may find at any instant (None: no build)."""

    manifest: Manifest
    prepare: Callable[[Store], object]
    seen: tuple[Manifest | None, ...]
    damaged_before: bool = False

    def wrong(self, root: Path, expected: dict[str, bytes]) -> list[str]:
        """What a reader finds wrong after a fault, and whether the next run ends as an undisturbed one."""
        store = Store(root)
        found = [] if found_by_reader(store) in self.seen else ["the reader found neither"]
        if not self.damaged_before and manifest_damage(store):
            found.append("a damaged file")
        publish_manifest(store, self.manifest)
        store.sweep(older_than_s=-1)
        if tree(root) != expected or found_by_reader(store) != self.manifest or list(store.tmp.iterdir()):
            found.append("the rerun ended elsewhere")
        return found


def publishings(store: Store) -> dict[str, Publishing]:
    """Every way through `publish_manifest`: the first, one more, an older one again, one that was damaged."""
    first, second = (
        build_manifest(store, "sample", {}, {"rows": [realise(build(parts), store).record]}) for parts in (1, 2)
    )

    def damage(store: Store) -> None:
        path = publish_manifest(store, first)
        path.write_bytes(path.read_bytes()[:-9])

    def both(store: Store) -> None:
        publish_manifest(store, first)
        publish_manifest(store, second)

    return {
        "first": Publishing(first, lambda _: None, (None, first)),
        "second": Publishing(second, lambda store: publish_manifest(store, first), (first, second)),
        "again": Publishing(first, both, (second, first)),
        "damaged": Publishing(first, damage, (None, first), damaged_before=True),
    }


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted((root / "builds").rglob("*")) if p.is_file()}


def found_by_reader(store: Store) -> Manifest | None:
    with suppress(StoreError):
        return read_manifest(store, "sample")
    return None


def undisturbed(each: Publishing, root: Path) -> tuple[int, dict[str, bytes]]:
    """Number of write points, and the files at the end."""
    files = CountingFiles()
    each.prepare(Store(root))
    publish_manifest(Store(root, files), each.manifest)
    return len(files.log), tree(root)


def kill_everywhere(top: str) -> None:
    """Run in a fresh interpreter, which has no threads to lose when it forks."""
    for name, each in publishings(Store(Path(top) / "made")).items():
        points, expected = undisturbed(each, Path(top) / name / "calm")
        assert points >= 7
        for at in range(points):
            for when in ("before", "after"):
                root = Path(top) / name / f"{at}-{when}"
                each.prepare(Store(root))
                child = os.fork()
                if child == 0:
                    publish_manifest(Store(root, KilledFiles(at, when)), each.manifest)
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
                assert each.wrong(root, expected) == [], (name, at, when)


@pytest.mark.slow
def test_publishing_is_killed_at_every_write_point(tmp_path: Path) -> None:
    code = f"from tests.shards.test_shards_manifest import kill_everywhere as k; k({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "second", "again", "damaged"])
def test_publishing_loses_power_at_every_write_point(tmp_path: Path, name: str) -> None:
    each = publishings(Store(tmp_path / "made"))[name]
    points, expected = undisturbed(each, tmp_path / "calm")

    def lost(kind: type[ForgetfulFiles], at: int, seed: int) -> list[str]:
        root = tmp_path / f"{kind.__name__}-{at}-{seed}"
        files = kind(at, seed)
        each.prepare(Store(root))

        def publish_and_go_on() -> None:
            publish_manifest(Store(root, files), each.manifest)
            files.remove(root / "something else")

        with pytest.raises(PowerLossError):
            publish_and_go_on()
        told = replace(each, seen=(each.manifest,))
        return (told if at == points else each).wrong(root, expected)

    for at in range(points + 1):
        for seed in range(3):
            assert lost(ForgetfulFiles, at, seed) == [], (at, seed)
    careless = [lost(UnsyncedFiles, at, seed) for at in range(points + 1) for seed in range(3)]
    assert any(careless), "publishing without any sync passed: the simulation does not bite"
