"""A store in a bucket of a real server: two machines, damage, a server that goes away, errors, and forgetting."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.face.remembered import remembers_anybody
from tasks.forget.carry_out import carry_out, finish_unfinished
from tasks.forget.journal import turn
from tasks.forget.plan import plan_forget
from tasks.lineage.explain import explain
from tasks.schema.errors import StoreError, StoreUnreachableError
from tasks.shards import notes
from tasks.shards.bucket import Bucket
from tasks.shards.delete import delete_outputs, outputs_of
from tasks.shards.derive import Outcome, realise, realise_whole
from tasks.shards.manifest import build_manifest, latest_digest, publish_manifest, read_manifest
from tasks.shards.notes import RunHeader, begin_run, drop_runs, end_run, flush_notes
from tasks.shards.numbers import assign, read_ledger
from tasks.shards.opening import open_store
from tasks.shards.store import Store
from tasks.shards.tombstones import add_tombstones, read_tombstones, stamp_of
from tasks.shards.verify import verify_store
from tasks.watching.runs import StoreWatch
from tests.shards.s3_server import Wire, bucket_at, s3_server
from tests.shards.sample_stages import build

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(300)]
ALL = ("make", "keep_small", "brightness", "halves", "gather")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as at:
        yield at


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> Bucket:
    return bucket_at(endpoint, request.node.name.replace("[", "-").rstrip("]"))


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> Store:
    return opened(tmp_path / "here", bucket)


def opened(root: Path, bucket: Bucket) -> Store:
    return open_store(root, bucket.url, endpoint=bucket.endpoint, key=bucket.key, secret=bucket.secret)


def data_name(outcome: Outcome) -> str:
    record = outcome.record
    return f"shards/{record.stage}/{record.key}/{record.data.name}"


def test_a_second_machine_finds_everything(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    made = realise(build(parts=1), store)
    manifest = build_manifest(store, "small", {}, {"end": [made.record]})
    publish_manifest(store, manifest)
    other, local = opened(tmp_path / "there", bucket), Store(tmp_path / "local")
    found = realise(build(parts=1), other)
    assert set(made.ran) == set(ALL)
    assert found == Outcome(made.record)
    again = build_manifest(other, "small", {}, {"end": [found.record]})
    assert publish_manifest(other, again).is_file()
    assert again.digest == manifest.digest == latest_digest(other, "small")
    assert read_manifest(other, "small") == manifest
    alone = realise(build(parts=1), local)
    assert other.data_path(found.record).read_bytes() == local.data_path(alone.record).read_bytes()
    assert verify_store(other).ok
    assert [r.key for r in other.records()] == [r.key for r in local.records()]
    assert other.sweep(-1) == []
    told = [explain(each, "s0-000003").story for each in (local, opened(tmp_path / "third", bucket))]
    assert told[0] is not None
    assert told[1] is not None
    assert told[0].steps == told[1].steps


def test_of_many_who_create_the_same_one_wins(bucket: Bucket) -> None:
    for name, size in (("small", 1), ("large", 6 << 20)):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i, name=name, size=size: bucket.put_new(bytes([i]) * size, name), range(8)))
        assert won.count(True) == 1
        assert bucket.read(name) == bytes([won.index(True)]) * size
    big = replace(bucket)
    assert not big.put_new(b"x" * (101 << 20), "small")  # in parts


def test_what_the_bucket_lost_or_damaged_is_made_again(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    made = realise(build(parts=1), store)
    bucket.remove(data_name(made))
    assert realise(build(parts=1), opened(tmp_path / "b", bucket)).ran == ("gather",)
    (tmp_path / "wrong").write_bytes(b"x" * made.record.data.size)
    bucket.put(tmp_path / "wrong", data_name(made))
    third = opened(tmp_path / "c", bucket)
    assert realise(build(parts=1), third).cached  # a hit looks at sizes
    assert [each.problem for each in verify_store(opened(tmp_path / "d", bucket)).damage] == [
        "does not have its digest"
    ]
    assert realise_whole(build(parts=1), third).ran == ("gather",)
    assert verify_store(third).ok


def test_a_damaged_copy_is_read_again(store: Store) -> None:
    made = realise(build(parts=1), store)
    path = store.data_path(made.record)
    path.write_bytes(b"x" * path.stat().st_size)
    assert realise_whole(build(parts=1), store).cached
    assert store.damaged(made.record) == []
    source = next(record for record in store.records() if record.stage == "make")
    path = store.data_path(source)
    path.write_bytes(b"x" * path.stat().st_size)
    assert set(realise(build(parts=1, limit=5), store).ran) == set(ALL) - {"make"}


def test_the_server_goes_away_and_comes_back(endpoint: str, tmp_path: Path) -> None:
    wire = Wire(endpoint)
    wire.mend()
    store = opened(tmp_path / "here", bucket_at(wire.endpoint, "away"))
    one = build(parts=1)
    assert realise(one.inputs[0], store).ran == ALL[:-1]
    wire.cut()
    with pytest.raises(StoreUnreachableError, match=r"s3://mannequin/away cannot be used .*run again when it answers"):
        realise(one, store)
    wire.mend()
    assert realise(one, store).ran == ("gather",)
    wire.cut()


def test_what_is_wrong_is_one_clear_error(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="names a bucket that does not exist"):
        opened(tmp_path / "a", bucket_at(endpoint, "x", name="no-such-bucket"))
    assert not (tmp_path / "a").exists()


def test_ledgers_and_tombstones_are_shared(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    other = opened(tmp_path / "b", bucket)
    assert assign(store, "looks", "fashion", ["a", "b"]) == {"a": 0, "b": 1}
    assert assign(other, "looks", "fashion", ["c", "b"]) == {"c": 2, "b": 1}
    assert read_ledger(store, "looks") == {"fashion": {"a": 0, "b": 1, "c": 2}}
    assert stamp_of(other) is None
    add_tombstones(store, ["a"], [], [])
    assert stamp_of(other) == stamp_of(store) is not None
    standing = read_tombstones(other)
    assert standing is not None
    assert standing.ids == {standing.salt.digest("id", "a")}
    assert not remembers_anybody(other)


@pytest.mark.parametrize(("large", "files"), [(notes.LARGE, 1), (1, 3)])
def test_a_run_is_watched_from_another_machine(
    store: Store, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int, files: int
) -> None:
    monkeypatch.setattr(notes, "LARGE", large)
    other = opened(tmp_path / "b", bucket)
    assert StoreWatch(other).look() == []
    begin_run(store, RunHeader(run="r1", flow="small", name="old-owl"))
    for limit in (7, 5, 3):
        realise(build(parts=1, limit=limit), store)
        flush_notes("r1")
    assert len([name for name, _ in bucket.listing("running/r1") if name.endswith(".jsonl")]) == files
    (seen,) = (run.progress() for run in StoreWatch(other).look())
    assert (seen.flow, seen.name, seen.state) == ("small", "old-owl", "running")
    assert {each.stage: each.made for each in seen.stages} == {**dict.fromkeys(ALL, 3), "make": 1}
    end_run(store, "r1", "completed")
    assert [run.progress().state for run in StoreWatch(other).look()] == ["completed"]
    drop_runs(other, lambda run: bool(run.ended))
    assert not list(bucket.listing("running"))
    assert StoreWatch(store).look() == []


def test_a_stage_is_deleted_everywhere(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    realise(build(parts=1), store)
    other = opened(tmp_path / "b", bucket)
    delete_outputs(other, outputs_of(other, "halves"))
    assert not list(bucket.listing("shards/halves"))
    assert realise(build(parts=1), store).ran == ("halves",)


def test_forgetting_empties_the_bucket_and_every_working_copy(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    made = realise(build(parts=1), store)
    publish_manifest(store, build_manifest(store, "small", {}, {"end": [made.record]}))
    begin_run(store, RunHeader(run="r1", flow="small", name="old-owl"))
    end_run(store, "r1", "failed", "no picture in s0-000003")
    other = opened(tmp_path / "b", bucket)
    other.data_path(made.record)
    goes = b"s0-000003"
    assert any(goes in bucket.read(name) for name, _ in bucket.listing("shards"))
    receipt = carry_out(other, plan_forget(other, ["s0-000003"]), lambda doomed, builds: ())
    assert receipt.rows > 0
    assert any("Working copies" in each for each in receipt.out_of_reach)
    for name, _ in (*bucket.listing("shards"), *bucket.listing("running")):
        assert goes not in bucket.read(name), name
    assert verify_store(store).ok
    left = [path for root in (store.root, other.root) for path in root.rglob("*") if path.is_file()]
    assert not [path for path in left if goes in path.read_bytes()]
    assert not list(bucket.listing("forgotten/unfinished"))
    assert goes.decode() not in realise(build(parts=1), store).record.model_dump_json()


def test_a_killed_forget_is_finished_on_the_machine_that_began_it(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    realise(build(parts=1), store)
    other = opened(tmp_path / "b", bucket)

    def killed(*_: object) -> tuple[()]:
        raise KeyboardInterrupt

    with turn(store), pytest.raises(StoreError, match="On another machine"), turn(other):
        pass
    mark = "forgotten/holder.json"
    assert bucket.put_new(b'{"copy": "of a machine that is gone"}', mark)  # what a kill leaves behind
    with pytest.raises(StoreError, match=f"remove {bucket.place}/{mark}"):
        finish_unfinished(store, lambda doomed, builds: ())
    bucket.remove(mark)
    with pytest.raises(KeyboardInterrupt):
        carry_out(store, plan_forget(store, ["s0-000003"]), killed)
    assert finish_unfinished(other, lambda doomed, builds: ()) is not None  # its holder ended, and let go
    assert finish_unfinished(store, lambda doomed, builds: ()) is None
    assert verify_store(other).ok
